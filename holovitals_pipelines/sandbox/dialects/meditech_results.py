"""MEDITECH's results and orders: LOINC in the alternate triplet, escaped units, times to the minute (vendors.md §9.2).

Law: an order is numbered after its record, so that a corrected result names the order it corrects.
"""

from __future__ import annotations

from typing import Any

from holovitals_pipelines.sandbox.dialects.meditech_chart import Chart, Json, coding, first, words
from holovitals_pipelines.sandbox.dialects.meditech_hl7 import components, segment
from holovitals_pipelines.sandbox.facts.meditech import (
    FACILITY,
    FACILITY_NAME,
    LOCAL_CODES,
    LOINC_CODES,
    REPORT_STATUS,
    RESULT_STATUS,
)

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
PLACER, FILLER = "urn:holovitals:sandbox:meditech:placer", "urn:holovitals:sandbox:meditech:filler"
SUB_ID, SENT = "urn:holovitals:sandbox:meditech:sub-id", "urn:holovitals:sandbox:meditech:sent:"
"""Of results that somebody sent in: their order's numbers, OBX-4, and the coding systems of their own codes."""
_VITALS = {"coding": [{"system": LOINC, "code": "85353-1", "display": "Vital signs"}], "text": "Vital signs"}


def results(chart: Chart, identity: str) -> list[str]:
    """ORC, OBR and OBX of a report, of a visit's vital signs (`Encounter/{id}`), or of an observation alone."""
    kind, _, key = identity.partition("/")
    held = chart.last(kind, key)
    if held is None:
        return []
    if kind == "Encounter":
        # unverified: that vital signs leave MEDITECH as results; there is no other message for them.
        members = [one for one in chart.ever("Observation", key) if not is_laboratory(one)]
        code: Any = _VITALS
    elif kind == "DiagnosticReport":
        members = [one for one in (_member(chart, one) for one in held.get("result") or []) if one is not None]
        code = held.get("code")
    else:
        members, code = [held], held.get("code")
    if not members:
        return []
    gone = kind != "Encounter" and chart.living(kind, key) is None
    rows = [row for one in members for row in _rows(chart, one, gone=gone)]
    told = [segment("OBX", {1: str(number), **row}) for number, row in enumerate(rows, start=1)]
    return [_orc(chart, held, "RE"), _obr(chart, held, code, members), *told]


def orders(chart: Chart, identity: str) -> list[str]:
    """ORC and OBR of what was asked for."""
    kind, _, key = identity.partition("/")
    held = chart.last(kind, key)
    return [] if held is None else [_orc(chart, held, _control(chart, kind, held)), _obr(chart, held, held["code"], [])]


def is_ordered(chart: Chart, identity: str) -> bool:
    kind, _, key = identity.partition("/")
    return bool((chart.last(kind, key) or {}).get("code"))


def is_laboratory(observation: Json) -> bool:
    return any(first(one.get("coding")).get("code") == "laboratory" for one in observation.get("category") or [])


def _member(chart: Chart, reference: Json) -> Json | None:
    return chart.last("Observation", reference.get("reference", "").rpartition("/")[2])


def _control(chart: Chart, kind: str, held: Json) -> str:
    gone = chart.living(kind, held["id"]) is None or held.get("status") in ("revoked", "entered-in-error")
    return "CA" if gone else "NW"


def _numbers(chart: Chart, held: Json, mnemonic: str) -> tuple[str, str]:
    """OBR-2 and OBR-3: those the sender gave, else `PT1311:H00001R301.0100` and its beginning."""
    given = _given(held)
    number = chart.number(held["resourceType"], held["id"])
    filler = f"PT{1000 + number % 9000}:H{number:05d}R"
    return given.get(PLACER) or components(f"{filler}{mnemonic}"), given.get(FILLER) or components(filler)


def _orc(chart: Chart, held: Json, control: str) -> str:
    placer, filler = _numbers(chart, held, mnemonic_of(_code_of(held)))
    when = chart.minutes(_when(held))
    return segment("ORC", {1: control, 2: placer, 3: filler, 5: "CM" if control == "RE" else "IP", 6: "N", 9: when})


def _code_of(held: Json) -> Any:
    return _VITALS if held["resourceType"] == "Encounter" else held.get("code")


def _obr(chart: Chart, held: Json, code: Any, members: list[Json]) -> str:
    placer, filler = _numbers(chart, held, mnemonic_of(code))
    taken = chart.minutes(_when(members[0]) if members else _when(held))
    issued = chart.minutes(held.get("issued") or (members[0].get("issued") if members else None))
    doctor = chart.doctor(first(held.get("performer")) or held.get("requester"), short=True)
    section = "LAB" if not members or is_laboratory(members[0]) else "NUR"
    status = REPORT_STATUS.get(held.get("status", ""), "F") if members else ""
    return segment(
        "OBR",
        {
            1: "1", 2: placer, 3: filler, 4: six_parts(code, sent=bool(_given(held))),
            5: "R", 7: taken, 14: issued,
            16: doctor, 22: issued, 24: section, 25: status,
        },
    )  # fmt: skip


def _when(held: Json) -> str | None:
    period = held.get("period") or {}
    moment = held.get("effectiveDateTime") or held.get("authoredOn") or period.get("start") or held.get("issued")
    return str(moment) if moment else None


def mnemonic_of(code: Any) -> str:
    """`301.0100`: the site's test number, made of LOINC's; what has none is called by its first letters."""
    number, _, check = coding(code, LOINC).partition("-")
    return f"30{check}.{number:0>4}" if number.isdecimal() and check else words(code).upper().replace(" ", "")[:8]


def six_parts(code: Any, *, sent: bool = False) -> str:
    """The site's own code with LOINC in the alternate triplet; what somebody `sent` is told as it came."""
    if sent:
        codings = (code or {}).get("coding") or [{"display": words(code)}]
        parts = [(one.get("code"), one.get("display"), _system(one.get("system"))) for one in codings[:2]]
        return components(*(part for triplet in parts for part in triplet))
    loinc, text = coding(code, LOINC), words(code)
    official = next((one.get("display") for one in (code or {}).get("coding") or [] if one.get("code") == loinc), text)
    return components(mnemonic_of(code), text, LOCAL_CODES, *((loinc, official, LOINC_CODES) if loinc else ()))


def _system(url: Any) -> str:
    known = {LOINC: "LN", "http://snomed.info/sct": "SCT"}
    return known.get(str(url)) or (str(url).removeprefix(SENT) if str(url).startswith(SENT) else "L")


def _given(held: Json) -> dict[str, str]:
    """What whoever sent the result called it, as fields."""
    own = (PLACER, FILLER, SUB_ID)
    given = [one for one in held.get("identifier") or [] if one.get("system") in own]
    return {one["system"]: components(one.get("value"), (one.get("assigner") or {}).get("display")) for one in given}


def _rows(chart: Chart, held: Json, *, gone: bool) -> list[dict[int, str]]:
    """The fields of one OBX, of one for each component where the value is in these."""
    gone = gone or chart.living("Observation", held["id"]) is None
    parts = [part for part in held.get("component") or [] if _value(part)[0]]
    shown = parts if parts and not _value(held)[0] else [held]
    given = _given(held)
    common = {
        4: given.get(SUB_ID, "" if given else "1"), 10: "A~S",
        11: "D" if gone else RESULT_STATUS.get(held.get("status", ""), "F"),
        14: chart.minutes(_when(held)), 15: components(FACILITY, FACILITY_NAME, "L"),
    }  # fmt: skip
    return [{**common, **_fields(one, sent=bool(given))} for one in shown]


def _fields(held: Json, *, sent: bool) -> dict[int, str]:
    kind, value, unit = _value(held)
    if sent and held.get("valueQuantity", {}).get("system") == UCUM:
        unit = components(held["valueQuantity"].get("code"), held["valueQuantity"].get("unit"), "UCUM")
    judged = first(first(held.get("interpretation")).get("coding")).get("code", "")
    return {2: kind or "ST", 3: six_parts(held.get("code"), sent=sent), 5: value, 6: unit, 7: _range(held), 8: judged}


def _value(held: Json) -> tuple[str, str, str]:
    """OBX-2, 5 and 6; empty where there is no value."""
    if "valueQuantity" in held:
        quantity = held["valueQuantity"]
        number = str(quantity.get("value", ""))
        sign = quantity.get("comparator", "")
        unit = components(quantity.get("unit") or quantity.get("code"))
        return ("SN", components(sign, number), unit) if sign else ("NM", number, unit)
    if "valueCodeableConcept" in held:
        concept = held["valueCodeableConcept"]
        one = first(concept.get("coding"))
        return "CE", components(one.get("code"), words(concept), _system(one.get("system"))), ""
    for name in ("valueString", "valueInteger", "valueBoolean", "valueDateTime"):
        if name in held:
            return "ST", components(str(held[name])), ""
    return "", "", ""


def _range(held: Json) -> str:
    shown = first(held.get("referenceRange"))
    low, high = (str((shown.get(end) or {}).get("value", "")) for end in ("low", "high"))
    if low and high:
        return f"{low}-{high}"
    return f">{low}" if low else f"<{high}" if high else components(shown.get("text"))
