-- One row a connection, ending and error code: how jobs ended, and how many attempts that took.
with ended as (
    select
        connection,
        case
            when status = 'COMPLETED' and attempt > 1 then 'completed after a retry'
            else lower(status)
        end as ending,
        coalesce(error_code, '') as error_code,
        attempt,
        finished_at
    from sync_jobs
    where status in ('COMPLETED', 'FAILED', 'CANCELLED') and finished_at >= $since
)

select
    connection,
    ending,
    error_code,
    count(*) as jobs,
    sum(attempt)::bigint as attempts,
    date_trunc('second', max(finished_at)) as last_at
from ended
group by connection, ending, error_code
order by ending = 'failed' desc, jobs desc, connection, ending, error_code
