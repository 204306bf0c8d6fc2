-- Of the chosen readings, those that are still what we agree with: the link lives, the vendor has deleted nothing, and
-- what was made of the resource last is what its shadow has seen. The others were written or read one by one since they
-- landed: only the vendor knows how they stand. Leaves `chosen`, and `outdated` with the living links left out.
create temp table current_reading as
select c.part, c.row, c.ambiguous
from chosen c
join extract_key e using (part, row)
join agreed k using (remote_id)
left join last_record r using (remote_id)
where
    e.evidence is null
    and k.living
    and k.seen_document is not null
    and coalesce(r.content_hash, e.content_hash) = k.seen_document;

create temp table outdated as
select k.link_id, k.remote_id
from agreed k
where
    k.living
    and k.remote_id not in (
        select e.remote_id
        from extract_key e
        join current_reading c using (part, row)
    );

create or replace temp table chosen as
select part, row, ambiguous
from current_reading;
