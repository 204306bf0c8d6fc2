"""What jobs add up to: totals, success rate, durations and volumes, by connection and by connection and day.

Law: a job counts on the UTC day it ended, once, by what it ended as; a job that is tried again has not ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.cron import next_time
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import JobStatus
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.store.tables import sync_job, sync_statistics

_ACTIVE = (JobStatus.PROCESSING,)
_QUEUED = (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RETRYING)


@dataclass(slots=True)
class _Sum:
    jobs: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    processed: int = 0
    succeeded: int = 0
    failed_records: int = 0
    created: int = 0
    updated: int = 0
    written: int = 0
    conflicts: int = 0
    seconds: float = 0.0
    bytes: int = 0

    def plus(self, other: _Sum) -> _Sum:
        return _Sum(*(getattr(self, name) + getattr(other, name) for name in _Sum.__slots__))

    def as_json(self) -> dict[str, Any]:
        return {
            "totalJobs": self.jobs,
            "completedJobs": self.completed,
            "failedJobs": self.failed,
            "cancelledJobs": self.cancelled,
            "recordsProcessed": self.processed,
            "recordsSucceeded": self.succeeded,
            "recordsFailed": self.failed_records,
            "recordsCreated": self.created,
            "recordsUpdated": self.updated,
            "recordsWritten": self.written,
            "conflictsFound": self.conflicts,
            "averageDuration": round(self.seconds / self.jobs, 3) if self.jobs else None,
            "totalDuration": round(self.seconds, 3),
            "bytesTransferred": self.bytes,
            "successRate": success_rate(self.completed, self.failed),
        }


def success_rate(completed: int, failed: int) -> float | None:
    """Completed among completed and failed; cancelled ones say nothing. None where there is neither."""
    return round(completed / (completed + failed), 4) if completed + failed else None


def job_statistics(
    home: Home,
    since: datetime | None = None,
    until: datetime | None = None,
    connection: str | None = None,
    *,
    clock: Clock = SYSTEM_CLOCK,
) -> dict[str, Any]:
    """Jobs that ended from `since` on and before `until`, of one connection or of all; durations in seconds."""
    ended: list[sa.ColumnElement[bool]] = [sync_job.c.finished_at.is_not(None)]
    ended += [sync_job.c.finished_at >= since] if since is not None else []
    ended += [sync_job.c.finished_at < until] if until is not None else []
    of_one = [sync_job.c.connection == connection] if connection is not None else []
    with home.database.read() as transaction:
        by_day = _by_day(transaction, sa.and_(*ended, *of_one))
        waiting = transaction.execute(
            sa.select(sync_job.c.status, sa.func.count().label("jobs")).where(*of_one).group_by(sync_job.c.status)
        ).all()
        last = transaction.execute(
            sa.select(sync_job.c.connection, sa.func.max(sync_job.c.finished_at))
            .where(sync_job.c.status == JobStatus.COMPLETED.value, *of_one)
            .group_by(sync_job.c.connection)
        ).all()
    counts: dict[str, int] = {row.status: row.jobs for row in waiting}
    newest = {name: at for name, at in last if at is not None}
    declared = [one for one in home.connections.values() if one.enabled and connection in (None, one.name)]
    due = {one.name: _next_sync(one, clock.now()) for one in declared}
    names = sorted({name for name, _ in by_day} | newest.keys() | due.keys())
    return {
        "since": _text(since),
        "until": _text(until),
        **_total(by_day.values()).as_json(),
        "activeJobs": sum(counts.get(status.value, 0) for status in _ACTIVE),
        "queuedJobs": sum(counts.get(status.value, 0) for status in _QUEUED),
        "lastSyncTime": _text(max(newest.values(), default=None)),
        "nextScheduledSync": _text(min((at for at in due.values() if at is not None), default=None)),
        "byConnection": [
            {
                "connection": name,
                **_total(one for (of, _), one in by_day.items() if of == name).as_json(),
                "lastSyncTime": _text(newest.get(name)),
                "nextScheduledSync": _text(due.get(name)),
            }
            for name in names
        ],
        "byDay": [{"connection": name, "day": day, **one.as_json()} for (name, day), one in sorted(by_day.items())],
    }


def _by_day(transaction: sa.Connection, ended: sa.ColumnElement[bool]) -> dict[tuple[str, str], _Sum]:
    found: dict[tuple[str, str], _Sum] = {}
    day_of: dict[str, tuple[str, str]] = {}
    columns = [
        sync_job.c[name] for name in ("job_id", "connection", "status", "created_at", "started_at", "finished_at")
    ]
    for job_id, connection, status, created_at, started_at, finished_at in transaction.execute(
        sa.select(*columns).where(ended)
    ):
        day_of[job_id] = connection, finished_at.date().isoformat()
        one = found.setdefault(day_of[job_id], _Sum())
        one.jobs += 1
        one.completed += status == JobStatus.COMPLETED
        one.failed += status == JobStatus.FAILED
        one.cancelled += status == JobStatus.CANCELLED
        one.seconds += (finished_at - (started_at or created_at)).total_seconds()
    counted = (
        "extracted",
        "created",
        "updated",
        "conflicts",
        "held",
        "pushed",
        "refused_writes",
        "quarantined",
        "bytes",
    )
    summed = [sa.func.sum(sync_statistics.c[name]).label(name) for name in counted]
    query = sa.select(sync_statistics.c.job_id, *summed).join(sync_job, sync_job.c.job_id == sync_statistics.c.job_id)
    for row in transaction.execute(query.where(ended).group_by(sync_statistics.c.job_id)):
        one = found[day_of[row.job_id]]
        row_held = min(int(row.held), int(row.conflicts))
        one.processed += int(row.extracted + row.pushed + row.refused_writes)
        one.succeeded += int(row.created + row.updated + row.conflicts + row.pushed) - row_held
        one.failed_records += int(row.quarantined + row.refused_writes)
        one.created += int(row.created)
        one.updated += int(row.updated)
        one.written += int(row.pushed)
        one.conflicts += int(row.conflicts)
        one.bytes += int(row.bytes)
    return found


def _total(sums: Iterable[_Sum]) -> _Sum:
    total = _Sum()
    for one in sums:
        total = total.plus(one)
    return total


def _next_sync(connection: ConnectionConfig, now: datetime) -> datetime | None:
    """By the schedules that the connection declares; whether they are switched on is Dagster's to say."""
    crons = (connection.incremental_cron, connection.full_cron)
    times = [next_time(cron, now) for cron in crons if cron]
    return min((at for at in times if at is not None), default=None)


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
