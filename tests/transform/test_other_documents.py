"""HL7 v2 messages and XML as documents: every text is in its place, and bad ones are refused without a value."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.transform.hl7v2_document import read_message, split_messages
from holovitals_pipelines.transform.paths import compile_path
from holovitals_pipelines.transform.xml_document import read_xml_document

MESSAGE = (
    "MSH|^~\\&|LAB|HOSP|||20260101||ORU^R01^ORU_R01|M1|P|2.5.1\r"
    'PID|1||00417^^^HOSP&1.2.3&ISO^MR~999^^^SSA^SS||LEE^ANN^^^^^L||19800229|F|||1 A\\T\\B ST^""\r\n'
    "OBX|1|NM|2345-7^Glucose^LN||5.40|mmol/L\n"
    "ZPI|kept\\.br\\here|\\X41C3A9\\\r"
)


def values(path: str, document: dict[str, Any]) -> list[Any]:
    return compile_path(path).all(document)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("segments.where(segment = 'MSH').`9`.`2`", ["R01"]),
        ("segments.where(segment = 'MSH').`1`", ["|"]),
        ("segments.where(segment = 'MSH').`2`", ["^~\\&"]),
        ("segments.where(segment = 'PID').`3`.where(`5` = 'MR').`1`", ["00417"]),
        ("segments.where(segment = 'PID').`3`.`1`", ["00417", "999"]),
        ("segments.where(segment = 'PID').`3`.`4.2`", ["1.2.3"]),
        ("segments.where(segment = 'PID').`11`.`1`", ["1 A&B ST"]),
        ("segments.where(segment = 'PID').`11`.`2`", ['""']),
        ("segments.where(segment = 'PID').`2`", []),
        ("segments.where(segment = 'OBX').`5`.`1`", ["5.40"]),
        ("segments.where(segment = 'ZPI').`1`.`1`", ["kept\\.br\\here"]),
        ("segments.where(segment = 'ZPI').`2`.`1`", ["A\u00e9"]),
    ],
)
def test_a_message_is_read_by_segment_field_and_component(path: str, found: list[Any]) -> None:
    assert values(path, read_message(MESSAGE.encode())) == found


def test_a_message_says_its_own_separators() -> None:
    document = read_message(b"MSH#*~!@#A\rPID#1##7*8@9")
    assert document["segments"][1] == {"segment": "PID", "1": [{"1": "1"}], "3": [{"1": "7", "2": "8", "2.2": "9"}]}


@given(st.lists(st.lists(st.text(alphabet="ab1 ", min_size=0, max_size=3), max_size=5), max_size=4))
def test_every_text_of_a_message_is_in_its_document(fields: list[list[str]]) -> None:
    line = "ZZZ|" + "|".join("^".join(components) for components in fields)
    segment = read_message(f"MSH|^~\\&|x\r{line}\r".encode())["segments"][1]
    for number, components in enumerate(fields, start=1):
        held = segment.get(str(number), [{}])[0]
        assert [held.get(str(place), "") for place in range(1, len(components) + 1)] == components


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "hl7.malformed"),
        (b"PID|1", "hl7.malformed"),
        (b"MSH|||", "hl7.malformed"),
        (b"MSH|^^\\&|SECRET", "hl7.malformed"),
        (b"MSH|^~\\&|A\rSECRET SEGMENT", "hl7.malformed"),
        (b"MSH|^~\\&|\xff", "hl7.encoding"),
    ],
)
def test_what_is_no_message_is_refused_without_a_value(body: bytes, code: str) -> None:
    with pytest.raises(MalformedResource) as refused:
        read_message(body)
    assert refused.value.code == code and "SECRET" not in str(refused.value)
    assert refused.value.__context__ is None


def test_the_messages_of_a_file_are_taken_apart_without_their_envelope() -> None:
    one, two = b"MSH|^~\\&|1\rPID|MSH|x\r", b"MSH|^~\\&|2\rPID|2\r"
    found = split_messages(b"FHS|^~\\&\rBHS|^~\\&\r" + one + two + b"BTS|2\rFTS|1\r")
    assert [read_message(message)["segments"][0]["3"][0]["1"] for message in found] == ["1", "2"]
    assert [len(read_message(message)["segments"]) for message in found] == [2, 2]


XML = (
    b'<?xml version="1.0"?><people xmlns="urn:a" n="2"><person id="7"><name>Lee</name><name> Li </name><gone/></person>'
    b'<person id="8">note<b xmlns="urn:b" c="1">x</b>end</person></people>'
)


def test_xml_is_read_by_element_and_attribute() -> None:
    assert read_xml_document(XML) == {
        "people": {
            "_xmlns": "urn:a",
            "_n": "2",
            "person": [
                {"_id": "7", "name": ["Lee", "Li"], "gone": {}},
                {"_id": "8", "b": {"_xmlns": "urn:b", "_c": "1", "_text": "x"}, "_text": "noteend"},
            ],
        }
    }
    assert values("people.person.where(_id = '7').name", read_xml_document(XML)) == ["Lee", "Li"]


@given(st.lists(st.sampled_from(["x", "yy", "z z"]), max_size=6))
def test_every_text_of_an_xml_document_is_in_it(texts: list[str]) -> None:
    body = "<r>" + "".join(f"<t>{text}</t>" for text in texts) + "</r>"
    found = re.findall(r"'([^']*)'", str(read_xml_document(body.encode()).get("r")).replace("'t'", ""))
    assert found == texts


def test_xml_with_entities_is_refused() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "SECRET">]><a>&b;</a>'
    with pytest.raises(MalformedResource) as refused:
        read_xml_document(bomb)
    assert "SECRET" not in str(refused.value)
