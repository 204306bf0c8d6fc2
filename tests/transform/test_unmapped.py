"""What no rule read: with what was read it is everything, and it comes out of the target as it went in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.fhir.exact import Number, write_document
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.transform.paths import Place, compile_path
from holovitals_pipelines.transform.unmapped import UNMAPPED, keep_unmapped, take_unmapped, unmapped

from .test_paths import PATHS, patients

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "active": True,
    "name": [
        {"use": "official", "family": "Doe", "given": ["Jane", "Q"]},
        {"use": "nickname", "given": ["JJ"]},
    ],
    "weight": {"value": Number("7.40"), "unit": "kg"},
    "given": [None, "B"],
    "_given": [{"id": "g"}, None],
    "death": None,
}


@pytest.mark.parametrize(
    ("reads", "rest"),
    [
        ([], {name: value for name, value in PATIENT.items() if name not in ("resourceType", "death")}),
        ([("active",), ("name",), ("given",), ("_given",)], {"weight": {"value": Number("7.40"), "unit": "kg"}}),
        (
            [("active",), ("name", "given"), ("name", 0, "use"), ("weight", "unit"), ("given",), ("_given",)],
            {"name": [{"family": "Doe"}, {"use": "nickname"}], "weight": {"value": Number("7.40")}},
        ),
        (
            [("active",), ("name", 1), ("name", 0, "given", 0), ("weight", "value"), ("weight", "unit"), ("given", 1)],
            {"name": [{"use": "official", "family": "Doe", "given": ["Q"]}], "_given": [{"id": "g"}, None]},
        ),
        ([("Patient", "active"), ("name",), ("Patient", "weight"), ("given",), ("_given",)], {}),
        ([()], {}),
        ([("nowhere", 3, "at"), ("active", "all"), ("name",), ("weight",), ("given",), ("_given",)], {"active": True}),
    ],
)
def test_the_rest_is_what_no_place_names(reads: list[Place], rest: dict[str, Any]) -> None:
    before = write_document(PATIENT)
    assert unmapped(PATIENT, reads) == rest
    assert write_document(PATIENT) == before


def test_what_is_taken_of_all_items_and_of_one_is_taken_together() -> None:
    document = {"a": [{"b": {"c": 1, "d": 2, "e": 3}}, {"b": {"c": 1, "d": 2}}]}
    reads: list[Place] = [("a", "b", "c"), ("a", 0, "b", "d")]
    for places in (reads, reads[::-1]):
        assert unmapped(document, places) == {"a": [{"b": {"e": 3}}, {"b": {"d": 2}}]}


def test_a_path_that_picks_takes_only_what_it_picks() -> None:
    path = compile_path("name.where(use = 'official').family")
    assert unmapped(PATIENT, path.places(PATIENT))["name"] == [
        {"use": "official", "given": ["Jane", "Q"]},
        {"use": "nickname", "given": ["JJ"]},
    ]
    assert path.reads == ("name",)


def _values(document: Any, place: Place = ()) -> list[Any]:
    """Every scalar with the members that lead to it."""
    if isinstance(document, dict):
        return [one for name, value in document.items() for one in _values(value, (*place, name))]
    if isinstance(document, list):
        return [one for value in document for one in _values(value, place)]
    return [(place, document)]


@settings(max_examples=200, deadline=None)
@given(patients, st.lists(st.sampled_from(PATHS), max_size=4))
def test_every_value_was_read_or_is_in_the_rest_and_never_both(patient: dict[str, Any], paths: list[str]) -> None:
    places = {place for path in paths for place in compile_path(path).places(patient)}
    outermost = [place for place in places if not any(place[:length] in places for length in range(len(place)))]
    read = [one for place in outermost for one in _values(_at(patient, place), _members(place))]
    rest = _values(unmapped(patient, places))
    everything = _values({name: value for name, value in patient.items() if name != "resourceType"})
    assert sorted(read + rest, key=repr) == sorted(everything, key=repr)


def _at(document: Any, place: Place) -> Any:
    for step in place:
        document = document[step]
    return document


def _members(place: Place) -> Place:
    return tuple(step for step in place if isinstance(step, str))


documents = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3) | st.sampled_from([Number("7.40"), Number("1E5"), 5]),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
        max_leaves=4,
    ),
)
targets = st.fixed_dictionaries(
    {"resourceType": st.just("Patient")},
    optional={
        "extension": st.lists(
            st.fixed_dictionaries({"url": st.just("urn:other"), "valueString": st.just("x")}), min_size=1, max_size=2
        ),
        "active": st.booleans(),
    },
)


@settings(max_examples=200, deadline=None)
@given(targets, documents)
def test_what_is_kept_comes_out_as_it_went_in(target: dict[str, Any], rest: dict[str, Any]) -> None:
    before = write_document(target)
    kept = keep_unmapped(target, rest)
    assert take_unmapped(kept) == (target, rest or None)
    assert list(take_unmapped(kept)[0]) == list(target) and write_document(target) == before


def test_it_is_kept_in_one_extension() -> None:
    target = {"resourceType": "Patient", "extension": [{"url": "urn:other", "valueString": "x"}]}
    kept = keep_unmapped(keep_unmapped(target, {"a": 1}), {"b": Number("7.40")})
    assert kept["extension"] == [target["extension"][0], {"url": UNMAPPED, "valueString": '{"b":7.40}'}]


def test_an_extension_that_somebody_broke_is_an_error_without_its_text() -> None:
    broken = {"extension": [{"url": UNMAPPED, "valueString": '{"secret'}]}
    with pytest.raises(MalformedResource) as raised:
        take_unmapped(broken)
    assert "secret" not in str(raised.value)
