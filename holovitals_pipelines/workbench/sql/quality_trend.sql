-- One row a day (UTC) and connection: checks that ran on its batches, those that failed, and records that broke one.
select
    date_trunc('day', "at")::timestamp as day,
    connection,
    count(*) as checks,
    count(*) filter (not passed) as failed_checks,
    sum("rows")::bigint as judged,
    sum(unexpected)::bigint as unexpected,
    round(1000 * sum(unexpected) / nullif(sum("rows"), 0), 3)::double as unexpected_per_1000
from quality_results
where "at" >= $since
group by date_trunc('day', "at"), connection
order by day, connection
