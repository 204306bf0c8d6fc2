-- One row a rule and the element that broke it: how many refused resources are still held.
select
    connection,
    resource_type,
    stage,
    rule,
    coalesce(path, '') as path,
    resources,
    date_trunc('second', first_at) as first_at,
    date_trunc('second', last_at) as last_at
from quarantine
where state = 'held'
order by resources desc, connection, resource_type, rule, path
