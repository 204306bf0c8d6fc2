"""The severity matrix: every core element has its rule, harm raises, form lowers, mistakes in the file are refused."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest
import yaml
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.fhir.exact import Number
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType
from holovitals_pipelines.sync.merge import MISSING, Unit, UnitKind
from holovitals_pipelines.sync.severity import Case, Grade, SeverityMatrix, default_matrix, load_matrix, rule_of
from holovitals_pipelines.sync.unit_paths import UnitPattern

SHIPPED = files("holovitals_pipelines.sync").joinpath("severity.yml").read_text(encoding="utf-8")
CORE = [
    "Patient", "Observation", "Condition", "Encounter", "MedicationRequest", "AllergyIntolerance", "DocumentReference",
    "Immunization", "Procedure", "DiagnosticReport",
]  # fmt: skip
LOW, MEDIUM, HIGH, CRITICAL = (ConflictSeverity[name] for name in ("LOW", "MEDIUM", "HIGH", "CRITICAL"))
UCUM = "http://unitsofmeasure.org"


def unit(name: str, local: Any, remote: Any, *, element: str | None = None, base: Any = MISSING) -> Unit:
    return Unit(name, element or name.partition("[")[0].partition(".")[0], UnitKind.CONFLICT, base, base, local, remote)


def graded(resource_type: str, *units: Unit, kind: str = "UPDATE_UPDATE", **other: Any) -> Grade:
    sides = {"local": {}, "remote": {}, "base": {}} | other
    return default_matrix().grade(Case(resource_type, ConflictType[kind], units, **sides))


def core_elements() -> Iterator[tuple[str, str]]:
    """Every top-level element of the ten types, each type of a choice by itself, from the FHIR models."""
    for resource_type in CORE:
        for name, field in get_fhir_model_class(resource_type).model_fields.items():
            if not name.endswith("__ext") and name not in ("resource_type", "fhir_comments"):
                yield resource_type, field.alias or name


def graded_by_nobody(matrix: SeverityMatrix, text: str) -> set[tuple[str, str]]:
    """Core elements that no rule names, whatever the resource's status is."""
    units = {rule["name"]: rule["units"] for rule in yaml.safe_load(text)["rules"]}
    found = set()
    for resource_type, element in core_elements():
        for status in (None, "preliminary", "final", "corrected", "amended", "entered-in-error"):
            rule, _ = rule_of(matrix, resource_type, element, {"status": status} if status else None)
            named = [units[rule]] if isinstance(units[rule], str) else units[rule]
            if not any(UnitPattern(name).covers((element,)) for name in named if "*" not in name):
                found.add((resource_type, element))
    return found


def test_a39_every_element_of_the_core_types_is_graded_by_a_rule_that_names_it() -> None:
    elements = list(core_elements())
    assert len(elements) > 300 and ("Observation", "valueQuantity") in elements
    assert graded_by_nobody(default_matrix(), SHIPPED) == set()


def test_a39_an_element_taken_out_of_its_rule_is_noticed() -> None:
    text = SHIPPED.replace("[telecom, address, contact,", "[telecom, contact,")
    assert graded_by_nobody(load_matrix(text, "severity.yml"), text) == {("Patient", "address")}


def test_an_element_that_only_a_vendor_knows_is_graded_too() -> None:
    assert rule_of(default_matrix(), "Patient", "vendorLoyaltyTier", None) == ("catch-all", MEDIUM)


@pytest.mark.parametrize(
    ("resource_type", "name", "status", "expected"),
    [
        ("Patient", "birthDate", None, CRITICAL),
        ("Patient", "deceased[x]", None, CRITICAL),
        ("Patient", "identifier[urn:mrn|7]", None, CRITICAL),
        ("Patient", "identifier[odd]key].period", None, CRITICAL),
        ("Patient", "name[official|Doe|Ann].period", None, HIGH),
        ("Patient", "telecom[phone|+1 (555) 0100.2]", None, MEDIUM),
        ("Patient", "identifier[x]", None, CRITICAL),
        ("AllergyIntolerance", "clinicalStatus+verificationStatus", None, CRITICAL),
        ("AllergyIntolerance", "reaction[hives].severity", None, HIGH),
        ("MedicationRequest", "medication[x]", "active", CRITICAL),
        ("MedicationRequest", "status+statusReason", "active", CRITICAL),
        ("Observation", "value[x]", "final", CRITICAL),
        ("Observation", "value[x]", "preliminary", HIGH),
        ("Observation", "value[x]+dataAbsentReason+interpretation+referenceRange", "final", CRITICAL),
        ("Observation", "component[8480-6].value[x]+dataAbsentReason+interpretation", "amended", CRITICAL),
        ("Patient", "address[home].city+district+state+country+text", None, MEDIUM),
        ("Observation", "effective[x]", "final", HIGH),
        ("Observation", "note[1]", "final", LOW),
        ("DiagnosticReport", "conclusion", "final", CRITICAL),
        ("Condition", "clinicalStatus+verificationStatus", None, HIGH),
        ("Condition", "subject", None, CRITICAL),
        ("Immunization", "vaccineCode", "completed", HIGH),
        ("Encounter", "location[Location/1].period", "finished", MEDIUM),
        ("Consent", "provision", None, CRITICAL),
        ("Goal", "meta.security[|R]", None, CRITICAL),
        ("Goal", "meta.tag[|x]", None, MEDIUM),
    ],
)
def test_units_have_the_severity_the_protocol_gives_them(
    resource_type: str, name: str, status: str | None, expected: ConflictSeverity
) -> None:
    document = {"resourceType": resource_type} | ({"status": status} if status else {})
    grade = graded(resource_type, unit(name, "a", "b"), local=document, remote=document, base=document)
    assert grade.units[name].severity is expected
    assert grade.severity is expected


def test_what_either_side_has_reported_is_reported() -> None:
    value = unit("value[x]", {"valueString": "a"}, {"valueString": "b"}, element="valueString")
    for reported in ("local", "remote", "base"):
        sides = {side: {"status": "preliminary"} for side in ("local", "remote", "base")}
        sides[reported] = {"status": "final"}
        assert graded("Observation", value, **sides).severity is CRITICAL
    assert graded("Observation", value, local={"status": "preliminary"}).severity is HIGH


def test_a_group_is_as_severe_as_its_worst_element() -> None:
    group = unit(
        "category+code", {"category": ["x"], "code": "1"}, {"category": ["x"], "code": "2"}, element="category"
    )
    assert graded("AllergyIntolerance", group).severity is CRITICAL
    hidden = unit("value[x]", {"valueString": "a", "subject": "1"}, {"valueString": "b"}, element="valueString")
    assert graded("Condition", hidden).rule == "wrong-patient"


def test_a_security_label_counts_also_where_all_of_meta_is_one_unit() -> None:
    tags = unit("meta", {"tag": [{"code": "a"}]}, {"tag": [{"code": "b"}]})
    labels = unit("meta", {"security": [{"code": "R"}]}, {"security": [{"code": "N"}]})
    assert (graded("Condition", tags).severity, graded("Condition", labels).severity) == (MEDIUM, CRITICAL)


def test_identity_asks_for_two_persons_and_contact_data_does_not() -> None:
    assert graded("Patient", unit("birthDate", "1970-01-01", "1970-10-01")).two_person
    assert graded(
        "Patient", unit("telecom[phone|1]", {"rank": 1}, MISSING), unit("gender", "male", "female")
    ).two_person
    assert not graded("Patient", unit("telecom[phone|1]", {"rank": 1}, MISSING)).two_person


# floors


@pytest.mark.parametrize(
    ("resource_type", "kind", "severity", "rule"),
    [
        ("Patient", "CREATE_CREATE", CRITICAL, "patient-deleted-or-created-twice"),
        ("Condition", "CREATE_CREATE", LOW, "annotation"),
        ("AllergyIntolerance", "UPDATE_DELETE", CRITICAL, "safety-fact-deleted"),
        ("DiagnosticReport", "DELETE_UPDATE", CRITICAL, "safety-fact-deleted"),
        ("Condition", "DELETE_UPDATE", HIGH, "deleted"),
        ("Observation", "UPDATE_DELETE", HIGH, "deleted"),
    ],
)
def test_floors_hold_for_the_whole_conflict_and_each_unit(
    resource_type: str, kind: str, severity: ConflictSeverity, rule: str
) -> None:
    grade = graded(resource_type, unit("note[1]", {"text": "a"}, {"text": "b"}), kind=kind, local={"status": "active"})
    assert (grade.severity, grade.rule) == (severity, rule)
    assert grade.units["note[1]"].severity is severity
    assert grade.two_person == (resource_type == "Patient")


def test_deleting_a_reported_result_is_critical() -> None:
    content = {"resourceType": "Observation", "status": "final", "note": [{"text": "x"}]}
    whole = unit("*", content, MISSING, base=content)
    assert (
        graded("Observation", whole, kind="UPDATE_DELETE", local=content, remote=None).rule == "reported-result-deleted"
    )


def test_a_delete_is_graded_by_what_the_other_side_had_changed() -> None:
    base = {"resourceType": "Encounter", "status": "planned", "subject": {"reference": "Patient/1"}}
    for changed, expected in (
        ({"status": "arrived"}, (HIGH, "encounter-state")),
        ({"subject": {"reference": "Patient/2"}}, (CRITICAL, "wrong-patient")),
        ({"period": {"start": "2026"}}, (HIGH, "deleted")),
    ):
        content = base | changed
        for kind, sides in (("UPDATE_DELETE", (content, MISSING)), ("DELETE_UPDATE", (MISSING, content))):
            documents = {"local": None, "remote": None} | {"local" if sides[0] is content else "remote": content}
            grade = graded("Encounter", unit("*", *sides, base=base), kind=kind, base=base, **documents)
            assert (grade.severity, grade.rule) == expected


# escalators


def order(drug: str, code: str = "0") -> dict[str, Any]:
    coding = {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": code, "display": drug}
    return {"resourceType": "MedicationRequest", "status": "active", "medicationCodeableConcept": {"coding": [coding]}}


@pytest.mark.parametrize(
    ("drug", "code", "raised"),
    [
        ("Insulin Glargine 100 UNT/ML Injectable Solution", "285018", True),
        ("enoxaparin sodium 40 MG in 0.4 mL", "854235", True),
        ("Hydrocodone Bitartrate 5 MG / Acetaminophen 325 MG", "857002", True),
        ("potassium chloride 2 MEQ/ML", "1", True),
        ("cisplatin 1 MG/ML", "1", True),
        ("an ingredient by its code alone", "11289", True),
        ("amoxicillin 500 MG Oral Capsule", "308191", False),
        ("Sodium Chloride 0.9 %", "313002", False),
        ("Sodium Chloride 3 % Injection", "1", True),
        ("sodium chloride 300 MG Oral Tablet", "1", False),
        ("insulinoma imaging agent", "1", False),
    ],
)
def test_an_order_for_a_high_alert_drug_is_critical_whatever_is_in_conflict(drug: str, code: str, raised: bool) -> None:
    note = unit("note[1]", {"text": "before meals"}, {"text": "after meals"})
    for side in ("local", "remote", "base"):
        grade = graded("MedicationRequest", note, **{side: order(drug, code)})
        assert (grade.severity is CRITICAL, grade.rule == "high_alert_drug") == (raised, raised)


def test_a_contained_or_referenced_drug_is_recognised() -> None:
    note = unit("note[1]", {"text": "a"}, {"text": "b"})
    contained = {"contained": [{"resourceType": "Medication", "code": {"text": "Warfarin 5 mg"}}]}
    referenced = {"medicationReference": {"reference": "Medication/1", "display": "HUMALOG KwikPen"}}
    for document in (contained, referenced):
        assert graded("MedicationRequest", note, local=document).rule == "high_alert_drug"


def test_an_allergy_of_high_criticality_is_critical_whatever_is_in_conflict() -> None:
    note = unit("note[1]", {"text": "a"}, {"text": "b"})
    assert graded("AllergyIntolerance", note, remote={"criticality": "high"}).rule == "allergy_criticality"
    assert graded("AllergyIntolerance", note, remote={"criticality": "low"}).severity is LOW


def status(code: str) -> dict[str, Any]:
    return {"coding": [{"code": code}]}


@pytest.mark.parametrize(
    ("name", "local", "remote", "severity"),
    [
        ("clinicalStatus", status("active"), status("resolved"), CRITICAL),
        ("clinicalStatus", status("remission"), status("recurrence"), CRITICAL),
        ("clinicalStatus", status("active"), status("recurrence"), HIGH),
        ("verificationStatus", status("entered-in-error"), status("confirmed"), CRITICAL),
        (
            "clinicalStatus+verificationStatus",
            {"clinicalStatus": status("active"), "verificationStatus": status("confirmed")},
            {"clinicalStatus": status("resolved"), "verificationStatus": status("confirmed")},
            CRITICAL,
        ),
        (
            "clinicalStatus+verificationStatus",
            {"clinicalStatus": status("active"), "verificationStatus": status("confirmed")},
            {"clinicalStatus": status("active"), "verificationStatus": status("unconfirmed")},
            HIGH,
        ),
    ],
)
def test_a_status_that_stands_here_and_has_ended_there_is_critical(
    name: str, local: Any, remote: Any, severity: ConflictSeverity
) -> None:
    for sides in ((local, remote), (remote, local)):
        assert graded("Condition", unit(name, *sides)).severity is severity


def quantity(value: Any, named: str = "mg/dL", **other: Any) -> dict[str, Any]:
    return {"valueQuantity": {"value": value, "unit": named, "system": UCUM, "code": named} | other}


def preliminary(local: dict[str, Any], remote: dict[str, Any], **document: Any) -> Grade:
    sides = {"status": "preliminary"} | document
    value = unit("value[x]", local, remote, element="valueQuantity")
    return graded("Observation", value, local=sides, remote=sides, base=sides)


@pytest.mark.parametrize(
    ("local", "remote", "raised"),
    [
        (quantity(100), quantity(120), False),
        (quantity(100), quantity(Number("120.0000000000000000001")), True),
        (quantity(Number("0.1")), quantity(Number("0.12")), False),
        (quantity(Number("0.1")), quantity(Number("0.13")), True),
        (quantity(0), quantity(Number("0.001")), True),
        (quantity(-5), quantity(5), True),
        (quantity(100), quantity(Number("100.5")), False),
        (quantity(100, "mg/dL"), quantity(100, "g/L"), True),
        (quantity(100, "mg/dL"), quantity(101, "mg/dl"), False),
        (quantity(5, comparator="<"), quantity(5, comparator=">"), True),
        (quantity(Number("1e999999999")), quantity(5), False),
        ({"valueInteger": 3}, {"valueInteger": 4}, True),
        ({"valueString": "1"}, {"valueString": "100"}, False),
    ],
)
def test_a_numeric_result_that_differs_by_more_than_a_fifth_is_critical(local: Any, remote: Any, raised: bool) -> None:
    for sides in ((local, remote), (remote, local)):
        grade = preliminary(*sides)
        assert (grade.severity, grade.rule) == (
            (CRITICAL, "numeric_result") if raised else (HIGH, "preliminary-result")
        )


def test_a_numeric_result_that_crosses_a_reference_limit_is_critical() -> None:
    limits = [{"low": {"value": Number("3.5"), "unit": "mmol/l"}, "high": {"value": Number("5.1"), "unit": "mmol/L"}}]
    within, above = quantity(Number("5.1"), "mmol/L"), quantity(Number("5.2"), "mmol/L")
    assert preliminary(within, above).severity is HIGH
    assert preliminary(within, above, referenceRange=limits).rule == "numeric_result"
    assert preliminary(within | {"referenceRange": limits}, above).rule == "numeric_result"
    in_grams = [{"high": {"value": Number("5.1"), "unit": "g/L"}}]
    assert preliminary(within, above, referenceRange=in_grams).severity is HIGH


def test_a_components_result_is_compared_with_the_same_components() -> None:
    def pressure(systolic: int, diastolic: int) -> list[dict[str, Any]]:
        return [
            {"code": status("8480-6")} | quantity(systolic, "mm[Hg]"),
            {"code": status("8462-4")} | quantity(diastolic, "mm[Hg]"),
        ]

    reordered = pressure(118, 80)[::-1]
    sides = {"local": {"status": "preliminary"}}
    assert graded("Observation", unit("component", pressure(120, 80), reordered), **sides).severity is HIGH
    assert graded("Observation", unit("component", pressure(180, 80), reordered), **sides).rule == "numeric_result"
    one = unit("component[8480-6].value[x]+dataAbsentReason", quantity(120), quantity(180))
    assert graded("Observation", one, **sides).rule == "numeric_result"


@pytest.mark.parametrize(
    ("local", "remote", "raised"),
    [
        ({"reference": "Patient/1"}, {"reference": "Patient/2"}, True),
        ({"reference": "Patient/1"}, {"reference": "https://ehr.example/r4/Patient/1/_history/3"}, False),
        ({"reference": "Patient/1", "display": "Ann"}, {"reference": "Patient/1"}, False),
        ({"reference": "Patient/1"}, None, True),
    ],
)
def test_a_fact_about_another_patient_is_critical_whatever_is_in_conflict(
    local: dict[str, str], remote: dict[str, str] | None, raised: bool
) -> None:
    note = unit("note[1]", {"text": "Same"}, {"text": "same"})
    there = {"subject": remote} if remote else {}
    grade = graded("Condition", note, local={"subject": local}, remote=there)
    assert (grade.severity, grade.rule) == ((CRITICAL, "patient_reference") if raised else (LOW, "format-only"))


def test_many_conflicts_on_one_patient_suspect_an_overlay() -> None:
    note = unit("note[1]", {"text": "a"}, {"text": "b"})
    few, many = (graded("Condition", note, conflicts_on_patient=count) for count in (10, 11))
    assert (few.severity, few.suspected_overlay) == (LOW, False)
    assert (many.severity, many.rule, many.suspected_overlay) == (CRITICAL, "overlay", True)
    assert graded("Condition", conflicts_on_patient=11).severity is CRITICAL


# form


@pytest.mark.parametrize(
    ("resource_type", "name", "local", "remote"),
    [
        (
            "Patient",
            "name[official|Doe|Ann]",
            {"family": "DOE", "given": ["ANN"]},
            {"family": "Doe", "given": ["Ann "]},
        ),
        ("Patient", "name[official|Doe|Ann].family", "MÜLLER", "Mu\u0308ller"),
        ("Condition", "code", {"coding": [{"code": "1", "display": "A"}]}, {"coding": [{"code": "1"}]}),
        ("Procedure", "bodySite", {"text": "left  arm"}, {"text": "Left arm"}),
        ("DiagnosticReport", "conclusion", "No finding.", "NO FINDING."),
        ("Immunization", "location", {"reference": "Location/1", "display": "A"}, {"reference": "Location/1"}),
    ],
)
def test_a_difference_of_form_alone_is_low(resource_type: str, name: str, local: Any, remote: Any) -> None:
    grade = graded(resource_type, unit(name, local, remote))
    assert (grade.severity, grade.rule) == (LOW, "format-only")


def test_one_unit_spelled_in_two_ways_is_low_when_the_value_is_the_same() -> None:
    assert preliminary(quantity(5, "mg/dL"), quantity(5, "mg/dl")).rule == "format-only"
    assert preliminary(quantity(5, "mm[Hg]"), quantity(5, "mm[Hg]", unit="mmHg")).rule == "format-only"
    assert preliminary(quantity(5, "mg"), quantity(5, "Mg")).severity is CRITICAL


@pytest.mark.parametrize(
    ("resource_type", "name", "local", "remote"),
    [
        ("Patient", "gender", "male", "Male"),
        ("Condition", "code", {"coding": [{"code": "a1"}]}, {"coding": [{"code": "A1"}]}),
        ("Condition", "code", {"text": "hypertension"}, {"text": "essential hypertension"}),
        ("Patient", "name[official|Doe|Ann].family", "Doe", MISSING),
        ("Observation", "value[x]", quantity(Number("1.0")), quantity(Number("1.00"))),
        ("Observation", "value[x]", quantity(1), quantity(Number("1.0"))),
    ],
)
def test_a_difference_that_a_program_could_read_is_more_than_form(
    resource_type: str, name: str, local: Any, remote: Any
) -> None:
    grade = graded(resource_type, unit(name, local, remote), local={"status": "preliminary"})
    assert grade.severity in (HIGH, CRITICAL)


def test_identity_is_never_lowered_for_its_form() -> None:
    period = unit("identifier[urn:mrn|7].type", {"text": "MRN"}, {"text": "mrn"})
    grade = graded("Patient", period)
    assert (grade.severity, grade.rule, grade.two_person) == (CRITICAL, "patient-identity", True)


# laws

_numbers = st.one_of(
    st.integers(-1000, 1000),
    st.decimals(-1000, 1000, places=3).map(lambda number: Number(str(number))),
)


@settings(deadline=None)
@given(_numbers, _numbers, st.sampled_from(["mg/dL", "mg/dl", "g/L"]))
def test_a_grade_does_not_depend_on_which_side_is_ours(ours: Any, theirs: Any, named: str) -> None:
    one, other = quantity(ours), quantity(theirs, named)
    assert preliminary(one, other) == preliminary(other, one)


@settings(deadline=None)
@given(_numbers, _numbers)
def test_the_fifth_is_exact(ours: Any, theirs: Any) -> None:
    one, other = Decimal(str(ours)), Decimal(str(theirs))
    far = abs(one - other) > min(abs(one), abs(other)) / 5
    assert (preliminary(quantity(ours), quantity(theirs)).rule == "numeric_result") == far


@settings(deadline=None)
@given(st.permutations(["birthDate", "name[official|Doe|Ann]", "telecom[phone|1]", "photo"]))
def test_a_conflict_is_as_severe_as_its_worst_unit_in_any_order(names: list[str]) -> None:
    for count in range(1, len(names) + 1):
        grade = graded("Patient", *(unit(name, "a", "b") for name in names[:count]))
        worst = max((entry.severity for entry in grade.units.values()), key=["LOW", "MEDIUM", "HIGH", "CRITICAL"].index)
        assert grade.severity is worst


def test_a_conflict_without_units_in_conflict_is_low() -> None:
    assert graded("Patient") == Grade(LOW, {}, "no-unit-in-conflict")


# the file


def test_the_shipped_matrix_says_who_has_signed_it_what_changed_and_which_text_it_is() -> None:
    matrix = default_matrix()
    assert not matrix.signed_off
    changed = load_matrix(SHIPPED.replace("percent: 20", "percent: 25"), "severity.yml")
    declared = yaml.safe_load(SHIPPED)["version"]
    assert matrix.version.startswith(f"{declared}+") and changed.version.startswith(f"{declared}+")
    assert matrix.version != changed.version
    signed = SHIPPED.replace("status: unsigned", "status: signed\n  by: A. Officer\n  on: 2026-11-22")
    assert load_matrix(signed, "severity.yml").signed_off


@pytest.mark.parametrize(
    ("old", "new", "marked", "says"),
    [
        ("    two_person: true", "    two_persons: true", "two_persons", "two_persons: Extra inputs"),
        ("units: [telecom, address", 'units: ["telecom[phone|*]", address', "phone", "never list items"),
        ("severity: HIGH", "severity: GRAVE", "GRAVE", "severity: Input should be"),
        ("resource: Patient", "resource: Patiant", "Patiant", "'Patiant' is no resource type"),
        ("name: wrong-patient", "name: patient-identity", None, "the name of another rule"),
        ("name: annotation", "name: overlay", "name: overlay", "the name of another rule"),
        ("  - name: catch-all\n", "  - name: catch-all\n    when: {status: final}\n", "name: catch-all", "last rule"),
        ("status: unsigned", "status: signed", "sign_off:", "by whom"),
        ('version: "2026-11-draft-2"\n\n', 'version: "3"\n\n', '  - version: "2026-11-draft-2"', "newest entry"),
        ('["5856",', "[5856,", "[5856", "valid string"),
        ("percent: 20", "percent: 20\n    percent: 30", "percent: 30", "'percent' is written twice"),
        ("percent: 20", "percent: [20", None, "not YAML"),
        ("why: the patient's legal will", "why: &a x\n    units: *a", "*a", "aliases are not read"),
        ("  overlay:\n    conflicts_on_patient: 10\n", "", "escalators:", "overlay: Field required"),
    ],
)
def test_a_mistake_is_refused_with_file_and_line(old: str, new: str, marked: str | None, says: str) -> None:
    text = SHIPPED.replace(old, new, 1)
    assert text != SHIPPED
    with pytest.raises(ConfigurationError) as refused:
        load_matrix(text, "our/severity.yml")
    assert says in refused.value.message
    assert refused.value.code == "severity.invalid" and refused.value.remedy
    file, _, line = refused.value.place.rpartition(":")
    assert file == "our/severity.yml"
    if marked is not None:
        assert marked in text.splitlines()[int(line) - 1]


def test_every_mistake_is_told_at_once() -> None:
    text = SHIPPED.replace("severity: HIGH", "severity: GRAVE").replace("percent: 20", "percent: -1")
    with pytest.raises(ConfigurationError) as refused:
        load_matrix(text, "severity.yml")
    for number, line in enumerate(text.splitlines(), start=1):
        if "GRAVE" in line or "percent: -1" in line:
            assert f":{number}" in refused.value.place or f"line {number}: " in refused.value.message
