-- What a reading means for its link: three-way, by hashes alone, against the two shadows (sync-protocol.md §2.2).
--   local has changed   = what local holds  <> what local held at the last agreement
--   remote has changed  = what was read     <> what the vendor held at the last agreement
create temp table classified as
select
    i.part,
    i.row,
    i.remote_id,
    i.evidence,
    s.link_id,
    s.record_id,
    s.record_version,
    s.record_document,
    s.local_document,
    s.remote_document,
    case
        when i.evidence is not null then case when s.link_id is null then 'unknown_deletion' else 'deletion' end
        when overruled.remote_id is not null then 'superseded'
        when s.link_id is null then 'created'
        when s.seen_document = i.content_hash and not s.deleted then 'committed'
        when s.record_state = 'deleted' and i.hash is distinct from s.remote_hash then 'delete_update'
        when s.record_state = 'deleted' then 'respelled'
        when i.hash = s.record_hash then 'agreed'
        when i.hash is not distinct from s.remote_hash then 'respelled'
        when s.record_hash is not distinct from s.local_hash then 'updated'
        else 'update_update'
    end as outcome
from incoming i
left join state s using (remote_id)
left join overruled using (remote_id);
