-- What a reading means for its link: three-way, by hashes alone, against the two shadows (sync-protocol.md §2.2).
--   local has changed   = what local holds  <> what local held at the last agreement
--   remote has changed  = what was read     <> what the vendor held at the last agreement
-- Most readings need no document opened: the vendor's change is taken, or nothing has changed. The rest, where both
-- sides changed or the sides differ already, are for the decider ('decide'), which looks at the documents.
create temp table classified as
select
    i.part,
    i.row,
    i.remote_id,
    i.evidence,
    k.link_id,
    s.record_id,
    s.record_version,
    case
        when i.evidence is not null
            then case when k.link_id is null or s.link_state <> 'active' then 'unknown_deletion' else 'deletion' end
        when overruled.remote_id is not null then 'superseded'
        when k.link_id is null then 'created'
        when k.seen_document = i.content_hash then 'committed'
        when s.link_state = 'unlinked' then 'unlinked'
        when busy.link_id is not null or s.link_state <> 'active' or s.record_state = 'deleted' then 'decide'
        when s.local_hash is distinct from s.remote_hash then 'decide'
        when i.hash = s.remote_hash and s.record_hash = s.remote_hash then 'agreed'
        when i.hash = s.remote_hash then 'respelled'
        when s.record_hash = s.local_hash then 'updated'
        else 'decide'
    end as outcome
from incoming i
left join known k using (remote_id)
left join state s on s.link_id = k.link_id
left join busy on busy.link_id = k.link_id
left join overruled using (remote_id);
