"""How old an asset may become before Dagster calls it late: from how often its schedule comes.

Law: an asset that no schedule makes is never late.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import dagster as dg

from holovitals_pipelines.engine.cron import next_time

_FROM = datetime(2024, 1, 1, tzinfo=UTC)
_LOOKED_AT = timedelta(days=9)
"""Longer than a week, so that a schedule that rests at weekends is known to."""
_TWICE = 2
_GRACE_TO_WARN, _GRACE_TO_FAIL = timedelta(minutes=30), timedelta(hours=2)
"""For the queue, retries, and vendors that are slow."""


def freshness_of(cron: str | None) -> dg.FreshnessPolicy | None:
    """Late after one and a half of the schedule's longest pauses, overdue after three, and some grace each."""
    pause = longest_pause(cron) if cron else None
    if pause is None:
        return None
    return dg.FreshnessPolicy.time_window(
        warn_window=pause * 1.5 + _GRACE_TO_WARN, fail_window=pause * 3 + _GRACE_TO_FAIL
    )


@lru_cache
def longest_pause(cron: str) -> timedelta | None:
    """Between two ticks; None for a schedule that never comes twice, or is not understood."""
    last = next_time(cron, _FROM)
    longest, seen = timedelta(), 0
    while last is not None and (last < _FROM + _LOOKED_AT or seen < _TWICE):
        following = next_time(cron, last)
        if following is None:
            break
        longest, seen, last = max(longest, following - last), seen + 1, following
    return longest if seen else None
