"""When a cron schedule comes next: five fields, as connections declare them, in UTC.

Law: what is not understood has no next time; nothing is guessed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    {name: number for number, name in enumerate(_MONTHS, 1)},
    {name: number for number, name in enumerate(_WEEKDAYS)},
)
_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_LONGEST_DAYS = 366 * 8
"""A 29 February may be eight years away."""


def next_time(cron: str, after: datetime) -> datetime | None:
    """The first whole minute later than `after` that fits; None for a schedule that is not understood, or never."""
    fields = _SHORT.get(cron.strip().lower(), cron).lower().split()
    try:
        minutes, hours, days, months, weekdays = (
            _members(text, *_RANGES[place], _NAMES[place]) for place, text in enumerate(fields)
        )
    except ValueError:
        return None
    weekdays = {day % 7 for day in weekdays}
    either_day = not fields[2].startswith("*") and not fields[4].startswith("*")  # cron(5): then one of both suffices
    at = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    midnight = at.replace(hour=0, minute=0)
    for day in (midnight + timedelta(days=number) for number in range(_LONGEST_DAYS)):
        of_month, of_week = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month not in months or not ((of_month or of_week) if either_day else (of_month and of_week)):
            continue
        for hour in sorted(hours):
            for minute in sorted(minutes):
                if (moment := day.replace(hour=hour, minute=minute)) >= at:
                    return moment
    return None


def _members(text: str, least: int, most: int, names: dict[str, int]) -> set[int]:
    """Raises ValueError for what is no cron field."""
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        begin = least if span == "*" else _number(first, names)
        end = most if span == "*" or (slash and not dash) else _number(last, names) if dash else begin
        every = int(step) if slash else 1
        if not (least <= begin <= end <= most and every > 0):
            raise ValueError
        found.update(range(begin, end + 1, every))
    return found


def _number(text: str, names: dict[str, int]) -> int:
    return names[text] if text in names else int(text)
