-- One row a distinct error, with how often it came and where it was last seen.
select
    connection,
    coalesce(resource_type, '') as resource_type,
    stage,
    severity,
    code,
    count(*) as times,
    date_trunc('second', max("at")) as last_at,
    arg_max(message, "at") as message,
    coalesce(arg_max(remedy, "at"), '') as remedy,
    coalesce(arg_max(source, "at"), '') as source,
    arg_max(line, "at") as line,
    arg_max(job_id, "at") as job_id
from sync_errors
where "at" >= $since
group by connection, sync_errors.resource_type, stage, severity, code
order by last_at desc, times desc, connection, code
limit $limit
