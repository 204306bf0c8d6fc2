-- One row a job, the newest first.
with newest as (
    select *
    from sync_jobs
    order by created_at desc, job_id
    limit $limit
)

select
    newest.job_id,
    newest.connection,
    newest.provider,
    newest.type,
    newest.status,
    newest.attempt,
    date_trunc('second', newest.created_at) as created_at,
    date_trunc('second', newest.started_at) as started_at,
    date_trunc('second', newest.finished_at) as finished_at,
    round(newest.duration_seconds, 3) as duration_seconds,
    coalesce(read.extracted, 0)::bigint as extracted,
    coalesce(read.changed, 0)::bigint as changed,
    coalesce(newest.error_code, '') as error_code,
    coalesce(newest.error_message, '') as error_message
from newest
left join (
    select
        job_id,
        sum(extracted) as extracted,
        sum(created + updated) as changed
    from sync_statistics
    semi join newest on newest.job_id = sync_statistics.job_id
    group by job_id
) as read on read.job_id = newest.job_id
order by newest.created_at desc, newest.job_id
