"""What athenahealth's v1 API makes of form fields: FHIR resources in the simulated vendor's store (vendors.md §5.4).

Law: an update changes what its fields say; every other member keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from holovitals_pipelines.sandbox.facts.athenahealth import FIELD_LIMITS, OTHER_FIELDS_LIMIT
from holovitals_pipelines.sandbox.site import Site
from holovitals_pipelines.sandbox.splice import with_members

Form = Mapping[str, str]
Json = dict[str, Any]

_UNLIMITED = frozenset({"departmentid", "snomedcode", "startdate", "dob"})
_MARITAL = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus"
_GENDERS = {"M": "male", "F": "female", "U": "unknown"}


def missing_fields(form: Form, *needed: str) -> list[str]:
    return [name for name in needed if not form.get(name)]


def too_long(form: Form) -> list[str]:
    """Fields beyond their limits, by name."""
    limits = {name: FIELD_LIMITS.get(name, OTHER_FIELDS_LIMIT) for name in form if name not in _UNLIMITED}
    limits |= {name: FIELD_LIMITS["address1"] for name in limits if name.startswith("address")}
    return [name for name, limit in limits.items() if len(form[name]) > limit]


def new_id(site: Site, kind: str) -> str:
    number = 700_000
    while site.records.number(kind, str(number)) is not None:
        number += 1
    return str(number)


def put_patient(site: Site, identity: str, form: Form) -> None:
    """Create or update a patient. Raises ValueError for a date that is none."""
    number = site.records.number("Patient", identity)
    body = site.records.body(number) if number is not None else None
    before = body if body is not None else orjson.dumps({"resourceType": "Patient", "id": identity, "active": True})
    members = _patient_members(orjson.loads(before), form)
    site.records.put("Patient", identity, with_members(before, {name: orjson.dumps(v) for name, v in members.items()}))


def _patient_members(held: Json, form: Form) -> Json:
    made: Json = {}
    if any(name in form for name in ("lastname", "firstname", "middlename", "suffix")):
        made["name"] = [_name((held.get("name") or [{}])[0], form), *(held.get("name") or [])[1:]]
    if "dob" in form:
        made["birthDate"] = iso_date(form["dob"])
    if "sex" in form:
        made["gender"] = _GENDERS.get(form["sex"], "unknown")
    telecom = _telecom(list(held.get("telecom", [])), form)
    if telecom != held.get("telecom", []):
        made["telecom"] = telecom
    address = _address(dict((held.get("address") or [{}])[0]), form)
    if address != (held.get("address") or [{}])[0]:
        made["address"] = [address, *(held.get("address") or [])[1:]]
    if "maritalstatus" in form:
        made["maritalStatus"] = {"coding": [{"system": _MARITAL, "code": form["maritalstatus"]}]}
    return made


def _name(held: Json, form: Form) -> Json:
    given = list(held.get("given", []))
    for index, field in enumerate(("firstname", "middlename")):
        if field in form:
            given[index : index + 1] = [form[field]]
    name = {**held, "given": given}
    if "lastname" in form:
        name["family"] = form["lastname"]
    if "suffix" in form:
        name["suffix"] = [form["suffix"]]
    return name


def _telecom(held: list[Json], form: Form) -> list[Json]:
    wanted = (
        *(("homephone", "phone", "home"), ("mobilephone", "phone", "mobile"), ("workphone", "phone", "work")),
        ("email", "email", None),
    )
    for field, system, use in wanted:
        if field not in form:
            continue
        fits = [one for one in held if one.get("system") == system and (use is None or one.get("use") == use)]
        fresh = {"system": system, "value": form[field], **({"use": use} if use else {})}
        held = [one for one in held if not any(one is other for other in fits[:1])]
        held.append({**fits[0], **fresh} if fits else fresh)
    return held


def _address(held: Json, form: Form) -> Json:
    lines = list(held.get("line", []))
    for index, field in enumerate(("address1", "address2")):
        if field in form:
            lines[index : index + 1] = [form[field]]
    named = {"city": "city", "state": "state", "zip": "postalCode", "countrycode3166": "country"}
    made = {**held, **{element: form[field] for field, element in named.items() if field in form}}
    return {**made, "line": lines} if lines else made


def put_problem(site: Site, identity: str, patient: str, form: Form) -> None:
    """A new problem of the chart. Raises ValueError for a date that is none."""
    now = site.clock.now().isoformat(timespec="seconds")
    resource: Json = {
        "resourceType": "Condition",
        "id": identity,
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
        },
        "code": {
            "coding": [{"system": "http://snomed.info/sct", "code": form["snomedcode"]}],
            "text": f"SNOMED {form['snomedcode']}",
        },
        "subject": {"reference": f"Patient/{patient}"},
        "recordedDate": now,
    }
    if "startdate" in form:
        resource["onsetDateTime"] = iso_date(form["startdate"])
    site.records.put("Condition", identity, orjson.dumps(resource))


def iso_date(text: str) -> str:
    """YYYY-MM-DD of MM/DD/YYYY. Raises ValueError."""
    return f"{datetime.strptime(text, '%m/%d/%Y'):%Y-%m-%d}"  # noqa: DTZ007 a date has no zone
