"""What MEDITECH makes of messages that are sent to it: patients updated (ADT), results filed (ORU), and the answer.

Law: a message is taken whole or not at all, once for its sender and number, and only what it says otherwise changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from holovitals_pipelines.fhir.exact import Number, read_document, write_document
from holovitals_pipelines.sandbox.clock import instant
from holovitals_pipelines.sandbox.dialects.meditech_chart import Chart, Json
from holovitals_pipelines.sandbox.dialects.meditech_hl7 import (
    Heading,
    Received,
    components,
    fhir_time,
    is_deleted,
    local_minutes,
    message,
    segment,
)
from holovitals_pipelines.sandbox.dialects.meditech_results import FILLER, LOINC, PLACER, SENT, SUB_ID, UCUM
from holovitals_pipelines.sandbox.dialects.meditech_segments import demographics, mrn_of
from holovitals_pipelines.sandbox.dialects.meditech_updates import UPDATES
from holovitals_pipelines.sandbox.facts.meditech import ADT_TAKEN, FACILITY, LOINC_CODES, RESULT_STATUS, RESULTS_TAKEN
from holovitals_pipelines.sandbox.site import Site

_STATUSES = {letter: status for status, letter in RESULT_STATUS.items()} | {"W": "entered-in-error"}
_JUDGEMENTS = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_CATEGORY = [
    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """AA, AE or AR; where it is not AA, table 0357's code, its words, and where in the message."""

    code: str = "AA"
    error: str = "0"
    words: str = "Message accepted"
    where: str = ""


class _RefusedError(Exception):
    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.words)
        self.verdict = verdict


def _no(code: str, error: str, words: str, where: str = "") -> _RefusedError:
    return _RefusedError(Verdict(code, error, words, where))


def take(site: Site, zone: ZoneInfo, received: Received) -> Verdict:
    """Do what the message says, unless it was done before."""
    key = tuple(received.value(number) for number in (3, 4, 10))
    done: dict[tuple[str, ...], Verdict] = site.shared.setdefault("taken", {})
    if key in done:
        return done[key]
    try:
        _carry_out(site, zone, received)
    except _RefusedError as refused:
        return refused.verdict  # the sender may mend it and send it again under its number
    done[key] = Verdict()
    return done[key]


def _carry_out(site: Site, zone: ZoneInfo, received: Received) -> None:
    kind, event = received.value(9), received.value(9, 2)
    if not received.value(10):
        raise _no("AR", "101", "Required field missing", "MSH^1^10")
    if kind not in ("ADT", "ORU"):
        raise _no("AR", "200", "Unsupported message type", "MSH^1^9")
    if event not in (ADT_TAKEN if kind == "ADT" else RESULTS_TAKEN):
        raise _no("AR", "201", "Unsupported event code", "MSH^1^9")
    pids = received.named("PID")
    if not pids:
        raise _no("AE", "100", "Segment sequence error", "PID^1")
    patient = _patient(site, received, pids[0])
    if kind == "ADT":
        _update(site, zone, received, pids[0], patient)
    else:
        _file_results(site, zone, received, patient)


def _patient(site: Site, received: Received, pid: list[str]) -> str:
    """Whom PID-3 names, by a medical record number of this facility."""
    numbers = [one for one in received.repeats(pid, 3) if one[0]]
    if not numbers:
        raise _no("AE", "101", "Required field missing", "PID^1^3")
    for one in numbers:
        kind, facility = ([*one, "", "", "", "", ""][place] for place in (4, 5))
        if kind in ("MR", "") and facility in (FACILITY, ""):
            known = _by_number(site, one[0])
            if known is not None:
                return known
    raise _no("AE", "204", "Unknown key identifier", "PID^1^3")


def _by_number(site: Site, number: str) -> str | None:
    index: dict[str, str] = site.shared.setdefault("numbers", {})
    if number not in index:
        for place in site.records.live("Patient", site.records.in_order("Patient")):
            body = site.records.body(place)
            if body is not None:
                index[mrn_of(read_document(body))] = site.records.identity(place)
    known = index.get(number)
    return None if known is None else site.merged.get(known, known)


def _update(site: Site, zone: ZoneInfo, received: Received, pid: list[str], patient: str) -> None:
    """Change what the fields say otherwise than MEDITECH itself shows them (vendors.md §10: empty is no change).

    unverified: that nothing but PID counts; no source shows that MEDITECH takes allergies or diagnoses (AL1, DG1).
    """
    chart = Chart(site, patient, zone)
    person = chart.person()
    if person is None:
        raise _no("AE", "204", "Unknown key identifier", "PID^1^3")
    shown, after = demographics(chart, person), dict(person)
    for number, update in UPDATES.items():
        sent = received.field(pid, number)
        if not sent or sent == shown.get(number):
            continue
        try:
            update(after, [] if is_deleted(sent) else received.repeats(pid, number), zone)
        except ValueError:
            raise _no("AE", "102", "Data type error", f"PID^1^{number}") from None
    if after != person:
        site.records.put("Patient", patient, write_document(after))


def _file_results(site: Site, zone: ZoneInfo, received: Received, patient: str) -> None:
    found: list[Json] = []
    order: list[str] = []
    for one in received.segments:
        if one[0] == "OBR":
            order = one
            if not received.part(order, 2) and not received.part(order, 3):
                raise _no("AE", "101", "Required field missing", "OBR^1^3")
        elif one[0] == "OBX":
            if not order:
                raise _no("AE", "100", "Segment sequence error", "OBX^1")
            found.append(_observation(received, order, one, patient, zone))
    if not found:
        raise _no("AE", "100", "Segment sequence error", "OBX^1")
    for resource in found:
        _put_changed(site, resource)


def _put_changed(site: Site, resource: Json) -> None:
    number = site.records.number("Observation", resource["id"])
    held = None if number is None else site.records.body(number)
    body = write_document(resource)
    if held is None or read_document(held) != read_document(body):
        site.records.put("Observation", resource["id"], body)


def _observation(received: Received, order: list[str], obx: list[str], patient: str, zone: ZoneInfo) -> Json:
    """The result, under an id made of what names it: the order, the test, its place in it."""
    placer, filler = received.part(order, 2), received.part(order, 3)
    test = (received.repeats(obx, 3) or [[]])[0]
    if not any(test):
        raise _no("AE", "101", "Required field missing", "OBX^1^3")
    key = "-".join(re.sub(r"[^A-Za-z0-9]", "", part) for part in (placer or filler, test[0], received.part(obx, 4)))
    status = _STATUSES.get(received.part(obx, 11) or "F")
    if status is None:
        raise _no("AE", "103", "Table value not found", "OBX^1^11")
    when = received.part(obx, 14) or received.part(order, 7)
    resource: Json = {
        "resourceType": "Observation",
        "id": key[:64].strip("-"),
        "identifier": [
            {"system": system, "value": field[0], **({"assigner": {"display": field[1]}} if field[1:2] > [""] else {})}
            for system, fields in (
                (PLACER, received.repeats(order, 2)),
                # unverified: that MEDITECH, asked by a placer's number, fills the order under a number of its own.
                (FILLER, [] if placer else received.repeats(order, 3)),
                (SUB_ID, received.repeats(obx, 4)),
            )
            for field in fields[:1]
            if field[0]
        ],
        "status": status,
        "category": _CATEGORY,
        "code": _concept(test),
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": fhir_time(when, zone) if when else None,
        **_value(received, obx),
    }
    judged = received.part(obx, 8)
    if judged:
        resource["interpretation"] = [{"coding": [{"system": _JUDGEMENTS, "code": judged}]}]
    if received.part(obx, 7):
        resource["referenceRange"] = [{"text": received.part(obx, 7)}]
    return {name: value for name, value in resource.items() if value is not None}


def _concept(parts: list[str]) -> Json:
    """Both triplets' codes, LOINC by its own name, and the words."""
    code, text, system, other, other_text, other_system = [*parts, "", "", "", "", "", ""][:6]
    names = ("LN", LOINC_CODES)
    triplets = ((code, text, system), (other, other_text, other_system))
    concept: Json = {"text": text or other_text or code}
    concept["coding"] = [
        {"system": LOINC if where in names else f"{SENT}{where}", "code": one, "display": words or concept["text"]}
        for one, words, where in triplets
        if one
    ]
    return {name: value for name, value in concept.items() if value}


def _value(received: Received, obx: list[str]) -> dict[str, Any]:
    kind, parts = received.part(obx, 2), (received.repeats(obx, 5) or [[""]])[0]
    if not received.field(obx, 5):
        return {}
    unit = _unit((received.repeats(obx, 6) or [[]])[0])
    if kind in ("NM", "SN"):
        sign, number = ("", parts[0].strip()) if kind == "NM" else (parts[0], (parts[1:2] or [""])[0])
        if not re.fullmatch(r"-?\d+(\.\d+)?", number) or sign not in ("", "<", "<=", ">", ">=", "="):
            raise _no("AE", "102", "Data type error", "OBX^1^5")
        compared = {"comparator": sign} if sign not in ("", "=") else {}
        number = re.sub(r"^(-?)0+(?=\d)", r"\1", number)
        return {"valueQuantity": {"value": Number(number), **compared, **unit}}
    if kind in ("CE", "CWE"):
        return {"valueCodeableConcept": _concept(parts)}
    return {"valueString": "\n".join(one[0] for one in received.repeats(obx, 5))}


def _unit(parts: list[str]) -> dict[str, str]:
    """unverified: that a unit's name and coding system are kept."""
    code, name, system = [*parts, "", "", ""][:3]
    coded = {"code": code, "system": UCUM} if system == "UCUM" else {}
    return {"unit": (name if coded else "") or code, **coded} if code else {}


def answers(site: Site, zone: ZoneInfo, received: Received, verdict: Verdict, control: int) -> list[bytes]:
    """The acknowledgements that MSH-15 and 16 ask for; original mode where both are empty (vendors.md §10).

    unverified: whether a MEDITECH site does both.
    """
    accept, application = received.value(15), received.value(16)
    bad = verdict.code != "AA"
    wanted = {"AL": True, "NE": False, "ER": bad, "SU": not bad, "": False}
    codes = [f"C{verdict.code[1]}"] if wanted.get(accept, True) else []
    if not accept and not application:
        codes = [verdict.code]
    elif wanted.get(application, True):
        codes.append(verdict.code)
    return [_answer(site, zone, received, verdict, code, control) for code in codes]


def _answer(site: Site, zone: ZoneInfo, received: Received, verdict: Verdict, code: str, control: int) -> bytes:
    sent = local_minutes(instant(site.clock.now_ms()), zone)
    event = components("ACK", received.value(9, 2))
    head = Heading(received.value(5) or "ADM", FACILITY, event, str(control), sent, received.value(12) or "2.4")
    told = [segment("MSA", {1: code, 2: received.value(10), 3: components(verdict.words)})]
    if verdict.code != "AA":
        where = f"{verdict.where}^" if verdict.where else ""
        told.append(segment("ERR", {1: f"{where}{verdict.error}&{verdict.words}&HL70357"}))
    return message(head, told, receiver=(received.value(3), received.value(4)))
