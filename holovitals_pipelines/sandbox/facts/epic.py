"""Epic's published surface: its R4 CapabilityStatement (May 2026 release) and its OperationOutcome codes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Surface:
    """One resource type: interactions as letters (create, read, search, update), parameters Epic searches by.

    `_id` and `_count` come on top. Parameters not listed are filtered after the search, where they exist at all.
    """

    interactions: str
    parameters: tuple[str, ...] = ()

    @property
    def needs_patient(self) -> bool:
        return "patient" in self.parameters or "subject" in self.parameters


def _surface(line: str) -> tuple[str, Surface]:
    kind, interactions, *parameters = line.split()
    return kind, Surface(interactions, tuple(parameters))


SURFACE: dict[str, Surface] = dict(
    map(
        _surface,
        """\
Account rs
AdverseEvent rs subject study
AllergyIntolerance crs patient clinical-status
Appointment rs patient service-category
Binary rs
BodyStructure crsu patient subject identifier location morphology
CarePlan rs patient subject category
CareTeam rs patient subject status
Claim rs
Communication crs patient subject category encounter
ConceptMap cr
Condition crs patient subject category clinical-status code encounter onset-date abatement-date recorded-date
Consent rs patient subject category status
Contract rs
Coverage rs patient beneficiary
Device rs patient device-name manufacturer model udi-carrier udi-di
DeviceRequest rs patient status
DeviceUseStatement rs patient subject
DiagnosticReport rsu patient subject category code date identifier
DocumentReference crsu patient subject category date docstatus encounter period status type author _lastUpdated
Encounter rs patient subject class date identifier
Endpoint rs
EpisodeOfCare rs patient status type
ExplanationOfBenefit rs patient identifier created type use billable-period-start service-date
FamilyMemberHistory rs patient
Flag rs patient subject category encounter status
Goal rs patient subject category lifecycle-status start-date
Group rs
ImagingStudy rs patient subject identifier
Immunization rs patient date status
ImmunizationRecommendation rs patient
List rs patient subject code encounter identifier
Location rs type
Measure rs
MeasureReport rs _lastUpdated
Media rs
Medication rs
MedicationAdministration rs patient subject context effective-time performer request status
MedicationDispense rs patient subject category
MedicationRequest rs patient subject category date intent status
NutritionOrder rs patient
Observation crsu patient subject category code date focus issued based-on
Organization rs
Patient crs address address-city address-postalcode address-state birthdate family given gender identifier name telecom
Practitioner rs address address-city address-postalcode address-state family given identifier name
PractitionerRole rs email identifier location organization phone practitioner role specialty telecom
Procedure crsu patient subject category code date identifier
Provenance r
Questionnaire rs
QuestionnaireResponse crs patient subject encounter
RelatedPerson rs
RequestGroup rs
ResearchStudy rs identifier status
ResearchSubject rs patient study status
ServiceRequest crsu patient subject authored category code encounter identifier requester status
Specimen rs
Substance rs
Task rsu patient subject code encounter status
ValueSet r""".splitlines(),
    )
)

BULK_TYPES = (
    "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "Device", "DiagnosticReport",
    "DocumentReference", "Encounter", "Goal", "Immunization", "Location", "Medication", "MedicationDispense",
    "MedicationRequest", "Observation", "Organization", "Patient", "Practitioner", "PractitionerRole", "Procedure",
    "Provenance", "QuestionnaireResponse", "RelatedPerson", "ServiceRequest", "Specimen",
)  # fmt: skip

CODES: dict[str, tuple[str, str, str]] = {
    "4100": ("fatal", "not-found", "The resource request contained an invalid parameter."),
    "4101": ("warning", "not-found", "Resource request returns no results."),
    "4102": ("fatal", "not-found", "The read resource request contained an invalid ID."),
    "4103": ("fatal", "deleted", "The resource requested has been deleted."),
    "4107": ("fatal", "deleted", "The read resource request has been merged."),
    "4110": ("fatal", "required", "No parameters are provided in the search request."),
    "4111": ("fatal", "required", "Required search parameter missing from request."),
    "4112": ("fatal", "invalid", "The resource request contained an invalid combination of parameters."),
    "4113": ("fatal", "expired", "Session ID for cached search results has expired."),
    "4115": ("fatal", "value", "Required search parameter has an invalid value."),
    "4118": ("fatal", "forbidden", "User not authorized for request."),
    "4119": ("warning", "incomplete", "Additional data may be present for patient."),
    "4122": ("warning", "not-supported", "An unknown query parameter was supplied by the client."),
    "4127": ("fatal", "too-costly", "Additional data may exist."),
    "4130": (
        "fatal",
        "suppressed",
        "Break-the-Glass security does not authorize you to access the selected patient/resource.",
    ),
    "4135": ("fatal", "throttled", "Please try again tomorrow."),
    "59102": ("fatal", "structure", "Content invalid against the specification or a profile."),
    "59108": ("fatal", "required", "An element required by the interaction was not provided."),
    "59111": ("fatal", "value", "A required element is invalid."),
    "59133": ("information", "informational", "Too few demographics were provided, or more than 100 patients match."),
    "59141": ("fatal", "duplicate", "The resource is a duplicate of an existing record."),
    "59144": ("fatal", "not-found", "A referenced resource was not found."),
    "59159": ("fatal", "business-rule", "The content conflicts with a business rule."),
    "59188": ("fatal", "processing", "No single flowsheet row could be found for the codes."),
}
"""Code → (severity, FHIR issue type, text)."""

BULK_TOO_SOON = (
    "Error processing Bulk Data Kickoff request: Request not allowed: "
    "The Client requested this Group too recently."
)  # fmt: skip
BULK_ONE_AT_A_TIME = (
    "Error processing Bulk Data Kickoff request: Request not allowed: "
    "The Client already has an open request for this Group."
)  # fmt: skip
