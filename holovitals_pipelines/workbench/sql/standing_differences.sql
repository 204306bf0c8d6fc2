-- One row a connection, resource type, element, severity and reason: how many differences stand there, and since when.
select
    connection,
    resource_type,
    element,
    severity,
    reason,
    count(*) as differences,
    count(distinct record_id) as records,
    date_trunc('second', min(since)) as oldest
from standing_differences
group by connection, resource_type, element, severity, reason
order by
    list_position(['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'], severity),
    differences desc,
    connection,
    resource_type,
    element,
    reason
