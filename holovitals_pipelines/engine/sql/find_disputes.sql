-- Ids that were read more than once, and those among them whose newest readings differ and have no order: the vendor's
-- own clock orders readings where it spoke, the order of reading otherwise, and within one delivery there is none.
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

create temp table disputed_reading as
select r.part, r.row, r.remote_id, r.content_hash
from rival r
join rival top on top.remote_id = r.remote_id and top.place = 1
where r.delivery = top.delivery and r.last_updated is not distinct from top.last_updated;

create temp table dispute as
select remote_id
from disputed_reading
group by remote_id
having count(distinct content_hash) > 1;

create temp table settled (remote_id varchar);
