-- One row a connection, resource type and outcome: how many readings ended that way.
with outcomes as (
    unpivot (
        select
            connection,
            provider,
            resource_type,
            sum(created)::bigint as created,
            sum(updated)::bigint as updated,
            sum(unchanged)::bigint as unchanged,
            sum(conflicts)::bigint as conflicts,
            sum(quarantined)::bigint as quarantined,
            sum(duplicates)::bigint as duplicates,
            sum(superseded)::bigint as superseded
        from sync_statistics
        where finished_at >= $since
        group by connection, provider, resource_type
    )
    on created, updated, unchanged, conflicts, quarantined, duplicates, superseded
    into name outcome value resources
)

select
    connection,
    provider,
    resource_type,
    outcome,
    resources
from outcomes
where resources > 0
order by sum(resources) over (partition by resource_type) desc, resource_type, connection, outcome
