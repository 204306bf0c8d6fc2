"""HL7 v2 messages that are sent: made of the JSON of their segments, and checked against HL7's structures.

Law: what is sent has the segments, fields and components that its version allows and requires, in their order; an
error names the place and never a value. The bytes are those of hl7v2_writing: hl7apy judges them, it does not write
them (it loses Z segments and puts others in its own order).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.connection import Hl7v2Settings
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.providers.hl7v2.header import Header, read_header
from holovitals_pipelines.transform.hl7v2_writing import write_message

STRUCTURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("ADT^A01", "ADT^A04", "ADT^A08", "ADT^A13"), "ADT_A01"),
        **dict.fromkeys(("ADT^A05", "ADT^A28", "ADT^A31"), "ADT_A05"),
        "ADT^A03": "ADT_A03",
        "ADT^A40": "ADT_A39",
        "ORU^R01": "ORU_R01",
        "MDM^T02": "MDM_T02",
        "VXU^V04": "VXU_V04",
    }
)
"""The structure of each message, where MSH-9 does not name it (HL7 table 0354)."""
_BEFORE_2_4: Final[Mapping[str, str]] = MappingProxyType({"ADT_A05": "ADT_A01", "ADT_A03": "ADT_A01"})
"""Structures that were one until version 2.4 told them apart."""
_JUDGED_AS: Final[Mapping[str, str]] = MappingProxyType({"2.3": "2.3.1"})
"""hl7apy's tables of 2.3 require ORC-7 and OBR-27, which HL7 2.3 leaves optional; those of 2.3.1 are right."""
_CHILD: Final = re.compile(r"(?:Missing required child|Child limit exceeded) \w+\.(\w+)")
_NULL_ALONE: Final = re.compile(r'(?<=[|^~&])""(?=[|^~&\r])')
_ELEMENT: Final = re.compile(r"\b[A-Z][A-Z0-9_]*_\d{1,3}\b")


def header(settings: Hl7v2Settings, event: str, control_id: str, at: datetime) -> Document:
    """MSH of a message of ours, in original acknowledgement mode; `event` is MSH-9, such as `ADT^A31`."""
    fields = {
        "3": settings.application,
        "4": settings.facility,
        "5": settings.receiving_application,
        "6": settings.receiving_facility,
        "7": written_time(at),
        "10": control_id,
        "11": settings.processing_id,
        "12": settings.version,
        "18": "UNICODE UTF-8",
    }
    kind, _, trigger = event.partition("^")
    made: Document = {"segment": "MSH", **{place: [{"1": text}] for place, text in fields.items() if text}}
    return {**made, "9": [{"1": kind, "2": trigger}]}


def written_time(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S%z")


def build_message(document: Document) -> bytes:
    """The bytes of a message that HL7 allows. Raises MalformedResource: `hl7.unwritable`, `hl7.invalid`."""
    message = write_message(document)
    check_message(message)
    return message


def check_message(message: bytes) -> None:
    """Whether a message is what its version of HL7 allows. Slow, about 100 messages a second: for what is sent.

    Raises MalformedResource, `hl7.invalid`.
    """
    told = read_header(message)
    version = _JUDGED_AS.get(told.version, told.version)
    structure = told.structure or STRUCTURES.get(told.event, "")
    if version < "2.4":
        structure = _BEFORE_2_4.get(structure, structure)
    problem = _problem(message, told, structure, version) if structure else "no structure of its type is known"
    if problem is not None:
        raise MalformedResource(
            "hl7.invalid",
            f"a message {told.event} of version {told.version} is not what HL7 allows: {problem}",
            "Correct the rule that makes it.",
        )


def _problem(message: bytes, told: Header, structure: str, version: str) -> str | None:
    # Imported here: its tables are large, and only what sends needs them.
    from hl7apy.consts import VALIDATION_LEVEL  # type: ignore[import-untyped]
    from hl7apy.core import Message  # type: ignore[import-untyped]
    from hl7apy.exceptions import HL7apyException  # type: ignore[import-untyped]
    from hl7apy.parser import get_message_info, parse_segments  # type: ignore[import-untyped]
    from hl7apy.validation import Validator  # type: ignore[import-untyped]

    # HL7's null is allowed in every field; hl7apy takes it for a value of the field's type.
    text = _NULL_ALONE.sub("", message.decode(told.encoding))
    strict = VALIDATION_LEVEL.STRICT
    try:
        marks, _, _ = get_message_info(text)
        judged = Message(structure, version=version, validation_level=strict, encoding_chars=marks)
        # Groups are needed: without them strict reading refuses every ORU^R01.
        judged.children = parse_segments(text, version, marks, strict, judged.reference, find_groups=True)
        Validator.validate(judged)
        ordered = judged.to_er7()
    except (HL7apyException, ValueError) as error:
        return _told(error)
    if _names(text) != _names(ordered):
        return "its segments are not in the order of the structure"
    return None


def _told(error: Exception) -> str:
    """The kind of the fault and the element it is at; hl7apy's own words can hold values."""
    words = str(error)
    if (child := _CHILD.fullmatch(words)) is not None:
        kind = "required element missing" if words.startswith("Missing") else "too many repetitions"
        return f"{kind} at {child[1].replace('_', '-')}"
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    found = None if isinstance(error, ValueError) else _ELEMENT.search(words)
    return kind if found is None else f"{kind} at {found[0].replace('_', '-')}"


def _names(text: str) -> list[str]:
    return [line[:3] for line in text.split("\r") if line and not line.startswith("Z")]
