"""Leaving quarantine by a person's hand: what today's rules take is read again, the rest closed with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.quarantine import dismiss_held, explain_held, held_resources, release_held
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import JobStatus, SourceFormat
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.documents import get_document
from holovitals_pipelines.store.jobs import get_job
from holovitals_pipelines.store.tables import quarantine
from tests.engine.conftest import Sync, Vendor, patient
from tests.workbench.landed_persons import land_persons


def held_number(home: Home) -> int:
    [entry] = {row["quarantineId"] for row in held_resources(home, "clinic", 10)}
    return int(entry)


def test_what_the_rules_take_is_released_and_a_job_reads_it_again(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1), patient(2, "A"), patient(2, "B"), patient(2, "C")])
    sync()
    numbers = [row["quarantineId"] for row in held_resources(opened, "clinic", 10)]

    released = [release_held(opened, number, actor="ann") for number in numbers]

    assert len(released) == 3 and {one.state for one in released} == {"released"}
    [job_id] = {one.job_id for one in released}
    assert job_id is not None, "one job reads the one resource again"
    with opened.database.read() as transaction:
        job = get_job(transaction, job_id)
        told = [one for one in audit.entries(transaction, limit=1000) if one.action == "quarantine.released"]
        kept = transaction.execute(sa.select(quarantine.c.document_hash, quarantine.c.closed_by)).all()
        assert all(get_document(transaction, bytes(row.document_hash)) for row in kept)
    assert (job.status, job.request["ids"]) == (JobStatus.PENDING, [["Patient", "p2"]])
    assert {row.closed_by for row in kept} == {"ann"} and len(told) == 3
    assert held_resources(opened, "clinic", 10) == []


def test_what_a_vendor_sends_in_its_own_form_is_judged_by_what_the_rules_make_of_it(tmp_path: Path) -> None:
    settings = land_persons(tmp_path / "home")
    with open_home(settings) as home:
        numbers = [int(row["quarantineId"]) for row in held_resources(home, "clinic", 10)]
        for number in numbers:
            judged = explain_held(home, number).judged
            assert (judged.format, judged.sound) == (SourceFormat.CUSTOM_JSON, False)
            assert judged.rule_set is not None and judged.rule_set.startswith("nextgen/patient@")
            [issue] = judged.issues
            assert issue.rule == "transform.rejected" and "not_in_map" in issue.message, "and not unknown FHIR elements"
            with pytest.raises(StoreError, match=r"quarantine\.still_broken"):
                release_held(home, number, actor="ann")


def test_what_is_closed_is_listed_with_who_closed_it(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1, birthDate="SECRET"), patient(2, birthDate="SECRET")])
    sync()
    first, second = sorted(row["quarantineId"] for row in held_resources(opened, "clinic", 10))
    assert held_resources(opened, "clinic", 10, closed=True) == []
    dismiss_held(opened, first, reason="a test patient", actor="ann")
    vendor.holds("Patient", [patient(1, birthDate="SECRET"), patient(2)])
    sync()
    closed = held_resources(opened, "clinic", 10, closed=True)
    assert [(row["quarantineId"], row["state"], row["closedBy"]) for row in closed] == [
        (second, "superseded", None),
        (first, "dismissed", "ann"),
    ]
    assert "SECRET" not in str(closed) and "test patient" not in str(closed)
    assert explain_held(opened, first).closed_reason == "a test patient"


def test_what_still_breaks_a_rule_stays_held_until_it_is_dismissed(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1, birthDate="SECRET")])
    sync()
    number = held_number(opened)

    with pytest.raises(StoreError, match=r"quarantine\.still_broken") as caught:
        release_held(opened, number, actor="ann")
    assert "SECRET" not in str(caught.value) and held_number(opened) == number

    assert dismiss_held(opened, number, reason="a test patient", actor="ann").job_id is None
    sync()
    assert held_number(opened) != number, "a later full read brings it again, and it is held again"
