"""What quality holds back from the vendor: judged in the lane without Dagster, said why, and let go again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.quality import judge_newest_batch
from holovitals_pipelines.engine.quality_gate import accept, holds
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.quality import newest_outcomes
from tests.engine.conftest import Sync, Vendor, observation, patient


def mrn(number: int, value: str) -> dict[str, object]:
    return patient(number, identifier=[{"system": "urn:mrn", "value": value}])


def held(home: Home) -> list[tuple[str, str, int]]:
    with home.database.read() as transaction:
        found = [hold.outcome for hold in holds(home, transaction)]
    return [(one.resource_type, one.check_name, one.unexpected) for one in found]


def test_two_patients_of_one_identifier_hold_patients_back_until_they_differ(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [mrn(1, "4711"), mrn(2, "4711"), mrn(3, "4712")])
    assert sync().status is JobStatus.COMPLETED
    assert held(opened) == [("Patient", "identifiers_name_one_patient", 2)]

    vendor.holds("Patient", [mrn(1, "4711"), mrn(2, "4711"), mrn(3, "4713")])
    sync()
    assert held(opened) == [("Patient", "identifiers_name_one_patient", 2)], "those that did not change count too"

    vendor.holds("Patient", [mrn(1, "4711"), mrn(2, "4710"), mrn(3, "4713")])
    sync()
    assert held(opened) == []


def test_a_complete_read_that_has_collapsed_holds_the_type_and_is_no_history(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(1)])
    vendor.holds("Observation", [observation(n) for n in range(100)])
    sync()
    for _ in range(2):
        vendor.holds("Observation", [observation(n) for n in range(20)])
        sync()
        assert held(opened) == [("Observation", "volume_has_not_collapsed", 80)]

    vendor.holds("Observation", [observation(n) for n in range(90)])
    sync()
    assert held(opened) == []


def test_what_a_person_accepts_goes_on_is_logged_and_becomes_what_is_usual(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Observation", [observation(n) for n in range(300)])
    sync()
    vendor.holds("Observation", [observation(n) for n in range(60)])
    sync()
    claim = "volume_has_not_collapsed"
    with pytest.raises(ConfigurationError, match="reason"):
        accept(opened, "clinic", "Observation", claim, reason=" ", actor="ann")

    accept(opened, "clinic", "Observation", claim, reason="the archive was moved", actor="ann")

    assert held(opened) == []
    with opened.database.read() as transaction:
        [entry] = [one for one in audit.entries(transaction, limit=10_000) if one.action == "quality.accept"]
    assert (entry.actor, entry.connection, entry.detail) == (
        "ann",
        "clinic",
        {"resourceType": "Observation", "claim": claim, "unexpected": 240},
    )
    sync()
    assert held(opened) == []
    with pytest.raises(StoreError, match=r"quality\.nothing_held"):
        accept(opened, "clinic", "Observation", claim, reason="again", actor="ann")


def test_references_to_what_is_not_there_are_counted_and_hold_nothing(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(n) for n in range(5)])
    vendor.holds("Observation", [observation(n) for n in range(8)])
    sync()
    [found] = [one for one in judge_newest_batch(opened, "clinic", "Observation") if one.name == "references_resolve"]
    assert (found.rows, found.unexpected, found.passed) == (8, 3, False)
    assert held(opened) == []


@pytest.fixture
def lenient(settings: Settings) -> Iterator[Home]:
    (settings.root / "quality.yml").write_text(
        "version: ours\n"
        "claims:\n"
        "  - {claim: identifiers_name_one_patient, connection: clinic, tolerance: 0.5}\n"
        "  - {claim: references_resolve, holds_write_back: true, tolerance: 0}\n",
        encoding="utf-8",
    )
    with open_home(settings) as home:
        yield home


def test_thresholds_of_the_installation_decide_what_is_held(lenient: Home, vendor: Vendor) -> None:
    from holovitals_pipelines.engine.sync import run_sync
    from holovitals_pipelines.model.job import SyncRequest

    vendor.holds("Patient", [mrn(1, "4711"), mrn(2, "4711"), mrn(3, "1"), mrn(4, "2")])
    vendor.holds("Observation", [observation(9)])
    run_sync(lenient, SyncRequest(connection="clinic", type=JobType.FULL_SYNC), adapter_for=vendor.source)
    judge_newest_batch(lenient, "clinic", "Observation")
    assert held(lenient) == [("Observation", "references_resolve", 1)]
    with lenient.database.read() as transaction:
        kept = {one.check_name: one.passed for one in newest_outcomes(transaction, "clinic", "Patient")}
    assert kept == {"identifiers_name_one_patient": True}


def test_a_mistake_in_the_thresholds_is_refused_with_its_line(settings: Settings) -> None:
    (settings.root / "quality.yml").write_text("version: x\nclaims:\n  - {claim: no_such_claim}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught, open_home(settings):
        pass
    assert (caught.value.code, str(caught.value.place).endswith("quality.yml:3")) == ("quality.invalid", True)
