"""What Unity's Save* actions, and DoSendback, do to what the site holds: a resource's next version.

Law: only what an action is told of changes; everything else of the resource stays as it was.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError, fromstring

from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sandbox.clock import instant
from holovitals_pipelines.sandbox.facts.allscripts import DATES, GENDER_LETTERS, STATUSES
from holovitals_pipelines.sandbox.site import Site

Call = Mapping[str, str]
"""A request to MagicJson."""

_ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_PHONES = (("HomePhone", "phone", "home"), ("WorkPhone", "phone", "work"), ("cellphone", "phone", "mobile"))


class NotTakenError(ValueError):
    """The arguments are not what the action takes."""


def save_patient(site: Site, call: Call) -> dict[str, str]:
    """SavePatient: the demographics of a known patient, or of a new one where no PatientID is given."""
    told = _fields(call["Parameter1"])
    identity = call["PatientID"]
    if identity:
        patient = _held(site, "Patient", identity)
    else:
        if not told.get("LastName"):
            raise NotTakenError
        identity = _new_number()
        patient = {"resourceType": "Patient", "id": identity, "identifier": [_record_number(identity)], "active": True}
    _set_name(patient, told)
    _set_address(patient, told)
    _set_contacts(patient, told)
    if told.get("dateofbirth"):
        patient["birthDate"] = _day(told["dateofbirth"])
    if told.get("gender"):
        patient["gender"] = GENDER_LETTERS[told["gender"][:1].upper()]
    _put(site, "Patient", identity, patient)
    return {"patientid": identity}


def save_allergy(site: Site, call: Call) -> dict[str, str]:
    """SaveAllergy: one more allergy; the action changes none that is there."""
    told = _fields(call["Parameter2"])
    if not told.get("AllergyName"):
        raise NotTakenError
    identity = _new_number()
    allergy: Document = {
        "resourceType": "AllergyIntolerance",
        "id": identity,
        "clinicalStatus": _flag("allergyintolerance-clinical", "active"),
        "code": {"text": told["AllergyName"]},
        "patient": {"reference": f"Patient/{call['PatientID']}"},
        "recordedDate": instant(site.clock.now_ms()),
    }
    if call["Parameter6"]:
        allergy["note"] = [{"text": call["Parameter6"]}]
    _put(site, "AllergyIntolerance", identity, allergy)
    return {"status": "success"}


def save_problem(site: Site, call: Call) -> dict[str, str]:
    """SaveProblemsData: the problem whose number is the lines' `setid`, else a new one."""
    lines = [dict(line.attrib) for line in _xml(call["Parameter1"]).iter("saveproblemsdata")]
    told = {line.get("attributeid") or line["fieldid"]: line.get("value1", "") for line in lines}
    identity = next((line["setid"] for line in lines if line.get("setid")), "")
    if identity:
        problem = _held(site, "Condition", identity)
        if problem["subject"]["reference"] != f"Patient/{call['PatientID']}":
            raise NotTakenError
    else:
        if not told.get("title"):
            raise NotTakenError
        identity = _new_number()
        problem = {
            "resourceType": "Condition",
            "id": identity,
            "clinicalStatus": _flag("condition-clinical", "active"),
            "category": [_flag("condition-category", "problem-list-item")],
            "subject": {"reference": f"Patient/{call['PatientID']}"},
            "recordedDate": instant(site.clock.now_ms()),
        }
    code: Document = problem.setdefault("code", {})
    if told.get("title"):
        code["text"] = told["title"]
    if told.get("code"):
        code["coding"] = [{"system": _ICD10, "code": told["code"]}]
    if told.get("status"):
        problem["clinicalStatus"] = _flag("condition-clinical", _status("Condition", told["status"]))
    _put(site, "Condition", identity, problem)
    return {"status": "success"}


def send_back(site: Site, call: Call) -> dict[str, str]:
    """DoSendback: another status for an allergy."""
    allergy = _held(site, "AllergyIntolerance", call["Parameter3"])
    if call["Parameter1"] != "Allergies" or allergy["patient"]["reference"] != f"Patient/{call['PatientID']}":
        raise NotTakenError
    said = _status("AllergyIntolerance", call["Parameter2"])
    allergy["clinicalStatus"] = _flag("allergyintolerance-clinical", said)
    _put(site, "AllergyIntolerance", call["Parameter3"], allergy)
    return {"status": "success"}


SAVES: Mapping[str, Callable[[Site, Call], dict[str, str]]] = {
    "SavePatient": save_patient,
    "SaveAllergy": save_allergy,
    "SaveProblemsData": save_problem,
    "DoSendback": send_back,
}
"""Every one raises NotTakenError, KeyError or ValueError for what it does not take."""


def target_of(call: Call) -> tuple[str, str] | None:
    """(type, id) of the record that a call is about; None for one that makes a record, or says nothing readable."""
    name = call["Action"]
    if name in ("GetPatient", "SavePatient"):
        return ("Patient", call["PatientID"]) if call["PatientID"] else None
    if name == "DoSendback":
        return "AllergyIntolerance", call["Parameter3"]
    if name != "SaveProblemsData":
        return None
    try:
        lines = _xml(call["Parameter1"]).iter("saveproblemsdata")
        return next((("Condition", line.attrib["setid"]) for line in lines if line.attrib.get("setid")), None)
    except NotTakenError:
        return None


def _xml(text: str) -> Element:
    try:
        return fromstring(text)  # noqa: S314 the sandbox is on the loopback, and its clients are the tests
    except ParseError as error:
        raise NotTakenError from error


def _fields(text: str) -> dict[str, str]:
    return {field.attrib["name"]: field.attrib.get("value", "") for field in _xml(text).iter("field")}


def _held(site: Site, kind: str, identity: str) -> Document:
    number = site.records.number(kind, identity)
    body = site.records.body(number) if number is not None else None
    if body is None:
        raise NotTakenError
    return read_document(body)


def _put(site: Site, kind: str, identity: str, resource: Document) -> None:
    site.records.put(kind, identity, write_document(resource))


def _new_number() -> str:
    return str(100_000_000 + secrets.randbelow(900_000_000))


def _record_number(identity: str) -> Document:
    kind = {"coding": [{"system": f"{_TERMINOLOGY}/v2-0203", "code": "MR"}]}
    return {"type": kind, "system": "urn:holovitals:sandbox:allscripts:mrn", "value": f"U{identity}"}


def _flag(system: str, code: str) -> Document:
    return {"coding": [{"system": f"{_TERMINOLOGY}/{system}", "code": code}]}


def _status(kind: str, said: str) -> str:
    return next(code for code, word in STATUSES[kind].items() if word == said)


def _day(text: str) -> str:
    for form in DATES:
        try:
            return datetime.strptime(text, form.replace("%-d", "%d")).date().isoformat()  # noqa: DTZ007 a day
        except ValueError:
            continue
    raise NotTakenError


def _part_of(patient: Document, member: str) -> Document:
    """The first item of a list, which is made where there is none."""
    items: list[Any] = patient.setdefault(member, [])
    if not items:
        items.append({})
    part: Document = items[0]
    return part


def _set_name(patient: Document, told: Mapping[str, str]) -> None:
    if not any(name in told for name in ("LastName", "Firstname", "middlename", "suffix")):
        return
    name = _part_of(patient, "name")
    if told.get("LastName"):
        name["family"] = told["LastName"]
    given = [text for text in (told.get("Firstname"), told.get("middlename")) if text]
    if given:
        name["given"] = given
        name.pop("_given", None)
    if told.get("suffix"):
        name["suffix"] = [told["suffix"]]


def _set_address(patient: Document, told: Mapping[str, str]) -> None:
    lines = [text for text in (told.get("Addressline1"), told.get("AddressLine2")) if text]
    parts = {"city": told.get("City"), "state": told.get("State"), "postalCode": told.get("ZipCode")}
    if not lines and not any(parts.values()):
        return
    address = _part_of(patient, "address")
    if lines:
        address["line"] = lines
    address.update({name: text for name, text in parts.items() if text})


def _set_contacts(patient: Document, told: Mapping[str, str]) -> None:
    contacts: list[Document] = patient.get("telecom", [])
    for field, system, use in (*_PHONES, ("Email", "email", None)):
        value = told.get(field)
        if not value:
            continue
        there = next((c for c in contacts if c.get("system") == system and use in (None, c.get("use"))), None)
        if there is None:
            there = {"system": system} if use is None else {"system": system, "use": use}
            contacts.append(there)
        there["value"] = value
    if contacts:
        patient["telecom"] = contacts
