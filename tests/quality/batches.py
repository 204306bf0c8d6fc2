"""Small records batches for the quality tests, as the landing zone holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

Body = Mapping[str, Any] | bytes


def batch(bodies: Sequence[Body], ids: Sequence[str | None] | None = None) -> pa.Table:
    """Bodies as given when they are bytes; ids r0, r1, … unless given."""
    raw = [body if isinstance(body, bytes) else orjson.dumps(body) for body in bodies]
    return pa.table(
        {
            "remote_id": pa.array(ids if ids is not None else [f"r{n}" for n in range(len(raw))], pa.string()),
            "body": pa.array(raw, pa.binary()),
        }
    )


def without(resource: Mapping[str, Any], *elements: str) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in elements}


SUBJECT = {"reference": "Patient/p1"}
CODE = {"coding": [{"system": "http://loinc.org", "code": "8302-2"}], "text": "Body height"}
DISEASE = {"coding": [{"system": "urn:local", "code": "A1"}, {"system": "http://snomed.info/sct", "code": "195967001"}]}
DRUG = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "313782"}]}
VACCINE = {"coding": [{"system": "http://hl7.org/fhir/sid/cvx", "code": "140"}]}
LOCAL = {"coding": [{"system": "urn:local", "code": "A1"}, {"code": "B2"}]}


def _status(code: str) -> dict[str, Any]:
    return {"coding": [{"code": code}]}


SOUND: dict[str, dict[str, Any]] = {
    "Patient": {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [{"system": "urn:mrn", "value": "4711"}],
        "name": [{"family": "Ångström", "given": ["Åsa"]}],
        "gender": "female",
        "birthDate": "1980-05-02",
        "deceasedDateTime": "2020-01-01T10:00:00Z",
    },
    "Encounter": {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": "AMB"},
        "type": [DISEASE],
        "subject": SUBJECT,
        "period": {"start": "2020-05-01T10:00:00Z", "end": "2020-05-01T12:00:01+02:00"},
    },
    "Condition": {
        "resourceType": "Condition",
        "clinicalStatus": _status("resolved"),
        "verificationStatus": _status("confirmed"),
        "code": DISEASE,
        "subject": SUBJECT,
        "onsetDateTime": "2011-01-02T14:38:27-05:00",
        "abatementDateTime": "2011-01-23T14:38:27-05:00",
    },
    "AllergyIntolerance": {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": _status("active"),
        "verificationStatus": _status("confirmed"),
        "criticality": "low",
        "code": DRUG,
        "patient": SUBJECT,
    },
    "MedicationRequest": {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": DRUG,
        "subject": SUBJECT,
        "authoredOn": "2020-05-01",
        "dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": 2, "unit": "mg"}}]}],
    },
    "Observation": {
        "resourceType": "Observation",
        "status": "final",
        "code": CODE,
        "subject": SUBJECT,
        "effectiveDateTime": "2020-05-01T10:00:00Z",
        "valueQuantity": {"value": 134.8, "unit": "cm"},
    },
    "Immunization": {
        "resourceType": "Immunization",
        "status": "completed",
        "vaccineCode": VACCINE,
        "patient": SUBJECT,
        "occurrenceDateTime": "2020-05-01",
    },
    "Procedure": {
        "resourceType": "Procedure",
        "status": "completed",
        "code": DISEASE,
        "subject": SUBJECT,
        "performedPeriod": {"start": "2020-05-01T10:00:00Z", "end": "2020-05-01T11:00:00Z"},
    },
    "DiagnosticReport": {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": CODE,
        "subject": SUBJECT,
        "issued": "2020-05-01T10:00:00Z",
        "result": [{"reference": "Observation/o1"}],
    },
    "DocumentReference": {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": CODE,
        "subject": SUBJECT,
        "date": "2020-05-01T10:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": "aGVq"}}],
    },
}
"""One resource of each type with a suite, which keeps every claim."""

FLAWED: dict[str, dict[str, dict[str, Any]]] = {
    "Patient": {
        "gender_is_from_the_value_set": {"gender": "F"},
        "birth_dates_are_not_in_the_future": {"birthDate": "2199-01", "deceasedDateTime": None},
        "birth_dates_are_within_a_lifetime": {"birthDate": "1800-01-01"},
        "nobody_dies_before_birth": {"deceasedDateTime": "1979-12-31"},
        "every_patient_has_a_name": {"name": None},
        "every_patient_has_a_birth_date": {"birthDate": None},
        "every_patient_has_an_identifier": {"identifier": None},
    },
    "Encounter": {
        "codes_are_of_known_systems": {"type": [LOCAL]},
        "status_is_from_the_value_set": {"status": "done"},
        "every_encounter_has_a_patient": {"subject": None},
        "patient_references_name_a_patient": {"subject": {"reference": "Practitioner/p1"}},
        "every_encounter_has_a_class": {"class": None},
        "no_encounter_ends_before_it_starts": {
            "period": {"start": "2020-05-01T10:00:00Z", "end": "2020-05-01T10:59:59+01:00"}
        },
    },
    "Condition": {
        "codes_are_of_known_systems": {"code": LOCAL},
        "clinical_status_is_from_the_value_set": {"clinicalStatus": _status("gone")},
        "verification_status_is_from_the_value_set": {"verificationStatus": _status("sure")},
        "every_condition_has_a_patient": {"subject": {"display": "somebody"}},
        "patient_references_name_a_patient": {"subject": {"reference": "Group/p1"}},
        "every_condition_has_a_code": {"code": None},
        "onsets_are_not_in_the_future": {"onsetDateTime": "2199", "abatementDateTime": None},
        "no_condition_abates_before_its_onset": {"abatementDateTime": "2010-01-01T00:00:00Z"},
    },
    "AllergyIntolerance": {
        "codes_are_of_known_systems": {"code": LOCAL},
        "clinical_status_is_from_the_value_set": {"clinicalStatus": _status("gone")},
        "verification_status_is_from_the_value_set": {"verificationStatus": _status("sure")},
        "criticality_is_from_the_value_set": {"criticality": "severe"},
        "every_allergy_has_a_patient": {"patient": None},
        "patient_references_name_a_patient": {"patient": {"reference": "Person/p1"}},
        "every_allergy_names_its_substance": {"code": None},
    },
    "MedicationRequest": {
        "codes_are_of_known_systems": {"medicationCodeableConcept": LOCAL},
        "status_is_from_the_value_set": {"status": "done"},
        "intent_is_from_the_value_set": {"intent": "wish"},
        "every_request_has_a_patient": {"subject": None},
        "patient_references_name_a_patient": {"subject": {"reference": "Group/p1"}},
        "every_request_names_a_medication": {"medicationCodeableConcept": None},
        "requests_are_not_authored_in_the_future": {"authoredOn": "2199-01-01T00:00:00Z"},
        "doses_have_a_unit": {"dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": 2}}]}]},
    },
    "Observation": {
        "codes_are_of_known_systems": {"code": LOCAL},
        "status_is_from_the_value_set": {"status": "done"},
        "every_observation_has_a_patient": {"subject": None},
        "patient_references_name_a_patient": {"subject": {"reference": "Location/p1"}},
        "every_observation_has_a_code": {"code": {"coding": []}},
        "every_observation_has_a_value_or_says_why_not": {"valueQuantity": None},
        "quantities_have_a_unit": {"valueQuantity": {"value": 1}},
        "every_observation_says_when": {"effectiveDateTime": None},
        "observations_are_not_in_the_future": {"effectiveDateTime": "2199-01-01T00:00:00Z"},
        "values_are_possible": {"valueQuantity": {"value": 1348, "unit": "cm"}},
    },
    "Immunization": {
        "codes_are_of_known_systems": {"vaccineCode": LOCAL},
        "status_is_from_the_value_set": {"status": "done"},
        "every_immunization_has_a_patient": {"patient": None},
        "patient_references_name_a_patient": {"patient": {"reference": "Group/p1"}},
        "every_immunization_has_a_code": {"vaccineCode": None},
        "every_immunization_says_when": {"occurrenceDateTime": None},
        "immunizations_are_not_in_the_future": {"occurrenceDateTime": "2199-01-01"},
    },
    "Procedure": {
        "codes_are_of_known_systems": {"code": LOCAL},
        "status_is_from_the_value_set": {"status": "done"},
        "every_procedure_has_a_patient": {"subject": None},
        "patient_references_name_a_patient": {"subject": {"reference": "Group/p1"}},
        "every_procedure_has_a_code": {"code": None},
        "no_procedure_ends_before_it_starts": {
            "performedPeriod": {"start": "2020-05-01T10:00:00Z", "end": "2020-05-01T09:00:00Z"}
        },
    },
    "DiagnosticReport": {
        "codes_are_of_known_systems": {"code": LOCAL},
        "status_is_from_the_value_set": {"status": "done"},
        "every_report_has_a_patient": {"subject": None},
        "patient_references_name_a_patient": {"subject": {"reference": "Group/p1"}},
        "every_report_has_a_code": {"code": None},
        "every_report_says_something": {"result": None},
        "reports_are_not_issued_in_the_future": {"issued": "2199-01-01T00:00:00Z"},
    },
    "DocumentReference": {
        "codes_are_of_known_systems": {"type": LOCAL},
        "status_is_from_the_value_set": {"status": "done"},
        "every_document_has_a_patient": {"subject": None},
        "patient_references_name_a_patient": {"subject": {"reference": "Group/p1"}},
        "every_document_has_content": {"content": [{"attachment": {"contentType": "text/plain"}}]},
        "every_document_has_a_type": {"type": None},
        "documents_are_not_dated_in_the_future": {"date": "2199-01-01T00:00:00Z"},
    },
}
"""By type and claim: the change to the sound resource that breaks this claim and no other (None removes)."""


def flawed(resource_type: str, claim: str) -> dict[str, Any]:
    changed = {**SOUND[resource_type], **FLAWED[resource_type][claim]}
    return {name: value for name, value in changed.items() if value is not None}
