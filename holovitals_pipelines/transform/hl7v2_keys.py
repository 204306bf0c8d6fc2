"""What names a thing in an HL7 v2 message, and the ids that are made of it.

Law: one thing has one id, however its numbers are laid out and whoever numbered it beside us (docs/hl7v2.md).
"""

from __future__ import annotations

import re
from typing import Final

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.shipped_functions import sha256_id

_PLAIN: Final = re.compile(r"[A-Za-z0-9.]{1,62}")
_PLAIN_ID: Final = 64
OURS: Final = "HOLOVITALS"
"""Who gave a number (EI.2) that we gave: the order of a result we sent keeps it when the vendor tells of it."""


def own_result(number: str) -> str:
    """The id of a result of ours, by the number that we gave it: what the vendor calls it beside that is no matter."""
    made = sha256_id("Observation", OURS, number)
    assert made is not None
    return made


def patient_id(pid: Document, facility: str | None) -> str:
    """The record number, else the first identifier; PID-2 and PID-4 where PID-3 has none (vendors' lab feeds)."""
    chosen = record_number(pid)
    if chosen is None:
        raise no_patient("its PID segment has no identifier")
    return _id((*scope_of(chosen, facility, "6", "4"), chosen.get("5"), chosen["1"].strip()))


def record_number(pid: Document) -> Document | None:
    held = [one for name in ("3", "2", "4") for one in pid.get(name, ()) if one.get("1", "").strip()]
    return next((one for one in held if one.get("5") == "MR"), held[0] if held else None)


def visit_key(pv1: Document, pid: Document, facility: str | None, patient: str) -> tuple[str | None, ...] | None:
    """The visit's number, the patient's account, the other number of the visit, or the patient's time of admission."""
    for segment, name in ((pv1, "19"), (pid, "18"), (pv1, "50")):
        for held in segment.get(name, ()):
            if number := held.get("1", "").strip():
                return *scope_of(held, facility, "6", "4"), number
    admitted = text_at(pv1, "44", "1")
    return None if admitted is None else (patient, text_at(pv1, "2", "1"), admitted)


def order_number(obr: Document, orc: Document | None, facility: str | None) -> tuple[str | None, ...] | None:
    """The filler's number, or the placer's where there is none."""
    for name, common in (("3", "3"), ("2", "2")):
        found = identified(obr, name, facility) or (None if orc is None else identified(orc, common, facility))
        if found is not None:
            return name, *found
    return None


def own_number(segment: Document, *places: str) -> str | None:
    """The number that we gave. unverified: that a site keeps the placer's, and who gave it, as HL7 asks (EI)."""
    found = (segment[place][0] for place in places if place in segment)
    return next((one["1"] for one in found if one.get("2") == OURS and one.get("1")), None)


def identified(segment: Document, name: str, facility: str | None) -> tuple[str | None, ...] | None:
    """An entity identifier with who gave it, or the sending facility."""
    number = text_at(segment, name, "1")
    return None if number is None else (*scope_of(segment[name][0], facility), number)


def scope_of(held: Document, facility: str | None, *places: str) -> tuple[str | None]:
    """Who gave an identifier: MEDITECH names the facility and no authority, others the authority."""
    return (next((held[place] for place in places or ("2",) if held.get(place)), facility),)


def coded(segment: Document, name: str) -> tuple[str | None, ...] | None:
    """A code with its system, or the text of what has no code."""
    held = segment.get(name) or [{}]
    for code, system in (("1", "3"), ("4", "6"), ("2", ""), ("9", "")):
        if held[0].get(code):
            return held[0].get(system), held[0][code]
    return None


def _id(parts: tuple[str | None, ...]) -> str:
    """`FAC1-MR-417`, or a hash where that could mean two things or is no FHIR id."""
    said = [part for part in parts if part]
    plain = "-".join(said)
    if len(plain) <= _PLAIN_ID and all(_PLAIN.fullmatch(part) for part in said):
        return plain
    made = sha256_id(*parts)
    assert made is not None
    return made


def text_at(segment: Document, name: str, component: str) -> str | None:
    """What is said at a place. Blanks around it are none of it (HL7's ST): a number has one key, however laid out."""
    held = segment.get(name)
    return (held[0].get(component, "").strip() or None) if held else None


def no_patient(why: str) -> MalformedResource:
    return MalformedResource(
        "hl7.no_patient", f"nobody can be named: {why}", "Ask the sender for the patient's record."
    )
