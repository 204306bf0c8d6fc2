-- One row a connection and resource type: local records that are linked to it, and the links.
select
    connection,
    resource_type,
    records,
    links,
    date_trunc('second', as_of) as as_of
from record_counts
order by records desc, connection, resource_type
