-- One row a connection and operation. p50_ms is the mean of the jobs' medians by requests; p95_ms the worst job's.
select
    connection,
    operation,
    sum(requests)::bigint as requests,
    sum(failures)::bigint as failures,
    sum(retries)::bigint as retries,
    round(sum(p50_ms * requests) / nullif(sum(requests), 0), 1)::double as p50_ms,
    round(max(p95_ms), 1)::double as p95_ms,
    round(max(max_ms), 1)::double as max_ms,
    round(sum(waited_seconds), 3)::double as waited_seconds,
    sum(received_bytes)::bigint as received_bytes
from provider_latency
where "at" >= $since
group by connection, operation
order by p95_ms desc, connection, operation
