"""What we send is made of segments and is what HL7 allows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.connection import Hl7v2Settings
from holovitals_pipelines.providers.hl7v2.building import build_message, check_message, header
from holovitals_pipelines.transform.hl7v2_document import read_message

AT = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
EVN = {"segment": "EVN", "1": [{"1": "A31"}], "2": [{"1": "20260115093000"}]}
PID = {"segment": "PID", "3": [{"1": "417", "5": "MR", "6": "FAC1"}], "5": [{"1": "TEST & SON", "2": "ALPHA"}]}
PV1 = {"segment": "PV1", "2": [{"1": "N"}]}
OBR = {"segment": "OBR", "3": [{"1": "B7"}], "4": [{"1": "301", "2": "CBC", "3": "L"}]}
OBX = {
    "segment": "OBX", "2": [{"1": "NM"}], "3": [{"1": "301.5", "2": "WBC", "3": "L"}], "4": [{"1": "1"}],
    "5": [{"1": "10.1"}], "6": [{"1": "10^9/L"}], "11": [{"1": "F"}],
}  # fmt: skip
ORC = {"segment": "ORC", "1": [{"1": "RE"}]}


def built(event: str, *segments: dict[str, Any], version: str = "2.4") -> bytes:
    settings = Hl7v2Settings.model_validate(
        {"version": version, "application": "HV", "receiving_application": "ADM", "receiving_facility": "FAC1"}
    )
    return build_message({"segments": [header(settings, event, "C0FFEE", AT), *segments]})


@pytest.mark.parametrize("version", ["2.3", "2.4", "2.5.1"])
@pytest.mark.parametrize(
    ("event", "segments"),
    [
        ("ADT^A31", [EVN, PID, PV1]),
        ("ADT^A08", [EVN, PID, PV1]),
        ("ORU^R01", [PID, OBR, OBX, OBX]),
        ("ORU^R01", [PID, PV1, ORC, OBR, OBX]),
        ("ADT^A31", [EVN, PID, PV1, {"segment": "ZFH", "1": [{"1": "ours"}]}]),
    ],
)
def test_messages_of_every_version_we_send_are_built(version: str, event: str, segments: list[dict[str, Any]]) -> None:
    message = built(event, *segments, version=version)
    kind, trigger = event.split("^")
    first = f"MSH|^~\\&|HV||ADM|FAC1|20260115093000+0000||{kind}^{trigger}|C0FFEE|P|{version}||||||UNICODE UTF-8\r"
    assert message.startswith(first.encode())
    assert read_message(message)["segments"][1:] == segments


def test_separators_in_texts_are_escaped_in_what_is_sent() -> None:
    assert b"TEST \\T\\ SON^ALPHA" in built("ADT^A31", EVN, PID, PV1)
    assert b"|10\\S\\9/L|" in built("ORU^R01", PID, OBR, OBX)


@pytest.mark.parametrize(
    ("event", "segments", "why"),
    [
        ("ADT^A31", [EVN, {**PID, "3": []}, PV1], "required element missing at PID-3"),
        ("ADT^A31", [EVN, PID], "required element missing at PV1"),
        ("ADT^A31", [EVN, PID, PID, PV1], "limit reached"),
        ("ADT^A31", [PID, EVN, PV1], "order"),
        ("ADT^A31", [EVN, {**PID, "3": [{"1": "417", "16": "SECRET"}]}, PV1], "invalid name at CX-16"),
        ("ADT^A31", [EVN, {**PID, "60": [{"1": "SECRET"}]}, PV1], "not allowed"),
        ("ORU^R01", [PID, OBX], "required element missing"),
        ("ORU^R01", [PID, OBR, {**OBX, "11": []}], "required element missing at OBX-11"),
        ("XYZ^Z01", [PID], "no structure of its type is known"),
    ],
)
def test_what_hl7_does_not_allow_is_not_sent_and_its_values_are_not_told(
    event: str, segments: list[dict[str, Any]], why: str
) -> None:
    with pytest.raises(MalformedResource, match=why) as caught:
        built(event, *segments)
    assert caught.value.code == "hl7.invalid"
    assert not any(value in str(caught.value) for value in ("417", "ALPHA", "SECRET"))
    assert caught.value.__context__ is None


def test_a_structure_that_the_message_names_is_the_one_it_is_judged_by() -> None:
    body = built("ADT^A31", EVN, PID, PV1).replace(b"ADT^A31", b"ADT^A31^ADT_A05")
    check_message(body)
    with pytest.raises(MalformedResource):
        check_message(body.replace(b"ADT_A05", b"ORU_R01"))
