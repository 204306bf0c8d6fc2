-- One row a connection, event type and status: webhook events, each once; seconds are from receipt to end.
select
    source as connection,
    event_type,
    status,
    count(*) as events,
    sum(times_received - 1)::bigint as repeats,
    sum(altered)::bigint as altered,
    round(quantile_cont(seconds, 0.5), 3)::double as p50_seconds,
    round(quantile_cont(seconds, 0.95), 3)::double as p95_seconds,
    round(
        max(epoch($as_of) - epoch(received_at)) filter (status not in ('COMPLETED', 'FAILED', 'IGNORED')) / 60, 1
    )::double as oldest_minutes,
    date_trunc('second', max(received_at)) as last_at
from webhook_events
where received_at >= $since
group by source, event_type, status
order by events desc, connection, event_type, status
