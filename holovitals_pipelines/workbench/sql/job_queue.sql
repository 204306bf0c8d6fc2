-- One row a job that has not ended: those at work first, then by priority and wait; ages at the snapshot.
select
    job_id,
    connection,
    type,
    priority,
    status,
    attempt,
    lane,
    date_trunc('second', coalesce(queued_at, created_at)) as waits_since,
    round((epoch($as_of) - epoch(coalesce(queued_at, created_at))) / 60, 1)::double as waited_minutes,
    date_trunc('second', started_at) as started_at,
    date_trunc('second', next_at) as next_at,
    coalesce(error_code, '') as error_code
from sync_jobs
where status in ('PENDING', 'QUEUED', 'PROCESSING', 'RETRYING')
order by status = 'PROCESSING' desc, priority, waits_since, job_id
limit $limit
