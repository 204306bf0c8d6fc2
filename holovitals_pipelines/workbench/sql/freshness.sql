-- One row a connection and resource type: up to which instant of the vendor's clock everything has been read.
select
    connection,
    resource_type,
    mechanism,
    date_trunc('second', value) as read_up_to,
    date_trunc('second', updated_at) as updated_at
from watermarks
order by read_up_to, connection, resource_type
