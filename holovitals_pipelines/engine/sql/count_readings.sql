-- (readings whose bytes are known already, readings beside the one that counts, living resources that were not read)
select
    (select count(*) from winner where same_bytes) as same_bytes,
    (select count(*) from living) - (select count(*) from winner) as duplicates,
    (select count(*) from known k anti join extract_key e on e.remote_id = k.remote_id where k.living) as absent
