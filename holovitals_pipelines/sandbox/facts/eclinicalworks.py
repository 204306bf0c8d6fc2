"""eClinicalWorks' published surface: its R4 CapabilityStatement of 2026-08-14, and write-back codes of its guide 1.0.

Law: names and numbers are the vendor's own, misspellings included (vendors.md §8, [EC-CS] and [EC-ERR]).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Surface:
    """One resource type: interactions as letters (create, read, search), parameters it declares; `_count` on top."""

    interactions: str
    parameters: tuple[str, ...] = ()

    @property
    def patient_parameter(self) -> str | None:
        """The parameter that names the patient, where there is one."""
        return next((name for name in ("patient", "subject") if name in self.parameters), None)


def _surface(line: str) -> tuple[str, Surface]:
    kind, interactions, *parameters = line.split()
    return kind, Surface(interactions, tuple(parameters))


SURFACE: dict[str, Surface] = dict(
    map(
        _surface,
        """\
AllergyIntolerance rs _id clinical-status encounter patient
Basic rs code page patient
Binary r
CarePlan rs _id category encounter patient
CareTeam rs _id patient status
ChargeItem rs context subject
Claim r
Condition rs _id category encounter onset-date page patient
Coverage rs _id patient
Device rs _id encounter patient type
DiagnosticReport rs _id category code date encounter page patient status
DocumentReference rs _id category contenttype date encounter page patient type
Encounter rs _id date location page patient practitioner
FamilyMemberHistory rs _id patient
Goal rs _id encounter patient
Group s page
Immunization rs _id date encounter page patient status
Location rs _id address name page
Media rs _id
Medication rs _id
MedicationAdministration rs _id context patient status
MedicationDispense rs _id patient
MedicationRequest rs _id authoredon encounter intended-dispenser intent page patient status
Observation rs _id _since category code date encounter identifier page patient status
OperationDefinition r
Organization rs _id address address-postalcode name page type
Patient rs _id birthdate family gender given identifier name page phone
Practitioner rs _id identifier name page
PractitionerRole rs _id location name page practitioner role specialty
Procedure rs _id code date encounter page patient status
Provenance rs _id
Questionnaire rs _id code
QuestionnaireResponse rsc _id authored patient status
RelatedPerson rs _id
ServiceRequest rs _id authored category code occurrence page patient status
Specimen rs _id patient
""".splitlines(),
    )
)

WHOLE_EMR = frozenset({"Location", "Medication", "Organization", "Practitioner", "PractitionerRole"})
"""Administrative types: an export of a Group has all of them, whoever is in the Group."""

NOT_EXPORTED = frozenset({"Binary", "Group", "OperationDefinition", "Questionnaire"})

SUCCESS = (1, "SUCCESS")
FAILURE = (2, "FAILURE")
INVALID_PATIENT = (100, "INVALID_PATIENT")
INVALID_PATIENT_GENDER = (117, "INVALID_PATIENT_GENDER")
INVALID_PATIENT_NAME = (118, "INVALID_PATIENT_NAME")
INVALID_PATIENT_DOB = (119, "INVALID_PATIENT_DOB")
INVALID_ENCOUNTER = (123, "INVALID_ENCOUNTER")
ENCOUNTER_IS_LOCKED = (139, "ENCOUNTER_IS_LOCKED")
INVALID_PATIENT_REFERENCE_IN_ENCOUNTER = (164, "INVALID_PATIENT_REFERENCE_IN_ENCOUNTER")
INVALID_ID = (165, "INVALID_ID")
MULTIPLE_PATIENT_FOUND = (201, "INVALID_MULTIPLE_PATIENT_FOUND")
PATIENT_ALREADY_EXIST = (202, "INVALID_PATIENT_ALREADY_EXIST")
ID_NOT_MATCH_WITH_PATIENTID = (608, "ID_NOT_MATCH_WITH_PATIENTID")
INVALID_VITAL_VALUE = (612, "INVALID_VITAL_VALUE")
"""(status, key) of an answer to a write-back; HTTP says 200 with all of them."""
