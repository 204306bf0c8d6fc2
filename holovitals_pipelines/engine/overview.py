"""How the whole installation stands, as one answer for a page that asks again and again.

Law: counts, names, times and the words of errors, which are free of health data; nothing of a record or a patient.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.conflict_view import matching_conflicts
from holovitals_pipelines.engine.gauges import read_gauges
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_statistics import job_statistics
from holovitals_pipelines.engine.job_views import JobFilter, JobView, list_job_views
from holovitals_pipelines.model.vocabulary import JobStatus
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.store.conflicts import OPEN, StoredConflict
from holovitals_pipelines.store.tables import (
    link,
    patient_member,
    sync_conflict,
    sync_error,
    sync_job,
    webhook_log,
)

ACTIVE = (JobStatus.PROCESSING,)
WAITING = (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RETRYING)
ENDED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
_SHOWN = {"active": 25, "waiting": 25, "ended": 15, "errors": 15, "conflicts": 10}
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NotedError:
    """An error or warning of a job."""

    at: datetime
    connection: str
    resource_type: str | None
    severity: str
    code: str
    message: str
    remedy: str | None
    job_id: str


@dataclass(frozen=True, slots=True)
class ConnectionNow:
    """A declared connection and what is held of it; what its jobs did is in the statistics."""

    connection: str
    provider: str
    enabled: bool
    linked_records: int
    open_conflicts: int
    last_status: str | None
    """As what its newest job ended."""
    last_error: str | None
    """The code of what that job failed with."""


@dataclass(frozen=True, slots=True)
class Overview:
    """`numbers` is `job_statistics` of the days shown; `gauges` are sums by name and label."""

    since: date
    numbers: Mapping[str, Any]
    gauges: Mapping[str, Mapping[str, int]]
    persons: int
    webhooks: Mapping[str, int]
    """Events of the last 24 hours, by status."""
    connections: Sequence[ConnectionNow]
    active: Sequence[JobView]
    waiting: Sequence[JobView]
    """Of those that wait, the longest first."""
    ended: Sequence[JobView]
    errors: Sequence[NotedError]
    conflicts: Sequence[tuple[StoredConflict, tuple[str, ...]]]
    """Open ones, the worst first, with the names of the elements in conflict."""


def overview(home: Home, days: int = 14, *, clock: Clock = SYSTEM_CLOCK) -> Overview:
    """Everything as it is now; jobs and errors of the last `days` UTC days, today among them."""
    now = clock.now()
    since = datetime.combine(now.date() - (days - 1) * _DAY, datetime.min.time(), now.tzinfo)
    with home.database.read() as transaction:
        persons = _count(transaction, sa.select(patient_member.c.patient_key.distinct()), patient_member)
        webhooks = _webhooks(transaction, now - _DAY)
        connections = _connections(transaction, home)
        errors = _errors(transaction, since)
    waiting = list_job_views(home, JobFilter(statuses=WAITING), limit=_SHOWN["waiting"]).items
    return Overview(
        since=since.date(),
        numbers=job_statistics(home, since, clock=clock),
        gauges={one.name: _summed(one.samples) for one in read_gauges(home.database)},
        persons=persons,
        webhooks=webhooks,
        connections=connections,
        active=list_job_views(home, JobFilter(statuses=ACTIVE), limit=_SHOWN["active"]).items,
        waiting=sorted(waiting, key=lambda view: (-int(view.job.priority), view.job.queued_at or view.job.created_at)),
        ended=list_job_views(home, JobFilter(statuses=ENDED), limit=_SHOWN["ended"]).items,
        errors=errors,
        conflicts=matching_conflicts(home.database, statuses=list(OPEN), limit=_SHOWN["conflicts"]),
    )


def _summed(samples: Sequence[tuple[tuple[str, ...], float]]) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for labels, value in samples:
        sums[" ".join(labels)] += int(value)
    return dict(sums)


def _count(transaction: sa.Connection, keys: sa.Select[Any], table: sa.Table) -> int:
    active = keys.where(table.c.state == "active").subquery()
    return int(transaction.execute(sa.select(sa.func.count()).select_from(active)).scalar_one())


def _webhooks(transaction: sa.Connection, since: datetime) -> dict[str, int]:
    c = webhook_log.c
    query = sa.select(c.status, sa.func.count()).where(c.received_at >= since).group_by(c.status)
    return {str(status): int(count) for status, count in transaction.execute(query)}


def _connections(transaction: sa.Connection, home: Home) -> list[ConnectionNow]:
    linked = _by_connection(transaction, link.c.connection, link.c.record_id.is_not(None))
    conflicts = _by_connection(transaction, sync_conflict.c.connection, sync_conflict.c.status.in_(OPEN))
    return [
        ConnectionNow(
            name,
            declared.provider.value,
            declared.enabled,
            linked.get(name, 0),
            conflicts.get(name, 0),
            *_last(transaction, name),
        )
        for name, declared in home.connections.items()
    ]


def _by_connection(
    transaction: sa.Connection, column: sa.Column[Any], condition: sa.ColumnElement[bool]
) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(condition).group_by(column)
    return {str(name): int(count) for name, count in transaction.execute(query)}


def _last(transaction: sa.Connection, connection: str) -> tuple[str | None, str | None]:
    c = sync_job.c
    query = (
        sa.select(c.status, c.error_code)
        .where(c.connection == connection, c.finished_at.is_not(None))
        .order_by(c.finished_at.desc())
        .limit(1)
    )
    row = transaction.execute(query).first()
    return (row.status, row.error_code) if row is not None else (None, None)


def _errors(transaction: sa.Connection, since: datetime) -> list[NotedError]:
    c = sync_error.c
    names = tuple(NotedError.__dataclass_fields__)
    query = sa.select(*(c[name] for name in names)).where(c.at >= since)
    return [NotedError(*row) for row in transaction.execute(query.order_by(c.at.desc()).limit(_SHOWN["errors"]))]
