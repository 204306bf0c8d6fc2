-- One row a combination: how many persons have so many records at so many connections, joined so.
select records, connections, joined, count(*) as persons, sum(records)::bigint as all_records
from (
    select
        count(*) as records,
        count(distinct connection) as connections,
        case
            when bool_or(how = 'manual') then 'by a person'
            when bool_or(how = 'exact') then 'by identifier'
            else 'not joined'
        end as joined
    from person_members
    where state = 'active'
    group by patient_key
)
group by records, connections, joined
order by records, connections, joined
