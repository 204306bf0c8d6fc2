-- One row a resource type of each connection's last job that left statistics.
with last_job as (
    select connection, arg_max(job_id, finished_at) as job_id
    from sync_statistics
    group by connection
)

select
    latest.provider,
    latest.connection,
    latest.resource_type,
    latest.extracted,
    latest.created,
    latest.updated,
    latest.unchanged,
    latest.conflicts,
    latest.held,
    latest.quarantined,
    latest.pushed,
    round(latest.total_seconds, 3) as seconds,
    latest.job_type,
    date_trunc('second', latest.finished_at) as finished_at
from sync_statistics as latest
semi join last_job on last_job.connection = latest.connection and last_job.job_id = latest.job_id
order by latest.provider, latest.connection, latest.resource_type
