"""FHIR DSTU2 (1.0.2): what is other than in R4, by resource type.

Law: an element that no table names has the same name and form in R4. Follows HL7's maps R2 to R3 and R3 to R4 and,
where those are silent, the definitions. No machine-readable DSTU2 is at hand to hold the tables against.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from holovitals_pipelines.transform.versions.changes import (
    Changes,
    Codes,
    Concept,
    Dissolve,
    Formed,
    Inside,
    Keep,
    Move,
    as_list,
    as_notes,
    concept,
    inverted,
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
    NO_INTENT,
    NO_OCCURRENCE,
    NO_STATUS,
    NO_SUBJECT,
    OBSERVATION,
    PATIENT_ANIMAL,
    SIGNATURE,
    UNKNOWN_STATUS,
    VERIFICATION_CODES,
    Substitute,
    diagnosis,
    dose,
    first,
    not_done,
)
from holovitals_pipelines.transform.versions.systems import TERMINOLOGY
from holovitals_pipelines.transform.versions.target import UNKNOWN_CODE, Member, Target

EXTENSION = "http://hl7.org/fhir/1.0/StructureDefinition/extension-"

RENAMED: Mapping[str, str] = MappingProxyType({"MedicationOrder": "MedicationRequest"})


def _family(target: Target, member: Member) -> None:
    """Several family names are one text in R4, and the parts are kept beside it."""
    parts = member.value
    if type(parts) is not list or not parts or not all(type(part) is str for part in parts):
        # One family name is R4's form already; a list with gaps has none.
        target.put("family", parts, member.companion) if type(parts) is str else target.leave(member)
        return
    if len(parts) == 1:
        companion = member.companion[0] if type(member.companion) is list and member.companion else member.companion
        target.put("family", parts[0], companion)
        return
    target.put("family", " ".join(parts))
    Keep("string", path="HumanName.family")(target, member)


HUMAN_NAME: Changes = {"family": _family}

_REPEAT: Changes = {
    "durationUnits": Move("durationUnit"),
    "periodUnits": Move("periodUnit"),
    "when": Move("when", as_list),
    "boundsQuantity": Move("boundsDuration"),
}
TIMING: Changes = {"repeat": Inside(_REPEAT)}

_NAMED: Changes = {"name": Inside(HUMAN_NAME)}

_DOSAGE: Changes = {
    "additionalInstructions": Move("additionalInstruction", as_list),
    "timing": Inside(TIMING),
    "siteCodeableConcept": Move("site"),
    "doseQuantity": dose("doseQuantity"),
    "doseRange": dose("doseRange"),
    "quantityQuantity": dose("doseQuantity"),
    "quantityRange": dose("doseRange"),
    "rateRatio": dose("rateRatio"),
    "rateRange": dose("rateRange"),
}

_REASON: Changes = {
    "reasonCodeableConcept": Move("reasonCode", as_list),
    "reasonReference": Move("reasonReference", as_list),
}

_ROLE: Mapping[str, str] = {
    "managingOrganization": "Reference",
    "role": "CodeableConcept",
    "specialty": "CodeableConcept",
    "period": "Period",
    "location": "Reference",
    "healthcareService": "Reference",
}

_PATIENT: Changes = {
    **_NAMED,
    "contact": Inside(_NAMED),
    "animal": PATIENT_ANIMAL,
    "careProvider": Move("generalPractitioner"),
    "link": Inside({"type": Codes("type", {"replace": "replaced-by"})}),
}

_PRACTITIONER: Changes = {
    "name": Inside(HUMAN_NAME, form=as_list),
    # A PractitionerRole in R4: another resource, that one of DSTU2 cannot bring into being.
    "practitionerRole": Keep(_ROLE),
}

_CLASSES: Mapping[str, str] = {
    "inpatient": "IMP",
    "outpatient": "AMB",
    "ambulatory": "AMB",
    "emergency": "EMER",
    "home": "HH",
    "field": "FLD",
    "daytime": "SS",
    "virtual": "VR",
}


def _class(target: Target, member: Member) -> None:
    """A code of DSTU2's own becomes one of HL7 v3; those that v3 has not, or not as exactly, stay in sight."""
    if type(member.value) is not str:
        Move("class")(target, member)
        return
    act = _CLASSES.get(member.value)
    own = {"system": "http://hl7.org/fhir/encounter-class", "code": member.value}
    coding: dict[str, Any] = own if act is None else {"system": f"{TERMINOLOGY}v3-ActCode", "code": act}
    if member.companion is not None:
        coding["_code"] = member.companion
    if member.value == "outpatient":
        coding["extension"] = [{"url": f"{target.report.extension_base}{member.path}", "valueCode": member.value}]
    if act is None:
        target.report.find(UNKNOWN_CODE, member.place)
    target.put("class", coding)


_HOSPITALIZATION: Changes = {
    # unverified: STU3 dropped these two, and no map of HL7 has them in R4; its roles AD and DD say the same.
    "admittingDiagnosis": diagnosis("AD"),
    "dischargeDiagnosis": diagnosis("DD"),
}

_ENCOUNTER: Changes = {
    "class": _class,
    "patient": Move("subject"),
    "incomingReferral": Move("basedOn"),
    "appointment": Move("appointment", as_list),
    "reason": Move("reasonCode"),
    # unverified: STU3 dropped it, and no map of HL7 has it in R4; reasonReference is defined by the same words.
    "indication": Move("reasonReference"),
    "hospitalization": Inside(_HOSPITALIZATION),
}

_CONDITION: Changes = {
    "patient": Move("subject"),
    "dateRecorded": Move("recordedDate"),
    "category": Move("category", as_list),
    "clinicalStatus": Concept("clinicalStatus", CONDITION_CLINICAL, CLINICAL_CODES),
    "verificationStatus": Concept("verificationStatus", CONDITION_VERIFICATION, VERIFICATION_CODES),
    "onsetQuantity": Move("onsetAge"),
    "abatementQuantity": Move("abatementAge"),
    # unverified: that HL7's name for the extension of a choice is the path without its type.
    "abatementBoolean": Keep("boolean", path="Condition.abatement"),
    "stage": Move("stage", as_list),
    "evidence": Inside({"code": Move("code", as_list)}),
    "notes": Move("note", as_notes),
}

_ALLERGY_STATUS: Mapping[str, tuple[str | None, str | None]] = {
    "active": ("active", None),
    "unconfirmed": ("active", "unconfirmed"),
    "confirmed": ("active", "confirmed"),
    "inactive": ("inactive", None),
    "resolved": ("resolved", None),
    "refuted": (None, "refuted"),
    "entered-in-error": (None, "entered-in-error"),
}
"""DSTU2's one status: the clinical one and that of verification."""


def _allergy_status(target: Target, member: Member) -> None:
    statuses = _ALLERGY_STATUS.get(member.value) if type(member.value) is str else None
    if statuses is None or member.companion is not None:
        target.report.find(UNKNOWN_CODE, member.place)
        Keep("code")(target, member)
    if statuses is None:
        return
    clinical, verification = statuses
    if clinical is not None:
        target.put("clinicalStatus", concept(ALLERGY_CLINICAL, clinical))
    if verification is not None:
        target.put("verificationStatus", concept(ALLERGY_VERIFICATION, verification))


_ALLERGY_INTOLERANCE: Changes = {
    "onset": Move("onsetDateTime"),
    "reporter": Move("asserter"),
    "substance": Move("code"),
    "status": _allergy_status,
    "criticality": Codes("criticality", {"CRITL": "low", "CRITH": "high", "CRITU": "unable-to-assess"}),
    "category": Codes("category", {}, without=("other",), form=as_list),
    "lastOccurence": Move("lastOccurrence"),
    "note": Move("note", as_list),
    "reaction": Inside({"certainty": Keep("code"), "note": Move("note", as_list)}),
}

_MEDICATION_ORDER: Changes = {
    **_REASON,
    "dateWritten": Move("authoredOn"),
    "dateEnded": Keep("dateTime"),
    # unverified: HL7's map leaves it to a Provenance; it is the reason for the status that ended the order.
    "reasonEnded": Move("statusReason"),
    "patient": Move("subject"),
    "prescriber": Move("requester"),
    "note": Move("note", as_notes),
    "dosageInstruction": Inside(
        {**_DOSAGE, "siteReference": Keep("Reference", path="MedicationOrder.dosageInstruction.site")}
    ),
    "dispenseRequest": Inside(
        {
            "medicationCodeableConcept": Keep("CodeableConcept", path="MedicationOrder.dispenseRequest.medication"),
            "medicationReference": Keep("Reference", path="MedicationOrder.dispenseRequest.medication"),
        }
    ),
    # unverified: HL7's map has no place for the type; R4's `allowed` is bound to the same codes.
    "substitution": Inside({"type": Move("allowedCodeableConcept")}),
}


def _not_taken(target: Target, member: Member) -> None:
    if member.value is True and member.companion is None:
        target.override("status", "not-taken")
    elif type(member.value) is not bool or member.companion is not None:
        Keep("boolean")(target, member)


_MEDICATION_STATEMENT: Changes = {
    "patient": Move("subject"),
    "wasNotTaken": _not_taken,
    "reasonNotTaken": Move("statusReason"),
    "reasonForUseCodeableConcept": Move("reasonCode", as_list),
    "reasonForUseReference": Move("reasonReference", as_list),
    "note": Move("note", as_notes),
    "supportingInformation": Move("derivedFrom"),
    "dosage": Inside({**_DOSAGE, "siteReference": Keep("Reference", path="MedicationStatement.dosage.site")}),
}

_PRODUCT: Changes = {
    "form": Move("form"),
    "ingredient": Inside({"item": Move("itemReference"), "amount": Move("strength")}),
    "batch": first("batch", {"lotNumber": "string", "expirationDate": "dateTime"}),
}

_PACKAGE: Changes = {
    "container": Keep("CodeableConcept"),
    "content": Keep({"item": "Reference", "amount": "Quantity"}),
}

_MEDICATION: Changes = {"isBrand": Keep("boolean"), "product": Dissolve(_PRODUCT), "package": Dissolve(_PACKAGE)}

_OBSERVATION: Changes = {
    **OBSERVATION,
    "category": Move("category", as_list),
    "comments": Move("note", as_notes),
    "referenceRange": Inside({"meaning": Move("type")}),
    "component": Inside(
        {
            "valueAttachment": Keep("Attachment", path="Observation.component.value"),
            "referenceRange": Inside({"meaning": Move("type")}),
        }
    ),
}


def _performing(function: str) -> Move:
    """Who gave, or asked for, a vaccination: a performer by function in R4."""

    def performer(value: Any, companion: Any) -> Formed:
        if type(value) is not dict or companion is not None:
            return (value, companion) if function == "AP" else None
        return [{"function": concept(f"{TERMINOLOGY}v2-0443", function), "actor": value}], None

    return Move("performer", performer)


_IMMUNIZATION: Changes = {
    **IMMUNIZATION,
    "status": Codes("status", {}, without=("in-progress", "on-hold", "stopped")),
    "wasNotGiven": not_done,
    "reported": Move("primarySource", inverted),
    "performer": _performing("AP"),
    "requester": _performing("OP"),
}

_PROCEDURE: Changes = {
    **_REASON,
    "status": Codes("status", {"aborted": "stopped"}),
    "notPerformed": not_done,
    "reasonNotPerformed": first("statusReason"),
    "performer": Inside({"role": Move("function")}),
    "request": Move("basedOn", as_list),
    "notes": Move("note"),
    "used": Move("usedReference"),
}

_DIAGNOSTIC_REPORT: Changes = {
    "category": Move("category", as_list),
    "performer": Move("performer", as_list),
    "request": Move("basedOn"),
    "image": Move("media"),
    "codedDiagnosis": Move("conclusionCode"),
}

_DOCUMENT_STATUSES = frozenset(["preliminary", "final", "amended", "entered-in-error"])


def _document_status(target: Target, member: Member) -> None:
    """A concept in DSTU2, a code in R4: taken where the concept is that code and no more."""
    value = member.value
    codings = value.get("coding") if type(value) is dict and set(value) == {"coding"} else None
    coding = codings[0] if type(codings) is list and len(codings) == 1 and type(codings[0]) is dict else {}
    if type(value) is str:
        target.put("docStatus", value, member.companion)
        return
    if type(coding.get("code")) is str and coding["code"] in _DOCUMENT_STATUSES:
        target.put("docStatus", coding["code"])
        if set(coding) == {"code"}:
            return
    Keep("CodeableConcept")(target, member)


_DOCUMENT_REFERENCE: Changes = {
    **DOCUMENT_REFERENCE,
    "docStatus": _document_status,
    "content": Inside({"format": first("format", "Coding")}),
}

_APPOINTMENT: Changes = {"type": Move("serviceType", as_list), "reason": Move("reasonCode", as_list)}

RESOURCES: Mapping[str, Changes] = MappingProxyType(
    {
        "AllergyIntolerance": _ALLERGY_INTOLERANCE,
        "Appointment": _APPOINTMENT,
        "Condition": _CONDITION,
        "DiagnosticReport": _DIAGNOSTIC_REPORT,
        "DocumentReference": _DOCUMENT_REFERENCE,
        "Encounter": _ENCOUNTER,
        "Immunization": _IMMUNIZATION,
        "Location": {"type": Move("type", as_list)},
        "Medication": _MEDICATION,
        "MedicationOrder": _MEDICATION_ORDER,
        "MedicationStatement": _MEDICATION_STATEMENT,
        "Observation": _OBSERVATION,
        "Organization": {"type": Move("type", as_list), "contact": Inside(_NAMED)},
        "Patient": _PATIENT,
        "Practitioner": _PRACTITIONER,
        "Procedure": _PROCEDURE,
    }
)

DATATYPES: Mapping[str, Changes] = MappingProxyType({"HumanName": HUMAN_NAME, "Timing": TIMING, "Signature": SIGNATURE})

MISSING: Mapping[str, tuple[Substitute, ...]] = MappingProxyType(
    {
        "Encounter": (NO_CLASS,),
        "Immunization": (NO_OCCURRENCE, UNKNOWN_STATUS),
        "MedicationOrder": (NO_STATUS, NO_INTENT, NO_SUBJECT),
    }
)
"""What stands for elements that R4 requires and DSTU2 does not."""
