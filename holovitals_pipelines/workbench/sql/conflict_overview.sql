-- One row: how many conflicts there were, how they were decided, and what of both directions waits.
select
    (select count(*) from conflicts) as conflicts,
    (select count(*) from conflicts where decided_how = 'clean') as clean,
    (select count(*) from conflicts where decided_how = 'automatic') as automatic,
    (select count(*) from conflicts where decided_how = 'person') as by_people,
    (
        select count(*) filter (decided_how = 'automatic') / nullif(count(*), 0)
        from conflicts
        where decided_how in ('automatic', 'person')
    ) as automatic_share,
    (select round(median(resolve_seconds) / 3600, 2) from conflicts where decided_how = 'person') as median_hours,
    (select count(*) from conflicts where open_seconds is not null) as open_conflicts,
    (select count(*) from conflicts where open_seconds is not null and severity = 'CRITICAL') as open_critical,
    (select count(*) from conflicts where due_in_seconds < 0) as overdue,
    (select count(*) from conflicts where post_review = 'due') as reviews_due,
    (select count(*) from standing_differences) as standing,
    (select count(*) from standing_differences where severity = 'CRITICAL') as standing_critical,
    (select count(*) from writes where state = 'done') as written,
    (select count(*) from writes where state in ('pending', 'inflight')) as waiting_writes,
    (select count(*) from writes where state = 'failed') as failed_writes,
    (select date_trunc('second', max("at")) from anti_entropy) as compared_at
