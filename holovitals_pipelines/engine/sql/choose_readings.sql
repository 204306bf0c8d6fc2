-- One reading an id: the vendor's own clock decides where it spoke, the order of reading otherwise.
-- Different contents under one id within one delivery have no order: all of them are ambiguous.
-- A reading whose exact bytes were read before is not chosen: equal bytes are equal content.
create temp view living as
select part, row, remote_id, content_hash, delivery, last_updated
from extract_key
where evidence is null;

create temp table repeated as
select remote_id
from living
group by remote_id
having count(*) > 1;

create temp table rival as
select
    l.*,
    row_number() over (
        partition by l.remote_id
        order by l.last_updated desc nulls last, l.delivery desc, l.part desc, l.row desc
    ) as place
from living l
semi join repeated using (remote_id);

create temp table dispute as
select distinct r.remote_id
from rival r
join rival top on top.remote_id = r.remote_id and top.place = 1
where r.delivery = top.delivery
    and r.last_updated is not distinct from top.last_updated
    and r.content_hash <> top.content_hash;

create temp view contender as
select part, row, remote_id, content_hash, false as ambiguous
from living
anti join repeated using (remote_id)
union all
select part, row, remote_id, content_hash, false
from rival
anti join dispute using (remote_id)
where place = 1
union all
select part, row, remote_id, content_hash, true
from rival
semi join dispute using (remote_id);

create temp table winner as
select c.part, c.row, c.ambiguous, k.remote_id is not null and not c.ambiguous as same_bytes
from contender c
left join known k on k.remote_id = c.remote_id and k.seen_document = c.content_hash;

create temp table chosen as
select part, row, ambiguous
from winner
where not same_bytes
union all
select part, row, false
from (
    select part, row, row_number() over (partition by remote_id order by part desc, row desc) as place
    from extract_key
    where evidence is not null
)
where place = 1;
