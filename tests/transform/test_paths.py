"""Source paths: they mean what they mean in FHIRPath, and what they do not know they refuse by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import fhirpathpy
import pytest
from fhirpathpy.models import models
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.fhir.exact import Number
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.path_text import PathError
from holovitals_pipelines.transform.paths import Place, compile_path

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "active": True,
    "name": [
        {"use": "official", "family": "Doe", "given": ["Jane", "Q"]},
        {"use": "nickname", "given": ["JJ"]},
        {"given": ["Old"], "period": {"end": "2001-01-01"}},
    ],
    "telecom": [
        {"system": "phone", "value": "555", "rank": 1},
        {"system": "email", "value": "a@b.c"},
        {"value": "556"},
    ],
    "birthDate": "1980-02-03",
    "_birthDate": {"extension": [{"url": "urn:time", "valueDateTime": "1980-02-03T10:00:00Z"}]},
    "extension": [{"url": "urn:race", "extension": [{"url": "text", "valueString": "x"}]}],
    "contact": {"relationship": [{"coding": [{"system": "s1", "code": "N"}, {"system": "s2", "code": "E"}]}]},
    "contained": [{"resourceType": "Organization", "name": "Org"}, {"resourceType": "Practitioner"}],
}

PATHS = [
    "name", "name.given", "name.family", "Patient.name.given", "Observation.name", "name.period.end", "contact.name",
    "name[0]", "name[1].given", "name.given[1]", "name[7].given", "name.first().given.last()", "name.last().use",
    "name.given.first()", "name.given.count()", "name.exists()", "name.period.empty()",
    "name.where(use = 'x').exists()",
    "name.where(use = 'official')", "name.where(use != 'official').given", "name.where(given = 'Ann').use",
    "name.where(given != 'Ann')", "name.where(period.end = '2001').given", "name.where(period.exists()).given",
    "name.where(use.empty() or use != 'old').given", "name.where(use = 'old' and family.exists()).given",
    "name.where(use = 'x' or use = 'old' and given.exists()).use", "name.where(given.count() = 2).use",
    "name.where(given.first() = 'Ann').use", "name.where(use = 'official')[0].given[0]", "name.where(rank = 2).use",
    "name.where(rank != 2).use", "name.where(old = true).use", "name.where(old != true).use",
    "name.where(`use` = 'old').`given`", "name.extension('urn:a').valueString",
    "extension('urn:a').value.ofType(string)",
    "name.where(extension('urn:a').exists()).use", "birthDate.extension('urn:a').valueString",
    "name . given [ 0 ]", "name.where(period.where(end = '2001').exists()).use",
    "contained.where(resourceType = 'Organization').name",
]  # fmt: skip

words = st.sampled_from(["Ann", "Bo", "x"])
# One of a url: of several, fhirpathpy's extension() finds only the first, unlike the specification.
extensions = st.lists(
    st.fixed_dictionaries({"url": st.sampled_from(["urn:a", "urn:b"]), "valueString": words}),
    min_size=1,
    max_size=2,
    unique_by=lambda extension: str(extension["url"]),
)
names = st.fixed_dictionaries(
    {"id": words},  # fhirpathpy leaves out objects that hold nothing but extensions
    optional={
        "use": st.sampled_from(["official", "old", "x"]),
        "family": words,
        "given": st.lists(words, min_size=1, max_size=3),
        "period": st.fixed_dictionaries({"end": st.sampled_from(["2001", "2002"])}),
        "rank": st.integers(1, 2),
        "old": st.booleans(),
        "extension": extensions,
    },
)
patients = st.fixed_dictionaries(
    {"resourceType": st.just("Patient")},
    optional={
        "name": st.lists(names, min_size=1, max_size=3) | names,
        "contact": st.fixed_dictionaries({"name": names}),
        "extension": extensions,
        "birthDate": st.just("1980-02-03"),
        "_birthDate": st.fixed_dictionaries({"extension": extensions}),
        "contained": st.lists(
            st.fixed_dictionaries({"resourceType": st.sampled_from(["Organization", "Device"]), "name": words}),
            max_size=2,
        ),
    },
)


@pytest.fixture(scope="module")
def independent() -> dict[str, Any]:
    """Each path as another implementation of FHIRPath reads it."""
    return {path: fhirpathpy.compile(path, models["r4"] if "ofType" in path else None) for path in PATHS}


@settings(max_examples=60, deadline=None)
@given(patients)
def test_a_path_finds_what_an_independent_fhirpath_finds(independent: dict[str, Any], patient: dict[str, Any]) -> None:
    for path in PATHS:
        assert compile_path(path).all(patient) == independent[path](patient), path


@settings(max_examples=60, deadline=None)
@given(patients)
def test_places_are_where_the_values_stand(patient: dict[str, Any]) -> None:
    for text in PATHS:
        path = compile_path(text)
        if not text.endswith(("exists()", "empty()", "count()")):
            places = path.places(patient)
            assert [_at(patient, place) for place in places] == path.all(patient), text
            assert len(set(places)) == len(places), text
            assert path.places(patient, ("entry", 3)) == [("entry", 3, *place) for place in places]


def _at(document: Any, place: Place) -> Any:
    for step in place:
        document = document[step]
    return document


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("name.given", ["Jane", "Q", "JJ", "Old"]),
        ("name.where(use = 'official').given[0]", ["Jane"]),
        ("Patient.birthDate", ["1980-02-03"]),
        ("Patient", [PATIENT]),
        ("birthDate.extension('urn:time').value.ofType(dateTime)", ["1980-02-03T10:00:00Z"]),
        ("extension('urn:race').extension('text').value.ofType(string)", ["x"]),
        ("contained.ofType(Organization).name", ["Org"]),
        ("contact.relationship.where(coding.code = 'N').exists()", [False]),  # two codes are not one
        ("contact.relationship.where(coding.where(code = 'N').exists()).exists()", [True]),
        ("telecom.where(system != 'phone').value", ["a@b.c"]),  # no system is neither equal nor different
        ("telecom.where(rank = 1).value", ["555"]),
        ("telecom.where(rank = '1').value", []),
        ("telecom.count()", [3]),
        ("telecom.where(system = 'phone' or system = 'email').rank", [1]),
        ("active.given", []),
        ("birthDate[0]", ["1980-02-03"]),
        ("%record.id", ["p1"]),
    ],
)
def test_a_path_finds_its_values(path: str, values: list[Any]) -> None:
    assert compile_path(path).all(PATIENT) == values


def test_the_examples_in_the_documentation_are_true() -> None:
    text = (Path(__file__).parents[2] / "docs" / "rule-paths.md").read_text(encoding="utf-8")
    document = json.loads(text.split("```json")[1].split("```")[0])
    examples = re.findall(r"^\| (?:`` (.+?) ``|`([^`]+)`) \| `(\[.*\])` \|$", text, re.MULTILINE)
    assert len(examples) >= 15
    for quoted, plain, found in examples:
        path = quoted or plain
        assert compile_path(path).all(document) == json.loads(found), path
        model = models["r4"] if "ofType" in path else None
        assert fhirpathpy.evaluate(document, path, model=model) == json.loads(found), path


def test_members_of_other_formats_are_read_by_their_names() -> None:
    document = {
        "Patient": {"first-name": "Ann", "it's": 1, "a`b": 2, "é": Number("7.40"), "and": 3},
        "rows": [[1, [2]]],
    }
    for path, value in {
        "Patient.`first-name`": "Ann",
        "Patient.`it's`": 1,
        "Patient.`a\\`b`": 2,
        "Patient.`\\u00e9`": Number("7.40"),
        "Patient.and": 3,
    }.items():
        assert compile_path(path).all(document) == [value]
    assert compile_path("rows").all(document) == [1, 2]


def test_null_is_no_value() -> None:
    document = {"a": None, "b": [None, 1, None], "c": [{"d": None}, None]}
    assert compile_path("a").all(document) == compile_path("c.d").all(document) == []
    assert compile_path("b").all(document) == compile_path("b[0]").all(document) == [1]
    assert compile_path("b.count()").all(document) == [1] and compile_path("a.exists()").all(document) == [False]


@pytest.mark.parametrize("document", [None, "text", 7, [], [{"name": "x"}], True])
def test_whatever_is_read_reading_does_not_fail(document: Any) -> None:
    for path in PATHS:
        assert isinstance(compile_path(path).all(document), list)
        assert isinstance(compile_path(path).places(document), list)


def test_one_value_is_taken_and_several_are_not() -> None:
    assert compile_path("name.family").one(PATIENT) == "Doe"
    assert compile_path("name.suffix").one(PATIENT) is None
    with pytest.raises(ValueError, match="several"):
        compile_path("name.given").one(PATIENT)


def test_the_whole_of_a_member_is_one_value_be_it_a_list() -> None:
    assert compile_path("name").whole(PATIENT) == [PATIENT["name"]]
    assert compile_path("name[0].given").whole(PATIENT) == [["Jane", "Q"]]
    assert compile_path("Patient.name").whole(PATIENT) == [PATIENT["name"]]
    assert compile_path("name.given").whole(PATIENT) == [["Jane", "Q"], ["JJ"], ["Old"]]
    assert compile_path("name[0]").whole(PATIENT) == [PATIENT["name"][0]]


@pytest.mark.parametrize(
    ("path", "reads"),
    [
        ("a.b.c", ("a", "b", "c")),
        ("name.where(use = 'x').given", ("name",)),
        ("name[0].given", ("name",)),
        ("value.ofType(Quantity).unit", ("valueQuantity", "unit")),
        ("extension('urn:a').valueString", ("extension",)),
        ("%record.id", ("id",)),
    ],
)
def test_a_path_tells_the_members_it_begins_with(path: str, reads: tuple[str, ...]) -> None:
    assert compile_path(path).reads == reads
    assert compile_path(path).of_record == path.startswith("%record.")


@pytest.mark.parametrize(
    ("path", "named", "position"),
    [
        ("name.select(given)", "FHIRPath's select() is", 5),
        ("name.given.join(',')", "FHIRPath's join() is", 11),
        ("value.as(Quantity)", "FHIRPath's as() is", 6),
        ("value as Quantity", "FHIRPath's as operator is", 6),
        ("name | contact.name", "FHIRPath's | operator is", 5),
        ("a + b", "FHIRPath's + operator is", 2),
        ("first-name", "FHIRPath's - operator is", 5),
        ("a = 'b'", "FHIRPath's = operator is", 2),
        ("a and b", "FHIRPath's and operator is", 2),
        ("$this.name", "FHIRPath's $this is", 0),
        ("name.where($this = 'x')", "FHIRPath's $this is", 11),
        ("%resource.name", "FHIRPath's %resource is", 0),
        ("name.where(%record.id = 'x')", "FHIRPath's %record is", 11),
        ("name.exists(use = 'x')", "FHIRPath's exists() with an argument is", 12),
        ("name.where((use = 'x') or a.exists())", "FHIRPath's grouping with parentheses is", 11),
        ("name.where(use > 'x')", "FHIRPath's > operator is", 15),
        ("name.where(use in 'x')", "FHIRPath's in operator is", 15),
        ("name[0].ofType(Quantity)", "FHIRPath's ofType() after anything but a member is", 8),
        ("{}", "FHIRPath's {} is", 0),
        ("@2020", "FHIRPath's date literals is", 0),
    ],
)
def test_the_rest_of_fhirpath_is_refused_by_name(path: str, named: str, position: int) -> None:
    with pytest.raises(PathError) as refused:
        compile_path(path)
    assert refused.value.message.startswith(named)
    assert (refused.value.position, refused.value.code) == (position, "path.unsupported")
    assert isinstance(refused.value, ConfigurationError) and refused.value.remedy


@pytest.mark.parametrize(
    ("path", "position"),
    [
        ("", 0), ("  ", 2), (".", 0), ("a.", 2), ("a..b", 2), ("a b", 2), ("a[", 2), ("a[x]", 2), ("a[-1]", 2),
        ("a[0", 3), ("`a", 0), ("a.where()", 8), ("a.where(b)", 8), ("a.where(b = )", 12), ("a.where(b = c)", 12),
        ("a.where(b = 1.5)", 12), ("a.where(b = 'x'", 15), ("a.where(b = 'x' and)", 19), ("a.where(b.count())", 8),
        ("a.exists().b", 10), ("a.count()[0]", 9), ('a.where(b = "x")', 12), ("a.extension(b)", 12), ("%record", 7),
        ("a.ofType('x')", 9), ("'a'", 0), ("true", 0), ("1", 0), ("a.where('x' = b)", 8), ("a.`\\q`", 2), ("é", 0),
        ("a.where(b = '\\ud83d')", 12), ("a)", 1), ("a.first(", 8), ("a.where(b = 'x' c = 'y')", 16),
    ],
)  # fmt: skip
def test_what_is_no_path_is_refused_with_its_position(path: str, position: int) -> None:
    with pytest.raises(PathError) as refused:
        compile_path(path)
    assert refused.value.position == position
    assert refused.value.code.startswith("path.")
    assert f"character {position + 1} " in refused.value.message


def test_an_unknown_function_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(PathError, match=r"no function frist\(\); the functions are count, empty") as refused:
        compile_path("name.frist()")
    assert refused.value.code == "path.unknown_function"


@settings(max_examples=300, deadline=None)
@given(st.text("abA._'`[]()=|!%$0 \\é-*", max_size=12) | st.text(max_size=8))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = compile_path(text)
    except PathError as refused:
        assert 0 <= refused.position <= len(text)
    else:
        assert path.all({}) in ([], [{}], [True], [False], [0])
