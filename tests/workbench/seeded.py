"""A real home with a small, known history: an operational store filled through its own tables, and its snapshot."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.job import Outcome
from holovitals_pipelines.model.quality import CheckOutcome
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism, ErrorSeverity, Stage
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.database import open_database
from holovitals_pipelines.store.errors import add_errors
from holovitals_pipelines.store.quality import save_quality
from holovitals_pipelines.store.statistics import save_latencies, save_statistics
from holovitals_pipelines.store.tables import (
    anti_entropy,
    link,
    outbox,
    patient_member,
    patient_proposal,
    quarantine,
    standing_difference,
    sync_conflict,
    sync_conflict_field,
    sync_job,
    webhook_log,
)
from holovitals_pipelines.store.warehouse import publish
from holovitals_pipelines.store.watermarks import advance_watermark

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
"""The workbench's clock in these tests; the history lies before it."""

FIRST, SECOND, FAILED, OTHER = "job-first", "job-second", "job-failed", "job-other"


def seed(home: Path, shift: timedelta = timedelta(0)) -> Settings:
    """Fill `home` and publish its snapshot. `shift` moves the whole history, for tests that use the wall clock.

    epic: a full sync (1,000 Observation, 40 Patient), an incremental one a day later, a failed job the day after;
    lab: one full sync of 300 Observation. Both directions: see `_agreement`; events: see `_webhooks`.
    """
    settings = Settings(home=home)
    settings.root.mkdir(parents=True, exist_ok=True)
    database = open_database(settings.resolved_database_url)
    database.upgrade()
    day = timedelta(days=1)
    now = NOW + shift
    with database.write() as transaction:
        _job(transaction, FIRST, "epic", "FULL_SYNC", now - 3 * day, seconds=120)
        _job(transaction, SECOND, "epic", "INCREMENTAL_SYNC", now - 2 * day, seconds=12)
        _job(transaction, FAILED, "epic", "INCREMENTAL_SYNC", now - day, seconds=3, status="FAILED")
        _job(transaction, OTHER, "lab", "FULL_SYNC", now - day, seconds=20, provider="fhir")
        _statistics(
            transaction, FIRST, "epic", now - 3 * day,
            Observation=Outcome(
                extracted=1000, created=985, quarantined=5, duplicates=10, bytes=900_000,
                extract_seconds=30.0, transform_seconds=20.0, reconcile_seconds=10.5,
            ),
            Patient=Outcome(extracted=40, created=40, bytes=80_000, extract_seconds=2.0, transform_seconds=1.0),
        )  # fmt: skip
        _statistics(
            transaction, SECOND, "epic", now - 2 * day, job_type="INCREMENTAL_SYNC",
            Observation=Outcome(extracted=120, created=20, updated=7, unchanged=90, conflicts=3, extract_seconds=4.0,
                                resolved=1, held=2, pushed=6, write_back_seconds=0.5),
            Patient=Outcome(extracted=40, unchanged=40, extract_seconds=1.25),
        )  # fmt: skip
        _statistics(
            transaction, OTHER, "lab", now - day, provider="fhir",
            Observation=Outcome(extracted=300, created=300, extract_seconds=8.0, transform_seconds=2.0),
        )  # fmt: skip
        save_latencies(
            transaction, FIRST, "epic",
            [_requests("GET Observation?patient={id}", 40, 20.0, 80.0), _requests("POST token", 1, 35.0, 35.0)],
            now - 3 * day,
        )  # fmt: skip
        save_latencies(
            transaction, SECOND, "epic", [_requests("GET Observation?patient={id}", 10, 70.0, 400.0)], now - 2 * day
        )
        for at, unexpected in ((now - 3 * day, 0), (now - 2 * day, 4)):
            job = FIRST if unexpected == 0 else SECOND
            outcomes = [
                _check("ids_are_unique", ErrorSeverity.ERROR, 0),
                _check("quantities_have_a_unit", ErrorSeverity.WARNING, unexpected),
            ]
            save_quality(transaction, job, "epic", "Observation", outcomes, at)
        refused = Problem(
            "http.503", "the vendor answered 503 three times", "wait, then retry", "GET Observation?patient={id}", 12
        )
        add_errors(transaction, FAILED, "epic", Stage.EXTRACT, [refused, refused], now - day)
        for number in range(5):
            transaction.execute(quarantine.insert(), _quarantined(number, now - 3 * day))
        _agreement(transaction, now)
        _webhooks(transaction, now - timedelta(minutes=40))
        transaction.execute(link.insert(), [_link("epic", "Observation", n, now) for n in range(9)])
        transaction.execute(link.insert(), [_link("lab", "Observation", n, now) for n in range(4)])
        advance_watermark(
            transaction, "epic", "Observation", now - 2 * day,
            mechanism=ChangeMechanism.DATE_RESCAN, job_id=SECOND, at=now - 2 * day,
        )  # fmt: skip
    publish(database, settings.warehouse_folder)
    database.close()
    return settings


def add_job(settings: Settings, job_id: str, at: datetime) -> None:
    """One more completed job, and the snapshot that shows it."""
    database = open_database(settings.resolved_database_url)
    with database.write() as transaction:
        _job(transaction, job_id, "epic", "INCREMENTAL_SYNC", at, seconds=5)
        _statistics(
            transaction,
            job_id,
            "epic",
            at,
            job_type="INCREMENTAL_SYNC",
            Patient=Outcome(extracted=41, created=1, unchanged=40),
        )
    publish(database, settings.warehouse_folder)
    database.close()


def _job(
    transaction: sa.Connection, job_id: str, connection: str, type_: str, at: datetime, *, seconds: float,
    status: str = "COMPLETED", provider: str = "epic",
) -> None:  # fmt: skip
    failed = status == "FAILED"
    transaction.execute(
        sync_job.insert().values(
            job_id=job_id, connection=connection, provider=provider, type=type_, direction="INBOUND", priority=3,
            status=status, resource_types=["Patient", "Observation"], request={}, attempt=2 if failed else 1, fence=1,
            created_at=at - timedelta(seconds=seconds + 1), started_at=at - timedelta(seconds=seconds), finished_at=at,
            error_code="http.503" if failed else None, error_message="the vendor is away" if failed else None,
        )
    )  # fmt: skip


def _statistics(
    transaction: sa.Connection, job_id: str, connection: str, at: datetime,
    provider: str = "epic", job_type: str = "FULL_SYNC", **outcomes: Outcome,
) -> None:  # fmt: skip
    for outcome in outcomes.values():
        assert outcome.unaccounted == 0, asdict(outcome)
    save_statistics(
        transaction, job_id=job_id, connection=connection, provider=provider, job_type=job_type, outcomes=outcomes,
        started_at=at - timedelta(minutes=1), finished_at=at,
    )  # fmt: skip


def _requests(operation: str, requests: int, p50: float, p95: float) -> RequestStatistics:
    return RequestStatistics(operation, requests, 1, 2, 0.5, 10_000, p50, p95, 2 * p95)


def _check(name: str, severity: ErrorSeverity, unexpected: int) -> CheckOutcome:
    blocking = severity is ErrorSeverity.ERROR
    return CheckOutcome(name, "ExpectSomething", severity, blocking, unexpected == 0, 160, unexpected, "A claim.")


def _quarantined(number: int, at: datetime) -> dict[str, object]:
    return {
        "job_id": FIRST, "connection": "epic", "resource_type": "Observation", "remote_id": f"o{number}",
        "document_hash": number.to_bytes(16, "big"), "stage": "transform", "rule": "required",
        "path": "Observation.status", "message": "status is missing", "remedy": "ask the vendor",
        "state": "released" if number == 4 else "held", "at": at,
    }  # fmt: skip


def _agreement(transaction: sa.Connection, now: datetime) -> None:
    """Seven conflicts, what they were about, writes, standing differences and a comparison.

    Observation at epic: c0 critical, two days overdue; c1 high, to be decided within a day of the wall clock; c2
    decided by a person in three hours; c3 to c5 by policy; c6 merged cleanly.
    """
    day, hour = timedelta(days=1), timedelta(hours=1)
    at = now - 2 * day
    open_, done = {"status": "PENDING_REVIEW"}, {"status": "RESOLVED", "decided_at": at + timedelta(minutes=6)}
    by_policy = {**done, "severity": "LOW", "strategy": "REMOTE_WINS", "decided_by": "policy:p1"}
    rows: list[dict[str, object]] = [
        {**open_, "severity": "CRITICAL", "due_at": at + 4 * hour},
        {**open_, "severity": "HIGH", "due_at": datetime.now(UTC) + day},
        {**done, "severity": "CRITICAL", "strategy": "MANUAL", "decided_by": "dr.who", "decided_at": at + 3 * hour,
         "reopened": 1},
        by_policy,
        by_policy,
        {**by_policy, "severity": "HIGH", "strategy": "MERGE", "post_review": "due"},
        {**by_policy, "units": 0, "strategy": "MERGE", "rule": "clean_merge"},
    ]  # fmt: skip
    for number, values in enumerate(rows):
        transaction.execute(sync_conflict.insert().values({**_conflict(number, at), **values}))
        element = "status" if number < 3 else "note"
        transaction.execute(
            sync_conflict_field.insert().values(
                conflict_id=f"c{number}", revision=1, unit=f"{element}[secret]", element=element,
                kind="pulled" if number == 6 else "conflict", severity=values.get("severity"),
                chosen_side="remote" if number in (3, 4) else None,
            )
        )  # fmt: skip
    for number, (state, guarded) in enumerate(
        [("done", True)] * 5 + [("done", False), ("failed", True), ("pending", None)]
    ):
        transaction.execute(
            outbox.insert().values(
                intent_id=f"i{number}", link_id=f"l{number}", connection="epic", resource_type="Observation",
                operation="update", state=state, guarded=guarded, attempts=1, created_at=at,
                error_code="vendor.rule" if state == "failed" else None,
                finished_at=None if state == "pending" else at + timedelta(seconds=2),
            )
        )  # fmt: skip
    for unit, severity in (("status", "CRITICAL"), ("note[a]", "LOW"), ("note[b].text", "LOW")):
        transaction.execute(
            standing_difference.insert().values(
                link_id="l9", unit=unit, connection="epic", resource_type="Observation", record_id="r9",
                severity=severity, reason="read_only", since=at,
            )
        )  # fmt: skip
    _persons(transaction, at)
    transaction.execute(
        anti_entropy.insert().values(
            job_id=FIRST, resource_type="Observation", connection="epic", compared=1000, missed=2, unsent=1, absent=0,
            at=now - 3 * day,
        )
    )  # fmt: skip


def _persons(transaction: sa.Connection, at: datetime) -> None:
    """One person whom epic and lab know, one whom only lab knows, and a proposal that they are one."""
    members = (("pa", "k1", "epic", "exact"), ("pb", "k1", "lab", "exact"), ("pc", "k2", "lab", "alone"))
    for record_id, key, connection, how in members:
        transaction.execute(
            patient_member.insert().values(
                record_id=record_id, patient_key=key, connection=connection, how=how, decided_by="policy:identity",
                at=at, state="active", document_hash=b"1", demographics_hash=b"2",
            )
        )  # fmt: skip
    transaction.execute(
        patient_proposal.insert().values(
            proposal_id="pp", record_id="pb", other_id="pc", grounds="splink", score=0.97,
            compared={"family": "same"}, revision=b"1", state="open", proposed_at=at,
        )
    )  # fmt: skip


def _webhooks(transaction: sa.Connection, at: datetime) -> None:
    """Five events of epic: three are done, in 2, 3 and 4 seconds, the first came three times; one failed, one waits."""
    for number, status in enumerate(["COMPLETED", "COMPLETED", "COMPLETED", "FAILED", "RETRYING"]):
        transaction.execute(webhook_log.insert().values(_event(number, status, at)))


def _event(number: int, status: str, at: datetime) -> dict[str, Any]:
    over = status in ("COMPLETED", "FAILED")
    return {
        "source": "epic", "event_id": f"vendors-id-{number}", "log_id": f"log-{number}",
        "event_type": "PATIENT_UPDATED", "status": status, "attempts": 1, "altered": 0,
        "times_received": 3 if number == 0 else 1,
        "error_code": "webhook.handler_failed" if status == "FAILED" else None, "body_hash": b"h" * 16, "body": b"{}",
        "received_at": at, "completed_at": at + timedelta(seconds=2 + number) if over else None,
    }  # fmt: skip


def _conflict(number: int, at: datetime) -> dict[str, object]:
    return {
        "conflict_id": f"c{number}", "link_id": f"l{number}", "job_id": SECOND, "connection": "epic",
        "resource_type": "Observation", "record_id": f"r{number}", "type": "UPDATE_UPDATE", "revision": 1, "units": 1,
        "rule": "some-rule", "detected_at": at,
    }  # fmt: skip


def _link(connection: str, resource_type: str, number: int, at: datetime) -> dict[str, object]:
    return {
        "link_id": f"{connection}-{number}", "connection": connection, "resource_type": resource_type,
        "remote_id": f"o{number}", "record_id": f"r{number}", "state": "active", "linked_by": "test", "linked_at": at,
    }  # fmt: skip
