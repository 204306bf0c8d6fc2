"""Sync statistics and vendor latencies: one row a job and resource type, one row a job and operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.job import Outcome
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.store.tables import provider_latency, sync_statistics


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
