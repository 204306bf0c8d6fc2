-- One row a rule that refused resources which are still held, with what to do about it.
select
    connection,
    resource_type,
    stage,
    rule,
    path,
    count(*) as resources,
    date_trunc('second', max("at")) as last_at,
    arg_max(message, "at") as message,
    arg_max(remedy, "at") as remedy
from quarantine
where state = 'held'
group by connection, resource_type, stage, rule, path
order by resources desc, connection, resource_type, rule, path
