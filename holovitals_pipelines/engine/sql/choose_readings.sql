-- One reading an id: the newest. Readings in dispute are ambiguous, all of them, unless they are settled.
-- A reading whose exact bytes were read before is not chosen: equal bytes are equal content.
create temp table unsettled as
select remote_id
from dispute
anti join settled using (remote_id);

create temp view contender as
select part, row, remote_id, content_hash, false as ambiguous
from living
anti join repeated using (remote_id)
union all
select part, row, remote_id, content_hash, false
from rival
anti join unsettled using (remote_id)
where place = 1
union all
select part, row, remote_id, content_hash, true
from rival
semi join unsettled using (remote_id);

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
