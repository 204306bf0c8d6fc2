"""Writing messages: the exact way back from reading them."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.transform.hl7v2_document import read_message
from holovitals_pipelines.transform.hl7v2_records import records_of
from holovitals_pipelines.transform.hl7v2_writing import write_message

from .messages import ALL

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "hl7v2-messages"

texts = st.one_of(
    st.text(min_size=1, max_size=8),
    st.text(alphabet="|^~\\&#\r\n\x0b\x1c.brHEX0DN", min_size=1, max_size=12),
    st.just('""'),
)
places = st.one_of(
    st.integers(1, 12).map(str), st.builds(lambda a, b: f"{a}.{b}", st.integers(1, 9), st.integers(2, 4))
)
repetitions = st.lists(st.dictionaries(places, texts, max_size=3), min_size=1, max_size=3)
fields = st.dictionaries(st.integers(1, 40).map(str), repetitions, max_size=4)
marks = st.sampled_from([("|", "^~\\&"), ("|", "^~\\&#"), ("#", "*~$%")])


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    field, separators = draw(marks)
    header = {at: value for at, value in draw(fields).items() if at not in ("1", "2")}
    names = st.sampled_from(["PID", "OBX", "ZFH", "AL1"])
    more = draw(st.lists(st.builds(lambda name, held: {"segment": name, **held}, names, fields), max_size=4))
    return {"segments": [{"segment": "MSH", "1": field, "2": separators, **header}, *more]}


@settings(max_examples=120, deadline=None)
@given(documents())
def test_what_is_written_is_read_back_as_the_same_document(document: dict[str, Any]) -> None:
    written = write_message(document)
    assert read_message(written) == document
    assert write_message(read_message(written)) == written


def test_a_message_keeps_its_bytes_but_for_trailing_separators() -> None:
    body = (
        b"MSH|^~\\&|LAB|FAC1|LAB||202601150917||ORU^R01|9000345|P|2.3|||AL|NE\r"
        b"OBR|1|PT1:H1|301.0100^CBC^0006^57021-8^CBC \\T\\ Diff^pCLOCD~second|||||A&B&&C\r"
        b'NTE|1||one\\.br\\two \\H\\three\\N\\|""\r'
    )
    assert write_message(read_message(body)) == body


def test_line_breaks_of_a_text_never_end_its_segment() -> None:
    document = {"segments": [{"segment": "MSH"}, {"segment": "NTE", "3": [{"1": "a\r\nPID|1\x0b\x1c"}]}]}
    assert write_message(document) == b"MSH|^~\\&\rNTE|||a\\X0D\\\\X0A\\PID\\F\\1\\X0B\\\\X1C\\\r"


def test_what_records_put_aside_as_null_is_null_again() -> None:
    pid = {"segment": "PID", "8": [{"1": '""'}], "13": [{"1": "5551"}, {"1": "5552", "2": '""'}], "3": [{"1": "417"}]}
    message = {"segments": [{"segment": "MSH", "1": "|", "2": "^~\\&"}, pid]}
    record = records_of(read_message(write_message(message)))["Patient"][0]
    assert sorted(record["pid"]["null"]) == ["13[1].2", "8"]
    assert read_message(write_message({"segments": [message["segments"][0], record["pid"]]})) == message


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [{"segment": "PID"}],
        [{"segment": "MSH"}, {"segment": "MSH"}],
        [{"segment": "MSH"}, {"segment": "pid"}],
        [{"segment": "MSH", "1": "|", "2": "^^^^"}],
        [{"segment": "MSH", "1": "|", "2": "^~E&"}],
        [{"segment": "MSH"}, {"segment": "PID", "three": []}],
        [{"segment": "MSH"}, {"segment": "PID", "3": "Smith"}],
        [{"segment": "MSH"}, {"segment": "PID", "3": [{"1": 417}]}],
        [{"segment": "MSH"}, {"segment": "PID", "3": [{"one": "Smith"}]}],
        [{"segment": "MSH"}, {"segment": "PID", "3": [{"1": "Smith \ud800"}]}],
        [{"segment": "MSH"}, {"segment": "PID", "null": ["x"]}],
    ],
)
def test_what_is_no_message_is_refused_without_its_values(segments: list[Any]) -> None:
    with pytest.raises(MalformedResource) as caught:
        write_message({"segments": segments})
    assert caught.value.code == "hl7.unwritable"
    assert "Smith" not in str(caught.value) and caught.value.__context__ is None


@pytest.mark.parametrize("name", sorted(ALL))
def test_our_own_messages_are_read_back_as_they_were(name: str) -> None:
    document = read_message(ALL[name])
    assert read_message(write_message(document)) == document


def test_all_reference_messages_that_can_be_read_are_read_back_as_they_were() -> None:
    if not FOLDER.is_dir():
        pytest.skip(f"the reference data is not there: {FOLDER}")
    unread = unwritten = 0  # none may be lost in reading; what we never send need not be written
    with gzip.open(FOLDER / "messages.jsonl.gz") as file:
        bodies = [base64.b64decode(orjson.loads(line)["bytes_b64"]) for line in file]
    for body in bodies:
        try:
            document = read_message(body, "latin-1")
        except MalformedResource:
            unread += 1
            continue
        try:
            written = write_message(document)
        except MalformedResource:
            unwritten += 1  # two have other separators than five, one is several messages in one
            continue
        assert read_message(written) == document
    assert (len(bodies), unread, unwritten) == (139, 0, 3)
