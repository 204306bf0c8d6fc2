"""What the specification fixes by list: codes of required value sets, targets of references, elements that are dates.

Law: the lists are those of FHIR R4 (4.0.1) for the types this product syncs; a list that is not here is not checked.
Tests hold them against the models of fhir.resources (R4B), whose few differences the tests name.
"""

from __future__ import annotations


def _set(codes: str) -> frozenset[str]:
    return frozenset(codes.split())


_REQUEST_STATUS = _set("draft active on-hold revoked completed entered-in-error unknown")
_REQUEST_PRIORITY = _set("routine urgent asap stat")
_REQUEST_INTENT = _set("proposal plan directive order original-order reflex-order filler-order instance-order option")
_EVENT_STATUS = _set("preparation in-progress not-done on-hold stopped completed entered-in-error unknown")
_OBSERVATION_STATUS = _set("registered preliminary final amended corrected cancelled entered-in-error unknown")
_FINANCIAL_STATUS = _set("active cancelled draft entered-in-error")
_DOCUMENT_STATUS = _set("preliminary final amended entered-in-error")
_GENDER = _set("male female other unknown")
_CLAIM_USE = _set("claim preauthorization predetermination")

REQUIRED_CODES: dict[str, dict[str, frozenset[str]]] = {
    "AllergyIntolerance": {
        "type": _set("allergy intolerance"),
        "category": _set("food medication environment biologic"),
        "criticality": _set("low high unable-to-assess"),
    },
    "Appointment": {
        "status": _set(
            "proposed pending booked arrived fulfilled cancelled noshow entered-in-error checked-in waitlist"
        )
    },
    "CarePlan": {"status": _REQUEST_STATUS, "intent": _set("proposal plan order option")},
    "CareTeam": {"status": _set("proposed active suspended inactive entered-in-error")},
    "Claim": {"status": _FINANCIAL_STATUS, "use": _CLAIM_USE},
    "ClinicalImpression": {"status": _set("in-progress completed entered-in-error")},
    "Communication": {"status": _EVENT_STATUS, "priority": _REQUEST_PRIORITY},
    "Composition": {"status": _DOCUMENT_STATUS},
    "Consent": {"status": _set("draft proposed active rejected inactive entered-in-error")},
    "Coverage": {"status": _FINANCIAL_STATUS},
    "Device": {"status": _set("active inactive entered-in-error unknown")},
    "DeviceRequest": {"status": _REQUEST_STATUS, "intent": _REQUEST_INTENT, "priority": _REQUEST_PRIORITY},
    "DiagnosticReport": {
        "status": _set(
            "registered partial preliminary final amended corrected appended cancelled entered-in-error unknown"
        )
    },
    "DocumentReference": {"status": _set("current superseded entered-in-error"), "docStatus": _DOCUMENT_STATUS},
    "Encounter": {
        "status": _set("planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown")
    },
    "EpisodeOfCare": {"status": _set("planned waitlist active onhold finished cancelled entered-in-error")},
    "ExplanationOfBenefit": {
        "status": _FINANCIAL_STATUS,
        "use": _CLAIM_USE,
        "outcome": _set("queued complete error partial"),
    },
    "FamilyMemberHistory": {"status": _set("partial completed entered-in-error health-unknown")},
    "Flag": {"status": _set("active inactive entered-in-error")},
    "Goal": {
        "lifecycleStatus": _set(
            "proposed planned accepted active on-hold completed cancelled entered-in-error rejected"
        )
    },
    "ImagingStudy": {"status": _set("registered available cancelled entered-in-error unknown")},
    "Immunization": {"status": _set("completed entered-in-error not-done")},
    "Location": {"status": _set("active suspended inactive"), "mode": _set("instance kind")},
    "Media": {"status": _EVENT_STATUS},
    "Medication": {"status": _set("active inactive entered-in-error")},
    "MedicationAdministration": {
        "status": _set("in-progress not-done on-hold completed entered-in-error stopped unknown")
    },
    "MedicationDispense": {
        "status": _set("preparation in-progress cancelled on-hold completed entered-in-error stopped declined unknown")
    },
    "MedicationRequest": {
        "status": _set("active on-hold cancelled completed entered-in-error stopped draft unknown"),
        "intent": _REQUEST_INTENT - {"directive"},
        "priority": _REQUEST_PRIORITY,
    },
    "MedicationStatement": {
        "status": _set("active completed entered-in-error intended stopped on-hold unknown not-taken")
    },
    "NutritionOrder": {"status": _REQUEST_STATUS, "intent": _REQUEST_INTENT},
    "Observation": {"status": _OBSERVATION_STATUS},
    "Patient": {"gender": _GENDER},
    "Practitioner": {"gender": _GENDER},
    "Procedure": {"status": _EVENT_STATUS},
    "QuestionnaireResponse": {"status": _set("in-progress completed amended entered-in-error stopped")},
    "RelatedPerson": {"gender": _GENDER},
    "RiskAssessment": {"status": _OBSERVATION_STATUS},
    "ServiceRequest": {"status": _REQUEST_STATUS, "intent": _REQUEST_INTENT, "priority": _REQUEST_PRIORITY},
    "Specimen": {"status": _set("available unavailable unsatisfactory entered-in-error")},
    "Task": {
        "status": _set(
            "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed "
            "entered-in-error"
        ),
        "intent": (_REQUEST_INTENT - {"directive"}) | {"unknown"},
        "priority": _REQUEST_PRIORITY,
    },
}
"""Element → codes of its required value set, by resource type; the elements are top-level codes or lists of codes."""

_PATIENT = _set("Patient")
_PATIENT_OR_GROUP = _set("Patient Group")
_MEASURED = _set("Patient Group Device Location")
_ENCOUNTER = {"encounter": _set("Encounter")}
_CONTEXT = {"context": _set("Encounter EpisodeOfCare")}

REFERENCE_TARGETS: dict[str, dict[str, frozenset[str]]] = {
    "AdverseEvent": {"subject": _set("Patient Group Practitioner RelatedPerson"), **_ENCOUNTER},
    "AllergyIntolerance": {"patient": _PATIENT, **_ENCOUNTER},
    "CarePlan": {"subject": _PATIENT_OR_GROUP, **_ENCOUNTER},
    "CareTeam": {"subject": _PATIENT_OR_GROUP, **_ENCOUNTER},
    "ChargeItem": {"subject": _PATIENT_OR_GROUP, **_CONTEXT},
    "Claim": {"patient": _PATIENT},
    "ClinicalImpression": {"subject": _PATIENT_OR_GROUP, **_ENCOUNTER},
    "Communication": {"subject": _PATIENT_OR_GROUP, **_ENCOUNTER},
    "Composition": _ENCOUNTER,
    "Condition": {"subject": _PATIENT_OR_GROUP, **_ENCOUNTER},
    "Consent": {"patient": _PATIENT},
    "Coverage": {"beneficiary": _PATIENT},
    "Device": {"patient": _PATIENT},
    "DeviceRequest": {"subject": _MEASURED, **_ENCOUNTER},
    "DiagnosticReport": {"subject": _MEASURED, **_ENCOUNTER},
    "DocumentReference": {"subject": _set("Patient Practitioner Group Device")},
    "Encounter": {"subject": _PATIENT_OR_GROUP},
    "EpisodeOfCare": {"patient": _PATIENT},
    "ExplanationOfBenefit": {"patient": _PATIENT},
    "FamilyMemberHistory": {"patient": _PATIENT},
    "Flag": {
        "subject": _set("Patient Location Group Organization Practitioner PlanDefinition Medication Procedure"),
        **_ENCOUNTER,
    },
    "Goal": {"subject": _set("Patient Group Organization")},
    "ImagingStudy": {"subject": _set("Patient Device Group"), **_ENCOUNTER},
    "Immunization": {"patient": _PATIENT, **_ENCOUNTER},
    "ImmunizationRecommendation": {"patient": _PATIENT},
    "List": {"subject": _MEASURED, **_ENCOUNTER},
    "Media": {
        "subject": _set("Patient Practitioner PractitionerRole Group Device Specimen Location"),
        **_ENCOUNTER,
    },
    "MedicationAdministration": {"subject": _PATIENT_OR_GROUP, **_CONTEXT},
    "MedicationDispense": {"subject": _PATIENT_OR_GROUP, **_CONTEXT},
    "MedicationRequest": {"subject": _PATIENT_OR_GROUP, **_ENCOUNTER},
    "MedicationStatement": {"subject": _PATIENT_OR_GROUP, **_CONTEXT},
    "NutritionOrder": {"patient": _PATIENT, **_ENCOUNTER},
    "Observation": {"subject": _MEASURED, **_ENCOUNTER},
    "Procedure": {"subject": _PATIENT_OR_GROUP, **_ENCOUNTER},
    "QuestionnaireResponse": _ENCOUNTER,
    "RelatedPerson": {"patient": _PATIENT},
    "RiskAssessment": {"subject": _PATIENT_OR_GROUP, **_ENCOUNTER},
    "ServiceRequest": {"subject": _MEASURED, **_ENCOUNTER},
    "Specimen": {"subject": _set("Patient Group Device Substance Location")},
    "SupplyDelivery": {"patient": _PATIENT},
    "Task": _ENCOUNTER,
}
"""Reference element → resource types it may point at: only who and when, the references that place a fact."""

DATE_ELEMENTS = _set(
    """
    abatementDateTime answerDate answerDateTime approvalDate articleDate authored authoredOn birthDate bornDate
    collectedDateTime created createdDateTime creation date dateAccessed dateAsserted dateDateTime
    dateOfFirstAuthorization dateTime dateWritten deceasedDate deceasedDateTime defaultValueDate
    defaultValueDateTime defaultValueInstant detected dueDate effectiveDateTime effectiveInstant effectiveTime end
    enteredDate event expirationDate expiry fixedDate fixedDateTime fixedInstant identifiedDateTime ifModifiedSince
    internationalBirthDate issued lastModified lastOccurrence lastPerformed lastReviewDate lastRevisionDate
    lastUpdated lockedDate manufactureDate maxValueDate maxValueDateTime maxValueInstant minValueDate
    minValueDateTime minValueInstant nextScheduled occurredDateTime occurrenceDateTime onset onsetDateTime
    participantEffectiveDateTime patternDate patternDateTime patternInstant paymentDate performedDateTime
    presentationDate publicationDate received receivedTime recorded recordedDate recordedOn releaseDate restoreDate
    sent servicedDate start startDate started statusDate studyEffectiveDateTime time timeDateTime timestamp
    timingDate timingDateTime useBy validTo validationDate valueDate valueDateTime valueInstant verificationDate
    when whenHandedOver whenPrepared
    """
)
"""Names of elements of type date, dateTime or instant anywhere in FHIR R4. `value` is missing on purpose: it is a
dateTime in one type and free text in the others (an identifier may look like a date and be none)."""
