"""What a refused message means: HL7's table 0357 as data, and the acknowledgement codes where a vendor names no error.

Law: a vendor's words are told without what could be a value of the message, and each error says whether sending the
same again can help.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from holovitals_pipelines.model.errors import (
    ConfigurationError,
    DuplicateError,
    ErrorAction,
    HoloVitalsError,
    NotFoundError,
    NotPermittedError,
    PermanentError,
    TransientError,
    VendorError,
)
from holovitals_pipelines.providers.hl7v2.acknowledgement import Acknowledgement, Fault
from holovitals_pipelines.providers.vendor_words import KNOWN_WORDS, VALUE

_CONTENT: Final = "correct what is sent by the vendor's specification of the message; the same again cannot help"
_INTERFACE: Final = "ask the site which messages its interface takes, or leave the type out of write.resource_types"
_SETTINGS: Final = "correct hl7v2.processing_id or hl7v2.version: they say what the vendor's interface is set up for"
DUPLICATE: Final = "205"


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """`tries` is how often a message is sent in all before the error is told."""

    words: str
    error: type[VendorError] | type[ConfigurationError]
    code: str
    remedy: str
    tries: int = 1
    action: ErrorAction | None = None
    """None: what the class stands for."""


def _refused(words: str, remedy: str = _CONTENT, tries: int = 1) -> ErrorRule:
    return ErrorRule(words, PermanentError, "hl7.refused", remedy, tries, ErrorAction.FIX_DATA)


TABLE_0357: Final[Mapping[str, ErrorRule]] = MappingProxyType(
    {
        "100": _refused("segment sequence error"),
        "101": _refused("required field missing"),
        "102": _refused("data type error"),
        "103": _refused("table value not found"),
        "104": _refused("value too long"),
        "200": ErrorRule("unsupported message type", NotPermittedError, "hl7.unsupported", _INTERFACE),
        "201": ErrorRule("unsupported event code", NotPermittedError, "hl7.unsupported", _INTERFACE),
        "202": ErrorRule("unsupported processing id", ConfigurationError, "hl7.processing_id", _SETTINGS),
        "203": ErrorRule("unsupported version id", ConfigurationError, "hl7.version", _SETTINGS),
        "204": ErrorRule(
            "unknown key identifier",
            NotFoundError,
            "hl7.unknown_key",
            "send first what the message refers to: the patient, the visit or the order",
        ),
        "205": ErrorRule(
            "duplicate key identifier",
            DuplicateError,
            "hl7.duplicate",
            "nothing: the record that is there is looked up and linked, or reviewed",
        ),
        "206": ErrorRule(
            "application record locked",
            TransientError,
            "hl7.locked",
            "nothing: it is sent again later, nothing was changed",
            tries=5,
            action=ErrorAction.WAIT,
        ),
        "207": ErrorRule(
            "application internal error",
            TransientError,
            "hl7.internal",
            "run the job again; tell the site if it stays",
            tries=5,
        ),
    }
)
"""vendors.md §10; `0` is no error."""

_UNSAID: Final[Mapping[str, ErrorRule]] = MappingProxyType(
    {
        # An application error may be sent again; a vendor's manual has three attempts of it (vendors.md §10).
        "E": _refused("application error", tries=3),
        "R": _refused("application reject", "ask the site: its interface rejects the message and names no error"),
    }
)

_PLACE: Final = re.compile(r"(?:MSH|EVN|PID|PD1|PV1|PV2|NK1|AL1|DG1|ORC|OBR|OBX|NTE|RXA|TXA|MRG)(?:[-.]\d{1,2})*")
_WORD: Final = re.compile(r"[A-Za-z0-9]+(?:[-.]\d+)*|[^\sA-Za-z0-9]+")


def refusal(acknowledgement: Acknowledgement) -> tuple[ErrorRule, Fault] | None:
    """The rule of a refusal and the fault it is about; None where the message was accepted."""
    if acknowledgement.accepted:
        return None
    for fault in acknowledgement.faults:
        rule = TABLE_0357.get(fault.code)
        if rule is not None:
            return rule, fault
    fault = next((one for one in acknowledgement.faults if one.code not in ("", "0")), Fault(""))
    if not fault.words:
        fault = Fault(fault.code, acknowledgement.words, fault.location, fault.severity)
    return _UNSAID["R" if acknowledgement.code.endswith("R") else "E"], fault


def refusal_error(acknowledgement: Acknowledgement, rule: ErrorRule, fault: Fault, *, place: str) -> HoloVitalsError:
    where = f" at {fault.location}" if fault.location else ""
    said = without_values(fault.words or acknowledgement.words)
    quoted = f", in its words: {said}" if said and said.lower() != rule.words else ""
    number = fault.code if fault.code in TABLE_0357 else None
    told = f"{acknowledgement.code} {number}" if number else acknowledgement.code
    message = f"the vendor refuses the message ({told}, {rule.words}{where}{quoted})"
    if issubclass(rule.error, VendorError):
        return rule.error(
            message, code=rule.code, place=place, remedy=rule.remedy, vendor_code=number, action=rule.action
        )
    return rule.error(message, code=rule.code, place=place, remedy=rule.remedy)


def without_values(words: str) -> str:
    """The words of which it is known that they are no one's data, and `…` for the others."""
    told: list[str] = []
    for word in _WORD.findall(words):
        if word.lower() in KNOWN_WORDS or _PLACE.fullmatch(word):
            told.append(word)
        elif told and told[-1] != VALUE:
            told.append(VALUE)
    return " ".join(told)
