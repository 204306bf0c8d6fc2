"""Anti-entropy: what the ordinary way missed is found, brought in and counted."""

from __future__ import annotations

import json

import sqlalchemy as sa

from holovitals_pipelines.engine.anti_entropy import AntiEntropyReport, Compared, compare_sides
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.local_records import edit_record, record_of
from holovitals_pipelines.store.tables import anti_entropy, dirty_link, standing_difference
from tests.engine.conftest import Sync, Vendor, patient


def at(instant: str, number: int, family: str) -> dict[str, object]:
    return patient(number, family, meta={"lastUpdated": instant})


def compare(opened: Home, vendor: Vendor) -> AntiEntropyReport:
    return compare_sides(opened, "clinic", adapter_for=vendor.source)


def test_a_change_older_than_any_incremental_read_asks_for_is_brought_in_and_counted_as_missed(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    long_ago, since = "2025-12-01T00:00:00Z", "2026-01-02T00:00:00Z"  # the vendor's watermark is 2026-01-01
    vendor.holds("Patient", [at(long_ago, n, "Old") for n in (1, 2, 3)])
    sync()
    vendor.holds("Patient", [at(long_ago, 1, "Late"), at(since, 2, "New"), at(long_ago, 3, "Old")])

    found = compare(opened, vendor)

    assert found.types == {"Patient": Compared(compared=3, missed=1, unsent=0, absent=0)}
    assert json.loads(record_of(opened, "clinic", "Patient", "p1").body)["name"] == [{"family": "Late"}]
    assert compare(opened, vendor).types["Patient"].missed == 0
    with opened.database.read() as transaction:
        rows = transaction.execute(sa.select(anti_entropy.c.missed).order_by(anti_entropy.c.at)).scalars().all()
    assert rows == [1, 0]


def test_a_first_load_has_missed_nothing(opened: Home, vendor: Vendor) -> None:
    vendor.holds("Patient", [patient(1), patient(2)])

    assert compare(opened, vendor).types["Patient"] == Compared(compared=2, missed=0, unsent=0, absent=0)


def test_a_change_here_whose_mark_was_lost_is_found_and_decided(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1), patient(2)])
    sync()
    mine = record_of(opened, "clinic", "Patient", "p1")
    edited = json.dumps(patient(1, "Mine")).encode()
    edit_record(opened.database, mine.record_id, edited, seen_version=1, actor="dr")
    with opened.database.write() as transaction:
        assert transaction.execute(sa.delete(dirty_link)).rowcount == 1  # what no crash of ours does

    assert compare(opened, vendor).types["Patient"].unsent == 1

    with opened.database.read() as transaction:
        stands = transaction.execute(sa.select(standing_difference.c.reason)).scalars().all()
    assert stands and set(stands) == {"read_only"}, "nothing may be written there, so it is listed"
    assert compare(opened, vendor).types["Patient"].unsent == 0
