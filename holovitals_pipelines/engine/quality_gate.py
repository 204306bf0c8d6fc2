"""What keeps a resource type from being written back: claims about whole batches, judged in every lane.

Law: a type is held while the newest outcome of a claim that holds write-back is a failure nobody accepted; what is held
is still read, decided and committed here, and waits in the outbox. Nothing here imports Great Expectations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median

import pyarrow as pa
import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.quality import CheckOutcome
from holovitals_pipelines.model.vocabulary import Dataset, ErrorSeverity, Stage
from holovitals_pipelines.quality.expectations import Expectation
from holovitals_pipelines.quality.relations import sharing_identifiers
from holovitals_pipelines.quality.suites import IDENTIFIERS, USUAL_VOLUME, VOLUME
from holovitals_pipelines.quality.thresholds import Thresholds
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.quality import (
    StoredOutcome,
    accept_outcome,
    judged_claims,
    newest_outcomes,
    save_quality,
    usual_volume,
    vendor_bodies,
)

HELD = "quality.write_back_held"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a type of a connection is not written back."""

    outcome: StoredOutcome
    description: str

    def as_problem(self) -> Problem:
        failed = self.outcome
        return Problem(
            code=HELD,
            message=f"nothing of {failed.resource_type} is written back: {failed.check_name} failed"
            f" ({failed.unexpected:,} of {failed.rows:,})",
            remedy=f"mend it at the vendor and sync --full, or let it pass: holovitals quality accept"
            f" {failed.connection} {failed.resource_type} {failed.check_name} --reason …",
            source=f"connection {failed.connection}",
            resource_type=failed.resource_type,
            severity=ErrorSeverity.ERROR,
        )


def held_back(session: JobSession) -> dict[str, Hold]:
    """Judge what this job brought; then the types of its connection that may not be written, with the reason."""
    _judge(session)
    with session.home.database.read() as transaction:
        return {hold.outcome.resource_type: hold for hold in holds(session.home, transaction, session.connection.name)}


def holds(home: Home, transaction: sa.Connection, connection: str | None = None) -> list[Hold]:
    """What is held now, by connection and type."""
    found = newest_outcomes(transaction, connection, checks=home.thresholds.names_that_may_hold)
    failed = [one for one in found if not one.passed and one.accepted_by is None]
    return [Hold(one, claim.description) for one in failed if (claim := _holding(home.thresholds, one)) is not None]


def accept(home: Home, connection: str, resource_type: str, claim: str, *, reason: str, actor: str) -> StoredOutcome:
    """Let a failed claim pass that holds a type back, until a later batch is judged. It is in the audit log.

    Raises ConfigurationError without a reason, StoreError (`quality.nothing_held`) where nothing is held by it.
    """
    home.connection(connection)
    if not reason.strip():
        raise ConfigurationError(
            "the reason is empty", code="quality.reason_missing", remedy="say why it may pass: --reason …"
        )
    now = datetime.now(UTC)
    with home.database.write() as transaction:
        found = [hold.outcome for hold in holds(home, transaction, connection)]
        held = [one for one in found if (one.resource_type, one.check_name) == (resource_type, claim)]
        if not held:
            raise StoreError(
                f"{claim} holds back nothing of {resource_type}",
                code="quality.nothing_held",
                place=f"connection {connection}",
                remedy="see what is held: holovitals quality list --held",
            )
        accept_outcome(transaction, held[0], by=actor, reason=reason.strip(), at=now)
        detail = {"resourceType": resource_type, "claim": claim, "unexpected": held[0].unexpected}
        entry = audit.Entry(
            action="quality.accept", actor=actor, connection=connection, job_id=held[0].job_id, detail=detail
        )
        audit.append(transaction, [entry], at=now)
    return replace(held[0], accepted_by=actor)


def _holding(thresholds: Thresholds, outcome: StoredOutcome) -> Expectation | None:
    claims = thresholds.holding(outcome.connection, outcome.resource_type)
    return next((claim for claim in claims if claim.name == outcome.check_name), None)


def _judge(session: JobSession) -> None:
    """The claims of each type this job has read; once a job, also when its worker was lost in between."""
    if session.request.is_named or session.request.replay:
        return  # single resources, or what was read before: neither tells of the whole
    connection = session.connection.name
    for row in session.stage_rows():
        if row.stage is not Stage.EXTRACT or row.state != "done":
            continue
        claims = session.home.thresholds.gate(connection, row.resource_type)
        with session.home.database.read() as transaction:
            known = judged_claims(transaction, session.job_id, row.resource_type)
        extracted = int(row.counts.get("extracted", 0))
        outcomes = [
            outcome
            for claim in claims
            if claim.name not in known
            for outcome in _outcome(session, row.resource_type, claim, extracted if row.snapshot else None)
        ]
        if outcomes:
            with session.transaction() as transaction:
                save_quality(transaction, session.job_id, connection, row.resource_type, outcomes, session.now())


def _outcome(
    session: JobSession, resource_type: str, claim: Expectation, complete: int | None
) -> Iterator[CheckOutcome]:
    """`complete` is the size of a complete read. Nothing where the job says nothing about the claim."""
    if claim.name in (VOLUME.name, USUAL_VOLUME.name):
        if complete is not None:
            yield from _volume(session, resource_type, claim, complete)
    elif claim.name == IDENTIFIERS.name and session.rows_in(Dataset.RECORDS, resource_type):
        with session.home.database.read() as transaction:
            bodies = vendor_bodies(transaction, session.connection.name, resource_type)
            rows, sharing = sharing_identifiers(_batches(bodies))
        yield _counted(claim, rows, len(sharing))


def _volume(session: JobSession, resource_type: str, claim: Expectation, rows: int) -> Iterator[CheckOutcome]:
    """`rows` of the outcome is what was usual, `unexpected` how many are missing or too many."""
    limits = session.home.thresholds.volume
    with session.home.database.read() as transaction:
        before = usual_volume(
            transaction, session.connection.name, resource_type, VOLUME.name, before=session.job_id, jobs=limits.jobs
        )
    usual = int(median(before)) if before else 0
    if usual < limits.at_least:
        return
    if claim.name == VOLUME.name:
        yield replace(_counted(claim, usual, max(0, usual - rows)), passed=rows >= limits.least_share * usual)
    else:
        yield replace(_counted(claim, usual, max(0, rows - usual)), passed=rows <= limits.most_times * usual)


def _counted(claim: Expectation, rows: int, unexpected: int) -> CheckOutcome:
    return CheckOutcome(
        name=claim.name,
        expectation=claim.expectation_type,
        severity=claim.severity,
        blocking=claim.blocking,
        passed=unexpected <= claim.tolerance * rows,
        rows=rows,
        unexpected=unexpected,
        description=claim.description,
        holds_write_back=claim.holds_write_back,
    )


def _batches(found: Iterable[tuple[Sequence[str], Sequence[bytes]]]) -> Iterator[pa.RecordBatch]:
    for ids, bodies in found:
        yield pa.RecordBatch.from_arrays(
            [pa.array(ids, pa.string()), pa.array(bodies, pa.binary())], names=["remote_id", "body"]
        )
