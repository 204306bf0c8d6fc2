-- One row a connection, resource type, type of conflict, severity and strategy, the most frequent first.
select
    connection,
    resource_type,
    type,
    severity,
    coalesce(strategy, '') as strategy,
    count(*) as conflicts,
    count(*) filter (open_seconds is not null) as still_open,
    count(*) filter (decided_how = 'clean') as clean,
    count(*) filter (decided_how = 'automatic') as automatic,
    count(*) filter (decided_how = 'person') as by_people,
    count(*) filter (reopened > 0) as reopened,
    date_trunc('second', max(detected_at)) as last_at
from conflicts
where detected_at >= $since
group by connection, resource_type, type, severity, conflicts.strategy
order by count(*) desc, connection, resource_type, type, severity, strategy
