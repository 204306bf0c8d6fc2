-- One row a connection: what it holds and how it fares, in measures that can be set side by side.
with jobs as (
    select
        connection,
        any_value(provider) as provider,
        count(*) as jobs,
        count(*) filter (status = 'COMPLETED') / nullif(count(*) filter (status in ('COMPLETED', 'FAILED')), 0)
            as success_rate,
        max(finished_at) filter (status = 'COMPLETED') as last_sync_at
    from sync_jobs
    where created_at >= $since
    group by connection
),

read as (
    select
        connection,
        sum(extracted) as resources_read,
        sum(created + updated) as changed,
        sum(conflicts) as conflicts,
        sum(quarantined) as quarantined,
        sum(bytes) as bytes,
        sum(total_seconds) as seconds
    from sync_statistics
    where finished_at >= $since
    group by connection
),

asked as (
    select
        connection,
        sum(requests) as requests,
        sum(failures) as failures,
        sum(p50_ms * requests) / nullif(sum(requests), 0) as p50_ms,
        max(p95_ms) as p95_ms,
        sum(waited_seconds) as waited_seconds
    from provider_latency
    where "at" >= $since
    group by connection
),

held as (
    select
        connection,
        sum(records) as records,
        count(*) as resource_types
    from record_counts
    group by connection
)

select
    jobs.connection,
    jobs.provider,
    coalesce(held.records, 0)::bigint as records,
    coalesce(held.resource_types, 0) as resource_types,
    jobs.jobs,
    round(jobs.success_rate, 4)::double as success_rate,
    coalesce(read.resources_read, 0)::bigint as resources_read,
    round(100 * read.changed / nullif(read.resources_read, 0), 2)::double as changed_percent,
    round(1000 * read.conflicts / nullif(read.resources_read, 0), 3)::double as conflicts_per_1000,
    round(1000 * read.quarantined / nullif(read.resources_read, 0), 3)::double as quarantined_per_1000,
    round(read.resources_read / nullif(read.seconds, 0), 1)::double as resources_per_second,
    coalesce(asked.requests, 0)::bigint as requests,
    round(100 * asked.failures / nullif(asked.requests, 0), 2)::double as failed_percent,
    round(asked.p50_ms, 1)::double as p50_ms,
    round(asked.p95_ms, 1)::double as p95_ms,
    round(coalesce(asked.waited_seconds, 0), 3)::double as waited_seconds,
    date_trunc('second', jobs.last_sync_at) as last_sync_at
from jobs
left join read on read.connection = jobs.connection
left join asked on asked.connection = jobs.connection
left join held on held.connection = jobs.connection
order by jobs.connection
