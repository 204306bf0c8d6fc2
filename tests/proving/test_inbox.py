"""The inbox on both databases: what may be answered 2xx, and when an event is done."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.inbox import Receipt, take_event
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.dirty import Mark, Reason, clear_marks, mark_links, marked_links
from holovitals_pipelines.store.tables import webhook_log

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def taken(database: Database, event_id: str = "e1", body: bytes = b"{}") -> Receipt:
    return take_event(
        database, connection="epic", event_id=event_id, event_type="PATIENT_UPDATED", body=body,
        resource_type="Patient", remote_id="p1", at=NOW,
    )  # fmt: skip


def statuses(database: Database) -> dict[str, str]:
    with database.read() as transaction:
        rows = transaction.execute(sa.select(webhook_log.c.event_id, webhook_log.c.status))
        return {row.event_id: row.status for row in rows}


def marks(database: Database) -> list[Mark]:
    with database.read() as transaction:
        return marked_links(transaction, "epic")


def test_an_event_is_kept_and_its_link_marked_before_anybody_answers(database: Database) -> None:
    assert taken(database) is Receipt.NEW
    assert statuses(database) == {"e1": "RECEIVED"}
    assert [(mark.resource_type, mark.remote_id, mark.reason) for mark in marks(database)] == [
        ("Patient", "p1", "event")
    ]


def test_the_same_event_again_is_kept_once_and_marks_nothing(database: Database) -> None:
    taken(database)
    before = marks(database)
    assert taken(database) is Receipt.REPEATED
    assert marks(database) == before and len(statuses(database)) == 1


def test_another_body_under_a_known_id_is_told_and_looked_at(database: Database) -> None:
    taken(database)
    with database.write() as transaction:
        clear_marks(transaction, marked_links(transaction, "epic"))
    assert taken(database, body=b'{"other": 1}') is Receipt.ALTERED
    assert len(marks(database)) == 1
    with database.read() as transaction:
        assert bytes(transaction.execute(sa.select(webhook_log.c.body)).scalar_one()) == b"{}"


def test_an_event_is_completed_with_the_decision_of_its_link(database: Database) -> None:
    taken(database)
    with database.write() as transaction:
        clear_marks(transaction, marked_links(transaction, "epic"))
    assert statuses(database) == {"e1": "COMPLETED"} and marks(database) == []


def test_an_event_that_comes_while_its_link_is_decided_is_not_completed_with_it(database: Database) -> None:
    taken(database)
    read = marks(database)
    taken(database, "e2")
    with database.write() as transaction:
        clear_marks(transaction, read)
    assert set(statuses(database).values()) == {"RECEIVED"} and len(marks(database)) == 1


def test_a_decision_that_is_rolled_back_completes_nothing(database: Database) -> None:
    taken(database)
    with pytest.raises(ZeroDivisionError), database.write() as transaction:
        clear_marks(transaction, marked_links(transaction, "epic"))
        raise ZeroDivisionError
    assert statuses(database) == {"e1": "RECEIVED"} and len(marks(database)) == 1


def test_a_mark_says_its_newest_reason(database: Database) -> None:
    taken(database)
    (mark,) = marks(database)
    with database.write() as transaction:
        mark_links(transaction, [(mark.link_id, "epic", "Patient", "p1")], Reason.LOCAL, NOW)
    assert [again.reason for again in marks(database)] == ["local"] and marks(database)[0].mark == mark.mark + 1
