-- One reading an id: the vendor's own clock decides where it spoke, the order of reading otherwise.
-- Different contents under one id within one delivery have no order: all of them are ambiguous.
-- A reading whose exact bytes were read before is not chosen: equal bytes are equal content.
create temp table living as
select part, row, remote_id, content_hash, delivery, last_updated
from extract_key
where evidence is null;

create temp table repeated as
select remote_id, count(*) as readings
from living
group by remote_id
having count(*) > 1;

create temp table rival as
with ranked as (
    select
        l.*,
        row_number() over (
            partition by l.remote_id
            order by l.last_updated desc nulls last, l.delivery desc, l.part desc, l.row desc
        ) as place
    from living l
    join repeated using (remote_id)
)
select
    r.part,
    r.row,
    r.remote_id,
    r.place,
    r.delivery = top.delivery
        and r.last_updated is not distinct from top.last_updated
        and r.content_hash <> top.content_hash as disputes_top
from ranked r
join ranked top on top.remote_id = r.remote_id and top.place = 1;

create temp table dispute as
select distinct remote_id
from rival
where disputes_top;

create temp table winner as
select part, row, remote_id, content_hash, false as ambiguous
from living
where remote_id not in (select remote_id from repeated)
union all
select l.part, l.row, l.remote_id, l.content_hash, false
from rival r
join living l on l.part = r.part and l.row = r.row
where r.place = 1 and r.remote_id not in (select remote_id from dispute)
union all
select l.part, l.row, l.remote_id, l.content_hash, true
from rival r
join living l on l.part = r.part and l.row = r.row
where r.remote_id in (select remote_id from dispute);

create temp table chosen as
select w.part, w.row, w.ambiguous
from winner w
left join known k on k.remote_id = w.remote_id and k.seen_document = w.content_hash
where k.remote_id is null or w.ambiguous
union all
select part, row, false
from (
    select part, row, row_number() over (partition by remote_id order by part desc, row desc) as place
    from extract_key
    where evidence is not null
)
where place = 1;
