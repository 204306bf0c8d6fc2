-- One row a severity, the gravest first: how its conflicts were decided, and how long people took.
select
    severity,
    count(*) as conflicts,
    count(*) filter (open_seconds is not null) as still_open,
    count(*) filter (decided_how = 'clean') as clean,
    count(*) filter (decided_how = 'automatic') as automatic,
    count(*) filter (decided_how = 'person') as by_people,
    round(
        count(*) filter (decided_how = 'automatic')
        / nullif(count(*) filter (decided_how in ('automatic', 'person')), 0),
        3
    )::double as automatic_share,
    count(*) filter (reopened > 0) as reopened,
    round(median(resolve_seconds) filter (decided_how = 'person') / 3600, 2)::double as median_hours,
    round(quantile_cont(resolve_seconds, 0.9) filter (decided_how = 'person') / 3600, 2)::double as p90_hours
from conflicts
where detected_at >= $since
group by severity
order by list_position(['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'], severity)
