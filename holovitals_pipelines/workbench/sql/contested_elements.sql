-- One row a resource type and element: in how many conflicts the sides contradicted each other there.
select
    fields.resource_type,
    fields.element,
    count(distinct fields.conflict_id) as conflicts,
    count(distinct fields.conflict_id) filter (conflicts.open_seconds is not null) as still_open,
    ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'][
        min(list_position(['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'], fields.severity))
    ] as severity,
    count(*) filter (fields.chosen_side = 'local') as took_local,
    count(*) filter (fields.chosen_side = 'remote') as took_remote,
    count(*) filter (fields.chosen_side = 'value') as took_other
from conflict_fields as fields
inner join conflicts on conflicts.conflict_id = fields.conflict_id
where fields.newest and fields.kind = 'conflict' and conflicts.detected_at >= $since
group by fields.resource_type, fields.element
order by conflicts desc, fields.resource_type, fields.element
limit $limit
