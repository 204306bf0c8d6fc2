-- One row: what the installation holds, how its jobs fare, and what waits for a person.
select
    (select count(distinct connection) from sync_jobs) as connections,
    (select coalesce(sum(records), 0)::bigint from record_counts) as linked_records,
    (select count(*) from sync_jobs) as jobs,
    (select count(*) from sync_jobs where status in ('PENDING', 'QUEUED', 'PROCESSING', 'RETRYING')) as active_jobs,
    (select count(*) from sync_jobs where status = 'COMPLETED') as completed_jobs,
    (select count(*) from sync_jobs where status = 'FAILED') as failed_jobs,
    (
        select count(*) filter (status = 'COMPLETED') / nullif(count(*), 0)
        from sync_jobs
        where status in ('COMPLETED', 'FAILED')
    ) as success_rate,
    (select date_trunc('second', max(finished_at)) from sync_jobs where status = 'COMPLETED') as last_sync_at,
    (select coalesce(sum(extracted), 0)::bigint from sync_statistics) as resources_read,
    (select count(*) from conflicts where status in ('DETECTED', 'PENDING_REVIEW')) as open_conflicts,
    (select coalesce(sum(resources), 0)::bigint from quarantine where state = 'held') as quarantined,
    (
        select count(*)
        from (
            select arg_max(passed, "at") as passed
            from quality_results
            group by connection, resource_type, check_name
        )
        where not passed
    ) as failing_checks
