"""MEDITECH as vendors.md §9 to §12 shows it: code tables of its messages, and what its FHIR interface offers.

Law: what no source shows is marked as unverified.
"""

from __future__ import annotations

from types import MappingProxyType

FACILITY, FACILITY_NAME = "FAC1", "Sandbox Hospital"
MIDNIGHT_RUN = "UNKNOWN^RUN^MIDNT"
LOCAL_CODES, LOINC_CODES = "00065227", "pCLOCD"
"""The coding systems of OBX-3 and OBR-4: the site's dictionary, and LOINC in the alternate triplet."""
ADMISSIONS, LABORATORY = "ADM", "LAB"
"""MSH-3 by module; that MDM and VXU leave as ADM: unverified."""
ADT_VERSION, ORU_VERSION = "2.4", "2.3"
"""MSH-12 of both; that MDM, VXU and OML leave as the former: unverified."""

SEXES = MappingProxyType({"female": "F", "male": "M", "other": "O", "unknown": "U"})
MARITAL = frozenset("ADMSWCGPRNIBUTO")
"""Codes of PID-16 that HL7's table 0002 has."""
LANGUAGES = MappingProxyType({"en": "ENG", "en-US": "ENG", "es": "SPA", "zh": "CHI"})
CLASSES = MappingProxyType({"AMB": "O", "EMER": "E", "IMP": "I", "ACUTE": "I", "OBSENC": "O", "PRENC": "P"})
PATIENT_TYPES = MappingProxyType({"I": "IN", "O": "REF", "E": "ER", "P": "PRE"})
"""PV1-18 mnemonics; ER and PRE: unverified."""
ACCOUNT_STATUS = MappingProxyType({"in-progress": "ADM", "finished": "DIS", "planned": "REG", "arrived": "REG"})
BEGINNINGS = MappingProxyType({"A01": "ADM", "A04": "REG", "A05": "REG"})
"""PV1-41 of the events that begin a visit."""
ALLERGY_TYPES = MappingProxyType({"medication": "DA", "food": "FA", "environment": "EA", "biologic": "AA"})
SEVERITIES = MappingProxyType({"severe": "SV", "moderate": "MO", "mild": "MI"})
RESULT_STATUS = MappingProxyType(
    {"final": "F", "preliminary": "P", "corrected": "C", "amended": "A", "entered-in-error": "D", "cancelled": "X"}
)
REPORT_STATUS = MappingProxyType(
    {"registered": "O", "preliminary": "P", "corrected": "C", "partial": "R", "final": "F"}
)
EVENTS = MappingProxyType({"planned": "A05", "cancelled": "A11", "entered-in-error": "A11", "finished": "A03"})
"""The event an Encounter's new status is told with; A01 or A04 where a visit begins."""

ADT_TAKEN, RESULTS_TAKEN = frozenset({"A08", "A31"}), frozenset({"R01"})

TYPES = (
    "AllergyIntolerance", "Appointment", "Binary", "CarePlan", "CareTeam", "Communication", "Condition", "Coverage",
    "Device", "DiagnosticReport", "DocumentReference", "Encounter", "FamilyMemberHistory", "Goal", "Group",
    "Immunization", "Location", "Media", "Medication", "MedicationAdministration", "MedicationDispense",
    "MedicationRequest", "MedicationStatement", "Observation", "Organization", "Patient", "Practitioner",
    "PractitionerRole", "Procedure", "QuestionnaireResponse", "RelatedPerson", "ServiceRequest", "Specimen",
)  # fmt: skip
"""The FHIR interface's 33 types. Their number is known, their names are US Core's: unverified."""
