"""How long to wait before a repeat: full jitter over an exponential ceiling, and never less than the vendor asked.

Servers have been seen to send Retry-After as seconds, as an HTTP-date, as an epoch time, and as five hours
(vendors.md §2.2; libraries.md, server habits): all are read, none is obeyed beyond the ceiling.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_BACKOFF_SECONDS = 60.0
_EPOCH_TIMES_BEGIN = 1_000_000_000
"""2001-09-09: a larger number of seconds is a moment, not a duration."""


def retry_after(header: str | None, *, now: datetime, ceiling: float) -> float | None:
    """Seconds a Retry-After header asks for, within [0, ceiling]; None when absent or unreadable."""
    if not header:
        return None
    text = header.strip()
    try:
        seconds = float(text)
    except ValueError:
        moment = http_date(text)
        if moment is None:
            return None
        seconds = (moment - now).total_seconds()
    else:
        if seconds != seconds:  # NaN is a float to Python and a duration to nobody
            return None
        if seconds >= _EPOCH_TIMES_BEGIN:
            seconds -= now.timestamp()
    return min(max(seconds, 0.0), ceiling)


def http_date(text: str | None) -> datetime | None:
    """An HTTP-date as an aware UTC datetime; None when absent or unreadable."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def backoff(attempt: int, *, base_seconds: float, chance: float, asked: float | None) -> float:
    """Seconds to wait before repeat number `attempt` (0 for the first); `chance` in [0, 1)."""
    jittered = chance * min(LONGEST_BACKOFF_SECONDS, base_seconds * 2.0 ** min(attempt, 30))
    return jittered if asked is None else asked + min(jittered, 1.0)
