"""Unity's clock: one local time without offset for everything but GetServerInfo (vendors.md §6.1).

Law: what is asked for by time is asked for too early rather than too late; the zone is the server's own word.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

BEGINNING = "01/01/1900 00:00:00"
"""Before every change. unverified: that the feed then names everybody who is not inactive."""

_SET_BACK = timedelta(hours=1)


def changed_since(moment: datetime, zone: ZoneInfo) -> str:
    """Parameter1 of GetChangedPatients: a moment as the server's clocks showed it.

    In the hour before clocks are set back, the hour itself is taken off: what changes in the repeated hour is filed
    under times that have been before. unverified: the format; dates are seen in this one, among others.
    """
    local = moment.astimezone(zone)
    ahead = (moment + _SET_BACK).astimezone(zone)
    back = (local.utcoffset() or timedelta()) - (ahead.utcoffset() or timedelta())
    wall = local.replace(tzinfo=None) - max(back, timedelta())
    return f"{wall:%m/%d/%Y %H:%M:%S}"
