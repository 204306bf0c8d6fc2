"""The resource types of FHIR R4 (4.0.1), the order to process them in, and how to ask for one patient's.

Law: a list here repeats the specification, never a vendor.
"""

from __future__ import annotations

from collections.abc import Iterable

_R4 = """
Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic
Binary BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry
ChargeItem ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem Communication
CommunicationRequest CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage
CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric
DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis
Encounter Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare EventDefinition Evidence
EvidenceVariable ExampleScenario ExplanationOfBenefit FamilyMemberHistory Flag Goal GraphDefinition Group
GuidanceResponse HealthcareService ImagingStudy Immunization ImmunizationEvaluation
ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List Location Measure
MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationKnowledge
MedicationRequest MedicationStatement MedicinalProduct MedicinalProductAuthorization
MedicinalProductContraindication MedicinalProductIndication MedicinalProductIngredient
MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition MessageHeader
MolecularSequence NamingSystem NutritionOrder Observation ObservationDefinition OperationDefinition
OperationOutcome Organization OrganizationAffiliation Parameters Patient PaymentNotice PaymentReconciliation
Person PlanDefinition Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse
RelatedPerson RequestGroup ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject
RiskAssessment RiskEvidenceSynthesis Schedule SearchParameter ServiceRequest Slot Specimen
SpecimenDefinition StructureDefinition StructureMap Subscription Substance SubstanceNucleicAcid
SubstancePolymer SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial
SubstanceSpecification SupplyDelivery SupplyRequest Task TerminologyCapabilities TestReport TestScript
ValueSet VerificationResult VisionPrescription
"""

RESOURCE_TYPES = frozenset(_R4.split())

PROCESSING_ORDER: tuple[str, ...] = (
    # Who the others point at: a reference to one of these finds its record already there.
    "Organization",
    "Location",
    "Practitioner",
    "PractitionerRole",
    # The patients: vendors without population search are read patient by patient, so they must be known first.
    "Patient",
    "RelatedPerson",
    "Group",
    # What clinical facts hang on.
    "Device",
    "Medication",
    "Substance",
    "EpisodeOfCare",
    "Appointment",
    "Encounter",
    # The facts, causes before what follows from them: reasons, then orders, then what was done, then reports on it.
    "AllergyIntolerance",
    "Condition",
    "FamilyMemberHistory",
    "CareTeam",
    "Goal",
    "CarePlan",
    "ServiceRequest",
    "DeviceRequest",
    "MedicationRequest",
    "MedicationDispense",
    "MedicationAdministration",
    "MedicationStatement",
    "Immunization",
    "Procedure",
    "Specimen",
    "Observation",
    "ImagingStudy",
    "Media",
    "DiagnosticReport",
    "QuestionnaireResponse",
    "DocumentReference",
    "Composition",
    # Consent and money speak about all of the above; provenance speaks about them too, so it comes last.
    "Consent",
    "Coverage",
    "Account",
    "ChargeItem",
    "Claim",
    "ClaimResponse",
    "ExplanationOfBenefit",
    "Provenance",
)

_POSITION = {name: position for position, name in enumerate(PROCESSING_ORDER)}


def in_processing_order(resource_types: Iterable[str]) -> list[str]:
    """Each type once, in `PROCESSING_ORDER`; types it does not name come after, by name."""
    return sorted(set(resource_types), key=lambda name: (_POSITION.get(name, len(_POSITION)), name))


_HAVE_A_PATIENT_PARAMETER = """
Account AllergyIntolerance Appointment AppointmentResponse Basic BodyStructure CarePlan CareTeam ChargeItem
Claim ClaimResponse ClinicalImpression Communication CommunicationRequest Composition Condition Consent
Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceRequest
DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference Encounter EpisodeOfCare
ExplanationOfBenefit FamilyMemberHistory Flag Goal ImagingStudy Immunization ImmunizationEvaluation
ImmunizationRecommendation Invoice List MeasureReport Media MedicationAdministration MedicationDispense
MedicationRequest MedicationStatement MolecularSequence NutritionOrder Observation Procedure Provenance
QuestionnaireResponse RelatedPerson RequestGroup RiskAssessment ServiceRequest Specimen SupplyDelivery Task
VisionPrescription
"""

PATIENT_COMPARTMENT: dict[str, str] = {
    "Patient": "_id",
    **dict.fromkeys(_HAVE_A_PATIENT_PARAMETER.split(), "patient"),
    # These have no `patient` parameter in R4.
    "AdverseEvent": "subject",
    "Group": "member",
    "ResearchSubject": "individual",
    "Schedule": "actor",
    "SupplyRequest": "subject",
}
"""The search parameter that finds a type's resources of one patient: `Observation?patient={id}`, `Patient?_id={id}`.

Device stands here although R4 gives it a compartment of its own: implanted devices are searched by patient.
"""
