-- One row a connection and job type: where the time of ended jobs went, as means and slowest twentieths.
with work as (
    select job_id, sum(total_seconds) as seconds
    from sync_statistics
    where finished_at >= $since
    group by job_id
),

parts as (
    select
        sync_jobs.connection,
        sync_jobs.type,
        sync_jobs.attempt,
        coalesce(sync_jobs.wait_seconds, 0) as waited,
        least(coalesce(work.seconds, 0), sync_jobs.duration_seconds) as worked,
        sync_jobs.duration_seconds as lasted
    from sync_jobs
    left join work on work.job_id = sync_jobs.job_id
    where sync_jobs.finished_at >= $since and sync_jobs.duration_seconds is not null
)

select
    connection,
    type,
    count(*) as jobs,
    count(*) filter (attempt > 1) as retried,
    round(avg(waited), 3)::double as waited_seconds,
    round(avg(worked), 3)::double as worked_seconds,
    round(avg(lasted - worked), 3)::double as other_seconds,
    round(quantile_cont(waited, 0.95), 3)::double as waited_p95_seconds,
    round(quantile_cont(lasted, 0.5), 3)::double as lasted_p50_seconds,
    round(quantile_cont(lasted, 0.95), 3)::double as lasted_p95_seconds
from parts
group by connection, type
order by avg(waited + lasted) desc, connection, type
