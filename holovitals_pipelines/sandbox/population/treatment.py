"""What is found and done at visits: conditions, allergies, prescriptions, immunizations, procedures and documents."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from typing import Any

import orjson

from holovitals_pipelines.sandbox.population.catalogue.care import ALLERGENS
from holovitals_pipelines.sandbox.population.catalogue.coding import LOINC, TERMINOLOGY, coded, flag, ready
from holovitals_pipelines.sandbox.population.catalogue.disorders import Disorder, Drug
from holovitals_pipelines.sandbox.population.chart import Chart, day_text

_ACTIVE = flag("condition-clinical", "active")
_RESOLVED = flag("condition-clinical", "resolved")
_CONFIRMED = flag("condition-ver-status", "confirmed")
_PROBLEM = ready([{"coding": [{"system": f"{TERMINOLOGY}/condition-category", "code": "problem-list-item"}]}])
_DIAGNOSIS = ready([{"coding": [{"system": f"{TERMINOLOGY}/condition-category", "code": "encounter-diagnosis"}]}])
_ALLERGY_ACTIVE = flag("allergyintolerance-clinical", "active")
_ALLERGY_CONFIRMED = flag("allergyintolerance-verification", "confirmed")
_OUTPATIENT = ready([{"coding": [{"system": f"{TERMINOLOGY}/medicationrequest-category", "code": "outpatient"}]}])
_PROGRESS_NOTE = coded(LOINC, "11506-3", "Progress note")
_DISCHARGE_SUMMARY = coded(LOINC, "18842-5", "Discharge summary")
_NOTE_CATEGORY = ready(
    [
        {
            "coding": [
                {
                    "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                    "code": "clinical-note",
                    "display": "Clinical Note",
                }
            ]
        }
    ]
)


def _encounter(identity: str) -> dict[str, str]:
    return {"reference": f"Encounter/{identity}"}


def write_condition(chart: Chart, disorder: Disorder, encounter: str, day: int, until: int | None) -> str:
    """Append a Condition and return its id. `until` is the day it was over, None while it lasts."""
    identity = chart.new_id()
    resource: dict[str, Any] = {
        "resourceType": "Condition",
        "id": identity,
        "clinicalStatus": _ACTIVE if until is None else _RESOLVED,
        "verificationStatus": _CONFIRMED,
        "category": _PROBLEM if disorder.lasts_days == 0 else _DIAGNOSIS,
        "code": disorder.code,
        "subject": chart.patient,
        "encounter": _encounter(encounter),
        "onsetDateTime": day_text(day),
    }
    if until is not None:
        resource["abatementDateTime"] = day_text(until)
    resource["recordedDate"] = chart.during_visit(day, 2)
    chart.write(resource)
    return identity


def write_allergy(chart: Chart, number: int, encounter: str, day: int) -> None:
    code, category, manifestation = ALLERGENS[number]
    chart.write(
        {
            "resourceType": "AllergyIntolerance",
            "id": chart.new_id(),
            "clinicalStatus": _ALLERGY_ACTIVE,
            "verificationStatus": _ALLERGY_CONFIRMED,
            "type": "allergy",
            "category": [category],
            "criticality": "high" if number in (2, 4) else "low",
            "code": code,
            "patient": chart.patient,
            "encounter": _encounter(encounter),
            "recordedDate": chart.during_visit(day, 3),
            "reaction": [{"manifestation": [manifestation], "severity": "severe" if number == 2 else "mild"}],
        }
    )


def write_prescription(
    chart: Chart, drug: Drug, reason: str, encounter: str, day: int, prescriber: dict[str, str], current: bool
) -> None:
    """Append a MedicationRequest; one in twelve carries its Medication as a contained resource."""
    resource: dict[str, Any] = {"resourceType": "MedicationRequest", "id": chart.new_id()}
    contained = chart.chance.happens(0.08)
    if contained:
        resource["contained"] = [{"resourceType": "Medication", "id": "drug", "code": drug.code}]
    resource["status"] = "active" if current else "completed"
    resource["intent"] = "order"
    resource["category"] = _OUTPATIENT
    if contained:
        resource["medicationReference"] = {"reference": "#drug", "display": drug.display}
    else:
        resource["medicationCodeableConcept"] = drug.code
    resource["subject"] = chart.patient
    resource["encounter"] = _encounter(encounter)
    resource["authoredOn"] = chart.during_visit(day, 15)
    resource["requester"] = prescriber
    resource["reasonReference"] = [{"reference": f"Condition/{reason}"}]
    resource["dosageInstruction"] = [
        {
            "sequence": 1,
            "text": drug.sig,
            "timing": {"repeat": {"frequency": drug.per_day, "period": orjson.Fragment("1.0"), "periodUnit": "d"}},
            "doseAndRate": [{"doseQuantity": {"value": orjson.Fragment("1.00"), "unit": "dose"}}],
        }
    ]
    resource["dispenseRequest"] = {
        "numberOfRepeatsAllowed": 3 if current else 0,
        "quantity": {"value": 30 * drug.per_day},
    }
    chart.write(resource)


def write_immunization(
    chart: Chart, vaccine: orjson.Fragment, encounter: str, day: int, location: dict[str, str]
) -> None:
    lot = f"L{day % 9973:04d}{chart.chance.whole(10, 99)}"
    chart.write(
        {
            "resourceType": "Immunization",
            "id": chart.new_id(),
            "status": "completed",
            "vaccineCode": vaccine,
            "patient": chart.patient,
            "encounter": _encounter(encounter),
            "occurrenceDateTime": chart.during_visit(day, 18),
            "primarySource": True,
            "location": location,
            "lotNumber": lot,
            "doseQuantity": {
                "value": orjson.Fragment("0.50"),
                "unit": "mL",
                "system": "http://unitsofmeasure.org",
                "code": "mL",
            },
        }
    )


def write_procedure(chart: Chart, code: orjson.Fragment, encounter: str, day: int, performer: dict[str, str]) -> None:
    chart.write(
        {
            "resourceType": "Procedure",
            "id": chart.new_id(),
            "status": "completed",
            "code": code,
            "subject": chart.patient,
            "encounter": _encounter(encounter),
            "performedPeriod": {"start": chart.during_visit(day, 20), "end": chart.during_visit(day, 28)},
            "performer": [{"actor": performer}],
        }
    )


def write_document(
    chart: Chart, encounter: str, day: int, author: dict[str, str], discharge: bool, summary: str
) -> None:
    """Append a note: its text inline, or as a Binary before the DocumentReference that points to it."""
    identity, binary = chart.new_id(), chart.new_id()
    text = (
        f"{summary}\n\nSeen on {day_text(day)}. Plan discussed with the patient; return if symptoms worsen.\n".encode()
    )
    attachment: dict[str, Any] = {"contentType": "text/plain; charset=utf-8"}
    inline = chart.chance.happens(0.5)
    data = b64encode(text).decode()
    if chart.site.binary_only or not inline:
        chart.write({"resourceType": "Binary", "id": binary, "contentType": "text/plain", "data": data})
        attachment["url"] = f"Binary/{binary}"
    else:
        attachment["data"] = data
    attachment["size"] = len(text)
    attachment["hash"] = b64encode(sha1(text, usedforsecurity=False).digest()).decode()
    chart.write(
        {
            "resourceType": "DocumentReference",
            "id": identity,
            "status": "current",
            "docStatus": "final",
            "type": _DISCHARGE_SUMMARY if discharge else _PROGRESS_NOTE,
            "category": _NOTE_CATEGORY,
            "subject": chart.patient,
            "date": chart.during_visit(day, 29),
            "author": [author],
            "content": [{"attachment": attachment}],
            "context": {"encounter": [_encounter(encounter)]},
        }
    )
