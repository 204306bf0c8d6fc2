"""What POST and PATCH of a person do to what the site holds: members in, another version of the same patient kept.

Law: only the members that are sent change, null empties one, and everything else of the patient stays as it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any

from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sandbox.facts.nextgen import SEXES
from holovitals_pipelines.sandbox.site import Site

_NAMES = ("lastName", "firstName", "middleName", "prefix", "suffix")
_LINES = ("addressLine1", "addressLine2")
_PLACES = (("city", "city"), ("county", "district"), ("state", "state"), ("zip", "postalCode"), ("country", "country"))
_CONTACTS = (
    ("homePhone", "phone", "home"),
    ("dayPhone", "phone", "work"),
    ("cellPhone", "phone", "mobile"),
    ("email", "email", None),
)
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"

Told = Mapping[str, Any]


class NotTakenError(ValueError):
    """The body is not that of a person."""


class DuplicatePersonError(ValueError):
    """Such a person is there."""


def create_person(site: Site, told: Told) -> str:
    """Keep a new person; the id it got. Raises NotTakenError, DuplicatePersonError."""
    if not all(isinstance(told.get(name), str) and told[name] for name in ("lastName", "firstName", "dateOfBirth")):
        raise NotTakenError
    identity = str(uuid.uuid4())
    patient: Document = {"resourceType": "Patient", "id": identity, "identifier": [_number(identity)], "active": True}
    _change(patient, told)
    if any(_same_person(patient, other) for other in _everybody(site)):
        raise DuplicatePersonError
    site.records.put("Patient", identity, write_document(patient))
    return identity


def change_person(site: Site, number: int, told: Told) -> None:
    """Keep the next version of a person. Raises NotTakenError."""
    body = site.records.body(number)
    assert body is not None, "only a living person is changed"
    patient = read_document(body)
    _change(patient, told)
    site.records.put("Patient", site.records.identity(number), write_document(patient))


def _everybody(site: Site) -> list[Document]:
    living = site.records.live("Patient", site.records.in_order("Patient"))
    bodies = (site.records.body(number) for number in living if site.records.identity(number) not in site.merged)
    return [read_document(body) for body in bodies if body is not None]


def _same_person(one: Document, other: Document) -> bool:
    """unverified: what NextGen takes for the same person."""
    return _known_as(one) == _known_as(other)


def _known_as(patient: Document) -> tuple[str, str, str, str]:
    name: Document = next(iter(patient.get("name", ())), {})
    family, given = str(name.get("family", "")), str(next(iter(name.get("given", ())), ""))
    return family.lower(), given.lower(), str(patient.get("birthDate", "")), str(patient.get("gender", ""))


def _number(identity: str) -> Document:
    kind = {"coding": [{"system": f"{_TERMINOLOGY}/v2-0203", "code": "MR"}]}
    return {"type": kind, "system": "urn:holovitals:sandbox:nextgen:mrn", "value": identity.replace("-", "")[:9]}


def _change(patient: Document, told: Told) -> None:
    for name in (*_NAMES, *_LINES, *(member for member, _ in _PLACES), *(contact[0] for contact in _CONTACTS)):
        if not isinstance(told.get(name), str | None):
            raise NotTakenError
    _set_birth_and_sex(patient, told)
    _set_name(patient, told)
    _set_address(patient, told)
    _set_contacts(patient, told)


def _set_birth_and_sex(patient: Document, told: Told) -> None:
    if "dateOfBirth" in told:
        text = str(told["dateOfBirth"])
        try:
            born = date.fromisoformat(text.partition("T")[0]).isoformat()
        except ValueError as error:
            raise NotTakenError from error
        if born != patient.get("birthDate"):
            patient.pop("_birthDate", None)
        patient["birthDate"] = born
    if told.get("sex"):
        genders = {letter: gender for gender, letter in SEXES.items()}
        if told["sex"] not in genders:
            raise NotTakenError
        patient["gender"] = genders[told["sex"]]
    elif "sex" in told:
        patient.pop("gender", None)


def _set_name(patient: Document, told: Told) -> None:
    if not any(name in told for name in _NAMES):
        return
    names = patient.setdefault("name", [{}])
    name: Document = names[0]
    given = [*name.get("given", ()), None, None][:2]
    first = told.get("firstName", given[0])
    middle = told.get("middleName", given[1])
    _keep(name, "family", told.get("lastName", name.get("family")))
    further = list(name.get("given", ()))[2:]
    if [one for one in (first, middle) if one] + further != list(name.get("given", ())):
        name.pop("_given", None)
    _keep(name, "given", [one for one in (first, middle, *further) if one])
    for member in ("prefix", "suffix"):
        if member in told and told[member] != next(iter(name.get(member, ())), None):
            _keep(name, member, [told[member]] if told[member] else [])


def _set_address(patient: Document, told: Told) -> None:
    if not any(name in told for name in (*_LINES, *(member for member, _ in _PLACES))):
        return
    addresses = patient.setdefault("address", [{}])
    address: Document = addresses[0]
    lines = [*address.get("line", ()), None, None]
    shown = [told.get(member, lines[place]) for place, member in enumerate(_LINES)]
    _keep(address, "line", [line for line in (*shown, *lines[2:]) if line])
    for member, element in _PLACES:
        if member in told:
            _keep(address, element, told[member])
    if not address:
        addresses.pop(0)
    _keep(patient, "address", addresses)


def _set_contacts(patient: Document, told: Told) -> None:
    contacts: list[Document] = list(patient.get("telecom", ()))
    for member, system, use in _CONTACTS:
        if member not in told:
            continue
        there = next((c for c in contacts if c.get("system") == system and use in (None, c.get("use"))), None)
        if not told[member]:
            contacts = [contact for contact in contacts if contact is not there]
        elif there is not None:
            there["value"] = told[member]
        else:
            contacts.append({"system": system, "value": told[member], **({"use": use} if use else {})})
    _keep(patient, "telecom", contacts)


def _keep(held: Document, member: str, value: Any) -> None:
    """FHIR holds no nulls and no empty lists: what is empty is not there."""
    if value:
        held[member] = value
    else:
        held.pop(member, None)
