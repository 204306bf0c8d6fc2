"""What the conflicts add up to: how many, how decided, how soon, and how often a decision did not last.

Law: counts are of conflicts, each once, in its present state; values of resources have no part in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import ConflictStatus
from holovitals_pipelines.store.bulk import stream_rows
from holovitals_pipelines.store.conflicts import OPEN
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.tables import audit_log, sync_conflict, sync_conflict_field

MOST_CONTESTED = 10


@dataclass(frozen=True, slots=True)
class Group:
    """Conflicts that have all of these in common."""

    connection: str
    resource_type: str
    type: str
    severity: str | None
    status: str
    strategy: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Contested:
    """How often an element was in conflict; of conflicts still open, as they are now."""

    resource_type: str
    element: str
    count: int


@dataclass(frozen=True, slots=True)
class ConflictStatistics:
    groups: tuple[Group, ...]
    contested: tuple[Contested, ...]
    total: int
    open: int
    overdue: int
    clean: int
    """Both sides changed, and nothing contradicts, or nothing does any more."""
    automatic: int
    """Decided by policy, clean ones left out."""
    by_people: int
    overridden: int
    """Decided by policy, undone by a person."""
    reopened: int
    """Decisions of people that met other values than they were made on: conflicts to which that happened."""
    review_due: int
    median_seconds: float | None
    """From detection to a person's decision."""
    p95_seconds: float | None

    @property
    def automatic_share(self) -> float | None:
        decided = self.automatic + self.by_people
        return self.automatic / decided if decided else None

    @property
    def overridden_share(self) -> float | None:
        return self.overridden / self.automatic if self.automatic else None


def conflict_statistics(database: Database, connection: str | None = None) -> ConflictStatistics:
    """Of one connection, or of all."""
    c = sync_conflict.c
    here = sa.true() if connection is None else c.connection == connection
    resolved = sa.and_(here, c.status == ConflictStatus.RESOLVED.value)
    automatic = sa.and_(resolved, c.units > 0, c.decided_by.startswith("policy:"))
    by_people = sa.and_(resolved, c.units > 0, c.decided_by.is_not(None), ~c.decided_by.startswith("policy:"))
    undone = sa.select(audit_log.c.conflict_id).where(audit_log.c.action == "revert")
    still_open = sa.and_(here, c.status.in_(OPEN))
    with database.read() as transaction:
        groups = _groups(transaction, here)
        seconds = _seconds(transaction, by_people)

        def count(condition: sa.ColumnElement[bool]) -> int:
            query = sa.select(sa.func.count()).select_from(sync_conflict).where(condition)
            return int(transaction.execute(query).scalar_one())

        return ConflictStatistics(
            groups=groups,
            contested=_contested(transaction, here),
            total=sum(group.count for group in groups),
            open=count(still_open),
            overdue=count(sa.and_(still_open, c.due_at < datetime.now(UTC))),
            clean=count(sa.and_(resolved, c.units == 0)),
            automatic=count(automatic),
            by_people=len(seconds),
            overridden=count(sa.and_(automatic, c.conflict_id.in_(undone))),
            reopened=count(sa.and_(here, c.reopened > 0)),
            review_due=count(sa.and_(here, c.post_review == "due")),
            median_seconds=_quantile(seconds, 0.5),
            p95_seconds=_quantile(seconds, 0.95),
        )


def _groups(transaction: sa.Connection, here: sa.ColumnElement[bool]) -> tuple[Group, ...]:
    columns = [
        sync_conflict.c[name] for name in ("connection", "resource_type", "type", "severity", "status", "strategy")
    ]
    query = sa.select(*columns, sa.func.count()).where(here).group_by(*columns)
    found = [Group(*row) for row in transaction.execute(query)]
    return tuple(sorted(found, key=lambda group: (group.connection, group.resource_type, -group.count, str(group))))


def _contested(transaction: sa.Connection, here: sa.ColumnElement[bool]) -> tuple[Contested, ...]:
    unit = sync_conflict_field.c
    of_now = sa.and_(sync_conflict.c.conflict_id == unit.conflict_id, sync_conflict.c.revision == unit.revision)
    counted = sa.func.count(sa.distinct(unit.conflict_id))
    query = (
        sa.select(sync_conflict.c.resource_type, unit.element, counted)
        .join(sync_conflict, of_now)
        .where(here, unit.kind == "conflict", unit.element.is_not(None))
        .group_by(sync_conflict.c.resource_type, unit.element)
        .order_by(counted.desc(), sync_conflict.c.resource_type, unit.element)
        .limit(MOST_CONTESTED)
    )
    return tuple(Contested(*row) for row in transaction.execute(query))


def _seconds(transaction: sa.Connection, by_people: sa.ColumnElement[bool]) -> list[float]:
    """People's decisions are few enough to be counted here; databases subtract instants each in its own way."""
    query: sa.Select[Any] = sa.select(sync_conflict.c.detected_at, sync_conflict.c.decided_at).where(by_people)
    return sorted(
        (decided - detected).total_seconds()
        for rows in stream_rows(transaction, query)
        for detected, decided in rows
        if decided is not None
    )


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
