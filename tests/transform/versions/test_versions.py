"""STU3 and DSTU2 become R4, and nothing of them is lost on the way."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from fhir.resources.STU3 import get_fhir_model_class
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from holovitals_pipelines.fhir.exact import Number, read_document, write_document
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import SourceFormat
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.unmapped import UNMAPPED
from holovitals_pipelines.transform.versions import CONVERTED_TYPES, Converted, to_r4
from holovitals_pipelines.transform.versions.systems import system_in_r4

from . import samples_dstu2, samples_stu3
from .full_resources import full_resources

STU3, DSTU2 = SourceFormat.FHIR_STU3, SourceFormat.FHIR_DSTU2
SAMPLES = [
    *((STU3, source, expected) for source, expected in samples_stu3.SAMPLES),
    *((DSTU2, source, expected) for source, expected in samples_dstu2.SAMPLES),
]
NAMES = [f"{version}-{source['resourceType']}" for version, source, _ in SAMPLES]

SPELLED = {
    "n": "not-taken",
    "suspended": "on-hold",
    "aborted": "stopped",
    "has-member": "hasMember",
    "derived-from": "derivedFrom",
    "MedicationOrder": "MedicationRequest",
    "replace": "replaced-by",
    "inpatient": "IMP",
    "ambulatory": "AMB",
    "emergency": "EMER",
    "CRITL": "low",
    "CRITH": "high",
    "CRITU": "unable-to-assess",
}
"""Codes whose one image in R4 stands for them; member names are looked up too."""


@pytest.mark.parametrize(("version", "source", "expected"), SAMPLES, ids=NAMES)
def test_a_resource_becomes_what_r4_makes_of_it(version: SourceFormat, source: Document, expected: Document) -> None:
    before = copy.deepcopy(source)
    made = to_r4(source, version).document
    assert made == expected
    assert source == before
    assert check_structure(write_document(made), made["resourceType"]) == ()


@pytest.mark.parametrize(("version", "source", "expected"), SAMPLES, ids=NAMES)
def test_no_value_is_lost(version: SourceFormat, source: Document, expected: Document) -> None:
    assert lost(source, to_r4(source, version)) == []


@pytest.mark.parametrize(("version", "source", "expected"), SAMPLES, ids=NAMES)
def test_what_is_r4_already_stays_as_it_is(version: SourceFormat, source: Document, expected: Document) -> None:
    if expected["resourceType"] in CONVERTED_TYPES[version]:
        assert to_r4(expected, version).document == expected
    else:
        assert expected["resourceType"] == "MedicationRequest"
        with pytest.raises(ConfigurationError):
            to_r4(expected, version)


@pytest.mark.parametrize("resource_type", sorted(CONVERTED_TYPES[STU3]))
def test_every_element_that_stu3_defines_has_a_place_in_r4(resource_type: str) -> None:
    for source in full_resources(resource_type):
        document = read_document(write_document(source))
        made = to_r4(document, STU3)
        assert check_structure(write_document(made.document), resource_type) == ()
        assert lost(document, made) == []
        assert "version.not_convertible" not in [code for code, _ in made.findings]


@pytest.mark.parametrize("resource_type", sorted(CONVERTED_TYPES[STU3]))
def test_a_valid_stu3_resource_that_lacks_something_becomes_valid_r4(resource_type: str) -> None:
    full = next(iter(full_resources(resource_type)))
    model = get_fhir_model_class(resource_type)
    for name in [name for name in full if name != "resourceType"]:
        lacking = {key: value for key, value in full.items() if key != name}
        try:
            model.model_validate(lacking)
        except ValidationError:
            continue
        made = to_r4(read_document(write_document(lacking)), STU3).document
        assert check_structure(write_document(made), resource_type) == (), name


@pytest.mark.parametrize(
    ("resource_type", "element", "codes"),
    [
        ("AllergyIntolerance", "status", "active unconfirmed confirmed inactive resolved refuted entered-in-error"),
        ("AllergyIntolerance", "criticality", "CRITL CRITH CRITU"),
        ("AllergyIntolerance", "category", "food medication environment other"),
        ("Condition", "clinicalStatus", "active relapse remission resolved"),
        ("Condition", "verificationStatus", "provisional differential confirmed refuted entered-in-error unknown"),
        ("Encounter", "class", "inpatient outpatient ambulatory emergency home field daytime virtual other"),
        ("Immunization", "status", "in-progress on-hold completed entered-in-error stopped"),
        ("MedicationOrder", "status", "active on-hold completed entered-in-error stopped draft"),
        ("Procedure", "status", "in-progress aborted completed entered-in-error"),
    ],
)
def test_every_code_of_dstu2_has_a_place_in_r4(resource_type: str, element: str, codes: str) -> None:
    sample = next(source for source, _ in samples_dstu2.SAMPLES if source["resourceType"] == resource_type)
    made = [to_r4({**sample, element: code}, DSTU2).document for code in codes.split()]
    for document in made:
        assert check_structure(write_document(document), document["resourceType"]) == ()
    assert len({write_document(document) for document in made}) == len(made), "two codes have become one"


def test_every_type_that_is_converted_has_a_sample() -> None:
    sampled = {(version, source["resourceType"]) for version, source, _ in SAMPLES}
    assert sampled == {(version, name) for version, names in CONVERTED_TYPES.items() for name in names}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_is_wrong_with_a_source_no_value_is_lost(data: st.DataObject) -> None:
    version, sample, _ = data.draw(st.sampled_from(SAMPLES))
    source = copy.deepcopy(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(list(containers(source))))
        name = data.draw(
            st.sampled_from([*list(place), "extra", "_status", "_note", "note", "id", "extension", "diagnosis"])
        )
        change = data.draw(st.sampled_from(["drop", "text", "number", "object", "list", "companion", "only companion"]))
        if name != "resourceType":
            altered(place, name, change)
    made = to_r4(source, version)
    assert lost(source, made) == []
    assert read_document(write_document(made.document)) == made.document


def test_findings_name_places_and_never_values() -> None:
    source = {
        "resourceType": "Patient",
        "name": [{"family": ["secret", "words"]}],
        "animal": {"species": "wrong-secret"},
        "contained": [{"resourceType": "secret-type"}],
    }
    made = to_r4(source, DSTU2)
    assert set(made.findings) == {
        ("version.kept_as_extension", "Patient.name.family"),
        ("version.not_convertible", "Patient.animal.species"),
        ("version.kept_as_extension", "Patient.animal"),
        ("version.unsupported_type", "Patient.contained"),
        ("version.not_convertible", "Patient.contained"),
    }
    assert lost(source, made) == []


def test_what_an_earlier_conversion_left_unmapped_is_kept_beside_the_rest() -> None:
    earlier = {"url": UNMAPPED, "valueString": '{"older":1}'}
    source = {"resourceType": "Medication", "isBrand": "no boolean", "extension": [earlier]}
    (extension,) = to_r4(source, STU3).document["extension"]
    assert read_document(extension["valueString"].encode()) == {
        "Medication.isBrand": "no boolean",
        UNMAPPED: [earlier],
    }


def test_an_element_under_its_old_and_its_new_name_keeps_both_values() -> None:
    both = {"resourceType": "Encounter", "reason": [{"text": "old"}], "reasonCode": [{"text": "new"}]}
    assert to_r4(both, STU3).document["reasonCode"] == [{"text": "old"}, {"text": "new"}]
    single = {"resourceType": "Condition", "assertedDate": "2001", "recordedDate": "2002"}
    made = to_r4(single, STU3)
    assert made.document["recordedDate"] == "2001"
    assert lost(single, made) == []


def test_money_and_signatures_in_extensions_take_r4s_form() -> None:
    source = {
        "resourceType": "Practitioner",
        "extension": [
            {"url": "urn:fee", "valueMoney": {"value": Number("5.00"), "code": "EUR"}},
            {"url": "urn:signed", "valueSignature": {"whoUri": "urn:me", "contentType": "a/b", "blob": "AAAA"}},
        ],
    }
    assert to_r4(source, STU3).document["extension"] == [
        {"url": "urn:fee", "valueQuantity": {"value": Number("5.00"), "code": "EUR"}},
        {"url": "urn:signed", "valueSignature": {"who": {"reference": "urn:me"}, "sigFormat": "a/b", "data": "AAAA"}},
    ]


@pytest.mark.parametrize(
    ("document", "version", "code", "named"),
    [
        ({"resourceType": "Coverage"}, STU3, "version.unsupported_type", "Coverage"),
        ({"resourceType": "MedicationOrder"}, STU3, "version.unsupported_type", "MedicationOrder"),
        ({"resourceType": "a secret"}, STU3, "version.unsupported_type", None),
        ({}, DSTU2, "version.unsupported_type", None),
        ({"resourceType": ["Patient"]}, DSTU2, "version.unsupported_type", None),
        ({"resourceType": "Patient"}, SourceFormat.CDA, "version.unsupported_format", None),
    ],
)
def test_other_types_and_formats_are_refused_by_name(
    document: Document, version: SourceFormat, code: str, named: str | None
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        to_r4(document, version)
    assert refused.value.code == code
    assert "secret" not in str(refused.value)
    if named is not None:
        assert named in refused.value.place


def lost(source: Document, made: Converted) -> list[Any]:
    """The texts and numbers of the source that the result has not, neither as they are nor by their image."""
    result = written(made.document)
    names = set(texts(made.document, names=True))
    return [
        value
        for value in texts(source)
        if value not in result and SPELLED.get(value) not in names | result and system_in_r4(str(value)) not in result
    ]


def written(document: Document) -> set[Any]:
    """All values, those of the unmapped rest among them."""
    values = set(texts(document))
    for extension in document.get("extension", ()) if type(document.get("extension")) is list else ():
        if type(extension) is dict and extension.get("url") == UNMAPPED and type(extension.get("valueString")) is str:
            values |= set(texts(read_document(extension["valueString"].encode())))
    return values


def texts(value: Any, *, names: bool = False) -> Iterator[Any]:
    if type(value) is dict:
        if names:
            yield from value
        for inner in value.values():
            yield from texts(inner, names=names)
    elif type(value) is list:
        for inner in value:
            yield from texts(inner, names=names)
    elif value is not None and type(value) is not bool:
        yield value


def containers(value: Any) -> Iterator[Document]:
    if type(value) is dict:
        yield value
        for inner in value.values():
            yield from containers(inner)
    elif type(value) is list:
        for inner in value:
            yield from containers(inner)


def altered(place: Document, name: str, change: str) -> None:
    value = place.pop(name, None)
    if change == "text":
        place[name] = f"text of {name}"
    elif change == "number":
        place[name] = Number("9.990")
    elif change == "object":
        place[name] = {"odd": f"object of {name}", "value": 7}
    elif change == "list":
        place[name] = [value, {"odd": f"list of {name}"}, f"item of {name}"]
    elif change.endswith("companion"):
        if change == "companion":
            place[name] = value if value is not None else "value"
        place[f"_{name.removeprefix('_')}"] = {"id": f"companion-{name.removeprefix('_')}"}
