"""What a message tells of a record, merged into what is known: the laws, and the cases that cost patients something."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.hl7v2_document import read_message
from holovitals_pipelines.transform.hl7v2_merging import content_of, is_late, merge, newest, only_repeats, retirement
from holovitals_pipelines.transform.hl7v2_records import records_of, retired_patient
from holovitals_pipelines.transform.hl7v2_times import in_zone

from .messages import header, message


def told(*segments: str, kind: str = "ADT^A08", of: str = "Patient") -> Document:
    return records_of(read_message(message(header(kind), *segments)))[of][0]


def patient(rest: str, **more: Any) -> Document:
    """A patient whose PID has `rest` from PID-5 on."""
    return told(f"PID|1||417^^^^MR^FAC1||{rest}", **more)


texts = st.sampled_from(["", '""', "A", "B^C", '""^D', 'E^""', "F~G", 'H~""', '~""^I'])
pids = st.lists(texts, min_size=1, max_size=6).map(lambda fields: patient("|".join(fields)))


@given(known=pids, news=pids)
@settings(max_examples=150, deadline=None)
def test_telling_the_same_once_more_changes_nothing(known: Document, news: Document) -> None:
    once = merge(merge(None, known), news)
    assert merge(once, news) == once


@given(known=pids)
@settings(max_examples=50, deadline=None)
def test_a_message_without_fields_changes_nothing(known: Document) -> None:
    known = merge(None, known)
    assert content_of(merge(known, patient(""))) == content_of(known)


@given(known=pids, news=pids)
@settings(max_examples=100, deadline=None)
def test_a_late_message_never_changes_what_is_known(known: Document, news: Document) -> None:
    known = merge(None, known)
    after = merge(known, news, fill_only=True)
    assert {name: after["pid"][name] for name in known["pid"]} == known["pid"]
    assert after == merge(after, news, fill_only=True)


@given(known=pids, news=st.lists(texts, min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_the_last_word_on_each_field_counts(known: Document, news: list[str]) -> None:
    after = merge(merge(None, known), patient("|".join(news)))["pid"]
    for place, text in enumerate(news, start=5):
        if text and '""' not in text:
            assert after[str(place)] == patient("|".join(news))["pid"][str(place)]
        if text == '""':
            assert str(place) not in after


def test_a_value_after_a_null_is_there_and_the_null_is_forgotten() -> None:
    deleted = merge(patient("TEST^ALPHA||19720229|F"), patient('TEST^ALPHA||""'))
    assert "7" not in deleted["pid"] and deleted["pid"]["null"] == ["7"]
    assert deleted["pid"]["8"] == [{"1": "F"}]
    again = merge(deleted, patient("||19720301"))
    assert again["pid"]["7"] == [{"1": "19720301"}] and "null" not in again["pid"]


def test_a_null_component_alone_takes_that_component_away() -> None:
    after = merge(patient("TEST^ALPHA^B"), patient('^^""'))
    assert after["pid"]["5"] == [{"1": "TEST", "2": "ALPHA"}]


def test_what_was_deleted_is_not_brought_back_by_a_late_message() -> None:
    deleted = merge(patient("TEST||19720229"), patient('TEST||""'))
    assert "7" not in merge(deleted, patient("TEST||19720229"), fill_only=True)["pid"]


def test_a_field_is_replaced_with_all_its_repetitions() -> None:
    after = merge(patient("TEST^A^^^^^L~OLD^B^^^^^M"), patient("TEST^C^^^^^L"))
    assert after["pid"]["5"] == [{"1": "TEST", "2": "C", "7": "L"}]


def test_unknown_segments_stay_until_their_name_is_told_again() -> None:
    known = told("PID|1||417^^^^MR^FAC1", "IN1|1|PLAN9", "ZFH|CVC")
    after = merge(known, told("PID|1||417^^^^MR^FAC1", "ZFH|NEW"))
    assert [one["segment"] for one in after["others"]] == ["IN1", "ZFH"]
    assert after["others"][1]["1"] == [{"1": "NEW"}]


def test_a_result_repeats_of_its_patient_only_what_nobody_told() -> None:
    admitted, measured = patient("TEST^ALPHA"), patient("OTHER", kind="ORU^R01")
    assert only_repeats("Patient", admitted, measured)
    assert not only_repeats("Patient", measured, admitted)
    assert not only_repeats("Patient", measured, measured)
    assert not only_repeats("Observation", admitted, measured)


def result(value: str, flag: str, status: str) -> Document:
    segments = ("PID|1||417^^^^MR^FAC1", "OBR|1||77|57021-8^CBC^LN")
    obx = f"OBX|1|NM|6690-2^Leukocytes^LN||{value}|10*9/L|3-9|{flag}|||{status}|||202601150916|FAC1^Lab"
    return told(*segments, obx, kind="ORU^R01", of="Observation")


def test_a_corrected_value_does_not_keep_the_flag_of_the_old_one() -> None:
    after = merge(result("12.1", "H", "F"), result("8.1", "", "C"))
    assert after["obx"]["5"] == [{"1": "8.1"}] and "8" not in after["obx"]
    assert after["obx"]["15"] == [{"1": "FAC1", "2": "Lab"}]


def test_a_corrected_report_keeps_the_results_it_does_not_repeat() -> None:
    segments = ("PID|1||417^^^^MR^FAC1", "OBR|1||77|57021-8^CBC^LN")
    both = told(*segments, "OBX|1|ST|1^One^L||a", "OBX|2|ST|2^Two^L||b", kind="ORU^R01", of="DiagnosticReport")
    one = told(*segments, "OBX|1|ST|2^Two^L||c", kind="ORU^R01", of="DiagnosticReport")
    assert len(both["results"]) == 2
    assert merge(both, one)["results"] == both["results"]


def visit(event: str, pv1: str = "") -> Document:
    return told("PID|1||417^^^^MR^FAC1|||||||||||||||A1", f"PV1|1|I{pv1}", kind=f"ADT^{event}", of="Encounter")


@pytest.mark.parametrize(
    ("events", "last"),
    [
        (["A01", "A08"], "A01"), (["A01", "A03", "A08"], "A03"), (["A01", "A11", "A08"], "A11"),
        (["A01", "A03", "A13"], "A13"), (["A08", "A03"], "A03"), (["A08", "A31"], "A31"),
    ],
)  # fmt: skip
def test_an_update_says_nothing_of_a_visits_status(events: list[str], last: str) -> None:
    record: Document | None = None
    for event in events:
        record = merge(record, visit(event))
    assert record is not None and record["event"] == last


def test_a_cancelled_discharge_has_no_time() -> None:
    discharged = merge(visit("A01"), visit("A03", "|" * 43 + "202601161200"))
    assert discharged["pv1"]["45"] == [{"1": "202601161200"}]
    assert "45" not in merge(discharged, visit("A13"))["pv1"]


@pytest.mark.parametrize(
    ("known", "news", "late"),
    [
        ("202601150930", "202601150929", True), ("202601150930", "202601150930", False),
        ("202601150930", "20260115092959", False), ("202601150930-0500", "202601150929-0500", True),
        ("202601150930-0500", "202601150929-0400", False), (None, "202601150929", False), ("20260115", None, False),
    ],
)  # fmt: skip
def test_only_times_of_the_same_precision_are_compared(known: str | None, news: str | None, late: bool) -> None:
    assert is_late(known, news) is late
    assert newest(known, news) == (known if late or news is None else news)


def test_a_merge_names_the_old_number_and_keeps_every_number_that_was_merged() -> None:
    pid = "PID|1||417^^^^MR^FAC1||TEST"
    first, second = (told(pid, f"MRG|{number}^^^^MR", kind="ADT^A40") for number in ("55", "66"))
    assert retired_patient(first) == "FAC1-MR-55"
    retired = retirement(first, "FAC1-MR-55")
    assert retired["replacedBy"] == {"id": "FAC1-MR-417"} and retired["pid"]["3"][0]["1"] == "55"
    assert [one["1"] for one in merge(first, second)["mrg"]["1"]] == ["55", "66"]


def test_a_number_in_mrg_of_another_event_retires_nobody() -> None:
    assert retired_patient(told("PID|1||417^^^^MR^FAC1", "MRG|55^^^^MR", kind="ADT^A08")) is None


def test_local_times_get_the_zones_offset_and_doubtful_ones_none() -> None:
    record = visit("A03", "|" * 42 + "202603080115|202603080230")
    placed = in_zone(record, "America/New_York")
    assert placed["pv1"]["44"] == [{"1": "202603080115-0500"}]
    assert placed["pv1"]["45"] == record["pv1"]["45"] and placed["doubtfulTimes"] == {"pv1.45": "nonexistent_time"}
    fold = in_zone(visit("A03", "|" * 43 + "202611010130"), "America/New_York")
    assert fold["doubtfulTimes"] == {"pv1.45": "ambiguous_time"}
