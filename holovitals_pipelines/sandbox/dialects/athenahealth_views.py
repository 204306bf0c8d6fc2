"""The records of athenahealth's v1 API, made of the FHIR resources a simulated vendor holds (vendors.md §5.2).

Law: a view invents nothing clinical; what the API has no field for is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from zlib import crc32
from zoneinfo import ZoneInfo

from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.sandbox.facts.athenahealth import APPOINTMENT_STATUS, DEPARTMENTS
from holovitals_pipelines.sandbox.site import Site

EASTERN = ZoneInfo("America/New_York")
_FOREIGN = 900_000_000
"""Resources whose ids are no numbers are shown under theirs: this and the number they have in the store."""

Json = dict[str, Any]
View = Callable[[Site, int, Json], Json]


def native_id(site: Site, number: int) -> str:
    identity = site.records.identity(number)
    return identity if identity.isdecimal() else str(_FOREIGN + number)


def number_of(site: Site, kind: str, native: str) -> int | None:
    """The living resource that is shown under this id."""
    records = site.records
    number = records.number(kind, native)
    if number is None:
        foreign = (one for one in records.in_order(kind) if native_id(site, one) == native)
        number = next(foreign, None)
    if number is None or records.body(number) is None:
        return None
    return None if kind == "Patient" and records.identity(number) in site.merged else number


def shown(site: Site, number: int, view: View, body: bytes | None = None) -> Json:
    """The record of a resource, or of an earlier version of it; members that would say nothing are left out."""
    current = body if body is not None else site.records.body(number)
    assert current is not None, "only living resources are shown"
    return {name: value for name, value in view(site, number, read_document(current)).items() if value is not None}


def patient(site: Site, number: int, resource: Json) -> Json:
    name = _first(resource.get("name"))
    given = name.get("given") or []
    address = _first(resource.get("address"))
    lines = address.get("line") or []
    marital = _code(resource.get("maritalStatus"), "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus")
    ssn = _identifier(resource, "http://hl7.org/fhir/sid/us-ssn")
    return {
        "patientid": native_id(site, number),
        "departmentid": department_of(native_id(site, number)),
        "status": "active" if resource.get("active", True) else "inactive",
        "firstname": given[0] if given else None,
        "middlename": given[1] if len(given) > 1 else None,
        "lastname": name.get("family"),
        "suffix": (name.get("suffix") or [None])[0],
        "dob": _us_date(resource.get("birthDate")),
        "sex": {"male": "M", "female": "F"}.get(resource.get("gender", ""), "U" if "gender" in resource else None),
        "homephone": _telecom(resource, "phone", "home"),
        "mobilephone": _telecom(resource, "phone", "mobile"),
        "workphone": _telecom(resource, "phone", "work"),
        "email": _telecom(resource, "email", None),
        "address1": lines[0] if lines else None,
        "address2": lines[1] if len(lines) > 1 else None,
        "city": address.get("city"),
        "state": address.get("state"),
        "zip": address.get("postalCode"),
        "countrycode3166": address.get("country"),
        "countrycode": "USA" if address.get("country") == "US" else None,
        "maritalstatus": marital,
        "ssn": f"*****{ssn[-4:]}" if ssn else None,
        "primaryproviderid": _referred(_first(resource.get("generalPractitioner"))),
        "portalaccessgiven": False,
        "contactpreference_lab_sms": False,
    }


def problem(site: Site, number: int, resource: Json) -> Json:
    onset = _us_date(resource.get("onsetDateTime"))
    recorded = _us_date(resource.get("recordedDate"))
    start = {"eventtype": "START", "startdate": onset or recorded, "onsetdate": onset, "createddate": recorded}
    events = [{name: value for name, value in start.items() if value is not None}]
    ended = _first((resource.get("clinicalStatus") or {}).get("coding")).get("code") in ("inactive", "resolved")
    if ended or "abatementDateTime" in resource:
        ended_on = _us_date(resource.get("abatementDateTime"))
        events.append({"eventtype": "END", **({"enddate": ended_on} if ended_on else {})})
    code = resource.get("code") or {}
    return {
        "problemid": int(native_id(site, number)),
        "name": _text(code),
        "codeset": "SNOMED" if _code(code, "http://snomed.info/sct") else None,
        "code": _code(code, "http://snomed.info/sct"),
        "bestmatchicd10code": _code(code, "http://hl7.org/fhir/sid/icd-10-cm"),
        "events": events,
        "lastmodifieddatetime": _iso(site, number),
        "lastmodifiedby": "sandbox",
    }


def changed_problem(site: Site, number: int, resource: Json) -> Json:
    """As the feed tells it: whose it is, and less of the rest."""
    whole = problem(site, number, resource)
    told = {name: whole[name] for name in ("problemid", "name", "codeset", "code", "events")}
    return {"patientid": int(whose(site, resource)), **told}


def allergy(site: Site, number: int, resource: Json) -> Json:
    code = resource.get("code") or {}
    snomed = _code(code, "http://snomed.info/sct") or ""
    inactive = _first((resource.get("clinicalStatus") or {}).get("coding")).get("code") in ("inactive", "resolved")
    return {
        "allergenid": int(snomed) if snomed.isdecimal() else crc32(_text(code).encode()),
        "allergenname": _text(code),
        "onsetdate": _us_date(resource.get("onsetDateTime")),
        "deactivatedate": _us_date(resource.get("recordedDate")) or "01/01/2024" if inactive else None,
        "note": _first(resource.get("note")).get("text"),
        "reactions": [_reaction(one) for one in resource.get("reaction", [])],
    }


def _reaction(reaction: Json) -> Json:
    manifestation = _first(reaction.get("manifestation"))
    made = {
        "snomedcode": _code(manifestation, "http://snomed.info/sct"),
        "reactionname": _text(manifestation),
        "severity": reaction.get("severity"),
    }
    return {name: value for name, value in made.items() if value is not None}


def medication(site: Site, number: int, resource: Json) -> Json:
    drug = resource.get("medicationCodeableConcept") or _first(resource.get("contained")).get("code") or {}
    dosage = _first(resource.get("dosageInstruction"))
    repeat = (dosage.get("timing") or {}).get("repeat") or {}
    dose = _first(dosage.get("doseAndRate")).get("doseQuantity") or {}
    authored = _us_date(resource.get("authoredOn"))
    rxnorm = _code(drug, "http://www.nlm.nih.gov/research/umls/rxnorm") or ""
    sig = {
        "dosagefrequencyvalue": repeat.get("frequency"),
        "dosagefrequencyunit": "per day" if repeat.get("periodUnit") == "d" else None,
        "dosagequantityvalue": dose.get("value"),
        "dosagequantityunit": dose.get("unit"),
    }
    events = [{"type": "START", "eventdate": authored}, {"type": "ENTER", "eventdate": authored}]
    if resource.get("status") == "completed":
        events.append({"type": "END", "eventdate": authored})
    return {
        "medicationentryid": f"H{native_id(site, number)}",
        "medicationid": int(rxnorm) if rxnorm.isdecimal() else None,
        "medication": _text(drug) or resource.get("medicationReference", {}).get("display"),
        "isdiscontinued": resource.get("status") == "stopped",
        "unstructuredsig": dosage.get("text"),
        "structuredsig": {name: value for name, value in sig.items() if value is not None},
        "isstructuredsig": True,
        "events": [event for event in events if event["eventdate"] is not None],
    }


def changed_prescription(site: Site, number: int, resource: Json) -> Json:
    drug = resource.get("medicationCodeableConcept") or {}
    ordered = resource.get("authoredOn")
    return {
        "documentid": int(native_id(site, number)),
        "patientid": int(whose(site, resource)),
        "departmentid": int(department_of(whose(site, resource))),
        "class": "PRESCRIPTION",
        "description": _text(drug),
        "dateordered": f"{_moment(ordered):%m/%d/%Y %I:%M %p}" if ordered else None,
        "status": "REVIEW",
    }


def lab_result(site: Site, number: int, resource: Json) -> Json:
    code = resource.get("code") or {}
    effective, issued = resource.get("effectiveDateTime"), resource.get("issued")
    return {
        "labresultid": int(native_id(site, number)),
        "labresultloinc": _code(code, "http://loinc.org"),
        "description": _text(code),
        "priority": "2",
        "attachmentexists": False,
        "labresultdate": _us_date(effective),
        "labresultdatetime": _us_time(effective),
        "createddatetime": _us_time(issued),
        "labresultnote": _first(resource.get("note")).get("text"),
        "analytes": [
            {"analyteid": int(native_id(site, number)), "analytename": _text(code), "value": value}
            for value in [_value(resource)]
            if value is not None
        ],
    }


def changed_lab_result(site: Site, number: int, resource: Json) -> Json:
    """As the feed tells it: not what was measured."""
    return {
        "labresultid": int(native_id(site, number)),
        "patientid": int(whose(site, resource)),
        "departmentid": department_of(whose(site, resource)),
        "status": "CLOSED",
        "priority": "2",
        "lastmodifieddatetime": _iso(site, number),
    }


def document(site: Site, number: int, resource: Json) -> Json:
    encounter = _referred(_first((resource.get("context") or {}).get("encounter")))
    date = resource.get("date")
    return {
        ("encounterdocumentid" if encounter else "adminid"): int(native_id(site, number)),
        "patientid": int(whose(site, resource)) if encounter else None,
        "encounterid": encounter,
        "documentclass": "ENCOUNTERDOCUMENT" if encounter else "ADMIN",
        "documentsubclass": "ENCOUNTERDOCUMENT_PROGRESSNOTE" if encounter else None,
        "description": _text(resource.get("type") or {}) or "document",
        "createddatetime": _moment(date).isoformat(timespec="seconds") if date else None,
        "lastmodifieddatetime": _iso(site, number),
        "deleteddatetime": _iso(site, number) if resource.get("status") == "entered-in-error" else "",
        "departmentid": department_of(whose(site, resource)),
    }


def is_of_encounter(resource: Json) -> bool:
    return bool(_referred(_first((resource.get("context") or {}).get("encounter"))))


def appointment(site: Site, number: int, resource: Json) -> Json:
    """The appointment an encounter came from, by the clocks of its department."""
    owner = whose(site, resource)
    department = department_of(owner)
    zone = ZoneInfo(next(one["timezonename"] for one in DEPARTMENTS if one["departmentid"] == department))
    period = resource.get("period") or {}
    start = _moment(period.get("start", "2024-01-01T00:00:00Z"))
    end = _moment(period["end"]) if "end" in period else start
    local = start.astimezone(zone)
    kind = _first(resource.get("type"))
    return {
        "appointmentid": native_id(site, number),
        "patientid": owner,
        "departmentid": department,
        "appointmentstatus": APPOINTMENT_STATUS.get(resource.get("status", ""), "f"),
        "appointmenttype": _text(kind) or None,
        "date": f"{local:%m/%d/%Y}",
        "starttime": f"{local:%H:%M}",
        "duration": round((end - start).total_seconds() / 60),
        "providerid": _referred(_first(resource.get("participant")).get("individual")),
        "scheduleddatetime": f"{start.astimezone(EASTERN):%m/%d/%Y %H:%M:%S}",
        "lastmodified": f"{_changed(site, number):%m/%d/%Y %H:%M:%S}",
        "chargeentrynotrequired": False,
    }


def is_laboratory(resource: Json) -> bool:
    return any(
        coding.get("code") == "laboratory"
        for category in resource.get("category", [])
        for coding in category.get("coding", [])
    )


def department_of(patient_id: str) -> str:
    """Two in three patients are the first department's."""
    return "2" if crc32(patient_id.encode()) % 3 == 0 else "1"


def whose(site: Site, resource: Json) -> str:
    """The number of the patient a resource is about."""
    identity = _referred(resource.get("subject") or resource.get("patient")) or ""
    number = site.records.number("Patient", identity)
    return native_id(site, number) if number is not None else str(_FOREIGN)


def _changed(site: Site, number: int) -> datetime:
    return datetime.fromtimestamp(site.records.version(number).updated_ms // 1000, UTC).astimezone(EASTERN)


def _iso(site: Site, number: int) -> str:
    return _changed(site, number).isoformat(timespec="seconds")


def _moment(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(EASTERN)


def _us_date(text: str | None) -> str | None:
    """A date as MM/DD/YYYY, of a time its Eastern day; a month or a year alone is none."""
    if text is None or len(text) < 10:
        return None
    return f"{text[5:7]}/{text[8:10]}/{text[:4]}" if len(text) == 10 else f"{_moment(text):%m/%d/%Y}"


def _us_time(text: str | None) -> str | None:
    return f"{_moment(text):%m/%d/%Y %H:%M:%S}" if text is not None and len(text) > 10 else None


def _first(values: Any) -> Json:
    return values[0] if isinstance(values, list) and values else {}


def _text(concept: Json) -> str:
    return str(concept.get("text") or _first(concept.get("coding")).get("display") or "")


def _code(concept: Json | None, system: str) -> str | None:
    codings = (concept or {}).get("coding", [])
    return next((coding.get("code") for coding in codings if coding.get("system") == system), None)


def _identifier(resource: Json, system: str) -> str | None:
    return next((one.get("value") for one in resource.get("identifier", []) if one.get("system") == system), None)


def _telecom(resource: Json, system: str, use: str | None) -> str | None:
    return next(
        (
            one.get("value")
            for one in resource.get("telecom", [])
            if one.get("system") == system and (use is None or one.get("use") == use)
        ),
        None,
    )


def _referred(reference: Mapping[str, Any] | None) -> str | None:
    text = (reference or {}).get("reference")
    return text.rpartition("/")[2] if isinstance(text, str) else None


def _value(resource: Json) -> str | None:
    quantity = resource.get("valueQuantity")
    if quantity is not None:
        return f"{quantity.get('value')} {quantity.get('unit', '')}".strip()
    if "valueString" in resource:
        return str(resource["valueString"])
    return _text(resource.get("valueCodeableConcept") or {}) or None
