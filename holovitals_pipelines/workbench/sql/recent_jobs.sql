-- One row a job, the newest first.
select
    sync_jobs.job_id,
    sync_jobs.connection,
    sync_jobs.provider,
    sync_jobs.type,
    sync_jobs.status,
    sync_jobs.attempt,
    date_trunc('second', sync_jobs.created_at) as created_at,
    date_trunc('second', sync_jobs.started_at) as started_at,
    date_trunc('second', sync_jobs.finished_at) as finished_at,
    round(sync_jobs.duration_seconds, 3) as duration_seconds,
    coalesce(read.extracted, 0)::bigint as extracted,
    coalesce(read.changed, 0)::bigint as changed,
    coalesce(sync_jobs.error_code, '') as error_code,
    coalesce(sync_jobs.error_message, '') as error_message
from sync_jobs
left join (
    select
        job_id,
        sum(extracted) as extracted,
        sum(created + updated) as changed
    from sync_statistics
    group by job_id
) as read on read.job_id = sync_jobs.job_id
order by sync_jobs.created_at desc, sync_jobs.job_id
limit $limit
