"""Which acknowledgements are written, to whom, and what is read of those that come back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holovitals_pipelines.model.connection import Hl7v2Settings
from holovitals_pipelines.providers.clock import Clock
from holovitals_pipelines.providers.hl7v2.acknowledgement import (
    Acknowledgement,
    Acknowledger,
    Answer,
    Fault,
    read_acknowledgement,
)
from holovitals_pipelines.providers.hl7v2.header import read_header

NOW = datetime(2026, 1, 15, 9, 31, 7, tzinfo=UTC)
LOCKED = ("206", "The record is locked")


def acknowledger() -> Acknowledger:
    return Acknowledger(Hl7v2Settings(application="HV", facility="OURS"), Clock(now=lambda: NOW))


def message(fields: str, *, version: str = "2.4", more: str = "") -> bytes:
    return f"MSH|^~\\&|{fields}|202601150930||ADT^A08|9000121|P|{version}{more}\rEVN|A08\r".encode()


def answered(body: bytes, answer: Answer) -> list[str]:
    return [one.decode() for one in acknowledger().answers(read_header(body), answer)]


def codes(accept: str, application: str, code: str) -> list[str]:
    body = message("ADM|FAC1||", more=f"|||{accept}|{application}")
    answer = Answer(code, None if code == "AA" else LOCKED)  # type: ignore[arg-type]
    return [
        told.code for one in acknowledger().answers(read_header(body), answer) if (told := read_acknowledgement(one))
    ]


def test_an_answer_goes_back_to_the_sender_and_names_the_message() -> None:
    assert answered(message("ADM|FAC1|THEM|THERE"), Answer("AA")) == [
        "MSH|^~\\&|THEM|THERE|ADM|FAC1|20260115093107+0000||ACK^A08|26011509310700000001|P|2.4\rMSA|AA|9000121\r"
    ]


def test_we_name_ourselves_where_the_sender_named_nobody() -> None:
    assert answered(message("ADM|FAC1||"), Answer("AA"))[0].startswith("MSH|^~\\&|HV|OURS|ADM|FAC1|")


def test_an_error_before_2_5_is_one_composite_and_a_text() -> None:
    told = answered(message("ADM|FAC1||"), Answer("AE", LOCKED))[0]
    assert told.split("\r")[1:] == [
        "MSA|AE|9000121|The record is locked",
        "ERR|^^^206&The record is locked&HL70357",
        "",
    ]


@pytest.mark.parametrize("version", ["2.5", "2.5.1", "2.7"])
def test_an_error_from_2_5_on_has_its_code_and_severity_in_fields_of_their_own(version: str) -> None:
    told = answered(message("ADM|FAC1||", version=version), Answer("AR", LOCKED))[0]
    assert told.split("\r")[1:] == ["MSA|AR|9000121", "ERR|||206^The record is locked^HL70357|E", ""]


@pytest.mark.parametrize(
    ("accept", "application", "accepted", "refused"),
    [
        ("", "", ["AA"], ["AE"]),
        ("AL", "NE", ["CA"], ["CE"]),
        ("AL", "", ["CA"], ["CE"]),
        ("NE", "AL", ["AA"], ["AE"]),
        ("", "AL", ["AA"], ["AE"]),
        ("AL", "AL", ["CA", "AA"], ["CE", "AE"]),
        ("ER", "NE", [], ["CE"]),
        ("SU", "NE", ["CA"], []),
        ("ER", "SU", ["AA"], ["CE"]),
        ("NE", "ER", [], ["AE"]),
        ("NE", "NE", [], []),
        ("", "NE", ["AA"], ["AE"]),
        ("??", "NE", ["CA"], ["CE"]),
    ],
)
def test_the_sender_chooses_its_acknowledgements(
    accept: str, application: str, accepted: list[str], refused: list[str]
) -> None:
    assert codes(accept, application, "AA") == accepted
    assert codes(accept, application, "AE") == refused
    assert codes(accept, application, "AR") == [code[0] + "R" for code in refused]


def test_what_is_no_message_is_answered_without_an_id() -> None:
    told = [one.decode() for one in acknowledger().answers(None, Answer("AR", ("100", "no MSH")))]
    assert told == [
        "MSH|^~\\&|HV|OURS|||20260115093107+0000||ACK|26011509310700000001|P|2.4\r"
        "MSA|AR||no MSH\rERR|^^^100&no MSH&HL70357\r"
    ]


def test_the_senders_separators_and_character_set_are_kept() -> None:
    body = "MSH#*~$%#ADM#KÖLN####|#ADT*A08#9|1#P#2.4######8859/1\r".encode("latin-1")
    told = next(acknowledger().answers(read_header(body), Answer("AE", ("207", "50% of # is * too much"))))
    lines = told.decode("latin-1").split("\r")
    assert lines[0].startswith("MSH#*~$%#HV#OURS#ADM#KÖLN#") and lines[0].endswith("#P#2.4######8859/1")
    assert lines[1] == "MSA#AE#9|1#50$T$ of $F$ is $S$ too much"


@pytest.mark.parametrize("marks", ["^~\\\\&", "^~}", "^"])
def test_separators_that_cannot_serve_are_replaced_by_the_usual_ones(marks: str) -> None:
    body = f"MSH|{marks}|ADM^1|FAC|||1||ADT^A08|77|P|2.6\r".encode()
    told = next(acknowledger().answers(read_header(body), Answer("AA"))).decode()
    assert told.startswith("MSH|^~\\&|HV|OURS|ADM^1|FAC|") and "\rMSA|AA|77\r" in told


def test_control_ids_of_answers_never_repeat() -> None:
    writer = acknowledger()
    header = read_header(message("A|B||"))
    ids = [read_header(one).control_id for _ in range(50) for one in writer.answers(header, Answer("AA"))]
    assert len(set(ids)) == 50 and all(len(one) <= 20 for one in ids)


@pytest.mark.parametrize("line_end", ["\r", "\r\n", "\n"])
def test_an_acknowledgement_is_read_in_both_forms_of_err(line_end: str) -> None:
    msh = "MSH|^~\\&|LAB|F|HV||1||ACK^A08|1|P|2.4"
    old = [msh, "MSA|AE|77|Value unknown||| 207^internal^HL70357", "ERR|PID^1^16^103&Table value not found&HL70357"]
    new = [msh, "MSA|CR|77", "ERR||PID^1^8|103^Table value not found^HL70357|e||||Not in the table"]
    assert read_acknowledgement(line_end.join(old).encode()) == Acknowledgement(
        "AE", "77", "Value unknown", (Fault("207", "internal"), Fault("103", "Table value not found", "PID-16"))
    )
    assert read_acknowledgement(line_end.join(new).encode()) == Acknowledgement(
        "CR", "77", "", (Fault("103", "Not in the table", "PID-8"),)
    )


def test_a_message_that_acknowledges_nothing_is_none() -> None:
    assert read_acknowledgement(message("A|B||")) is None


plain = st.text(st.characters(codec="utf-8", exclude_characters="|^~\\&\r\n\0\x0b\x1c"), max_size=20)


@given(
    plain, plain, plain, st.sampled_from(["AA", "AE", "AR"]), st.text(max_size=30), st.sampled_from(["2.3", "2.5.1"])
)
def test_what_is_written_is_read_again(
    application: str, facility: str, control_id: str, code: str, words: str, version: str
) -> None:
    body = f"MSH|^~\\&|{application}|{facility}|||1||ADT^A08|{control_id}|P|{version}\r".encode()
    told = next(acknowledger().answers(read_header(body), Answer(code, ("207", words))))  # type: ignore[arg-type]
    read = read_acknowledgement(told)
    assert read is not None and (read.code, read.control_id) == (code, control_id)
    assert [fault.code for fault in read.faults] == ["207"]
    sent_to = read_header(told)
    assert (sent_to.receiving_application, sent_to.receiving_facility) == (application, facility)
