"""Outcomes of quality checks: counts by claim, kept for the notebooks and for the gate before write-back.

Law: counts and names only; an acceptance is of one job's outcome, never of the claim for good.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.quality import CheckOutcome
from holovitals_pipelines.model.vocabulary import Stage
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.tables import (
    link,
    quality_acceptance,
    quality_result,
    shadow,
    sync_job,
    sync_stage,
)


def save_quality(
    transaction: sa.Connection,
    job_id: str,
    connection: str,
    resource_type: str,
    outcomes: Iterable[CheckOutcome],
    at: datetime,
) -> None:
    """One row a claim of the job's batch; judging a batch again replaces what was said of it.

    A claim that found no rows to judge says nothing, and does not hide what it said of the batch before.
    """
    rows = [
        {
            "job_id": job_id,
            "connection": connection,
            "resource_type": resource_type,
            "check_name": outcome.name,
            "expectation": outcome.expectation,
            "severity": outcome.severity.value,
            "passed": outcome.passed,
            "rows": outcome.rows,
            "unexpected": outcome.unexpected,
            "at": at,
        }
        for outcome in outcomes
        if outcome.rows
    ]
    if not rows:
        return
    transaction.execute(
        quality_result.delete().where(
            quality_result.c.job_id == job_id,
            quality_result.c.connection == connection,
            quality_result.c.resource_type == resource_type,
            quality_result.c.check_name.in_([row["check_name"] for row in rows]),
        )
    )
    transaction.execute(quality_result.insert(), rows)


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """The newest outcome of a claim about a type of a connection; `accepted_by` is who let that failure pass."""

    connection: str
    resource_type: str
    check_name: str
    expectation: str
    severity: str
    passed: bool
    rows: int
    unexpected: int
    job_id: str
    at: datetime
    accepted_by: str | None


def newest_outcomes(
    transaction: sa.Connection,
    connection: str | None = None,
    resource_type: str | None = None,
    checks: Collection[str] | None = None,
) -> list[StoredOutcome]:
    """One a claim, type and connection; `checks` are the claims to look for."""
    c = quality_result.c
    newest = sa.select(sa.func.max(c.result_id)).group_by(c.connection, c.resource_type, c.check_name)
    for column, wanted in ((c.connection, connection), (c.resource_type, resource_type)):
        if wanted is not None:
            newest = newest.where(column == wanted)
    if checks is not None:
        newest = newest.where(c.check_name.in_(sorted(checks)))
    a = quality_acceptance.c
    accepted = (
        sa.select(sa.func.max(a.accepted_by))
        .where(*(a[name] == c[name] for name in ("connection", "resource_type", "check_name", "job_id")))
        .scalar_subquery()
    )
    names = [name for name in StoredOutcome.__dataclass_fields__ if name != "accepted_by"]
    query = (
        sa.select(*(c[name] for name in names), accepted.label("accepted_by"))
        .where(c.result_id.in_(newest))
        .order_by(c.connection, c.resource_type, c.check_name)
    )
    return [StoredOutcome(**row._mapping) for row in transaction.execute(query)]


def judged_claims(transaction: sa.Connection, job_id: str, resource_type: str) -> set[str]:
    """Claims of which an outcome of the job's batch is kept."""
    c = quality_result.c
    query = sa.select(c.check_name).where(c.job_id == job_id, c.resource_type == resource_type)
    return set(transaction.execute(query).scalars())


def accept_outcome(transaction: sa.Connection, outcome: StoredOutcome, *, by: str, reason: str, at: datetime) -> None:
    """Let the failed outcome pass; what a later batch brings is judged anew."""
    values = {name: getattr(outcome, name) for name in ("connection", "resource_type", "check_name", "job_id")}
    transaction.execute(quality_acceptance.insert().values(**values, accepted_by=by[:64], reason=reason, at=at))


def usual_volume(
    transaction: sa.Connection, connection: str, resource_type: str, check_name: str, *, before: str, jobs: int
) -> list[int]:
    """Rows of the newest complete reads of the type before the job `before`, the newest first.

    A read that failed `check_name` is no history; one that a person accepted is, and the reads before it no more.
    """
    failed, accepted = (
        set(
            transaction.execute(
                sa.select(table.c.job_id).where(
                    table.c.connection == connection,
                    table.c.resource_type == resource_type,
                    table.c.check_name == check_name,
                    *more,
                )
            ).scalars()
        )
        for table, more in ((quality_result, [~quality_result.c.passed]), (quality_acceptance, []))
    )
    query = (
        sa.select(sync_stage.c.job_id, sync_stage.c.counts)
        .join(sync_job, sync_job.c.job_id == sync_stage.c.job_id)
        .where(
            sync_job.c.connection == connection,
            sync_stage.c.resource_type == resource_type,
            sync_stage.c.stage == Stage.EXTRACT.value,
            sync_stage.c.state == "done",
            sync_stage.c.snapshot,
            sync_stage.c.job_id != before,
        )
        .order_by(sync_job.c.created_at.desc())
        .limit(jobs + len(failed))
    )
    found: list[int] = []
    for job_id, counts in transaction.execute(query):
        if job_id in failed and job_id not in accepted:
            continue
        found.append(int(counts.get("extracted", 0)))
        if job_id in accepted or len(found) == jobs:
            break
    return found


def vendor_bodies(
    transaction: sa.Connection, connection: str, resource_type: str, rows: int = 5_000
) -> Iterator[tuple[list[str], list[bytes]]]:
    """(ids, bodies) of the vendor's living resources of the type as last agreed on, some thousands at a time."""
    query = (
        sa.select(link.c.remote_id, shadow.c.remote_document)
        .join(shadow, shadow.c.link_id == link.c.link_id)
        .where(
            link.c.connection == connection,
            link.c.resource_type == resource_type,
            link.c.state == "active",
            link.c.remote_id.is_not(None),
            shadow.c.remote_document.is_not(None),
        )
    )
    found = [(row.remote_id, bytes(row.remote_document)) for row in transaction.execute(query)]
    for start in range(0, len(found), rows):
        piece = found[start : start + rows]
        bodies = get_documents(transaction, [address for _, address in piece])
        yield [remote_id for remote_id, _ in piece], [bodies[address] for _, address in piece]
