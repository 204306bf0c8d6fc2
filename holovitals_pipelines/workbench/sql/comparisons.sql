-- One row a connection, resource type and full comparison of both sides, the newest first.
select
    connection,
    resource_type,
    compared,
    missed,
    unsent,
    absent,
    date_trunc('second', "at") as "at",
    job_id
from anti_entropy
where "at" >= $since
order by "at" desc, missed + unsent desc, connection, resource_type
limit $limit
