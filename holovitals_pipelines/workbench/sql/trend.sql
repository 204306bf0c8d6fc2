-- One row a day (UTC) and connection on which a job ended; seconds are working time of all stages.
with ended as (
    select
        job_id,
        connection,
        provider,
        status,
        date_trunc('day', finished_at)::timestamp as day
    from sync_jobs
    where status in ('COMPLETED', 'FAILED') and finished_at >= $since
),

counted as (
    select
        day,
        connection,
        any_value(provider) as provider,
        count(*) as jobs,
        count(*) filter (status = 'FAILED') as failed_jobs
    from ended
    group by day, connection
),

read as (
    select
        ended.day,
        ended.connection,
        sum(sync_statistics.extracted) as extracted,
        sum(sync_statistics.created) as created,
        sum(sync_statistics.updated) as updated,
        sum(sync_statistics.unchanged) as unchanged,
        sum(sync_statistics.conflicts) as conflicts,
        sum(sync_statistics.quarantined) as quarantined,
        sum(sync_statistics.total_seconds) as seconds
    from sync_statistics
    inner join ended on ended.job_id = sync_statistics.job_id
    group by ended.day, ended.connection
)

select
    counted.day,
    counted.connection,
    counted.provider,
    counted.jobs,
    counted.failed_jobs,
    coalesce(read.extracted, 0)::bigint as extracted,
    coalesce(read.created, 0)::bigint as created,
    coalesce(read.updated, 0)::bigint as updated,
    coalesce(read.unchanged, 0)::bigint as unchanged,
    coalesce(read.conflicts, 0)::bigint as conflicts,
    coalesce(read.quarantined, 0)::bigint as quarantined,
    round(coalesce(read.seconds, 0), 3)::double as seconds
from counted
left join read on read.day = counted.day and read.connection = counted.connection
order by counted.day, counted.connection
