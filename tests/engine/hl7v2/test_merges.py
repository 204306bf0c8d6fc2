"""Numbers of patients that become one: whose the visits and results are then, whatever order the messages come in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holovitals_pipelines.engine.hl7v2.applying import apply_received
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.local_records import edit_record, read_record, record_of
from holovitals_pipelines.store.hl7_records import records_of_patients
from holovitals_pipelines.transform.hl7v2_records import NOT_CARRIED_OUT

from .feed import PV1, adt, all_held, held, oru, receiving, sent, stored
from .test_to_fhir import fhir, synced

LAB = ("OBR|1|P1|F1|57021-8^CBC^LN", "OBX|1|NM|6690-2^Leukocytes^LN||10.1|10*9/L|3-9|H|||F|||202601150916")
KINDS = ("Encounter", "Observation", "DiagnosticReport", "AllergyIntolerance")


def pid(number: str, name: str = "TEST", account: str = "") -> str:
    return f"PID|1||{number}^^^^MR^FAC1||{name}^ANN|||||||||||||{account}"


def merge(event: str, number: str, survivor: str, retired: str, at: str) -> bytes:
    return adt(event, number, pid(survivor), f"MRG|{retired}^^^^MR^FAC1", at=at)


def chart(number: str, at: str = "202601150930") -> list[bytes]:
    """A visit with an allergy, and a result."""
    admitted = adt("A01", f"v{number}", pid(number, account=f"V{number}"), PV1, "AL1|1|DA|F1^Penicillins", at=at)
    return [admitted, oru(f"r{number}", pid(number), *(one.replace("F1", f"F{number}") for one in LAB), at=at)]


def applied(home: Home, *messages: bytes) -> list[str | None]:
    sent(home, messages)
    apply_received(home.database, home.connection("hospital"))
    return [one.code for one in stored(home)][-len(messages) :]


def owners(home: Home, kind: str) -> list[tuple[str, str | None]]:
    return sorted((one["patient"]["id"][-1], one["patient"].get("told", "?")[-1]) for one in all_held(home, kind))


@pytest.mark.parametrize("event", ["A40", "A18", "A30", "A34", "A36"])
def test_what_was_told_of_the_retired_number_is_the_survivors(tmp_path: Path, event: str) -> None:
    with receiving(tmp_path) as home:
        applied(home, *chart("1"), *chart("2"))
        assert applied(home, merge(event, "m", "2", "1", "202601150940")) == ["hl7.patients_merged"]
        for kind in KINDS:
            assert owners(home, kind) == [("2", "1"), ("2", "?")], kind
            with home.database.read() as transaction:
                of = [records_of_patients(transaction, "hospital", kind, [f"FAC1-MR-{n}"]) for n in "12"]
            assert [len(one) for one in of] == [0, 2], kind


def test_what_is_told_later_with_the_retired_number_is_the_survivors_at_once(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        remarks = applied(home, merge("A40", "m", "2", "1", "202601150920"), *chart("1"))
        assert remarks == ["hl7.patients_merged", "hl7.patient_retired", "hl7.patient_retired"]
        assert [owners(home, kind) for kind in KINDS] == [[("2", "1")]] * len(KINDS)


def test_a_merge_that_comes_after_newer_messages_of_both_is_carried_out_all_the_same(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        applied(home, *chart("1"), *chart("2"))
        assert applied(home, merge("A40", "m", "2", "1", "202601150900")) == ["hl7.patients_merged"]
        retired, survivor = held(home, "Patient", "FAC1-MR-1"), held(home, "Patient", "FAC1-MR-2")
        assert retired is not None and survivor is not None
        assert retired["replacedBy"] == {"id": "FAC1-MR-2"} and survivor["replaced"] == [{"id": "FAC1-MR-1"}]
        assert owners(home, "Observation") == [("2", "1"), ("2", "?")]


def test_a_merge_that_a_newer_one_of_the_same_number_has_overtaken_is_not_carried_out(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        applied(home, *chart("1"), merge("A40", "m", "3", "1", "202601150950"))
        assert applied(home, merge("A40", "n", "2", "1", "202601150940")) == ["hl7.merge_overtaken"]
        retired, other = held(home, "Patient", "FAC1-MR-1"), held(home, "Patient", "FAC1-MR-2")
        assert retired is not None and other is not None
        assert retired["replacedBy"] == {"id": "FAC1-MR-3"} and "replaced" not in other
        assert owners(home, "Observation") == [("3", "1")]


@pytest.mark.parametrize("late", [False, True])
def test_merges_in_a_row_end_with_the_last_survivor_in_whatever_order_they_come(tmp_path: Path, late: bool) -> None:
    first, second = merge("A40", "m", "2", "1", "202601150940"), merge("A40", "n", "3", "2", "202601150950")
    with receiving(tmp_path) as home:
        applied(home, *chart("1"), *chart("2"), *((second, first) if late else (first, second)))
        assert owners(home, "Observation") == [("3", "1"), ("3", "2")]
        for number, survivor in (("1", "2"), ("2", "3")):
            retired = held(home, "Patient", f"FAC1-MR-{number}")
            assert retired is not None and retired["replacedBy"] == {"id": f"FAC1-MR-{survivor}"}


def test_a_merge_the_other_way_round_gives_back_what_was_told_of_the_number(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        applied(home, *chart("1"), *chart("2"), merge("A40", "m", "2", "1", "202601150940"))
        applied(home, merge("A40", "n", "1", "2", "202601150950"))
        assert owners(home, "Observation") == [("1", "2"), ("1", "?")]
        back = held(home, "Patient", "FAC1-MR-1")
        assert back is not None and "replacedBy" not in back


def test_a_survivor_who_had_been_retired_takes_its_own_back(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        applied(home, *chart("1"), *chart("2"), merge("A40", "m", "2", "1", "202601150940"))
        applied(home, merge("A40", "n", "1", "4", "202601150950"))  # says that 1 is a patient
        assert owners(home, "Observation") == [("1", "?"), ("2", "?")]


@pytest.mark.parametrize("event", ["A46", "A47"])
def test_a_changed_number_keeps_what_is_known_of_the_patient(tmp_path: Path, event: str) -> None:
    with receiving(tmp_path) as home:
        known = adt("A31", "k", "PID|1||1^^^^MR^FAC1||TEST^ANN||19720229|F")
        applied(home, known, *chart("1", "202601150931"), merge(event, "m", "2", "1", "202601150940"))
        patient = held(home, "Patient", "FAC1-MR-2")
        assert patient is not None and patient["pid"]["7"] == [{"1": "19720229"}]
        assert patient["pid"]["3"][0]["1"] == "2" and patient["replaced"] == [{"id": "FAC1-MR-1"}]
        assert owners(home, "Encounter") == [("2", "1")]


def test_events_that_part_move_or_delete_are_dead_letters_and_change_nothing(tmp_path: Path) -> None:
    events = sorted(NOT_CARRIED_OUT)
    assert {"A37", "A43", "A23"} <= set(events)
    with receiving(tmp_path) as home:
        applied(home, *chart("1"))
        before = {kind: all_held(home, kind) for kind in ("Patient", *KINDS)}
        remarks = applied(home, *(merge(event, event, "1", "2", "202601150940") for event in events))
        assert remarks == ["hl7.event_not_carried_out"] * len(events)
        assert {one.state for one in stored(home)[2:]} == {"dead"}
        assert {kind: all_held(home, kind) for kind in ("Patient", *KINDS)} == before


def test_the_local_record_follows_its_patient_keeps_edits_and_shows_both_in_its_history(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        synced(home, *chart("1"), *chart("2"))
        [told] = [one for one in all_held(home, "Encounter") if one["patient"]["id"] == "FAC1-MR-1"]
        before = record_of(home, "hospital", "Encounter", told["id"])
        noted = json.loads(before.body) | {"reasonCode": [{"text": "seen again"}]}
        body = json.dumps(noted).encode()
        edit_record(home.database, before.record_id, body, seen_version=before.version, actor="dr")

        report = synced(home, merge("A40", "m", "2", "1", "202601150940"))

        assert report.error_count == 0
        after = fhir(home, "Encounter", told["id"])
        assert after["subject"]["reference"] == "Patient/FAC1-MR-2"
        assert {"url": "urn:holovitals:hl7v2:told-patient", "valueString": "FAC1-MR-1"} in after["extension"]
        assert after["reasonCode"] == [{"text": "seen again"}]
        versions = [read_record(home.database, before.record_id, version=number) for number in (1, 2, 3)]
        subjects = [json.loads(one.body)["subject"]["reference"] for one in versions]
        assert subjects == ["Patient/FAC1-MR-1", "Patient/FAC1-MR-1", "Patient/FAC1-MR-2"]
        assert synced(home).total.updated == 0
