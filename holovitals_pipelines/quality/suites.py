"""The expectation suites, as data: what a records batch of each resource type is expected to be.

Only claims about structure block (dagster.md §8, appendix A: a blocking check stops every type of the step, so bad rows
must never trip it). Value sets are the required bindings of FHIR R4 (hl7.org/fhir/R4/valueset-*.html). Claims that the
standard makes have no tolerance; claims of good housekeeping say how many exceptions are ordinary.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.quality.expectations import Column, ColumnKind, DaysFromToday, Expectation

REMOTE_ID = Column("remote_id", "text", ())
"""The batch's own id column; judged where it lies, never copied out."""
RESOURCE_TYPE = Column("resource_type", "text", ("$.resourceType",))

TOMORROW = DaysFromToday(1)
"""Local dates run up to 14 hours ahead of UTC."""


def structural_for(resource_type: str) -> tuple[Expectation, ...]:
    """The claims every batch must keep before anything is reconciled with it."""
    return (
        Expectation(
            "ids_are_present", "ExpectColumnValuesToNotBeNull", REMOTE_ID,
            "Every record carries the id by which the vendor knows it.",
            severity=ErrorSeverity.ERROR, blocking=True,
        ),
        Expectation(
            "ids_are_unique", "ExpectColumnValuesToBeUnique", REMOTE_ID,
            "No two records of the batch carry the same id: each vendor resource is decided once.",
            severity=ErrorSeverity.ERROR, blocking=True,
        ),
        Expectation(
            "bodies_are_of_the_type", "ExpectColumnValuesToBeInSet", RESOURCE_TYPE,
            f"Every body is a JSON object whose resourceType is {resource_type}.",
            MappingProxyType({"value_set": (resource_type,)}),
            severity=ErrorSeverity.ERROR, blocking=True,
        ),
    )  # fmt: skip


def _claim(name: str, expectation_type: str, column: Column, description: str, /, **args: Any) -> Expectation:
    beside = args.pop("beside", None)
    tolerance = args.pop("tolerance", 0.0)
    return Expectation(
        name, expectation_type, column, description, MappingProxyType(args), beside=beside, tolerance=tolerance
    )


def _from_set(name: str, column: str, paths: tuple[str, ...], values: str, description: str) -> Expectation:
    value_set = tuple(values.split())
    return _claim(name, "ExpectColumnValuesToBeInSet", Column(column, "text", paths), description, value_set=value_set)


def _present(name: str, column: str, paths: tuple[str, ...], description: str, tolerance: float = 0.0) -> Expectation:
    present = Column(column, "present", paths)
    return _claim(name, "ExpectColumnValuesToNotBeNull", present, description, tolerance=tolerance)


def _together(
    name: str, column: str, given: tuple[str, ...], paths: tuple[str, ...], description: str, tolerance: float = 0.0
) -> Expectation:
    together = Column(column, "together", paths, given)
    return _claim(name, "ExpectColumnValuesToBeInSet", together, description, value_set=("yes",), tolerance=tolerance)


def _not_in_the_future(name: str, column: str, paths: tuple[str, ...], description: str) -> Expectation:
    day = Column(column, "first_day", paths)
    return _claim(name, "ExpectColumnValuesToBeBetween", day, description, max_value=TOMORROW)


def _in_order(
    name: str, later: tuple[str, str], earlier: tuple[str, str], description: str, kind: ColumnKind = "instant"
) -> Expectation:
    return _claim(
        name, "ExpectColumnPairValuesAToBeGreaterThanB", Column(later[0], kind, (later[1],)), description,
        beside=Column(earlier[0], kind, (earlier[1],)), or_equal=True, ignore_row_if="either_value_is_missing",
    )  # fmt: skip


def _about_a_patient(noun: str, element: str = "subject") -> tuple[Expectation, ...]:
    reference, identifier = f"$.{element}.reference", f"$.{element}.identifier"
    return (
        _present(
            f"every_{noun}_has_a_patient", "patient_named", (reference, identifier),
            f"{element} says whose record this is, by reference or by identifier.",
        ),
        _claim(
            "patient_references_name_a_patient", "ExpectColumnValuesToMatchRegex",
            Column("patient_reference", "text", (reference,)),
            f"{element}.reference leads to a Patient (relative, absolute, urn:uuid or contained).",
            regex=r"(?:^|/)Patient/|^urn:uuid:|^#",
        ),
    )  # fmt: skip


def _coded(noun: str, element: str = "code") -> Expectation:
    return _present(
        f"every_{noun}_has_a_code", "coded", (f"$.{element}.coding[0].code", f"$.{element}.text"),
        f"{element} says what it is, by a coding or at least in words.",
    )  # fmt: skip


def _of_known_systems(element: str = "code") -> Expectation:
    return _claim(
        "codes_are_of_known_systems", "ExpectColumnValuesToBeInSet",
        Column("system_known", "known_system", (f"$.{element}",)),
        f"One of the codings of {element} is of a code system that is known for the type (quality.yml).",
        value_set=("yes",), tolerance=0.05,
    )  # fmt: skip


def _status(values: str) -> Expectation:
    return _from_set(
        "status_is_from_the_value_set",
        "status",
        ("$.status",),
        values,
        "status is a code of FHIR R4's required value set.",
    )


PATIENT = (
    _from_set("gender_is_from_the_value_set", "gender", ("$.gender",), "male female other unknown",
              "gender, where given, is a code of FHIR R4's AdministrativeGender."),
    _not_in_the_future("birth_dates_are_not_in_the_future", "birth_day", ("$.birthDate",),
                       "Nobody was born later than today."),
    _claim("birth_dates_are_within_a_lifetime", "ExpectColumnValuesToBeBetween",
           Column("birth_day", "first_day", ("$.birthDate",)),
           "Nobody was born more than 130 years ago: 1800-01-01 and the like stand for «unknown».",
           min_value=DaysFromToday(-130 * 365), tolerance=0.01),
    _in_order("nobody_dies_before_birth", ("death_day", "$.deceasedDateTime"), ("full_birth_day", "$.birthDate"),
              "deceasedDateTime is not before birthDate, where both are whole dates.", kind="day"),
    _present("every_patient_has_a_name", "named", ("$.name[0].family", "$.name[0].text", "$.name[0].given[0]"),
             "A person can be addressed: family, given or full text name.", tolerance=0.01),
    _present("every_patient_has_a_birth_date", "born", ("$.birthDate",),
             "birthDate is given: identity matching stands on it.", tolerance=0.01),
    _present("every_patient_has_an_identifier", "identified", ("$.identifier[0].value",),
             "At least one identifier (MRN or other) comes with the patient."),
)  # fmt: skip

ENCOUNTER = (
    _status("planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"),
    *_about_a_patient("encounter"),
    _of_known_systems("type[0]"),
    _present("every_encounter_has_a_class", "classed", ("$.class.code", "$.class.display"),
             "class (inpatient, ambulatory, …) is required by FHIR R4."),
    _in_order("no_encounter_ends_before_it_starts", ("ended", "$.period.end"), ("started", "$.period.start"),
              "period.end is not before period.start, where both are exact."),
)  # fmt: skip

CONDITION = (
    _from_set("clinical_status_is_from_the_value_set", "clinical_status", ("$.clinicalStatus.coding[0].code",),
              "active recurrence relapse inactive remission resolved",
              "clinicalStatus is a code of its required value set."),
    _from_set("verification_status_is_from_the_value_set", "verification_status",
              ("$.verificationStatus.coding[0].code",),
              "unconfirmed provisional differential confirmed refuted entered-in-error",
              "verificationStatus is a code of its required value set."),
    *_about_a_patient("condition"),
    _coded("condition"),
    _of_known_systems(),
    _not_in_the_future("onsets_are_not_in_the_future", "onset_day", ("$.onsetDateTime", "$.onsetPeriod.start"),
                       "No condition began later than today."),
    _in_order("no_condition_abates_before_its_onset", ("abated", "$.abatementDateTime"), ("began", "$.onsetDateTime"),
              "abatementDateTime is not before onsetDateTime, where both are exact."),
)  # fmt: skip

ALLERGY_INTOLERANCE = (
    _from_set("clinical_status_is_from_the_value_set", "clinical_status", ("$.clinicalStatus.coding[0].code",),
              "active inactive resolved", "clinicalStatus is a code of its required value set."),
    _from_set("verification_status_is_from_the_value_set", "verification_status",
              ("$.verificationStatus.coding[0].code",), "unconfirmed confirmed refuted entered-in-error",
              "verificationStatus is a code of its required value set."),
    _from_set("criticality_is_from_the_value_set", "criticality", ("$.criticality",), "low high unable-to-assess",
              "criticality, where given, is a code of its required value set."),
    *_about_a_patient("allergy", "patient"),
    _of_known_systems(),
    _present("every_allergy_names_its_substance", "substance_named",
             ("$.code.coding[0].code", "$.code.text", "$.reaction[0].substance"),
             "What the person must not be given is said, by a coding or in words."),
)  # fmt: skip

MEDICATION_REQUEST = (
    _status("active on-hold cancelled completed entered-in-error stopped draft unknown"),
    _from_set("intent_is_from_the_value_set", "intent", ("$.intent",),
              "proposal plan order original-order reflex-order filler-order instance-order option",
              "intent is a code of its required value set."),
    *_about_a_patient("request"),
    _of_known_systems("medicationCodeableConcept"),
    _present("every_request_names_a_medication", "medication_named",
             ("$.medicationCodeableConcept.coding[0].code", "$.medicationCodeableConcept.text",
              "$.medicationReference.reference", "$.medicationReference.identifier"),
             "medication[x] says what is requested, by code, text or reference."),
    _not_in_the_future("requests_are_not_authored_in_the_future", "authored_day", ("$.authoredOn",),
                       "authoredOn is not later than today."),
    _together("doses_have_a_unit", "dose_unit_given", ("$.dosageInstruction[0].doseAndRate[0].doseQuantity.value",),
              ("$.dosageInstruction[0].doseAndRate[0].doseQuantity.unit",
               "$.dosageInstruction[0].doseAndRate[0].doseQuantity.code"),
              "A dose that is a number says of what.", tolerance=0.01),
)  # fmt: skip

OBSERVATION = (
    _status("registered preliminary final amended corrected cancelled entered-in-error unknown"),
    *_about_a_patient("observation"),
    _coded("observation"),
    _of_known_systems(),
    _present("every_observation_has_a_value_or_says_why_not", "answered",
             ("$.valueQuantity", "$.valueCodeableConcept", "$.valueString", "$.valueBoolean", "$.valueInteger",
              "$.valueRange", "$.valueRatio", "$.valueSampledData", "$.valueTime", "$.valueDateTime", "$.valuePeriod",
              "$.dataAbsentReason", "$.component", "$.hasMember"),
             "A value, components, members, or dataAbsentReason is there.", tolerance=0.01),
    _together("quantities_have_a_unit", "unit_given", ("$.valueQuantity.value",),
              ("$.valueQuantity.unit", "$.valueQuantity.code"), "A number that was measured says in what.",
              tolerance=0.05),
    _present("every_observation_says_when", "timed",
             ("$.effectiveDateTime", "$.effectivePeriod", "$.effectiveInstant", "$.effectiveTiming", "$.issued"),
             "effective[x] or at least issued is given.", tolerance=0.01),
    _not_in_the_future("observations_are_not_in_the_future", "effective_day",
                       ("$.effectiveDateTime", "$.effectivePeriod.start", "$.effectiveInstant"),
                       "Nothing was observed later than today."),
    _claim("values_are_possible", "ExpectColumnValuesToBeInSet",
           Column("value_possible", "in_range", ("$.valueQuantity", "$.component[0].valueQuantity",
                                                 "$.component[1].valueQuantity", "$.component[2].valueQuantity")),
           "A number lies where its LOINC code and unit let it lie at all (plausible, not normal; quality.yml).",
           value_set=("yes",), tolerance=0.001),
)  # fmt: skip

IMMUNIZATION = (
    _status("completed entered-in-error not-done"),
    *_about_a_patient("immunization", "patient"),
    _coded("immunization", "vaccineCode"),
    _of_known_systems("vaccineCode"),
    _present("every_immunization_says_when", "timed", ("$.occurrenceDateTime", "$.occurrenceString"),
             "occurrence[x] is required by FHIR R4."),
    _not_in_the_future("immunizations_are_not_in_the_future", "occurrence_day", ("$.occurrenceDateTime",),
                       "No dose was given later than today."),
)  # fmt: skip

PROCEDURE = (
    _status("preparation in-progress not-done on-hold stopped completed entered-in-error unknown"),
    *_about_a_patient("procedure"),
    _coded("procedure"),
    _of_known_systems(),
    _in_order("no_procedure_ends_before_it_starts", ("ended", "$.performedPeriod.end"),
              ("started", "$.performedPeriod.start"),
              "performedPeriod.end is not before its start, where both are exact."),
)  # fmt: skip

DIAGNOSTIC_REPORT = (
    _status("registered partial preliminary final amended corrected appended cancelled entered-in-error unknown"),
    *_about_a_patient("report"),
    _coded("report"),
    _of_known_systems(),
    _present("every_report_says_something", "reported",
             ("$.result", "$.presentedForm", "$.conclusion", "$.conclusionCode", "$.media", "$.imagingStudy"),
             "A report leads to results, a document, images or a conclusion.", tolerance=0.05),
    _not_in_the_future("reports_are_not_issued_in_the_future", "issued_day", ("$.issued",),
                       "issued is not later than today."),
)  # fmt: skip

DOCUMENT_REFERENCE = (
    _status("current superseded entered-in-error"),
    *_about_a_patient("document"),
    _of_known_systems("type"),
    _present("every_document_has_content", "content_given",
             ("$.content[0].attachment.url", "$.content[0].attachment.data"),
             "The document can be opened: its first attachment has an address or data."),
    _present("every_document_has_a_type", "typed", ("$.type.coding[0].code", "$.type.text"),
             "type says what kind of document it is.", tolerance=0.05),
    _not_in_the_future("documents_are_not_dated_in_the_future", "document_day", ("$.date",),
                       "date is not later than today."),
)  # fmt: skip

REFERENCES = (
    Expectation(
        "references_resolve", "references_resolve", REMOTE_ID,
        "What a record refers to by «Type/id» is known of the same connection, if that type is read from it at all.",
        tolerance=0.01,
    ),
)  # fmt: skip
"""Judged by quality/references.py: Great Expectations sees one batch only."""

VOLUME = Expectation(
    "volume_has_not_collapsed", "volume_against_history", REMOTE_ID,
    "A complete read holds not far fewer resources of the type than the complete reads before it.",
    severity=ErrorSeverity.ERROR, holds_write_back=True,
)  # fmt: skip
USUAL_VOLUME = Expectation(
    "volume_is_as_usual", "volume_against_history", REMOTE_ID,
    "A complete read holds not many times the resources of the complete reads before it.",
)  # fmt: skip
IDENTIFIERS = Expectation(
    "identifiers_name_one_patient", "identifiers_unique_by_patient", REMOTE_ID,
    "No two Patients of the connection carry the same identifier (system and value).",
    severity=ErrorSeverity.ERROR, holds_write_back=True,
)  # fmt: skip

_ROW_LEVEL: MappingProxyType[str, tuple[Expectation, ...]] = MappingProxyType(
    {
        "Patient": PATIENT,
        "Encounter": ENCOUNTER,
        "Condition": CONDITION,
        "AllergyIntolerance": ALLERGY_INTOLERANCE,
        "MedicationRequest": MEDICATION_REQUEST,
        "Observation": OBSERVATION,
        "Immunization": IMMUNIZATION,
        "Procedure": PROCEDURE,
        "DiagnosticReport": DIAGNOSTIC_REPORT,
        "DocumentReference": DOCUMENT_REFERENCE,
    }
)

RESOURCE_TYPES_WITH_SUITES = tuple(_ROW_LEVEL)
"""Types with claims of their own; every other type has the structural ones."""


def row_level_for(resource_type: str) -> tuple[Expectation, ...]:
    """The claims about single rows: reported, never blocking; none for types without a suite of their own."""
    return _ROW_LEVEL.get(resource_type, ())


def reported_for(resource_type: str) -> tuple[Expectation, ...]:
    """The row-level claims, and that references resolve."""
    rows = row_level_for(resource_type)
    return (*rows, *REFERENCES) if rows else ()


def gate_claims_for(resource_type: str) -> tuple[Expectation, ...]:
    """The claims about a batch beside its connection's history and other batches; the engine judges them in every
    lane, before it writes back."""
    return (VOLUME, USUAL_VOLUME, *((IDENTIFIERS,) if resource_type == "Patient" else ()))


def claim_names() -> frozenset[str]:
    """Every claim that can be given a threshold: all but the structural ones."""
    reported = (claim.name for name in RESOURCE_TYPES_WITH_SUITES for claim in reported_for(name))
    return frozenset((*reported, *(claim.name for claim in gate_claims_for("Patient"))))


def suite_for(resource_type: str) -> tuple[Expectation, ...]:
    """Every claim about a batch of `resource_type`, the structural ones first."""
    return (*structural_for(resource_type), *row_level_for(resource_type))
