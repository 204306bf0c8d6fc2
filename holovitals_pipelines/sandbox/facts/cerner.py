"""Oracle Health's published surface: its R4 CapabilityStatement, search parameters and patch paths (vendors.md §4).

Sources: CE-CS (the live statement of 2026-08-14) and CE-x (fhir.cerner.com, pages and patch tables of each type).
"""

from __future__ import annotations

from dataclasses import dataclass

TENANT = "ec2458f2-1e24-41c8-b71b-0e701af7583d"
GROUP_OF_ALL = "11ec-d16a-b40370f8-9d31-577f11a339c5"
"""Given to clients out of band."""

NO_PARAMETERS = "no supported search parameters provided"
NO_TENANT = "Tenant not valid or accessible"


@dataclass(frozen=True, slots=True)
class Surface:
    """One resource type: interactions as letters (create, read, search, update, patch, delete), and its parameters."""

    interactions: str
    parameters: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        names = {"c": "create", "r": "read", "s": "search-type", "u": "update", "p": "patch", "d": "delete"}
        return [names[letter] for letter in self.interactions]

    @property
    def of_a_patient(self) -> bool:
        return "patient" in self.parameters or "subject" in self.parameters


def _surface(line: str) -> tuple[str, Surface]:
    kind, interactions, *parameters = line.split()
    return kind, Surface(interactions, tuple(parameters))


SURFACE: dict[str, Surface] = dict(
    map(
        _surface,
        """\
Account rs _id patient type identifier _count
AllergyIntolerance rscu _id patient clinical-status _lastUpdated
Appointment rscp _id _count date patient practitioner location status
Basic c
Binary r
CarePlan rs _id date patient category _count
CareTeam rs _id category encounter patient status
Communication rscp _id category received recipient
Condition rscu _id patient encounter subject clinical-status category _lastUpdated
Consent rs _id patient
Coverage rscpd _id patient
Device rs _id patient
DiagnosticReport rsc _id category code encounter patient date _lastUpdated _count
DocumentReference rscu _id patient encounter period _count type category date _lastUpdated
Encounter rscp _id _count patient subject status date identifier _lastUpdated
FamilyMemberHistory rscu _id patient status
Goal rs _id patient target-date
Immunization rscu _id patient _lastUpdated date
InsurancePlan rs _id
Location rs _id identifier address address-city address-state address-postalcode name organization type
Media r
MedicationAdministration rs _id patient status performer effective-time
MedicationDispense rs _id patient date _lastUpdated _count
MedicationRequest rscp _id patient intent status _lastUpdated _count
NutritionOrder rs _id patient status _lastUpdated _count
Observation rscu _id patient subject category code date _lastUpdated _count
Organization rsc _id identifier type _count name address
Patient rscp _id identifier name given family address-postalcode birthdate phone email gender _count
Practitioner rsc _id identifier given family name active _count
Procedure rsc _id patient subject date _lastUpdated
Provenance rsc _id target
QuestionnaireResponse rsu _id patient
RelatedPerson rscp _id identifier patient
Schedule rs _id
ServiceRequest rs _id patient subject code _lastUpdated _count
Slot rsp _id start service-type _count
Specimen rs _id""".splitlines(),
    )
)

COUNTS = {"Observation": (50, 200), "DocumentReference": (10, 100), "Patient": (20, 1000)}
"""`_count`: what is given without it, and the most that is given. unverified: Patient's maximum."""
OTHER_COUNTS = (50, 200)
"""unverified: the documentation gives figures for the types above only."""

MOST_PATIENTS = 1000
"""A search that finds more is refused with 422."""

PATIENT_NEEDS = frozenset(
    {"_id", "identifier", "name", "family", "given", "birthdate", "phone", "email", "address-postalcode"}
)

BULK_TYPES = (
    "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Device", "DiagnosticReport", "DocumentReference",
    "Encounter", "Goal", "Immunization", "Location", "MedicationRequest", "Patient", "Procedure", "Observation",
    "Organization", "Practitioner", "Provenance",
)  # fmt: skip
BULK_NEED_ANOTHER = frozenset({"Location", "Organization", "Practitioner", "Provenance"})
"""Exported only together with a type that belongs to patients."""
BULK_PARAMETERS = frozenset({"_type", "_typeFilter", "_since", "includeAssociatedData", "_outputFormat"})

NO_KNOWN_ALLERGY = frozenset({"716186003", "409137002"})
CONDITION_CATEGORIES = frozenset({"problem-list-item", "encounter-diagnosis"})
OBSERVATION_CATEGORIES = frozenset({"laboratory", "vital-signs"})


def _paths(lines: str) -> dict[str, frozenset[str]]:
    split = (line.split() for line in lines.splitlines())
    return {path: frozenset(operations) for path, *operations in split}


_PERSON_LISTS = """\
/identifier/- add
/identifier/{index}/id test
/identifier/{index} remove
/telecom/- add
/telecom/{index}/id test
/telecom/{index} remove
/address/- add
/address/{index}/id test
/address/{index} remove
/name/{index}/id test
/name/{index}/family replace
/name/{index}/given replace
/name/{index}/prefix replace
/name/{index}/suffix replace
"""

PATCHES: dict[str, dict[str, frozenset[str]]] = {
    "Patient": _paths(
        _PERSON_LISTS
        + """\
/identifier/{index}/system replace
/identifier/{index}/value replace
/identifier/{index}/period replace
/name/{index}/period replace
/telecom/{index}/value replace
/telecom/{index}/rank replace
/telecom/{index}/extension replace
/telecom/{index}/period replace
/gender replace
/birthDate replace
/address/{index}/line replace
/address/{index}/city replace
/address/{index}/district replace
/address/{index}/state replace
/address/{index}/postalCode replace
/address/{index}/country replace
/address/{index}/period replace
/maritalStatus replace
/communication replace
/generalPractitioner/- add
/generalPractitioner/{index}/id test
/generalPractitioner/{index} remove
/extension replace"""
    ),
    "RelatedPerson": _paths(
        _PERSON_LISTS
        + """\
/relationship/- add
/relationship/{index}/id test
/relationship/{index} remove"""
    ),
    "Encounter": _paths("/period/start replace\n/period/end replace\n/type replace\n/extension replace"),
    "MedicationRequest": _paths("/status replace"),
    "Appointment": _paths(
        "/status replace\n/slot add replace\n/reasonCode add\n/cancelationReason add\n/comment replace\n"
        "/extension add replace"
    ),
    "Coverage": _paths("/dependent replace\n/period replace\n/relationship replace\n/subscriberId replace"),
    "Communication": _paths("/extension replace"),
    "Slot": _paths("/status replace"),
}
"""By type, the template of a path → the operations there. A change inside a list's item needs a `test` of its id first,
where one is listed."""

WITH_ELEMENT_IDS = {
    "Patient": ("identifier", "name", "telecom", "address", "generalPractitioner"),
    "RelatedPerson": ("identifier", "name", "telecom", "address", "relationship"),
}
"""Lists whose items have ids of their own (`CI-…`)."""
