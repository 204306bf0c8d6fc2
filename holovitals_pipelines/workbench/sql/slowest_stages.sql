-- One row a connection, resource type and stage, the costliest first; seconds are working time, waits left out.
-- A job has one row a resource type, so rows count jobs.
with summed as (
    select
        connection,
        provider,
        resource_type,
        count(*) as jobs,
        sum(extracted)::bigint as resources,
        [
            {'stage': 'extract', 'seconds': sum(extract_seconds), 'slowest': max(extract_seconds)},
            {'stage': 'transform', 'seconds': sum(transform_seconds), 'slowest': max(transform_seconds)},
            {'stage': 'reconcile', 'seconds': sum(reconcile_seconds), 'slowest': max(reconcile_seconds)},
            {'stage': 'write_back', 'seconds': sum(write_back_seconds), 'slowest': max(write_back_seconds)}
        ] as parts
    from sync_statistics
    where finished_at >= $since
    group by connection, provider, resource_type
),

stages as (
    select
        connection,
        provider,
        resource_type,
        jobs,
        resources,
        unnest(parts) as part
    from summed
)

select
    connection,
    provider,
    resource_type,
    part.stage as stage,
    jobs,
    resources,
    round(part.seconds, 3)::double as seconds,
    round(part.slowest, 3)::double as slowest_seconds,
    round(resources / nullif(part.seconds, 0), 1)::double as resources_per_second
from stages
where part.seconds > 0
order by part.seconds desc, connection, resource_type, part.stage
limit $limit
