"""What waits at a connection: links to be looked at, writes, open conflicts, and what stays different for good.

Law: counts only; nothing here names a record, a unit or a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import ConflictSeverity
from holovitals_pipelines.store.conflicts import OPEN
from holovitals_pipelines.store.outbox import LIVE
from holovitals_pipelines.store.tables import dirty_link, outbox, standing_difference, sync_conflict

UNGRADED = "ungraded"


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts by severity have every severity, the gravest first; `ungraded` only where there are such."""

    marked: int
    """Links to be read and decided again."""
    writes: int
    """Writes that wait for the vendor, or whose outcome is not known yet."""
    conflicts: Mapping[str, int]
    """Open conflicts."""
    overdue: Mapping[str, int]
    """Of these, past their due time."""
    standing: Mapping[str, int]
    """Standing differences."""


def backlog_of(transaction: sa.Connection, connection: str, now: datetime) -> Backlog:
    """What waits at a connection, and what of it is overdue at `now`."""
    conflict, standing = sync_conflict.c, standing_difference.c
    still_open = sa.and_(conflict.connection == connection, conflict.status.in_(OPEN))

    def count(table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
        return int(transaction.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one())

    def by_severity(severity: sa.Column[str], condition: sa.ColumnElement[bool]) -> dict[str, int]:
        query = sa.select(severity, sa.func.count()).where(condition).group_by(severity)
        found: dict[str, int] = {name or UNGRADED: many for name, many in transaction.execute(query)}
        return {one.value: found.pop(one.value, 0) for one in ConflictSeverity} | found

    return Backlog(
        marked=count(dirty_link, dirty_link.c.connection == connection),
        writes=count(outbox, sa.and_(outbox.c.connection == connection, outbox.c.state.in_(LIVE))),
        conflicts=by_severity(conflict.severity, still_open),
        overdue=by_severity(conflict.severity, sa.and_(still_open, conflict.due_at < now)),
        standing=by_severity(standing.severity, standing.connection == connection),
    )
