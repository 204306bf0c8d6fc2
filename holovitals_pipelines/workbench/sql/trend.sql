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

read as (
    select
        job_id,
        sum(extracted) as extracted,
        sum(created) as created,
        sum(updated) as updated,
        sum(unchanged) as unchanged,
        sum(conflicts) as conflicts,
        sum(quarantined) as quarantined,
        sum(total_seconds) as seconds
    from sync_statistics
    group by job_id
)

select
    ended.day,
    ended.connection,
    any_value(ended.provider) as provider,
    count(*) as jobs,
    count(*) filter (ended.status = 'FAILED') as failed_jobs,
    coalesce(sum(read.extracted), 0)::bigint as extracted,
    coalesce(sum(read.created), 0)::bigint as created,
    coalesce(sum(read.updated), 0)::bigint as updated,
    coalesce(sum(read.unchanged), 0)::bigint as unchanged,
    coalesce(sum(read.conflicts), 0)::bigint as conflicts,
    coalesce(sum(read.quarantined), 0)::bigint as quarantined,
    round(coalesce(sum(read.seconds), 0), 3)::double as seconds
from ended
left join read on read.job_id = ended.job_id
group by ended.day, ended.connection
order by ended.day, ended.connection
