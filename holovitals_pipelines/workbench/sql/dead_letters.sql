-- One row a connection, event type and error code: webhook events that were given up; they can be replayed.
select
    source as connection,
    event_type,
    coalesce(error_code, '') as error_code,
    count(*) as events,
    sum(attempts)::bigint as attempts,
    date_trunc('second', min(received_at)) as first_at,
    date_trunc('second', max(received_at)) as last_at
from webhook_events
where status = 'FAILED' and received_at >= $since
group by source, event_type, webhook_events.error_code
order by events desc, connection, event_type, error_code
