-- One row a connection and resource type: the records it brought and the links that hold, when the snapshot was taken.
select
    connection,
    resource_type,
    records,
    links,
    date_trunc('second', as_of) as as_of
from record_counts
order by records desc, connection, resource_type
