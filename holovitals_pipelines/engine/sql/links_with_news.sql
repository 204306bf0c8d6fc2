-- Links whose reading is not, byte for byte, what was read of them before; in the order they are stored in.
select distinct k.link_id
from incoming i
join known k using (remote_id)
where i.evidence is not null or k.seen_document is distinct from i.content_hash
order by k.link_id;
