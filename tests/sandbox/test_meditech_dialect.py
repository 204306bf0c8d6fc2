"""MEDITECH's feed as a receiver meets it: bare sockets, and PyPI's `hl7` to read what comes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import hl7
import pytest

from sandbox.loopback import Loopback, serving
from sandbox.mllp_ends import Receiver, Site, number_of, told


@pytest.fixture(scope="module")
def shared() -> Iterator[Loopback]:
    with serving(dialects=("meditech",), patients=5) as running:
        yield running


@pytest.fixture
def site(shared: Loopback) -> Iterator[Site]:
    yield Site(shared)
    shared.admin("POST", "meditech/feed", json={})
    shared.admin("POST", "meditech/settings", json={"attempts_on_error": 3, "piece_bytes": 0, "late_seconds": 0})


def test_everything_it_holds_is_told_as_visits_results_vaccinations_and_documents(site: Site) -> None:
    receiver = Receiver()
    site.feed(receiver, start="start")
    progress = site.sent_all()
    assert progress == {
        "pending": 0, "sent": len(receiver.frames), "accepted": len(receiver.frames), "rejected": 0, "untold": 0,
    }  # fmt: skip
    counts = site.sandbox.admin("GET", "counts")["meditech"]
    assert len(receiver.of("A04")) + len(receiver.of("A01")) == counts["Encounter"] == len(receiver.of("A03"))
    assert len(receiver.of("A08")) == counts["Patient"]
    assert len(receiver.of("V04")) == counts["Immunization"]
    assert len(receiver.of("T02")) == counts["DocumentReference"]
    assert len(receiver.of("O01")) == counts["DiagnosticReport"]
    controls = [told(message, "MSH.F10") for message in receiver.messages()]
    assert all(map(str.isdecimal, controls)) and len(set(controls)) == len(controls)


def test_an_admission_message_has_meditechs_habits(site: Site) -> None:
    receiver = Receiver()
    patient = site.first("Patient")
    site.feed(receiver)
    site.edit("Patient", patient["id"], maritalStatus=patient.get("maritalStatus"))
    site.sent_all()
    frame, [message] = receiver.frames[0], receiver.messages()
    assert frame.endswith(b"|\r") and b"\rZFH|CVC||F||note|\r" in frame
    assert [told(message, f"MSH.F{n}") for n in (3, 4, 5, 6, 9, 11, 12)] == [
        "ADM", "FAC1", "", "", "ADT^A08", "P", "2.4",
    ]  # fmt: skip
    assert [told(message, f"MSH.F{n}") for n in (15, 16)] == ["AL", "NE"]
    assert len(told(message, "MSH.F7")) == 12
    assert told(message, "PID.F3").startswith(f"{number_of(patient)}^^^^MR^FAC1~")
    assert told(message, "PID.F3.R3.C5") == "HUB"
    assert told(message, "PID.F18").startswith("MA") and told(message, "PV1.F19") == ""
    assert told(message, "PV1.F39") == "FAC1" and told(message, "PV1.F41") == "DIS"
    assert {"NK1", "IN1"} <= {str(segment[0]) for segment in message}


def test_a_midnight_run_stands_in_evn_now_and_then(site: Site) -> None:
    receiver = Receiver()
    site.feed(receiver, start="start")
    site.sent_all()
    by = {frame.split(b"\r")[1].split(b"|")[5] for frame in receiver.frames if b"|ADT^A03|" in frame}
    assert by == {b"UNKNOWN^RUN^MIDNT", b"ADMCLERK"}


def test_results_carry_loinc_in_the_alternate_triplet_and_escaped_units(site: Site) -> None:
    receiver, ordered = Receiver(), site.first("DiagnosticReport")
    observation = ordered["result"][0]["reference"].partition("/")[2]
    held = site.held("Observation", observation)
    site.feed(receiver)
    quantity = {"value": 10.1, "unit": "10^9/L"}
    site.edit("Observation", observation, status="corrected", valueQuantity=quantity)
    site.sent_all()
    [message] = receiver.messages()
    row = next(s for s in receiver.frames[0].decode().split("\r") if s.startswith("OBX|1|")).split("|")
    loinc = held["code"]["coding"][0]["code"]
    assert told(message, "MSH.F3") == "LAB" and told(message, "MSH.F12") == "2.3"
    assert row[3].split("^")[3] == loinc and row[3].split("^")[2::3] == ["00065227", "pCLOCD"]
    assert (row[5], row[6], row[10], row[11]) == ("10.1", r"10\S\9/L", "A~S", "C")
    assert len(row[14]) == 12 and row[15] == "FAC1^Sandbox Hospital^L"
    assert told(message, "OBR.F2").startswith(f"{told(message, 'OBR.F3')}30")


def test_allergies_and_diagnoses_are_a_snapshot_of_the_record(site: Site) -> None:
    receiver, condition = Receiver(), site.first("Condition")
    patient = condition["subject"]["reference"].partition("/")[2]
    codes = {one["system"].rpartition("/")[2]: one["code"] for one in condition["code"]["coding"]}
    peanuts = {
        "resourceType": "AllergyIntolerance", "id": "peanuts", "patient": condition["subject"], "category": ["food"],
        "code": {"text": "Peanuts"}, "reaction": [{"manifestation": [{"text": "Hives"}], "severity": "severe"}],
    }  # fmt: skip
    site.feed(receiver)
    site.sandbox.admin("PUT", "meditech/AllergyIntolerance/peanuts", json=peanuts)
    site.edit("Condition", condition["id"], recordedDate="2026-06-01")
    site.sandbox.admin("DELETE", "meditech/AllergyIntolerance/peanuts")
    site.sent_all()
    rows = [
        [line.split("|") for line in frame.decode().split("\r") if line.startswith("AL1")] for frame in receiver.frames
    ]
    told_of = [next((row for row in of if "^Peanuts^^Peanuts^allergy.id" in row[3]), None) for of in rows]
    assert [row is not None for row in told_of] == [True, True, False]
    assert told_of[0] is not None and told_of[0][2] == "FA" and told_of[0][4:6] == ["SV", "Hives"]
    assert {told(message, "MSH.F9") for message in receiver.messages()} == {"ADT^A08"}
    diagnoses = [line for line in receiver.frames[1].decode().split("\r") if line.startswith("DG1")]
    assert any(f"|{codes['icd-10-cm']}^" in line and f"^{codes['sct']}^" in line for line in diagnoses)
    assert number_of(site.held("Patient", patient)) in receiver.frames[0].decode()


def test_times_are_the_sites_own_minutes(site: Site) -> None:
    receiver, patient = Receiver(), site.first("Patient")["id"]
    site.feed(receiver)
    visit = {
        "resourceType": "Encounter", "id": "summer", "status": "finished", "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{patient}"},
        "period": {"start": "2026-07-01T02:30:59Z", "end": "2026-01-01T00:00:00+01:00"},
    }  # fmt: skip
    site.sandbox.admin("PUT", "meditech/Encounter/summer", json=visit)
    site.sent_all()
    [message] = receiver.messages()
    assert (told(message, "PV1.F44"), told(message, "PV1.F45")) == ("202606302230", "202512311800")
    site.sandbox.admin("DELETE", "meditech/Encounter/summer")
    site.sent_all()
    assert told(receiver.messages()[1], "MSH.F9") == "ADT^A11"


def test_a_visit_is_told_step_by_step(site: Site) -> None:
    receiver, patient = Receiver(), site.first("Patient")["id"]
    places = site.sandbox.ids("meditech", "Location")
    site.feed(receiver)
    visit: dict[str, Any] = {
        "resourceType": "Encounter", "id": "steps", "status": "planned", "class": {"code": "IMP"},
        "subject": {"reference": f"Patient/{patient}"}, "period": {"start": "2026-06-01T10:00:00Z"},
        "location": [{"location": {"reference": f"Location/{places[0]}"}}],
    }  # fmt: skip
    moved = [{"location": {"reference": f"Location/{places[1]}"}}]
    steps: tuple[dict[str, Any], ...] = (
        {}, {"status": "in-progress"}, {"location": moved}, {"status": "finished"}, {"status": "in-progress"},
        {"class": {"code": "IMP", "display": "inpatient"}}, {"status": "cancelled"},
    )  # fmt: skip
    for step in steps:
        visit |= step
        site.sandbox.admin("PUT", "meditech/Encounter/steps", json=visit)
    site.sent_all()
    events = [told(message, "MSH.F9.R1.C2") for message in receiver.messages()]
    assert events == ["A05", "A01", "A02", "A03", "A13", "A08", "A11"]
    assert [told(m, "PV1.F3") for m in receiver.messages()][1] != told(receiver.messages()[2], "PV1.F3")
    site.sandbox.admin("DELETE", "meditech/Encounter/steps")


def test_two_patients_who_turn_out_to_be_one_are_told_as_a40_and_nothing_else(site: Site) -> None:
    receiver = Receiver()
    survivor, retired = site.sandbox.ids("meditech")[:2]
    numbers = [number_of(site.held("Patient", one)) for one in (survivor, retired)]
    site.feed(receiver)
    site.sandbox.admin("POST", "meditech/merge", json={"retired": retired, "survivor": survivor})
    site.sent_all()
    [message] = receiver.messages()
    assert told(message, "MSH.F9") == "ADT^A40"
    assert [told(message, "PID.F3.R1.C1"), told(message, "MRG.F1.R1.C1")] == numbers
    assert told(message, "MRG.F1.R1.C5") == "MR" and told(message, "MRG.F1.R1.C6") == "FAC1"
    site.feed(again := Receiver(), start="start")
    site.sent_all()
    assert told(again.messages()[-1], "MSH.F9") == "ADT^A40", "behind everything that is held"
    assert [told(m, "PID.F3.R1.C1") for m in again.of("A31")] == numbers[1:]


def test_with_two_links_results_go_over_their_own(site: Site) -> None:
    admissions, results = Receiver(), Receiver()
    site.feed(admissions, results, start="start")
    site.sent_all()
    kinds = [{frame.split(b"|")[8].partition(b"^")[0] for frame in one.frames} for one in (admissions, results)]
    assert kinds == [{b"ADT", b"MDM", b"VXU"}, {b"ORU", b"ORM"}]


def test_orders_are_told_as_oml_or_not_at_all(site: Site) -> None:
    receiver, report = Receiver(), site.first("DiagnosticReport")
    order = {
        "resourceType": "ServiceRequest", "id": "o1", "status": "active", "intent": "order", "code": report["code"],
        "subject": report["subject"], "authoredOn": "2026-06-01T10:00:00Z",
    }  # fmt: skip
    site.feed(receiver)
    try:
        for kind in ("OML^O21", ""):
            site.turn(orders=kind)
            site.sandbox.admin("PUT", "meditech/ServiceRequest/o1", json=order)
        site.sent_all()
    finally:
        site.turn(orders="ORM^O01")
    assert [told(message, "MSH.F9") for message in receiver.messages()] == ["OML^O21"]


@pytest.mark.parametrize(("code", "times"), [("AE", 3), ("CE", 3), ("AR", 1), ("CR", 1)])
def test_a_refused_message_is_sent_again_only_where_that_may_help(site: Site, code: str, times: int) -> None:
    receiver = Receiver(lambda message, number: code if b"A08" in message[:60] else "AA")
    site.feed(receiver)
    patient = site.first("Patient")["id"]
    site.edit("Patient", patient, gender="other")
    progress = site.sent_all()
    assert len(receiver.frames) == times and len(set(receiver.frames)) == 1
    assert (progress["rejected"], progress["accepted"]) == (1, 0)


def test_the_same_bytes_come_again_after_a_lost_answer_a_late_one_and_as_a_duplicate(site: Site) -> None:
    receiver = Receiver(lambda message, number: None if number == 1 else "AA")
    patient = site.first("Patient")["id"]
    site.turn(resend_seconds=0.05, reconnect_seconds=0.01)
    try:
        site.feed(receiver)
        site.edit("Patient", patient, gender="female")
        site.sent_all()
        assert len(receiver.frames) == 2 and receiver.frames[0] == receiver.frames[1]
        for knob in ("lost_acks", "duplicates"):
            before = len(receiver.frames)
            site.turn(**{knob: 1})
            site.edit("Patient", patient, gender="male")
            site.edit("Patient", patient, gender="female")
            site.sent_all()
            fresh = receiver.frames[before:]
            assert len(fresh) == 3 and len(set(fresh)) == 2, knob
    finally:
        site.turn(resend_seconds=10, reconnect_seconds=0.2)


def test_a_receiver_that_went_away_gets_everything_once_it_is_back(site: Site) -> None:
    first = Receiver()
    site.turn(reconnect_seconds=0.01)
    try:
        site.feed(first)
        patient = site.first("Patient")["id"]
        site.edit("Patient", patient, gender="male")
        site.sent_all()
        first.door.shutdown(socket.SHUT_RDWR)
        first.door.close()
        for line in first.lines:
            line.shutdown(socket.SHUT_RDWR)
        for gender in ("female", "other", "male"):
            site.edit("Patient", patient, gender=gender)
        assert site.progress()["pending"] == 3
        again = Receiver(port=first.port)
        site.sent_all()
        assert [told(m, "PID.F8") for m in again.messages()] == ["F", "O", "M"]
    finally:
        site.turn(reconnect_seconds=0.2)


def test_a_message_may_come_in_pieces(site: Site) -> None:
    receiver = Receiver()
    site.turn(piece_bytes=7)
    site.feed(receiver)
    site.edit("Patient", site.first("Patient")["id"], gender="female")
    site.sent_all()
    assert len(receiver.frames) == 1 and hl7.parse(receiver.frames[0].decode())
