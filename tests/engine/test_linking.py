"""Links made by people."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.linking import create_at, link_record, unlink
from holovitals_pipelines.engine.local_records import create_record, record_of
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.tables import link, record
from tests.engine.conftest import Sync, Vendor, patient


def states(opened: Home, record_id: str) -> list[tuple[str | None, str]]:
    query = sa.select(link.c.remote_id, link.c.state).where(link.c.record_id == record_id).order_by(link.c.state)
    with opened.database.read() as transaction:
        return [(row.remote_id, row.state) for row in transaction.execute(query)]


def test_a_record_made_here_and_linked_by_a_person_is_adopted_when_both_sides_hold_the_same(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [])
    sync()
    body = json.dumps(patient(7, "Same")).encode()
    mine = create_record(opened.database, "Patient", body, connections=["clinic"], actor="dr")
    vendor.holds("Patient", [patient(7, "Same")])

    link_record(opened.database, mine.record_id, "clinic", "p7", actor="steward")
    report = sync()

    assert states(opened, mine.record_id) == [("p7", "active")]
    assert (report.total.created, report.total.conflicts) == (0, 0)
    with opened.database.read() as transaction:
        assert transaction.execute(sa.select(sa.func.count()).select_from(record)).scalar_one() == 1


def test_what_is_linked_to_another_record_is_not_taken_from_it(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1)])
    sync()
    other = create_record(opened.database, "Patient", json.dumps(patient(2)).encode(), connections=[], actor="dr")

    with pytest.raises(StoreError) as refused:
        link_record(opened.database, other.record_id, "clinic", "p1", actor="steward")

    assert refused.value.code == "link.taken"


def test_an_unlinked_resource_stays_unlinked_whatever_the_vendor_sends(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(1, "Before")])
    sync()
    mine = record_of(opened, "clinic", "Patient", "p1")

    assert unlink(opened.database, mine.record_id, "clinic", actor="steward") == 1
    vendor.holds("Patient", [patient(1, "After")])
    report = sync()

    assert (report.total.updated, report.total.unaccounted) == (0, 0)
    assert states(opened, mine.record_id) == [("p1", "unlinked")]
    assert record_of(opened, "clinic", "Patient", "p1").body == mine.body


def test_a_record_is_not_created_twice_at_one_connection(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [])
    sync()
    body = json.dumps(patient(1)).encode()
    mine = create_record(opened.database, "Patient", body, connections=["clinic"], actor="dr")

    with pytest.raises(StoreError) as refused:
        create_at(opened.database, mine.record_id, "clinic", actor="dr")

    assert refused.value.code == "link.exists"
