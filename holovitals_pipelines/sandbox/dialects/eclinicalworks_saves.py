"""eClinicalWorks' licensed write-back: HTTP answers 200 to everything, and a number in the body says what came of it.

What makes the real one answer which code is licensed documentation; these are the plain readings of the codes' names
(vendors.md §8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import orjson
from starlette.responses import JSONResponse, Response

from holovitals_pipelines.sandbox.facts import eclinicalworks as facts
from holovitals_pipelines.sandbox.protocols.search import values_at
from holovitals_pipelines.sandbox.site import Site

Told = tuple[int, str]
_GENDERS = frozenset({"male", "female", "other", "unknown"})
_ORDERED = "ordered refusals"


def save(site: Site, kind: str, identity: str | None, raw: bytes) -> Response:
    """Take a create (no id) or an update in, or say by its code why not."""
    told = _ordered(site, kind)
    sent = _resource(kind, raw)
    if told is None:
        told = facts.FAILURE if sent is None else _problem(site, kind, identity, sent)
    if told is not None:
        return JSONResponse({"status": told[0], "key": told[1]})
    made = identity or _new_id(site, kind)
    site.records.put(kind, made, raw)
    status, key = facts.SUCCESS
    # unverified: that a success names the resource, and as `id` (the write-back's documentation is licensed)
    named = {"id": made} if site.settings.success_names_id else {}
    return JSONResponse({"status": status, "key": key, **named})


def forget_ordered(site: Site) -> None:
    site.shared.pop(_ORDERED, None)


def _ordered(site: Site, kind: str) -> Told | None:
    """The refusal the sandbox was set to give for the type, so many times."""
    words = site.settings.refused.get(kind)
    if words is None:
        return None
    given: dict[str, int] = site.shared.setdefault(_ORDERED, {})
    given[kind] = given.get(kind, 0) + 1
    if site.settings.refused_times and given[kind] > site.settings.refused_times:
        return None
    code, _, key = words.partition(" ")
    return int(code), key


def _resource(kind: str, raw: bytes) -> dict[str, Any] | None:
    try:
        sent = orjson.loads(raw)
    except ValueError:
        return None
    return sent if isinstance(sent, dict) and sent.get("resourceType") == kind else None


def _problem(site: Site, kind: str, identity: str | None, sent: dict[str, Any]) -> Told | None:
    held = None
    if identity is not None:
        number = site.records.number(kind, identity)
        body = site.records.body(number) if number is not None else None
        if body is None or sent.get("id") != identity:
            return facts.INVALID_ID
        held = orjson.loads(body)
    if kind == "Patient":
        return _patient_problem(site, identity, sent)
    patient = _patient(sent)
    if patient is not None and site.records.number("Patient", patient) is None:
        return facts.INVALID_PATIENT
    if held is not None and _patient(held) != patient:
        return facts.ID_NOT_MATCH_WITH_PATIENTID
    return _encounter_problem(site, kind, identity, sent, patient) or _vital_problem(kind, sent)


def _patient_problem(site: Site, identity: str | None, sent: dict[str, Any]) -> Told | None:
    if not any(values_at(sent, "name.family")):
        return facts.INVALID_PATIENT_NAME
    if sent.get("gender") not in _GENDERS:
        return facts.INVALID_PATIENT_GENDER
    try:
        date.fromisoformat(str(sent.get("birthDate")))
    except ValueError:
        return facts.INVALID_PATIENT_DOB
    if identity is not None:
        return None
    alike = sum(_are_one(sent, other) for other in _patients(site))
    # unverified: by what the vendor knows a patient again
    return None if not alike else facts.PATIENT_ALREADY_EXIST if alike == 1 else facts.MULTIPLE_PATIENT_FOUND


def _patients(site: Site) -> Iterator[dict[str, Any]]:
    records = site.records
    for number in records.live("Patient", records.in_order("Patient")):
        yield orjson.loads(records.body(number) or b"{}")


def _are_one(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    named = [
        {(i.get("system"), i["value"]) for i in patient.get("identifier", []) if i.get("value")}
        for patient in (one, other)
    ]
    if named[0] & named[1]:
        return True
    parts = ("birthDate", "name.family", "name.given")
    return all(values_at(one, part)[:1] == values_at(other, part)[:1] != [] for part in parts)


def _encounter_problem(
    site: Site, kind: str, identity: str | None, sent: dict[str, Any], patient: str | None
) -> Told | None:
    encounters = [identity] if kind == "Encounter" and identity is not None else _encounters(sent)
    for encounter in encounters:
        number = site.records.number("Encounter", encounter)
        body = site.records.body(number) if number is not None else None
        if body is None:
            return facts.INVALID_ENCOUNTER
        if _patient(orjson.loads(body)) != patient:
            return facts.INVALID_PATIENT_REFERENCE_IN_ENCOUNTER
        if encounter in site.settings.locked_encounters:
            return facts.ENCOUNTER_IS_LOCKED
    return None


def _vital_problem(kind: str, sent: dict[str, Any]) -> Told | None:
    if kind != "Observation" or "vital-signs" not in values_at(sent, "category.coding.code"):
        return None
    value = sent.get("valueQuantity", {}).get("value")
    whole = isinstance(value, int | float) or bool(sent.get("component"))
    return None if whole else facts.INVALID_VITAL_VALUE


def _patient(resource: Mapping[str, Any]) -> str | None:
    for path in ("patient.reference", "subject.reference", "beneficiary.reference"):
        for reference in values_at(resource, path):
            if (named := re.search(r"(?:^|/)Patient/([^/]+)\Z", str(reference))) is not None:
                return named[1]
    return None


def _encounters(sent: Mapping[str, Any]) -> list[str]:
    paths = ("encounter.reference", "context.encounter.reference", "context.reference")
    found = [str(reference) for path in paths for reference in values_at(sent, path)]
    return [reference.rpartition("/")[2] for reference in found if "Encounter/" in reference]


def _new_id(site: Site, kind: str) -> str:
    last = site.shared.get("last id", 900_000) + 1
    while site.records.number(kind, str(last)) is not None:
        last += 1
    site.shared["last id"] = last
    return str(last)
