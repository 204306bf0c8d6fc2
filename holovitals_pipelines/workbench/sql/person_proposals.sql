-- One row a state and grounds: pairs that may be one person, and how sure it is.
select
    state,
    grounds,
    count(*) as proposals,
    min(score) as lowest_score,
    median(score) as median_score,
    max(open_seconds) / 86400 as oldest_open_days
from person_proposals
group by state, grounds
order by state, proposals desc, grounds
