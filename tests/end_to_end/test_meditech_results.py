"""Results of ours at MEDITECH: sent as messages, told again under numbers of its own, and one record here all along.

Law: what the vendor holds and was sent is read from the simulated vendor, which knows nothing of our code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.engine.local_records import create_record, read_record
from holovitals_pipelines.model.vocabulary import JobType
from holovitals_pipelines.sandbox.process import start_sandbox
from tests.end_to_end.resources import line
from tests.end_to_end.test_meditech import Hospital, declared, errors, listening
from tests.end_to_end.two_way import Ours, our_side

pytestmark = [pytest.mark.timeout(120), pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
RATE = {"value": 72, "unit": "beats/min", "code": "/min", "system": UCUM}


@pytest.fixture(scope="module")
def hospital() -> Iterator[Hospital]:
    with start_sandbox(dialects=["meditech"], patients=2) as running:
        yield Hospital(running)


@pytest.fixture
def ours(hospital: Hospital, home: Path, database_url: str) -> Iterator[Ours]:
    types = ("Patient", "Observation", "DiagnosticReport")
    with our_side(home, database_url, declared(hospital.running.base_urls["meditech"], *types)) as side:
        yield side
    hospital.feed({})


def measured(patient: str, **elements: Any) -> bytes:
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": LOINC, "code": "8867-4", "display": "Heart rate"}]},
        "effectiveDateTime": "2026-01-15T09:16:42-05:00",
        "valueQuantity": RATE,
        "referenceRange": [{"text": "60-100"}],
    }
    return line({**resource, **elements})


def shown(ours: Ours, record_id: str) -> dict[str, Any]:
    return json.loads(read_record(ours.home.database, record_id).body)  # type: ignore[no-any-return]


def links(ours: Ours, kind: str) -> set[str]:
    return {link.remote_id for link in ours.rows("link", resource_type=kind)}


def begin(hospital: Hospital, ours: Ours, ports: dict[str, int]) -> tuple[str, int]:
    """All that the hospital holds is here; a patient's id, and how many messages told it."""
    hospital.feed(ports)
    hospital.told_all()
    ours.sync(JobType.FULL_SYNC)
    return hospital.number_of(hospital.ids("Patient")[0]), hospital.progress()["accepted"]


def create(ours: Ours, body: bytes) -> str:
    return create_record(ours.home.database, "Observation", body, connections=["clinic"], actor="dr").record_id


def comes_to_rest(ours: Ours, made: str) -> None:
    version = read_record(ours.home.database, made).version
    for _ in range(2):
        report = ours.sync()
        total = report.total
        assert (errors(report), total.pushed, total.updated, total.created) == ([], 0, 0, 0)
    assert read_record(ours.home.database, made).version == version
    assert ours.conflicts() == []


def test_a_result_of_ours_that_is_told_again_is_one_record_and_comes_to_rest(
    hospital: Hospital, ours: Ours, home: Path, database_url: str
) -> None:
    with listening(home, database_url) as (_, ports):
        patient, accepted = begin(hospital, ours, ports)
        theirs = set(hospital.ids("Observation"))
        before, reports = links(ours, "Observation"), links(ours, "DiagnosticReport")

        made = create(ours, measured(patient))
        report = ours.sync()
        assert (errors(report), report.total.pushed) == ([], 1)
        [filed] = set(hospital.ids("Observation")) - theirs
        assert hospital.held("Observation", filed)["valueQuantity"]["value"] == 72
        hospital.told_all(accepted + 1)

        assert errors(ours.sync()) == []
        [link] = [one for one in ours.rows("link", resource_type="Observation") if one.remote_id not in before]
        assert (link.record_id, link.state) == (made, "active")
        here, there = shown(ours, made), hospital.held("Observation", filed)
        assert here["valueQuantity"]["value"] == there["valueQuantity"]["value"] == 72
        # MEDITECH is told, and tells of, minutes; ours keeps its seconds.
        assert there["effectiveDateTime"] == "2026-01-15T09:16:00-05:00"
        assert here["effectiveDateTime"] == "2026-01-15T09:16:42-05:00"
        [told] = links(ours, "DiagnosticReport") - reports  # the order that the hospital tells the result with
        assert ours.held("DiagnosticReport", told)["result"][0]["reference"] == f"Observation/{link.remote_id}"
        comes_to_rest(ours, made)

        hospital.edit("Observation", filed, status="corrected", valueQuantity={**RATE, "value": 75})
        hospital.told_all(accepted + 2)
        assert errors(ours.sync()) == []
        here = shown(ours, made)
        assert (here["status"], here["valueQuantity"]["value"]) == ("corrected", 75)
        assert links(ours, "Observation") == before | {link.remote_id}
        comes_to_rest(ours, made)
        assert links(ours, "DiagnosticReport") == reports | {told}
        assert hospital.progress()["accepted"] == accepted + 2


def test_a_result_whose_answer_was_lost_is_the_one_that_is_told_again(
    hospital: Hospital, ours: Ours, home: Path, database_url: str
) -> None:
    with listening(home, database_url) as (_, ports):
        patient, accepted = begin(hospital, ours, ports)
        theirs, before = set(hospital.ids("Observation")), links(ours, "Observation")
        hospital.turn(silent=1)

        made = create(ours, measured(patient, valueQuantity={**RATE, "value": 73}))
        ours.sync()
        hospital.told_all(accepted + 1)
        for _ in range(2):
            assert errors(ours.sync()) == []

        assert len(set(hospital.ids("Observation")) - theirs) == 1
        [link] = [one for one in ours.rows("link", resource_type="Observation") if one.remote_id not in before]
        assert (link.record_id, link.state) == (made, "active")
        comes_to_rest(ours, made)


def test_a_result_of_somebody_of_whom_nothing_was_told_is_not_sent_and_said_once(
    hospital: Hospital, ours: Ours, home: Path, database_url: str
) -> None:
    theirs = hospital.ids("Observation")
    create(ours, measured("FAC1-MR-0"))
    report = ours.sync()
    assert [error.code for error in report.errors] == ["meditech.not_told"]
    assert report.total.refused_writes == 1
    assert hospital.ids("Observation") == theirs
    assert ours.sync().errors == ()
