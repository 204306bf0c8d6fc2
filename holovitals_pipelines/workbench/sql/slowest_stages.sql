-- One row a connection, resource type and stage, the costliest first; seconds are working time, waits left out.
with stages as (
    unpivot (
        select
            connection,
            provider,
            resource_type,
            job_id,
            extracted,
            extract_seconds as extract,
            transform_seconds as transform,
            reconcile_seconds as reconcile,
            write_back_seconds as write_back
        from sync_statistics
        where finished_at >= $since
    )
    on extract, transform, reconcile, write_back
    into name stage value seconds
)

select
    connection,
    provider,
    resource_type,
    stage,
    count(distinct job_id) as jobs,
    sum(extracted)::bigint as resources,
    round(sum(seconds), 3)::double as seconds,
    round(max(seconds), 3)::double as slowest_seconds,
    round(sum(extracted) / nullif(sum(seconds), 0), 1)::double as resources_per_second
from stages
group by connection, provider, resource_type, stage
having sum(seconds) > 0
order by seconds desc, connection, resource_type, stage
limit $limit
