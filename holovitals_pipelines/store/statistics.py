"""Sync statistics and vendor latencies: one row a job and resource type, one row a job and operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.job import Outcome
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import JobType
from holovitals_pipelines.store.tables import provider_latency, sync_job, sync_statistics


@dataclass(frozen=True, slots=True)
class PastOutcome:
    """What became of one resource type in a job that has ended."""

    connection: str
    resource_type: str
    started_at: datetime
    outcome: Outcome


def past_outcomes(transaction: sa.Connection, jobs: int, connection: str | None = None) -> list[PastOutcome]:
    """Of the newest `jobs` that read whole types and have ended, of one connection or of all; the oldest first."""
    of_whole_types = sync_job.c.type.in_([JobType.INCREMENTAL_SYNC.value, JobType.FULL_SYNC.value])
    newest = sa.select(sync_job.c.job_id).where(sync_job.c.finished_at.is_not(None), of_whole_types)
    if connection is not None:
        newest = newest.where(sync_job.c.connection == connection).order_by(sync_job.c.created_at.desc())
    else:
        newest = newest.order_by(sync_job.c.finished_at.desc())
    query = sa.select(sync_statistics).where(sync_statistics.c.job_id.in_(newest.limit(jobs)))
    return [
        PastOutcome(
            row.connection, row.resource_type, row.started_at, Outcome(**{n: getattr(row, n) for n in _COUNTED})
        )
        for row in transaction.execute(query.order_by(sync_statistics.c.started_at, sync_statistics.c.job_id))
    ]


_COUNTED = tuple(one.name for one in fields(Outcome))


def save_statistics(
    transaction: sa.Connection,
    *,
    job_id: str,
    connection: str,
    provider: str,
    job_type: str,
    outcomes: Mapping[str, Outcome],
    started_at: datetime,
    finished_at: datetime,
) -> None:
    """Write the job's rows anew; saving twice leaves one row a type."""
    transaction.execute(sync_statistics.delete().where(sync_statistics.c.job_id == job_id))
    rows = [
        {
            "job_id": job_id,
            "resource_type": resource_type,
            "connection": connection,
            "provider": provider,
            "job_type": job_type,
            "started_at": started_at,
            "finished_at": finished_at,
            **asdict(outcome),
        }
        for resource_type, outcome in outcomes.items()
    ]
    if rows:
        transaction.execute(sync_statistics.insert(), rows)


def save_latencies(
    transaction: sa.Connection, job_id: str, connection: str, latencies: Iterable[RequestStatistics], at: datetime
) -> None:
    """Add to what the job has already spent on each operation (a resumed job reads in several goes)."""
    query = sa.select(provider_latency).where(provider_latency.c.job_id == job_id)
    present = {row.operation: row for row in transaction.execute(query)}
    for latency in latencies:
        row = asdict(latency)
        if latency.operation in present:
            before = present[latency.operation]
            for name in ("requests", "failures", "retries", "waited_seconds", "received_bytes"):
                row[name] += getattr(before, name)
            for name in ("p50_ms", "p95_ms", "max_ms"):
                row[name] = max(row[name], getattr(before, name))
            transaction.execute(
                provider_latency.update()
                .where(provider_latency.c.job_id == job_id, provider_latency.c.operation == latency.operation)
                .values(at=at, **row)
            )
        else:
            transaction.execute(provider_latency.insert().values(job_id=job_id, connection=connection, at=at, **row))


@dataclass(frozen=True, slots=True)
class Spent:
    """What a job has asked its vendor for so far, all operations together."""

    requests: int
    failures: int
    retries: int
    received_bytes: int
    waited_seconds: float
    """Held back by the vendor's limits."""


def spent_on_requests(transaction: sa.Connection, job_id: str) -> Spent:
    """Nothing for a job that has asked for nothing."""
    of_job = provider_latency.c
    sums = [sa.func.coalesce(sa.func.sum(of_job[one.name]), 0) for one in fields(Spent)]
    requests, failures, retries, received, waited = transaction.execute(
        sa.select(*sums).where(of_job.job_id == job_id)
    ).one()
    # PostgreSQL adds whole numbers up to a decimal
    return Spent(int(requests), int(failures), int(retries), int(received), float(waited))
