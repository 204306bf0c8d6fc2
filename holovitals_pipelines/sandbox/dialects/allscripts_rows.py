"""What Unity shows of the population: rows of texts, padded, with local dates in several forms.

Law: a row holds no more than Unity's rows are known to hold; where there is nothing, one row says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zlib import crc32
from zoneinfo import ZoneInfo

from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sandbox.facts.allscripts import (
    CHART_TEXTS,
    DATES,
    GENDERS,
    OBSERVATION_SECTIONS,
    PATIENT_TEXTS,
    PROVIDER_TEXTS,
    SECTIONS,
    STATUSES,
)

Row = dict[str, str]

_WIDTHS = {"description": 40, "code": 16, "EntryCode": 16, "Firstname": 10, "Addressline1": 30, "DefaultSiteCode": 10}
"""Columns of a fixed width: what is shorter is padded with blanks."""


def no_row(members: Sequence[str], number: str) -> Row:
    """The row that stands for "there is none": blanks, and a number that is 0."""
    return {name: "0" if name == number else "" for name in members}


def patient_row(body: bytes) -> Row:
    """A row of GetPatient."""
    patient = read_document(body)
    identity = str(patient["id"])
    name = _first(patient, "name")
    address = _first(patient, "address")
    given = [text for text in name.get("given", ()) if text]
    lines = address.get("line", [])
    texts = {
        "mrn": _mrn(patient),
        "LastName": name.get("family", ""),
        "Firstname": given[0] if given else "",
        "middlename": given[1] if len(given) > 1 else "",
        "suffix": " ".join(name.get("suffix", ())),
        "gender": GENDERS.get(patient.get("gender", "unknown"), "Unknown"),
        "dateofbirth": _written(patient.get("birthDate"), identity, None),
        "MaritalStatus": _phrase(patient.get("maritalStatus")),
        "Addressline1": lines[0] if lines else "",
        "AddressLine2": lines[1] if len(lines) > 1 else "",
        "City": address.get("city", ""),
        "State": address.get("state", ""),
        "ZipCode": address.get("postalCode", ""),
        "HomePhone": _reached(patient, "phone", "home"),
        "WorkPhone": _reached(patient, "phone", "work"),
        "cellphone": _reached(patient, "phone", "mobile"),
        "Email": _reached(patient, "email", None),
        "Language": _phrase(_first(patient, "communication").get("language")),
        "Race": _race(patient),
    }
    return _padded({member: texts[member] for member in PATIENT_TEXTS})


def provider_row(body: bytes) -> Row:
    """A row of GetProviders."""
    practitioner = read_document(body)
    name = _first(practitioner, "name")
    given = [text for text in name.get("given", ()) if text]
    identity, inactive = str(practitioner["id"]), practitioner.get("active") is False
    username = f"{(given or [''])[0][:1]}{name.get('family', '')}".lower().replace(" ", "") + identity
    texts = dict.fromkeys(PROVIDER_TEXTS, "") | {
        "personid": identity,
        "EntryCode": f"1TW{identity:0>3}",
        "Profession": "Physician",
        "DefaultSiteCode": "001",
        "supervisingdefaultID": "0",
        "Credentials": "MD",
        "UserInactive": "Y" if inactive else "N",
        "ProviderInactive": "Y" if inactive else "N",
        "Middle": given[1] if len(given) > 1 else "",
        "SecSpecialty": " ",
        "Username": username,
        "LastName": name.get("family", ""),
        "FirstName": given[0] if given else "",
        "DefaultSiteName": "New World Health",
        "rxsupervisionrequired": "N",
        "CanPrescribeFlag": "Y",
        "UserType": "User/Provider",
        "PrimSpecialty": "Internal Medicine",
        "orderingauthority": "8",
    }
    return _padded(texts)


def chart_row(section: str, body: bytes, zone: ZoneInfo) -> Row | None:
    """A row of GetClinicalSummary; None for what the section does not show."""
    held = read_document(body)
    kind, identity = SECTIONS[section], str(held["id"])
    if kind == "Observation" and section not in _sections_of(held):
        return None
    code = held.get("code") or held.get("vaccineCode") or held.get("medicationCodeableConcept") or {}
    texts = dict.fromkeys(CHART_TEXTS, "") | {
        "transid": identity,
        "section": section,
        "code": next((str(coding["code"]) for coding in code.get("coding", ()) if "code" in coding), ""),
        "description": _phrase(code) or held.get("medicationReference", {}).get("display", ""),
        "status": _status(kind, held),
        "detail": _detail(kind, held),
        "displaydate": _written(_moment(held), identity, zone),
    }
    return _padded(texts)


def _padded(texts: Mapping[str, str]) -> Row:
    return {name: text.ljust(_WIDTHS.get(name, 0)) for name, text in texts.items()}


def _first(held: Document, member: str) -> Document:
    return next((one for one in held.get(member, ()) if isinstance(one, dict)), {})


def _phrase(concept: Any) -> str:
    if not isinstance(concept, dict):
        return ""
    displays = (coding.get("display") for coding in concept.get("coding", ()))
    return str(concept.get("text") or next(filter(None, displays), ""))


def _mrn(patient: Document) -> str:
    for identifier in patient.get("identifier", ()):
        if any(coding.get("code") == "MR" for coding in identifier.get("type", {}).get("coding", ())):
            return str(identifier["value"])
    return ""


def _reached(patient: Document, system: str, use: str | None) -> str:
    for contact in patient.get("telecom", ()):
        if contact.get("system") == system and use in (None, contact.get("use")):
            return str(contact.get("value", ""))
    return ""


def _race(patient: Document) -> str:
    parts = (part for found in patient.get("extension", ()) for part in found.get("extension", ()))
    return next((str(part["valueString"]) for part in parts if part.get("url") == "text" and "valueString" in part), "")


def _sections_of(observation: Document) -> set[str]:
    codings = (coding for one in observation.get("category", ()) for coding in one.get("coding", ()))
    return {OBSERVATION_SECTIONS[code] for coding in codings if (code := coding.get("code")) in OBSERVATION_SECTIONS}


def _status(kind: str, held: Document) -> str:
    if kind in ("Condition", "AllergyIntolerance"):
        codings = held.get("clinicalStatus", {}).get("coding", ())
        said = next((str(coding["code"]) for coding in codings if "code" in coding), "")
    else:
        said = str(held.get("status", ""))
    return STATUSES[kind].get(said, said)


def _detail(kind: str, held: Document) -> str:
    if kind == "MedicationRequest":
        return str(_first(held, "dosageInstruction").get("text", ""))
    if kind == "AllergyIntolerance":
        return str(_first(held, "note").get("text", ""))
    return _measured(held) if kind == "Observation" else ""


def _measured(observation: Document) -> str:
    parts = [part["valueQuantity"] for part in observation.get("component", ()) if "valueQuantity" in part]
    if parts:
        return f"{'/'.join(str(part['value']) for part in parts)} {parts[0].get('unit', '')}".strip()
    quantity = observation.get("valueQuantity")
    if quantity is not None:
        return f"{quantity.get('value', '')} {quantity.get('unit', '')}".strip()
    return str(observation.get("valueString") or _phrase(observation.get("valueCodeableConcept")))


def _moment(held: Document) -> str | None:
    members = ("onsetDateTime", "occurrenceDateTime", "effectiveDateTime", "authoredOn", "recordedDate")
    return next((str(held[name]) for name in members if name in held), None)


def _written(moment: str | None, identity: str, zone: ZoneInfo | None) -> str:
    """A day in one of the forms, by the server's clocks; the same for the same record, always."""
    if moment is None or len(moment) < len("2000-01-31"):
        return ""
    if "T" in moment and zone is not None:
        day = datetime.fromisoformat(moment).astimezone(zone).date()
    else:
        day = date.fromisoformat(moment[:10])
    return day.strftime(DATES[crc32(identity.encode()) % len(DATES)])
