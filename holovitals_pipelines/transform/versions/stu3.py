"""FHIR STU3 (3.0.2): what is other than in R4, by resource type.

Law: an element that no table names has the same name and form in R4. The tests hold that against the models of both
versions, so a table cannot forget one. Follows HL7's maps R3 to R4 and, where those are silent, R4's own definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from holovitals_pipelines.transform.versions.changes import (
    Changes,
    Codes,
    Concept,
    Dissolve,
    Inside,
    Keep,
    Move,
    as_list,
    as_notes,
)
from holovitals_pipelines.transform.versions.common import (
    ALLERGY_CLINICAL,
    ALLERGY_VERIFICATION,
    CLINICAL_CODES,
    CONDITION_CLINICAL,
    CONDITION_VERIFICATION,
    DOCUMENT_REFERENCE,
    IMMUNIZATION,
    NO_CLASS,
    NO_OCCURRENCE,
    NO_STATUS,
    OBSERVATION,
    PATIENT_ANIMAL,
    SIGNATURE,
    VERIFICATION_CODES,
    Substitute,
    context,
    dose,
    first,
    not_done,
)
from holovitals_pipelines.transform.versions.target import Member, Target

EXTENSION = "http://hl7.org/fhir/3.0/StructureDefinition/extension-"

DOSAGE: Changes = {name: dose(name) for name in ("doseQuantity", "doseRange", "rateQuantity", "rateRange", "rateRatio")}


def _spread(target: Target, member: Member) -> None:
    """The reference within is what the object around it becomes; its other elements are extensions of it."""
    if type(member.value) is not dict:
        target.leave(member)
        return
    for name, value in member.value.items():
        target.put(name, value, place=f"{member.place}.{name}")


def _taken(target: Target, member: Member) -> None:
    """Not taken is a status in R4; what else was said of it has no place there."""
    if member.value == "n" and member.companion is None:
        target.override("status", "not-taken")
    else:
        Keep("code")(target, member)


_BATCH: Mapping[str, str] = {"lotNumber": "string", "expirationDate": "dateTime"}


_ENCOUNTER: Changes = {
    "appointment": Move("appointment", as_list),
    "incomingReferral": Move("basedOn"),
    "reason": Move("reasonCode"),
    "diagnosis": Inside({"role": Move("use")}),
}

_CONDITION: Changes = {
    "clinicalStatus": Concept("clinicalStatus", CONDITION_CLINICAL, CLINICAL_CODES),
    "verificationStatus": Concept("verificationStatus", CONDITION_VERIFICATION, VERIFICATION_CODES),
    "context": context,
    "assertedDate": Move("recordedDate"),
    # unverified: that HL7's name for the extension of a choice is the path without its type.
    "abatementBoolean": Keep("boolean", path="Condition.abatement"),
    "stage": Move("stage", as_list),
}

_ALLERGY_INTOLERANCE: Changes = {
    "clinicalStatus": Concept("clinicalStatus", ALLERGY_CLINICAL, frozenset(["active", "inactive", "resolved"])),
    "verificationStatus": Concept(
        "verificationStatus",
        ALLERGY_VERIFICATION,
        frozenset(["unconfirmed", "confirmed", "refuted", "entered-in-error"]),
    ),
    "assertedDate": Move("recordedDate"),
}

_MEDICATION_REQUEST: Changes = {
    # A reference to one definition is no canonical address of it.
    "definition": Keep("Reference"),
    "category": Move("category", as_list),
    "context": context,
    "requester": Inside({"agent": _spread, "onBehalfOf": Keep("Reference")}),
    "dosageInstruction": Inside(DOSAGE),
    "substitution": Inside({"allowed": Move("allowedBoolean")}),
}

_MEDICATION_STATEMENT: Changes = {
    "taken": _taken,
    "reasonNotTaken": Move("statusReason"),
    "dosage": Inside(DOSAGE),
}

_CONTENT: Mapping[str, str] = {
    "itemCodeableConcept": "CodeableConcept",
    "itemReference": "Reference",
    "amount": "Quantity",
}

_MEDICATION: Changes = {
    "isBrand": Keep("boolean"),
    "isOverTheCounter": Keep("boolean"),
    "image": Keep("Attachment"),
    "ingredient": Inside({"amount": Move("strength")}),
    "package": Dissolve(
        {"container": Keep("CodeableConcept"), "content": Keep(_CONTENT), "batch": first("batch", _BATCH)}
    ),
}

_IMMUNIZATION: Changes = {
    **IMMUNIZATION,
    "notGiven": not_done,
    "practitioner": Inside({"role": Move("function")}, "performer"),
}

_PROCEDURE: Changes = {
    "definition": Keep("Reference"),
    "status": Codes("status", {"suspended": "on-hold", "aborted": "stopped"}),
    "notDone": not_done,
    "notDoneReason": Move("statusReason"),
    "context": context,
    "performer": Inside({"role": Move("function")}),
}

_DIAGNOSTIC_REPORT: Changes = {
    "category": Move("category", as_list),
    "context": context,
    "performer": Inside({"actor": _spread, "role": Keep("CodeableConcept")}),
    "image": Move("media"),
    "codedDiagnosis": Move("conclusionCode"),
}

_APPOINTMENT: Changes = {
    "serviceCategory": Move("serviceCategory", as_list),
    "incomingReferral": Move("basedOn"),
    "indication": Move("reasonReference"),
    "reason": Move("reasonCode"),
}

RESOURCES: Mapping[str, Changes] = MappingProxyType(
    {
        "AllergyIntolerance": _ALLERGY_INTOLERANCE,
        "Appointment": _APPOINTMENT,
        "Condition": _CONDITION,
        "DiagnosticReport": _DIAGNOSTIC_REPORT,
        "DocumentReference": {**DOCUMENT_REFERENCE, "docStatus": Codes("docStatus", {}, without=("appended",))},
        "Encounter": _ENCOUNTER,
        "Immunization": _IMMUNIZATION,
        "Location": {"type": Move("type", as_list)},
        "Medication": _MEDICATION,
        "MedicationRequest": _MEDICATION_REQUEST,
        "MedicationStatement": _MEDICATION_STATEMENT,
        "Observation": {**OBSERVATION, "context": context, "comment": Move("note", as_notes)},
        "Organization": {},
        "Patient": {"animal": PATIENT_ANIMAL},
        "Practitioner": {},
        "Procedure": _PROCEDURE,
    }
)

DATATYPES: Mapping[str, Changes] = MappingProxyType({"Dosage": DOSAGE, "Signature": SIGNATURE})

MISSING: Mapping[str, tuple[Substitute, ...]] = MappingProxyType(
    {"Encounter": (NO_CLASS,), "Immunization": (NO_OCCURRENCE,), "MedicationRequest": (NO_STATUS,)}
)
"""What stands for elements that R4 requires and STU3 does not."""
