-- Readings that bring something new although the vendor changed them before the moment (the parameter) that incremental reads ask
-- from; without a time of the vendor's there is no telling, and they count.
select count(*)
from classified c
join incoming i using (part, row)
where c.outcome in ('created', 'updated', 'decide')
    and (i.last_updated is null or i.last_updated < ?)
