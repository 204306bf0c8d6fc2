-- One row a check, connection and resource type: its newest result, failing checks first.
with newest as (
    select *
    from quality_results
    qualify row_number() over (partition by connection, resource_type, check_name order by "at" desc, job_id desc) = 1
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
