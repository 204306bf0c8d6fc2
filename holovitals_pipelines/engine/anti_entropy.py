"""Anti-entropy: both sides compared in full, and what the ordinary way had missed is counted and brought in.

Law: events get lost and timestamps lie; comparing ids and hashes does not (sync-protocol.md §2.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.progress import Progress
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.engine.vendors import AdapterFactory
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Priority
from holovitals_pipelines.store.agreements import unsent_links
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.tables import anti_entropy


@dataclass(frozen=True, slots=True)
class Compared:
    """What comparing one resource type found. All of it is brought in by the same job."""

    compared: int
    missed: int
    """Changes at the vendor that incremental reads had not brought and would not have."""
    unsent: int
    """Changes here that nothing had marked for the vendor."""
    absent: int
    """Known resources that a full read did not show; each was read by itself."""


@dataclass(frozen=True, slots=True)
class AntiEntropyReport:
    job: JobReport
    types: Mapping[str, Compared]


def compare_sides(
    home: Home,
    connection: str,
    *,
    progress: Progress | None = None,
    adapter_for: AdapterFactory | None = None,
) -> AntiEntropyReport:
    """One FULL_SYNC of the connection, with both directions compared. Raises as `run_sync` does."""
    unsent = mark_unsent(home, connection)
    request = SyncRequest(connection, JobType.FULL_SYNC, priority=Priority.LOW)
    report = run_sync(home, request, progress=progress, adapter_for=adapter_for)
    return AntiEntropyReport(report, note_comparison(home, report, unsent))


def mark_unsent(home: Home, connection: str) -> dict[str, int]:
    """Mark links whose record differs from what local held at the last agreement, and that nothing waits for."""
    with home.database.write() as transaction:
        found = unsent_links(transaction, connection)
        mark_links(transaction, found, Reason.ANTI_ENTROPY, datetime.now(UTC))
    counts: dict[str, int] = {}
    for _, _, resource_type, _ in found:
        counts[resource_type] = counts.get(resource_type, 0) + 1
    return counts


def note_comparison(home: Home, report: JobReport, unsent: Mapping[str, int]) -> dict[str, Compared]:
    """Keep what a full job found, by resource type."""
    types = {
        name: Compared(outcome.extracted, outcome.missed, unsent.get(name, 0), outcome.absent)
        for name, outcome in report.outcomes.items()
    }
    now = datetime.now(UTC)
    with home.database.write() as transaction:
        transaction.execute(sa.delete(anti_entropy).where(anti_entropy.c.job_id == report.job_id))
        for name, found in types.items():
            transaction.execute(
                anti_entropy.insert().values(
                    job_id=report.job_id, resource_type=name, connection=report.connection, at=now,
                    compared=found.compared, missed=found.missed, unsent=found.unsent, absent=found.absent,
                )
            )  # fmt: skip
    return types
