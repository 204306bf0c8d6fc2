-- One row: what waits, runs and failed in the last day, how soon jobs begin and webhook events are done.
select
    (select count(*) from sync_jobs where status in ('PENDING', 'QUEUED')) as waiting_jobs,
    (
        select round(coalesce(max(epoch($as_of) - epoch(coalesce(queued_at, created_at))), 0) / 60, 1)::double
        from sync_jobs
        where status in ('PENDING', 'QUEUED')
    ) as oldest_minutes,
    (select count(*) from sync_jobs where status = 'PROCESSING') as running_jobs,
    (select count(*) from sync_jobs where status = 'RETRYING') as retrying_jobs,
    (select count(*) from sync_jobs where finished_at is not null) as ended_jobs,
    (select count(*) from sync_jobs where status = 'FAILED' and finished_at >= $since) as failed_today,
    (select round(quantile_cont(wait_seconds, 0.95), 3)::double from sync_jobs) as wait_p95_seconds,
    (select count(*) from webhook_events) as events,
    (
        select count(*)
        from webhook_events
        where status not in ('COMPLETED', 'FAILED', 'IGNORED')
    ) as waiting_events,
    (select round(quantile_cont(seconds, 0.95), 3)::double from webhook_events) as event_p95_seconds,
    (select count(*) from webhook_events where status = 'FAILED') as dead_letters
