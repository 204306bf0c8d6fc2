-- One row a check, connection and resource type: its newest result, failing checks first.
with last_at as (
    select connection, resource_type, check_name, max("at") as "at"
    from quality_results
    group by connection, resource_type, check_name
),

newest as (
    select *
    from quality_results
    inner join last_at using (connection, resource_type, check_name, "at")
    qualify row_number() over (partition by connection, resource_type, check_name order by job_id desc) = 1
)

select
    connection,
    resource_type,
    check_name,
    passed,
    severity,
    "rows",
    unexpected,
    round(100 * unexpected / nullif("rows", 0), 2)::double as unexpected_percent,
    expectation,
    date_trunc('second', "at") as "at"
from newest
order by passed, severity = 'WARNING', unexpected_percent desc nulls last, connection, resource_type, check_name
