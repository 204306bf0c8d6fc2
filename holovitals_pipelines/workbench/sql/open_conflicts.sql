-- One row an open conflict, the most overdue first.
select
    conflict_id,
    connection,
    resource_type,
    type,
    severity,
    rule,
    units,
    revision,
    reopened,
    two_person,
    date_trunc('second', detected_at) as detected_at,
    date_trunc('second', due_at) as due_at,
    round(open_seconds / 3600, 2)::double as open_hours,
    round(due_in_seconds / 3600, 2)::double as due_in_hours
from conflicts
where open_seconds is not null
order by due_in_seconds nulls last, open_seconds desc, conflict_id
limit $limit
