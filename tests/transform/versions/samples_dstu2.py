"""Small DSTU2 resources and what R4 makes of them."""

from __future__ import annotations

from holovitals_pipelines.fhir.exact import Number
from holovitals_pipelines.model.writing import Document

_EXTENSION = "http://hl7.org/fhir/1.0/StructureDefinition/extension-"
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
            "name": [{"family": ["Doe"], "given": ["Ann"]}, {"family": ["van", "Dyck"]}],
            "contact": [{"name": {"family": ["Roe"]}}],
            "careProvider": [_DOC],
            "link": [{"other": {"reference": "Patient/q"}, "type": "replace"}],
            "extension": [{"url": "urn:mother", "valueHumanName": {"family": ["Poe"]}}],
        },
        {
            "resourceType": "Patient",
            "id": "p",
            "name": [
                {"family": "Doe", "given": ["Ann"]},
                {
                    "family": "van Dyck",
                    "extension": [
                        {"url": f"{_EXTENSION}HumanName.family", "valueString": "van"},
                        {"url": f"{_EXTENSION}HumanName.family", "valueString": "Dyck"},
                    ],
                },
            ],
            "contact": [{"name": {"family": "Roe"}}],
            "generalPractitioner": [_DOC],
            "link": [{"other": {"reference": "Patient/q"}, "type": "replaced-by"}],
            "extension": [{"url": "urn:mother", "valueHumanName": {"family": "Poe"}}],
        },
    ),
    (
        {
            "resourceType": "Practitioner",
            "id": "d",
            "name": {"family": ["Roe"]},
            "practitionerRole": [
                {"managingOrganization": {"reference": "Organization/o"}, "specialty": [_text("x-ray"), _text("ct")]}
            ],
        },
        {
            "resourceType": "Practitioner",
            "id": "d",
            "name": [{"family": "Roe"}],
            "extension": [
                {
                    "url": f"{_EXTENSION}Practitioner.practitionerRole",
                    "extension": [
                        {"url": "managingOrganization", "valueReference": {"reference": "Organization/o"}},
                        {"url": "specialty", "valueCodeableConcept": _text("x-ray")},
                        {"url": "specialty", "valueCodeableConcept": _text("ct")},
                    ],
                }
            ],
        },
    ),
    (
        {
            "resourceType": "Organization",
            "id": "o",
            "type": _text("clinic"),
            "name": "Ward",
            "contact": [{"name": {"family": ["Roe"]}}],
        },
        {
            "resourceType": "Organization",
            "id": "o",
            "type": [_text("clinic")],
            "name": "Ward",
            "contact": [{"name": {"family": "Roe"}}],
        },
    ),
    (
        {"resourceType": "Location", "id": "l", "status": "active", "type": _text("ward")},
        {"resourceType": "Location", "id": "l", "status": "active", "type": [_text("ward")]},
    ),
    (
        {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "class": "inpatient",
            "patient": _ANN,
            "incomingReferral": [{"reference": "ReferralRequest/r"}],
            "appointment": {"reference": "Appointment/a"},
            "reason": [_text("cough")],
            "indication": [{"reference": "Condition/1"}],
            "hospitalization": {
                "admitSource": _text("home"),
                "admittingDiagnosis": [{"reference": "Condition/2"}],
                "dischargeDiagnosis": [{"reference": "Condition/3"}],
            },
        },
        {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "class": {"system": f"{_TERMS}v3-ActCode", "code": "IMP"},
            "subject": _ANN,
            "basedOn": [{"reference": "ReferralRequest/r"}],
            "appointment": [{"reference": "Appointment/a"}],
            "reasonCode": [_text("cough")],
            "reasonReference": [{"reference": "Condition/1"}],
            "diagnosis": [
                {"condition": {"reference": "Condition/2"}, "use": _concept("diagnosis-role", "AD")},
                {"condition": {"reference": "Condition/3"}, "use": _concept("diagnosis-role", "DD")},
            ],
            "hospitalization": {"admitSource": _text("home")},
        },
    ),
    (
        {"resourceType": "Encounter", "status": "planned", "class": "outpatient"},
        {
            "resourceType": "Encounter",
            "status": "planned",
            "class": {
                "system": f"{_TERMS}v3-ActCode",
                "code": "AMB",
                "extension": [{"url": f"{_EXTENSION}Encounter.class", "valueCode": "outpatient"}],
            },
        },
    ),
    (
        {"resourceType": "Encounter", "status": "planned", "class": "other"},
        {
            "resourceType": "Encounter",
            "status": "planned",
            "class": {"system": "http://hl7.org/fhir/encounter-class", "code": "other"},
        },
    ),
    (
        {
            "resourceType": "Condition",
            "id": "c",
            "patient": _ANN,
            "encounter": _VISIT,
            "dateRecorded": "2015-02-03",
            "code": _text("asthma"),
            "category": _text("diagnosis"),
            "clinicalStatus": "relapse",
            "verificationStatus": "confirmed",
            "onsetQuantity": {"value": Number("7.50"), "unit": "a"},
            "abatementBoolean": False,
            "stage": {"summary": _text("mild")},
            "evidence": [{"code": _text("wheeze")}],
            "notes": "worse in spring",
        },
        {
            "resourceType": "Condition",
            "id": "c",
            "subject": _ANN,
            "encounter": _VISIT,
            "recordedDate": "2015-02-03",
            "code": _text("asthma"),
            "category": [_text("diagnosis")],
            "clinicalStatus": _concept("condition-clinical", "relapse"),
            "verificationStatus": _concept("condition-ver-status", "confirmed"),
            "onsetAge": {"value": Number("7.50"), "unit": "a"},
            "extension": [{"url": f"{_EXTENSION}Condition.abatement", "valueBoolean": False}],
            "stage": [{"summary": _text("mild")}],
            "evidence": [{"code": [_text("wheeze")]}],
            "note": [_text("worse in spring")],
        },
    ),
    (
        {
            "resourceType": "AllergyIntolerance",
            "id": "a",
            "onset": "2001",
            "recordedDate": "2015-01-01",
            "patient": _ANN,
            "reporter": _DOC,
            "substance": _text("nuts"),
            "status": "unconfirmed",
            "criticality": "CRITL",
            "category": "food",
            "lastOccurence": "2014",
            "note": _text("mild"),
            "reaction": [{"certainty": "likely", "manifestation": [_text("hives")], "note": _text("brief")}],
        },
        {
            "resourceType": "AllergyIntolerance",
            "id": "a",
            "onsetDateTime": "2001",
            "recordedDate": "2015-01-01",
            "patient": _ANN,
            "asserter": _DOC,
            "code": _text("nuts"),
            "clinicalStatus": _concept("allergyintolerance-clinical", "active"),
            "verificationStatus": _concept("allergyintolerance-verification", "unconfirmed"),
            "criticality": "low",
            "category": ["food"],
            "lastOccurrence": "2014",
            "note": [_text("mild")],
            "reaction": [
                {
                    "extension": [{"url": f"{_EXTENSION}AllergyIntolerance.reaction.certainty", "valueCode": "likely"}],
                    "manifestation": [_text("hives")],
                    "note": [_text("brief")],
                }
            ],
        },
    ),
    (
        {"resourceType": "AllergyIntolerance", "patient": _ANN, "substance": _text("dust"), "category": "other"},
        {
            "resourceType": "AllergyIntolerance",
            "patient": _ANN,
            "code": _text("dust"),
            "extension": [{"url": f"{_EXTENSION}AllergyIntolerance.category", "valueCode": "other"}],
        },
    ),
    (
        {
            "resourceType": "MedicationOrder",
            "id": "m",
            "dateWritten": "2015-05-05",
            "status": "stopped",
            "dateEnded": "2015-06-01",
            "reasonEnded": _text("rash"),
            "patient": _ANN,
            "prescriber": _DOC,
            "encounter": _VISIT,
            "reasonCodeableConcept": _text("pain"),
            "note": "with food",
            "medicationCodeableConcept": _text("aspirin"),
            "dosageInstruction": [
                {
                    "text": "nightly",
                    "additionalInstructions": _text("no alcohol"),
                    "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnits": "d", "when": "HS"}},
                    "siteReference": {"reference": "BodySite/1"},
                    "doseQuantity": {"value": Number("1.0")},
                    "rateRange": {"low": {"value": 1}},
                }
            ],
            "dispenseRequest": {"medicationReference": {"reference": "Medication/m"}, "numberOfRepeatsAllowed": 2},
            "substitution": {"type": _text("generic")},
        },
        {
            "resourceType": "MedicationRequest",
            "id": "m",
            "authoredOn": "2015-05-05",
            "status": "stopped",
            "extension": [{"url": f"{_EXTENSION}MedicationOrder.dateEnded", "valueDateTime": "2015-06-01"}],
            "statusReason": _text("rash"),
            "subject": _ANN,
            "requester": _DOC,
            "encounter": _VISIT,
            "reasonCode": [_text("pain")],
            "note": [_text("with food")],
            "medicationCodeableConcept": _text("aspirin"),
            "dosageInstruction": [
                {
                    "text": "nightly",
                    "additionalInstruction": [_text("no alcohol")],
                    "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "when": ["HS"]}},
                    "extension": [
                        {
                            "url": f"{_EXTENSION}MedicationOrder.dosageInstruction.site",
                            "valueReference": {"reference": "BodySite/1"},
                        }
                    ],
                    "doseAndRate": [{"doseQuantity": {"value": Number("1.0")}, "rateRange": {"low": {"value": 1}}}],
                }
            ],
            "dispenseRequest": {
                "extension": [
                    {
                        "url": f"{_EXTENSION}MedicationOrder.dispenseRequest.medication",
                        "valueReference": {"reference": "Medication/m"},
                    }
                ],
                "numberOfRepeatsAllowed": 2,
            },
            "substitution": {"allowedCodeableConcept": _text("generic")},
            "intent": "order",
        },
    ),
    (
        {
            "resourceType": "MedicationStatement",
            "id": "s",
            "patient": _ANN,
            "status": "completed",
            "wasNotTaken": True,
            "reasonNotTaken": [_text("nausea")],
            "reasonForUseReference": {"reference": "Condition/c"},
            "note": "asked",
            "supportingInformation": [{"reference": "Observation/1"}],
            "medicationCodeableConcept": _text("ibuprofen"),
            "dosage": [{"siteCodeableConcept": _text("arm"), "quantityRange": {"high": {"value": 2}}}],
        },
        {
            "resourceType": "MedicationStatement",
            "id": "s",
            "subject": _ANN,
            "status": "not-taken",
            "extension": [{"url": f"{_EXTENSION}MedicationStatement.status", "valueCode": "completed"}],
            "statusReason": [_text("nausea")],
            "reasonReference": [{"reference": "Condition/c"}],
            "note": [_text("asked")],
            "derivedFrom": [{"reference": "Observation/1"}],
            "medicationCodeableConcept": _text("ibuprofen"),
            "dosage": [{"site": _text("arm"), "doseAndRate": [{"doseRange": {"high": {"value": 2}}}]}],
        },
    ),
    (
        {
            "resourceType": "Medication",
            "id": "m",
            "isBrand": False,
            "product": {
                "form": _text("tablet"),
                "ingredient": [{"item": {"reference": "Substance/1"}, "amount": {"numerator": {"value": 5}}}],
                "batch": [{"lotNumber": "one"}],
            },
            "package": {"content": [{"item": {"reference": "Medication/2"}, "amount": {"value": 20}}]},
        },
        {
            "resourceType": "Medication",
            "id": "m",
            "form": _text("tablet"),
            "ingredient": [{"itemReference": {"reference": "Substance/1"}, "strength": {"numerator": {"value": 5}}}],
            "batch": {"lotNumber": "one"},
            "extension": [
                {"url": f"{_EXTENSION}Medication.isBrand", "valueBoolean": False},
                {
                    "url": f"{_EXTENSION}Medication.package.content",
                    "extension": [
                        {"url": "item", "valueReference": {"reference": "Medication/2"}},
                        {"url": "amount", "valueQuantity": {"value": 20}},
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
            "category": _text("vitals"),
            "code": _text("pressure"),
            "subject": _ANN,
            "encounter": _VISIT,
            "interpretation": _text("high"),
            "comments": "sitting",
            "referenceRange": [{"high": {"value": 140}, "meaning": _text("adult")}],
            "related": [{"target": {"reference": "Observation/1"}}],
            "component": [{"code": _text("systolic"), "valueAttachment": {"title": "curve"}}],
        },
        {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "category": [_text("vitals")],
            "code": _text("pressure"),
            "subject": _ANN,
            "encounter": _VISIT,
            "interpretation": [_text("high")],
            "note": [_text("sitting")],
            "referenceRange": [{"high": {"value": 140}, "type": _text("adult")}],
            "extension": [
                {
                    "url": f"{_EXTENSION}Observation.related",
                    "extension": [{"url": "target", "valueReference": {"reference": "Observation/1"}}],
                }
            ],
            "component": [
                {
                    "code": _text("systolic"),
                    "extension": [
                        {"url": f"{_EXTENSION}Observation.component.value", "valueAttachment": {"title": "curve"}}
                    ],
                }
            ],
        },
    ),
    (
        {
            "resourceType": "Immunization",
            "id": "i",
            "status": "on-hold",
            "vaccineCode": _text("flu"),
            "patient": _ANN,
            "wasNotGiven": False,
            "reported": True,
            "performer": _DOC,
            "requester": {"reference": "Practitioner/q"},
            "explanation": {"reason": [_text("travel")]},
            "vaccinationProtocol": [
                {"doseSequence": 1, "targetDisease": [_text("influenza")], "doseStatus": _text("counts")}
            ],
        },
        {
            "resourceType": "Immunization",
            "id": "i",
            "_status": _ABSENT,
            "vaccineCode": _text("flu"),
            "patient": _ANN,
            "_occurrenceDateTime": _ABSENT,
            "primarySource": False,
            "performer": [
                {"function": _concept("v2-0443", "AP"), "actor": _DOC},
                {"function": _concept("v2-0443", "OP"), "actor": {"reference": "Practitioner/q"}},
            ],
            "reasonCode": [_text("travel")],
            "protocolApplied": [
                {
                    "doseNumberPositiveInt": 1,
                    "targetDisease": [_text("influenza")],
                    "extension": [
                        {
                            "url": f"{_EXTENSION}Immunization.vaccinationProtocol.doseStatus",
                            "valueCodeableConcept": _text("counts"),
                        }
                    ],
                }
            ],
            "extension": [{"url": f"{_EXTENSION}Immunization.status", "valueCode": "on-hold"}],
        },
    ),
    (
        {
            "resourceType": "Procedure",
            "id": "x",
            "subject": _ANN,
            "status": "aborted",
            "notPerformed": True,
            "reasonNotPerformed": [_text("fever"), _text("refused")],
            "reasonReference": {"reference": "Condition/c"},
            "performer": [{"role": _text("surgeon"), "actor": _DOC}],
            "request": {"reference": "ProcedureRequest/1"},
            "notes": [_text("postponed")],
            "used": [{"reference": "Device/1"}],
        },
        {
            "resourceType": "Procedure",
            "id": "x",
            "subject": _ANN,
            "status": "not-done",
            "extension": [
                {"url": f"{_EXTENSION}Procedure.reasonNotPerformed", "valueCodeableConcept": _text("refused")},
                {"url": f"{_EXTENSION}Procedure.status", "valueCode": "aborted"},
            ],
            "statusReason": _text("fever"),
            "reasonReference": [{"reference": "Condition/c"}],
            "performer": [{"function": _text("surgeon"), "actor": _DOC}],
            "basedOn": [{"reference": "ProcedureRequest/1"}],
            "note": [_text("postponed")],
            "usedReference": [{"reference": "Device/1"}],
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
            "performer": _DOC,
            "request": [{"reference": "DiagnosticOrder/1"}],
            "image": [{"link": {"reference": "Media/1"}}],
            "codedDiagnosis": [_text("anaemia")],
            "contained": [{"resourceType": "DiagnosticOrder", "id": "1", "note": "urgent"}],
        },
        {
            "resourceType": "DiagnosticReport",
            "id": "r",
            "status": "final",
            "category": [_text("lab")],
            "code": _text("panel"),
            "subject": _ANN,
            "performer": [_DOC],
            "basedOn": [{"reference": "DiagnosticOrder/1"}],
            "media": [{"link": {"reference": "Media/1"}}],
            "conclusionCode": [_text("anaemia")],
            "extension": [
                {
                    "url": "urn:holovitals:unmapped",
                    "valueString": '{"DiagnosticReport.contained[0]":{"resourceType":"DiagnosticOrder","id":"1",'
                    '"note":"urgent"}}',
                }
            ],
        },
    ),
    (
        {
            "resourceType": "DocumentReference",
            "id": "d",
            "status": "current",
            "docStatus": {"coding": [{"system": "http://hl7.org/fhir/composition-status", "code": "final"}]},
            "type": _text("note"),
            "class": _text("clinical"),
            "indexed": "2015-01-02T00:00:00Z",
            "content": [{"attachment": {"url": "Binary/1"}, "format": [{"code": "a"}, {"code": "b"}]}],
            "context": {"encounter": _VISIT, "related": [{"identifier": {"value": "r1"}}]},
        },
        {
            "resourceType": "DocumentReference",
            "id": "d",
            "status": "current",
            "docStatus": "final",
            "extension": [
                {
                    "url": f"{_EXTENSION}DocumentReference.docStatus",
                    "valueCodeableConcept": {
                        "coding": [{"system": "http://hl7.org/fhir/composition-status", "code": "final"}]
                    },
                }
            ],
            "type": _text("note"),
            "category": [_text("clinical")],
            "date": "2015-01-02T00:00:00Z",
            "content": [
                {
                    "attachment": {"url": "Binary/1"},
                    "format": {"code": "a"},
                    "extension": [
                        {"url": f"{_EXTENSION}DocumentReference.content.format", "valueCoding": {"code": "b"}}
                    ],
                }
            ],
            "context": {"encounter": [_VISIT], "related": [{"identifier": {"value": "r1"}}]},
        },
    ),
    (
        {
            "resourceType": "Appointment",
            "id": "a",
            "status": "booked",
            "type": _text("visit"),
            "reason": _text("check-up"),
            "participant": [{"actor": _ANN, "status": "accepted"}],
        },
        {
            "resourceType": "Appointment",
            "id": "a",
            "status": "booked",
            "serviceType": [_text("visit")],
            "reasonCode": [_text("check-up")],
            "participant": [{"actor": _ANN, "status": "accepted"}],
        },
    ),
]
