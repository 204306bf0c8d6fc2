"""Reading MSH from a message's bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.providers.hl7v2.header import Header, read_header

MSH = (
    rb"MSH|^~\&|ADM|FAC1|HV|OURS|202601150930||ADT^A08^ADT_A01|9000121|P^T|2.4^USA||| AL |ne||UNICODE UTF-8~ASCII"
    b"\rEVN|A08\r"
)


def test_every_member_is_the_field_it_is_named_for() -> None:
    assert read_header(MSH) == Header(
        field_separator="|",
        encoding_characters="^~\\&",
        sending_application="ADM",
        sending_facility="FAC1",
        receiving_application="HV",
        receiving_facility="OURS",
        time="202601150930",
        message_type="ADT",
        trigger="A08",
        structure="ADT_A01",
        control_id="9000121",
        processing_id="P",
        version="2.4",
        accept_ack="AL",
        application_ack="NE",
        character_set="UNICODE UTF-8",
        encoding="utf-8",
    )
    assert read_header(MSH).sender == "ADM|FAC1"
    assert read_header(MSH).event == "ADT^A08"


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\r\n\r\n", b"  \t", b"\xef\xbb\xbf\n", b"\0\0"])
@pytest.mark.parametrize("line_end", [b"\r", b"\n", b"\r\n", b"   \r", b"\0\0\r"])
def test_what_stands_before_msh_and_how_lines_end_does_not_matter(before: bytes, line_end: bytes) -> None:
    header = read_header(before + b"MSH|^~\\&|A|B|||||ORU^R01|7|P|2.3" + line_end + b"PID|1" + line_end)
    assert (header.sender, header.event, header.control_id, header.version) == ("A|B", "ORU^R01", "7", "2.3")


def test_a_header_that_ends_early_has_empty_members() -> None:
    header = read_header(b"MSH|^~\\&|A")
    assert (header.sender, header.event, header.control_id, header.enhanced) == ("A|", "", "", False)


def test_separators_are_those_the_message_names() -> None:
    header = read_header(b"MSH#*~\\&#A*1.2*ISO#B#####ADT*A01#5#P#2.5.1\r")
    assert (header.sender, header.event, header.version) == ("A*1.2*ISO|B", "ADT^A01", "2.5.1")


def test_names_that_are_not_utf_8_are_read_byte_by_byte() -> None:
    header = read_header("MSH|^~\\&|KLINIK|KÖLN|||||ADT^A01|5|P|2.3\r".encode("latin-1"))
    assert (header.sending_facility, header.encoding) == ("KÖLN", "latin-1")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "hl7.malformed"),
        (b"hello", "hl7.malformed"),
        (b"MSH", "hl7.malformed"),
        (b"MSHA^~\\&A", "hl7.malformed"),
        (b"MSH||A|B", "hl7.malformed"),
        (b"PID|1\rMSH|^~\\&|A", "hl7.malformed"),
        (b"MSH|^~\\&|A\0B|C", "hl7.malformed"),
        (b"MSH|^~\\&|A|B|||||ADT^A01|" + b"7" * 201, "hl7.header_too_long"),
        (b"MSH|^~\\&|" + b"A" * 200 + b"|" + b"B" * 200 + b"|||||ADT^A01|7", "hl7.header_too_long"),
        (b"MSH|^~\\&|A|B|||||ADT^" + b"A" * 64 + b"|7", "hl7.header_too_long"),
    ],
)
def test_bytes_without_a_usable_header_are_refused_with_a_code(body: bytes, code: str) -> None:
    with pytest.raises(MalformedResource) as caught:
        read_header(body)
    assert caught.value.code == code
    assert caught.value.__context__ is None


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda rest: b"MSH|^~\\&|" + rest)))
def test_no_bytes_at_all_give_anything_but_a_header_or_that_error(body: bytes) -> None:
    try:
        header = read_header(body)
    except MalformedResource:
        return
    assert isinstance(header, Header)
