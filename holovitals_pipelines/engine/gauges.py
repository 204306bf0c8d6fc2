"""How full the queues are, as numbers to be watched: jobs, events, conflicts, writes, quarantine.

Law: counts and ages by connection, kind and status only; nothing here names a record, a patient or a job.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import ConflictSeverity, JobStatus, WebhookStatus
from holovitals_pipelines.store.backlog import UNGRADED
from holovitals_pipelines.store.conflicts import OPEN
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.outbox import LIVE
from holovitals_pipelines.store.tables import dirty_link, outbox, quarantine, sync_conflict, sync_job, webhook_log

WAITING = (JobStatus.PENDING.value, JobStatus.QUEUED.value, JobStatus.RETRYING.value)


@dataclass(frozen=True, slots=True)
class Gauge:
    """One number, or one for each combination of labels."""

    name: str
    about: str
    labels: tuple[str, ...]
    samples: tuple[tuple[tuple[str, ...], float], ...]


def read_gauges(database: Database) -> tuple[Gauge, ...]:
    """Everything of one instant."""
    now = datetime.now(UTC)
    with database.read() as transaction:
        return (
            _by(transaction, "jobs", "Jobs, by status.", sync_job.c.status, every=JobStatus),
            *_queue(transaction, now),
            _by(
                transaction,
                "conflicts_open",
                "Conflicts that wait for a decision, by severity.",
                sync_conflict.c.severity,
                sync_conflict.c.status.in_(OPEN),
                every=ConflictSeverity,
            ),
            _by(
                transaction,
                "webhook_events",
                "Webhook events, by status.",
                webhook_log.c.status,
                every=WebhookStatus,
            ),
            _by(
                transaction,
                "outbox_writes",
                "Writes that wait for a vendor, or whose outcome is not known yet.",
                outbox.c.state,
                outbox.c.state.in_(LIVE),
                label="state",
                every=LIVE,
            ),
            _by(
                transaction,
                "links_marked",
                "Links to be read and decided again.",
                dirty_link.c.connection,
                label="connection",
            ),
            _by(
                transaction,
                "quarantine_held",
                "Resources that were refused and are kept.",
                quarantine.c.connection,
                quarantine.c.state == "held",
                label="connection",
            ),
        )


def _queue(transaction: sa.Connection, now: datetime) -> tuple[Gauge, Gauge]:
    c = sync_job.c
    query = (
        sa.select(c.connection, sa.func.count(), sa.func.min(c.created_at))
        .where(c.status.in_(WAITING))
        .group_by(c.connection)
    )
    rows = sorted(tuple(row) for row in transaction.execute(query))
    depth = tuple(((name,), float(count)) for name, count, _ in rows)
    age = tuple(((name,), max(0.0, (now - since).total_seconds())) for name, _, since in rows)
    return (
        Gauge("queue_jobs", "Jobs that wait to be run, by connection.", ("connection",), depth),
        Gauge("queue_oldest_seconds", "Age of the oldest job that waits, by connection.", ("connection",), age),
    )


def _by(
    transaction: sa.Connection,
    name: str,
    about: str,
    column: sa.ColumnElement[Any],
    condition: sa.ColumnElement[bool] | None = None,
    *,
    label: str | None = None,
    every: Iterable[str] = (),
) -> Gauge:
    """Rows counted by a column; `every` value there can be is told, with 0 where there is none."""
    query = sa.select(column, sa.func.count()).group_by(column)
    if condition is not None:
        query = query.where(condition)
    counted: dict[str, int] = {str(one): 0 for one in every}
    for value, count in transaction.execute(query):
        counted[value or UNGRADED] = int(count)
    samples: Sequence[tuple[tuple[str, ...], float]] = [((value,), float(count)) for value, count in counted.items()]
    return Gauge(name, about, (label or column.key or "kind",), tuple(samples))
