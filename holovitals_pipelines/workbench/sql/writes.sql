-- One row a connection, resource type, operation and state of the writes to it, the most frequent first.
select
    connection,
    resource_type,
    operation,
    state,
    count(*) as writes,
    count(*) filter (not guarded) as unguarded,
    sum(attempts)::bigint as attempts,
    round(median(seconds), 2)::double as median_seconds,
    coalesce(mode(error_code), '') as usual_error,
    date_trunc('second', max(coalesce(finished_at, created_at))) as last_at
from writes
where created_at >= $since
group by connection, resource_type, operation, state
order by count(*) desc, connection, resource_type, operation, state
