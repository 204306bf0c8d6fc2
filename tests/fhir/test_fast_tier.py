"""The fast tier's own rules at their edges, and what it does with bytes of every kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_seeded_errors import CONTROLS, ENCOUNTER, OBSERVATION, PATIENT

from holovitals_pipelines.fhir.validation import RULES, Issue, check_structure, is_refused
from holovitals_pipelines.fhir.validation.issues import MAX_ISSUES, issue
from holovitals_pipelines.fhir.validation.own_rules import _walk, check_own_rules
from holovitals_pipelines.model.vocabulary import ErrorSeverity


def check(resource: dict[str, Any], **changes: Any) -> list[tuple[str, str]]:
    body = json.dumps({**resource, **changes}).encode()
    return [(found.rule, found.path) for found in check_structure(body, resource["resourceType"])]


@pytest.mark.parametrize("day", ["2020-02-30", "2019-02-29", "1900-02-29", "2021-04-31", "2021-11-31T10:00:00Z"])
def test_a_day_no_calendar_has_is_refused(day: str) -> None:
    assert check(OBSERVATION, effectivePeriod={"start": day}) == [
        ("date.impossible", "Observation.effectivePeriod.start")
    ]


@pytest.mark.parametrize("day", ["2020-02-29", "2000-02-29", "2021-12-31", "2021-02", "2020-02-29T23:59:60Z"])
def test_a_day_some_calendar_has_passes(day: str) -> None:
    assert check(OBSERVATION, effectivePeriod={"start": day}) == []


def test_what_only_looks_like_a_date_passes() -> None:
    names = [{"family": "2020-02-30", "given": ["2021-04-31"]}]
    assert check(PATIENT, name=names, identifier=[{"value": "2020-02-30"}]) == []


def test_dates_in_lists_extensions_and_contained_resources_are_found() -> None:
    found = check(
        PATIENT,
        contained=[{"resourceType": "Patient", "birthDate": "2021-02-30"}],
        extension=[{"url": "http://x", "valueDate": "2021-06-31"}],
        _birthDate={"extension": [{"url": "http://x", "valueTiming": {"event": ["2020-01-01", "2020-02-31"]}}]},
    )
    assert sorted(found) == [
        ("date.impossible", "Patient._birthDate.extension[0].valueTiming.event[1]"),
        ("date.impossible", "Patient.contained[0].birthDate"),
        ("date.impossible", "Patient.extension[0].valueDate"),
    ]


def test_an_escape_hides_nothing() -> None:
    body = json.dumps({**PATIENT, "birthDate": "2020-02-30"}).replace("02-30", "02\\u002d30", 2).encode()
    assert [found.rule for found in check_structure(body, "Patient")] == ["date.impossible"]
    period = json.dumps({**ENCOUNTER, "period": {"start": "2020-02", "end": "2020-01"}})
    body = period.replace('"end": "2020-01"', '"\\u0065nd": "2020-01"').encode()
    assert [found.rule for found in check_structure(body, "Encounter")] == ["period.reversed"]


REVERSED = [
    ("2020-02-01", "2020-01-31"),
    ("2020-02", "2020-01"),
    ("2020", "2019-12-31"),
    ("2020-01-02", "2019"),
    ("2020-01-01T10:00:00Z", "2020-01-01T09:59:59Z"),
    ("2020-01-01T10:00:00+02:00", "2020-01-01T07:59:59Z"),
    ("2020-01-01T10:00:00.500Z", "2020-01-01T10:00:00.499Z"),
    ("2020-01-03T10:00:00Z", "2020-01-01"),
    ("2020-03-02", "2020-02-28T10:00:00Z"),
    ("2020-02-02T14:00:00Z", "2020-01"),
    ("2021-01-02T00:00:00Z", "2020"),
]
FORWARD = [
    ("2020-01-31", "2020-02-01"),
    ("2020-01-31", "2020-01-31"),
    ("2020-01-31", "2020-01"),
    ("2020-12-31", "2020"),
    ("2020-01-01T10:00:00Z", "2020-01-01T10:00:00Z"),
    ("2020-01-01T10:00:00+02:00", "2020-01-01T08:00:00Z"),
    ("2020-01-02T01:00:00Z", "2020-01-01"),
    ("2020-01-31T23:00:00Z", "2020-01-31"),
    ("2020-02-01", "2020-01-31T20:00:00-11:00"),
    ("2020-12-31T23:59:59Z", "2020"),
    ("9999-12-31", "9999-12-31T23:00:00Z"),
    ("0001-01-01", "0001-01-01T00:00:00Z"),
]


@pytest.mark.parametrize(("start", "end"), REVERSED)
def test_a_period_that_certainly_ends_before_it_starts_is_refused(start: str, end: str) -> None:
    assert check(ENCOUNTER, period={"start": start, "end": end}) == [("period.reversed", "Encounter.period")]
    inner = [{"period": {"end": end, "start": start}}]
    assert check(ENCOUNTER, participant=inner) == [("period.reversed", "Encounter.participant[0].period")]


@pytest.mark.parametrize(("start", "end"), FORWARD)
def test_a_period_that_may_run_forwards_passes(start: str, end: str) -> None:
    assert check(ENCOUNTER, period={"start": start, "end": end}) == []


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/1",
        "Group/g",
        "http://h/fhir/Patient/1",
        "https://h/fhir/Patient/1/_history/3",
        "Patient/1/_history/3",
        "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
        "#contained",
        "Patient?identifier=a",
        "http://h/Nonsense/1",
        "1",
        "http://Medication/1/Patient/2",
    ],
)
def test_a_reference_that_may_be_right_passes(reference: str) -> None:
    assert check(OBSERVATION, subject={"reference": reference}) == []


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Encounter/1"},
        {"reference": "http://h/fhir/Practitioner/1"},
        {"reference": "Practitioner/1/_history/2"},
        {"reference": "Medication?code=a"},
        {"type": "Practitioner", "identifier": {"value": "1"}},
    ],
)
def test_a_reference_of_another_type_is_refused(subject: dict[str, Any]) -> None:
    assert check(OBSERVATION, subject=subject) == [("reference.wrong_type", "Observation.subject")]


def test_a_logical_reference_passes() -> None:
    assert check(OBSERVATION, subject={"identifier": {"value": "1"}, "type": "Patient", "display": "x"}) == []


def test_a_code_absent_with_a_reason_passes() -> None:
    reason = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    observation = {name: value for name, value in OBSERVATION.items() if name != "status"}
    assert check(observation, _status=reason) == []


def test_each_code_of_a_list_is_checked() -> None:
    allergy = {"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/1"}}
    assert check(allergy, category=["food", "medication"], criticality="high", type="allergy") == []
    assert check(allergy, category=["food", "gluten"]) == [("code.unknown", "AllergyIntolerance.category[1]")]


def test_a_long_id_is_only_remarked() -> None:
    issues = check_structure(json.dumps({**PATIENT, "id": "i" * 65}).encode(), "Patient")
    assert [(found.rule, found.severity) for found in issues] == [("id.too_long", ErrorSeverity.WARNING)]


def test_unknown_elements_alone_never_refuse_a_resource() -> None:
    body = json.dumps({**PATIENT, "vendor": {"a": 1}, "name": [{"family": "x", "rank": 3}]}).encode()
    issues = check_structure(body, "Patient")
    assert {found.rule for found in issues} == {"structure.unknown_element"}
    assert len(issues) == 2 and not is_refused(issues)


def test_bookkeeping_and_narrative_cannot_make_content_unusable() -> None:
    meta = {"versionId": "a b", "lastUpdated": "2020-02-30T00:00:00Z", "source": "a b"}
    issues = check_structure(json.dumps({**PATIENT, "meta": meta, "text": {"status": "generated"}}).encode(), "Patient")
    assert {found.path for found in issues} == {
        "Patient.meta.versionId",
        "Patient.meta.lastUpdated",
        "Patient.meta.source",
        "Patient.text.div",
    }
    assert not is_refused(issues)
    assert is_refused(check_structure(json.dumps({**PATIENT, "meta": {"tag": [3]}}).encode(), "Patient"))


@pytest.mark.parametrize(
    ("body", "resource_type", "rule"),
    [
        (b'{"resourceType":"Patient"}', "Observation", "structure.wrong_type"),
        (b'{"id":"x"}', "Patient", "structure.wrong_type"),
        (b'{"resourceType":"Wizard"}', "Wizard", "structure.unknown_type"),
        (b'{"resourceType":"Patient"', "Patient", "json.truncated"),
        (b"<html>", "Patient", "json.markup"),
        (b"[]", "Patient", "json.not_an_object"),
        (b'{"resourceType":"Patient","id":"\xff"}', "Patient", "json.invalid_utf8"),
        (b'{"resourceType":"Patient","id":"\\ud800"}', "Patient", "json.lone_surrogate"),
        (b'{"resourceType":"Patient","multipleBirthInteger":NaN}', "Patient", "json.not_finite"),
        (b'{"resourceType":"Patient","a":' + b"[" * 400 + b"]" * 400 + b"}", "Patient", "json.too_deep"),
        (b'{"resourceType":"Patient","id":"a","id":"b"}', "Patient", "structure.duplicate_key"),
    ],
)
def test_what_is_no_such_resource_is_one_issue(body: bytes, resource_type: str, rule: str) -> None:
    issues = check_structure(body, resource_type)
    assert [found.rule for found in issues] == [rule]
    assert is_refused(issues)


def test_a_resource_full_of_errors_shows_the_first_ones_and_errors_before_warnings() -> None:
    body = json.dumps({**PATIENT, **{f"x{n}": 1 for n in range(100)}, "gender": "zz", "birthDate": 7}).encode()
    issues = check_structure(body, "Patient")
    assert len(issues) == MAX_ISSUES
    assert {found.path for found in issues[:2]} == {"Patient.gender", "Patient.birthDate"}
    assert {found.severity for found in issues[2:]} == {ErrorSeverity.WARNING}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("Patient.name[0].given[1]", "Patient.name[0].given[1]"),
        ("Observation.value[x]", "Observation.value[x]"),
        ("Patient._birthDate", "Patient._birthDate"),
        ("Patient.John Smith", "Patient.John.?"),
        ("Patient.müller", "Patient.m.?"),
        ("Patient.555-1234", "Patient.?"),
        ("Patient.a[b]", "Patient.a.?"),
        ("4711", "?"),
        ("", "?"),
        ("Patient." + "x" * 80, "Patient." + "x" * 64 + ".?"),
    ],
)
def test_a_path_shows_element_names_only(path: str, shown: str) -> None:
    assert issue(path, "structure.unknown_element").path == shown


def test_a_checker_that_breaks_down_hands_over_to_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Rust panic arrives as a BaseException that no `except Exception` catches."""
    import fhirkit

    class PanicException(BaseException):
        pass

    def panic(_: bytes) -> None:
        raise PanicException("index out of bounds: SECRET")

    monkeypatch.setattr(fhirkit, "validate", panic)
    assert check(PATIENT) == []
    assert check(PATIENT, birthDate="01/31/1980", gender="zz") == [
        ("format.invalid", "Patient.birthDate"),
        ("code.unknown", "Patient.gender"),
    ]


MANY = settings(max_examples=300, deadline=None)
SECRETS = st.sampled_from(
    ["Zq7", "2020-02-30", "Zq7 is not a valid code", "expected Zq7, found Zq7", "", None, 7.25, [], {}]
)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [leaf for key, inner in items for leaf in leaves(inner, (*path, key))]


@MANY
@given(st.data(), st.sampled_from(sorted(CONTROLS)))
def test_whatever_stands_where_no_issue_repeats_it(data: st.DataObject, resource_type: str) -> None:
    resource = json.loads(json.dumps(CONTROLS[resource_type]))
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from(leaves(resource)))
        node = resource
        for step in above:
            node = node[step]
        node[last] = data.draw(SECRETS)
    for found in check_structure(json.dumps(resource).encode(), resource_type):
        words = found.path + found.message + found.remedy
        assert "Zq7" not in words and "2020-02-30" not in words and "7.25" not in words
        assert found.rule in RULES


@MANY
@given(st.data(), st.sampled_from(sorted(CONTROLS)))
def test_broken_bytes_are_an_issue_and_never_an_exception(data: st.DataObject, resource_type: str) -> None:
    body = bytearray(json.dumps(CONTROLS[resource_type]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 9))] = data.draw(
            st.sampled_from([b"", b"null", b"{}", b'"', b"\xff", b"\\u", b"[", b"1e999", b"\x00", b'"\\ud800"', b","])
        )
    for found in check_structure(bytes(body), resource_type):
        assert isinstance(found, Issue) and found.message and found.remedy


DAYS = st.sampled_from(
    ["2020", "2020-02", "2020-02-29", "2020-02-30", "2019-12-31", "2020-02-28T10:00:00Z", "x", 7, None]
)
TREES = st.recursive(
    st.fixed_dictionaries({}, optional={"start": DAYS, "end": DAYS, "date": DAYS, "event": st.lists(DAYS, max_size=3)}),
    lambda inner: st.dictionaries(st.sampled_from(["a", "period", "event"]), inner | st.lists(inner, max_size=2)),
    max_leaves=8,
)


@MANY
@given(TREES, st.sampled_from([None, 1]), st.booleans())
def test_searching_the_bytes_finds_what_walking_the_tree_finds(tree: Any, indent: int | None, escaped: bool) -> None:
    text = json.dumps(tree, indent=indent)
    if escaped:
        text = text.replace("end", "\\u0065nd").replace("-", "\\u002d")
    walked: list[Issue] = []
    _walk(tree, "Basic", walked)
    assert check_own_rules(json.loads(text), text.encode(), "Basic") == walked
