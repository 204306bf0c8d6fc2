"""What waits at a connection, counted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from holovitals_pipelines.store.backlog import backlog_of
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.tables import outbox, standing_difference, sync_conflict

NOTHING = {"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0, "LOW": 0}


def conflict(name: str, now: datetime, connection: str = "epic", **values: Any) -> dict[str, Any]:
    shared = {"job_id": "j", "resource_type": "Patient", "record_id": "r", "type": "UPDATE_UPDATE", "revision": 1,
              "status": "PENDING_REVIEW", "severity": None, "due_at": None, "detected_at": now}  # fmt: skip
    return {**shared, "conflict_id": name, "link_id": name, "connection": connection, **values}


def test_nothing_waits_at_a_new_connection_and_every_severity_says_so(database: Database, now: datetime) -> None:
    with database.read() as transaction:
        backlog = backlog_of(transaction, "epic", now)

    assert (backlog.marked, backlog.writes) == (0, 0)
    assert backlog.conflicts == backlog.overdue == backlog.standing == NOTHING
    assert list(backlog.conflicts) == list(NOTHING), "the gravest first"


def test_what_is_over_in_time_or_another_connections_is_not_counted(database: Database, now: datetime) -> None:
    late, soon = now - timedelta(seconds=1), now + timedelta(seconds=1)
    conflicts = [
        conflict("overdue", now, severity="CRITICAL", due_at=late),
        conflict("in time", now, severity="CRITICAL", due_at=soon),
        conflict("high", now, severity="HIGH", due_at=late),
        conflict("old", now, status="DETECTED"),
        conflict("resolved", now, severity="CRITICAL", status="RESOLVED", due_at=late),
        conflict("elsewhere", now, "lab", severity="CRITICAL", due_at=late),
    ]
    states = ("pending", "inflight", "done", "failed", "superseded")
    with database.write() as transaction:
        transaction.execute(sync_conflict.insert(), conflicts)
        mark_links(transaction, [("l1", "epic", "Patient", "p"), ("l2", "lab", "Patient", "p")], Reason.LOCAL, now)
        for state in states:
            transaction.execute(
                outbox.insert().values(intent_id=state, link_id=state, connection="epic", resource_type="Patient",
                                       operation="update", state=state, attempts=0, created_at=now)
            )  # fmt: skip
        for place, severity in enumerate(("CRITICAL", "LOW", "LOW")):
            transaction.execute(
                standing_difference.insert().values(link_id="l", unit=f"u{place}", connection="epic", record_id="r",
                                                    resource_type="Patient", severity=severity, reason="read_only",
                                                    since=now)
            )  # fmt: skip
        backlog = backlog_of(transaction, "epic", now)

    assert (backlog.marked, backlog.writes) == (1, 2)
    assert backlog.conflicts == {**NOTHING, "CRITICAL": 2, "HIGH": 1, "ungraded": 1}
    assert backlog.overdue == {**NOTHING, "CRITICAL": 1, "HIGH": 1}
    assert backlog.standing == {**NOTHING, "CRITICAL": 1, "LOW": 2}
