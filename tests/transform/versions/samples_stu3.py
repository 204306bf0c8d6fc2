"""Small STU3 resources and what R4 makes of them."""

from __future__ import annotations

from holovitals_pipelines.fhir.exact import Number
from holovitals_pipelines.model.writing import Document

_EXTENSION = "http://hl7.org/fhir/3.0/StructureDefinition/extension-"
_TERMS = "http://terminology.hl7.org/CodeSystem/"
_ANN = {"reference": "Patient/p", "display": "Ann"}
_DOC = {"reference": "Practitioner/d"}
_VISIT = {"reference": "Encounter/e"}
_ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}


def _concept(system: str, code: str) -> Document:
    return {"coding": [{"system": f"{_TERMS}{system}", "code": code}]}


def _text(text: str) -> Document:
    return {"text": text}


SAMPLES: list[tuple[Document, Document]] = [
    (
        {
            "resourceType": "Patient",
            "id": "p",
            "name": [{"family": "Doe", "given": ["Ann", "B"], "_given": [None, {"id": "g"}]}],
            "maritalStatus": {"coding": [{"system": "http://hl7.org/fhir/v3/MaritalStatus", "code": "M"}]},
            "animal": {"species": _text("dog"), "breed": _text("poodle")},
            "generalPractitioner": [_DOC],
        },
        {
            "resourceType": "Patient",
            "id": "p",
            "name": [{"family": "Doe", "given": ["Ann", "B"], "_given": [None, {"id": "g"}]}],
            "maritalStatus": _concept("v3-MaritalStatus", "M"),
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/patient-animal",
                    "extension": [
                        {"url": "species", "valueCodeableConcept": _text("dog")},
                        {"url": "breed", "valueCodeableConcept": _text("poodle")},
                    ],
                }
            ],
            "generalPractitioner": [_DOC],
        },
    ),
    (
        {"resourceType": "Practitioner", "id": "d", "name": [{"family": "Roe"}], "active": True},
        {"resourceType": "Practitioner", "id": "d", "name": [{"family": "Roe"}], "active": True},
    ),
    (
        {"resourceType": "Organization", "id": "o", "name": "Ward", "type": [_text("clinic")]},
        {"resourceType": "Organization", "id": "o", "name": "Ward", "type": [_text("clinic")]},
    ),
    (
        {"resourceType": "Location", "id": "l", "type": _text("ward"), "position": {"longitude": 1, "latitude": 2}},
        {"resourceType": "Location", "id": "l", "type": [_text("ward")], "position": {"longitude": 1, "latitude": 2}},
    ),
    (
        {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "class": {"system": "http://hl7.org/fhir/v3/ActCode", "code": "AMB"},
            "subject": _ANN,
            "incomingReferral": [{"reference": "ReferralRequest/r"}],
            "appointment": {"reference": "Appointment/a"},
            "reason": [_text("cough")],
            "diagnosis": [{"condition": {"reference": "Condition/c"}, "role": _text("chief"), "rank": 1}],
        },
        {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "class": {"system": f"{_TERMS}v3-ActCode", "code": "AMB"},
            "subject": _ANN,
            "basedOn": [{"reference": "ReferralRequest/r"}],
            "appointment": [{"reference": "Appointment/a"}],
            "reasonCode": [_text("cough")],
            "diagnosis": [{"condition": {"reference": "Condition/c"}, "use": _text("chief"), "rank": 1}],
        },
    ),
    (
        {"resourceType": "Encounter", "status": "planned"},
        {"resourceType": "Encounter", "status": "planned", "class": _ABSENT},
    ),
    (
        {
            "resourceType": "Condition",
            "id": "c",
            "clinicalStatus": "recurrence",
            "verificationStatus": "provisional",
            "code": _text("asthma"),
            "subject": _ANN,
            "context": _VISIT,
            "onsetAge": {"value": Number("7.50"), "unit": "a"},
            "assertedDate": "2017-03",
            "_assertedDate": {"id": "x"},
            "abatementBoolean": True,
            "stage": {"summary": _text("mild")},
        },
        {
            "resourceType": "Condition",
            "id": "c",
            "clinicalStatus": _concept("condition-clinical", "recurrence"),
            "verificationStatus": _concept("condition-ver-status", "provisional"),
            "code": _text("asthma"),
            "subject": _ANN,
            "encounter": _VISIT,
            "onsetAge": {"value": Number("7.50"), "unit": "a"},
            "recordedDate": "2017-03",
            "_recordedDate": {"id": "x"},
            "extension": [{"url": f"{_EXTENSION}Condition.abatement", "valueBoolean": True}],
            "stage": [{"summary": _text("mild")}],
        },
    ),
    (
        {
            "resourceType": "Condition",
            "verificationStatus": "unknown",
            "subject": _ANN,
            "context": {"reference": "EpisodeOfCare/1"},
        },
        {
            "resourceType": "Condition",
            "subject": _ANN,
            "extension": [
                {"url": f"{_EXTENSION}Condition.verificationStatus", "valueCode": "unknown"},
                {"url": f"{_EXTENSION}Condition.context", "valueReference": {"reference": "EpisodeOfCare/1"}},
            ],
        },
    ),
    (
        {
            "resourceType": "AllergyIntolerance",
            "id": "a",
            "clinicalStatus": "active",
            "verificationStatus": "confirmed",
            "criticality": "high",
            "code": _text("nuts"),
            "patient": _ANN,
            "assertedDate": "2018-01-01",
        },
        {
            "resourceType": "AllergyIntolerance",
            "id": "a",
            "clinicalStatus": _concept("allergyintolerance-clinical", "active"),
            "verificationStatus": _concept("allergyintolerance-verification", "confirmed"),
            "criticality": "high",
            "code": _text("nuts"),
            "patient": _ANN,
            "recordedDate": "2018-01-01",
        },
    ),
    (
        {
            "resourceType": "MedicationRequest",
            "id": "m",
            "definition": [{"reference": "PlanDefinition/1"}],
            "intent": "order",
            "category": _text("outpatient"),
            "medicationCodeableConcept": _text("aspirin"),
            "subject": _ANN,
            "context": _VISIT,
            "requester": {"agent": _DOC, "onBehalfOf": {"reference": "Organization/o"}},
            "dosageInstruction": [
                {
                    "text": "daily",
                    "doseQuantity": {"value": Number("1.0"), "unit": "tablet"},
                    "rateRatio": {"numerator": {"value": 1}, "denominator": {"value": 2}},
                }
            ],
            "substitution": {"allowed": False, "reason": _text("cost")},
        },
        {
            "resourceType": "MedicationRequest",
            "id": "m",
            "extension": [
                {
                    "url": f"{_EXTENSION}MedicationRequest.definition",
                    "valueReference": {"reference": "PlanDefinition/1"},
                }
            ],
            "status": "unknown",
            "intent": "order",
            "category": [_text("outpatient")],
            "medicationCodeableConcept": _text("aspirin"),
            "subject": _ANN,
            "encounter": _VISIT,
            "requester": {
                **_DOC,
                "extension": [
                    {
                        "url": f"{_EXTENSION}MedicationRequest.requester.onBehalfOf",
                        "valueReference": {"reference": "Organization/o"},
                    }
                ],
            },
            "dosageInstruction": [
                {
                    "text": "daily",
                    "doseAndRate": [
                        {
                            "doseQuantity": {"value": Number("1.0"), "unit": "tablet"},
                            "rateRatio": {"numerator": {"value": 1}, "denominator": {"value": 2}},
                        }
                    ],
                }
            ],
            "substitution": {"allowedBoolean": False, "reason": _text("cost")},
        },
    ),
    (
        {
            "resourceType": "MedicationStatement",
            "id": "s",
            "status": "active",
            "medicationReference": {"reference": "#m"},
            "contained": [
                {"resourceType": "Medication", "id": "m", "isBrand": True, "code": _text("ibuprofen")},
                {"resourceType": "RelatedPerson", "id": "r", "patient": _ANN},
            ],
            "subject": _ANN,
            "taken": "n",
            "reasonNotTaken": [_text("nausea")],
        },
        {
            "resourceType": "MedicationStatement",
            "id": "s",
            "status": "not-taken",
            "extension": [{"url": f"{_EXTENSION}MedicationStatement.status", "valueCode": "active"}],
            "medicationReference": {"reference": "#m"},
            "contained": [
                {
                    "resourceType": "Medication",
                    "id": "m",
                    "extension": [{"url": f"{_EXTENSION}Medication.isBrand", "valueBoolean": True}],
                    "code": _text("ibuprofen"),
                },
                {"resourceType": "RelatedPerson", "id": "r", "patient": _ANN},
            ],
            "subject": _ANN,
            "statusReason": [_text("nausea")],
        },
    ),
    (
        {
            "resourceType": "Medication",
            "id": "m",
            "ingredient": [{"itemCodeableConcept": _text("salt"), "amount": {"numerator": {"value": 5}}}],
            "package": {
                "container": _text("box"),
                "batch": [{"lotNumber": "one"}, {"lotNumber": "two", "expirationDate": "2020-01"}],
            },
        },
        {
            "resourceType": "Medication",
            "id": "m",
            "ingredient": [{"itemCodeableConcept": _text("salt"), "strength": {"numerator": {"value": 5}}}],
            "batch": {"lotNumber": "one"},
            "extension": [
                {"url": f"{_EXTENSION}Medication.package.container", "valueCodeableConcept": _text("box")},
                {
                    "url": f"{_EXTENSION}Medication.package.batch",
                    "extension": [
                        {"url": "lotNumber", "valueString": "two"},
                        {"url": "expirationDate", "valueDateTime": "2020-01"},
                    ],
                },
            ],
        },
    ),
    (
        {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "category": [{"coding": [{"system": "http://hl7.org/fhir/observation-category", "code": "laboratory"}]}],
            "code": _text("weight"),
            "subject": _ANN,
            "context": _VISIT,
            "valueQuantity": {"value": Number("70.10")},
            "interpretation": _text("high"),
            "comment": "fasting",
            "related": [
                {"type": "has-member", "target": {"reference": "Observation/1"}},
                {"type": "derived-from", "target": {"reference": "Observation/2"}},
                {"type": "replaces", "target": {"reference": "Observation/3"}},
            ],
        },
        {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "category": [_concept("observation-category", "laboratory")],
            "code": _text("weight"),
            "subject": _ANN,
            "encounter": _VISIT,
            "valueQuantity": {"value": Number("70.10")},
            "interpretation": [_text("high")],
            "note": [_text("fasting")],
            "hasMember": [{"reference": "Observation/1"}],
            "derivedFrom": [{"reference": "Observation/2"}],
            "extension": [
                {
                    "url": f"{_EXTENSION}Observation.related",
                    "extension": [
                        {"url": "type", "valueCode": "replaces"},
                        {"url": "target", "valueReference": {"reference": "Observation/3"}},
                    ],
                }
            ],
        },
    ),
    (
        {
            "resourceType": "Immunization",
            "id": "i",
            "status": "completed",
            "notGiven": True,
            "vaccineCode": _text("flu"),
            "patient": _ANN,
            "date": "2019-10-01",
            "primarySource": True,
            "practitioner": [{"role": _text("giver"), "actor": _DOC}],
            "explanation": {"reasonNotGiven": [_text("fever"), _text("refused")]},
            "vaccinationProtocol": [
                {"seriesDoses": 3, "targetDisease": [_text("influenza")], "doseStatus": _text("counts")}
            ],
        },
        {
            "resourceType": "Immunization",
            "id": "i",
            "status": "not-done",
            "vaccineCode": _text("flu"),
            "patient": _ANN,
            "occurrenceDateTime": "2019-10-01",
            "primarySource": True,
            "performer": [{"function": _text("giver"), "actor": _DOC}],
            "statusReason": _text("fever"),
            "protocolApplied": [
                {
                    "_doseNumberString": _ABSENT,
                    "seriesDosesPositiveInt": 3,
                    "targetDisease": [_text("influenza")],
                    "extension": [
                        {
                            "url": f"{_EXTENSION}Immunization.vaccinationProtocol.doseStatus",
                            "valueCodeableConcept": _text("counts"),
                        }
                    ],
                }
            ],
            "extension": [
                {
                    "url": f"{_EXTENSION}Immunization.explanation.reasonNotGiven",
                    "valueCodeableConcept": _text("refused"),
                },
                {"url": f"{_EXTENSION}Immunization.status", "valueCode": "completed"},
            ],
        },
    ),
    (
        {
            "resourceType": "Procedure",
            "id": "x",
            "status": "suspended",
            "notDone": False,
            "subject": _ANN,
            "context": _VISIT,
            "performer": [{"role": _text("surgeon"), "actor": _DOC}],
        },
        {
            "resourceType": "Procedure",
            "id": "x",
            "status": "on-hold",
            "subject": _ANN,
            "encounter": _VISIT,
            "performer": [{"function": _text("surgeon"), "actor": _DOC}],
        },
    ),
    (
        {
            "resourceType": "DiagnosticReport",
            "id": "r",
            "status": "final",
            "category": _text("lab"),
            "code": _text("panel"),
            "subject": _ANN,
            "performer": [{"role": _text("pathologist"), "actor": _DOC}, {"actor": _DOC}],
            "image": [{"comment": "left", "link": {"reference": "Media/1"}}],
            "codedDiagnosis": [_text("anaemia")],
        },
        {
            "resourceType": "DiagnosticReport",
            "id": "r",
            "status": "final",
            "category": [_text("lab")],
            "code": _text("panel"),
            "subject": _ANN,
            "performer": [
                {
                    **_DOC,
                    "extension": [
                        {
                            "url": f"{_EXTENSION}DiagnosticReport.performer.role",
                            "valueCodeableConcept": _text("pathologist"),
                        }
                    ],
                },
                _DOC,
            ],
            "media": [{"comment": "left", "link": {"reference": "Media/1"}}],
            "conclusionCode": [_text("anaemia")],
        },
    ),
    (
        {
            "resourceType": "DocumentReference",
            "id": "d",
            "status": "current",
            "type": _text("note"),
            "class": _text("clinical"),
            "subject": _ANN,
            "created": "2019-01-01",
            "indexed": "2019-01-02T00:00:00Z",
            "content": [{"attachment": {"url": "Binary/1"}}],
            "context": {
                "encounter": _VISIT,
                "related": [{"identifier": {"value": "r1"}, "ref": {"reference": "Observation/1"}}],
            },
        },
        {
            "resourceType": "DocumentReference",
            "id": "d",
            "status": "current",
            "type": _text("note"),
            "category": [_text("clinical")],
            "subject": _ANN,
            "extension": [{"url": f"{_EXTENSION}DocumentReference.created", "valueDateTime": "2019-01-01"}],
            "date": "2019-01-02T00:00:00Z",
            "content": [{"attachment": {"url": "Binary/1"}}],
            "context": {
                "encounter": [_VISIT],
                "related": [{"identifier": {"value": "r1"}, "reference": "Observation/1"}],
            },
        },
    ),
    (
        {
            "resourceType": "Appointment",
            "id": "a",
            "status": "booked",
            "serviceCategory": _text("care"),
            "reason": [_text("check-up")],
            "indication": [{"reference": "Condition/c"}],
            "incomingReferral": [{"reference": "ReferralRequest/r"}],
            "participant": [{"actor": _ANN, "status": "accepted"}],
        },
        {
            "resourceType": "Appointment",
            "id": "a",
            "status": "booked",
            "serviceCategory": [_text("care")],
            "reasonCode": [_text("check-up")],
            "reasonReference": [{"reference": "Condition/c"}],
            "basedOn": [{"reference": "ReferralRequest/r"}],
            "participant": [{"actor": _ANN, "status": "accepted"}],
        },
    ),
]
