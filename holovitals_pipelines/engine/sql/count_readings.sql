-- (readings whose bytes are known already, readings beside the one that counts, known resources that were not read)
select
    (select count(*) from winner w join known k on k.remote_id = w.remote_id and k.seen_document = w.content_hash
     where not w.ambiguous) as same_bytes,
    (select count(*) from living) - (select count(*) from winner) as duplicates,
    (select count(*) from known k anti join extract_key e on e.remote_id = k.remote_id) as absent
