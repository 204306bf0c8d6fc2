"""What no value was made of stays in the rest, whatever the reason; and documents that begin as their source."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.reading import read_rule_set
from holovitals_pipelines.transform.records import Transformed, compile_rule_set
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.tables import shipped_tables
from holovitals_pipelines.transform.unmapped import take_unmapped

HEAD = "ruleSet: a/b\nversion: 1.0.0\nprovider: nextgen\nresourceType: Patient\nsourceFormat: CUSTOM_JSON\n"


def made(rest: str, record: dict[str, Any], options: str = "preserveUnmapped: true") -> Transformed:
    text = f"{HEAD}options: {{strictMode: false, includeMetadata: false, {options}}}\n{rest}"
    return compile_rule_set(read_rule_set(text, "rules.yml", shipped_functions(), shipped_tables()))(record)


FIELD = "source: {a: a, b: b}\nrules:\n"


@pytest.mark.parametrize(
    ("rules", "rest"),
    [
        ("  - {id: r, type: FIELD_MAPPING, source: a, target: gender}", {"b": "y"}),
        ("  - {id: r, type: FIELD_MAPPING, source: a, target: gender, condition: b == 'n'}", {"a": "x", "b": "y"}),
        ("  - {id: r, type: FIELD_MAPPING, source: a, target: gender, condition: b == 'y'}", None),
        (
            "  - {id: q, type: FIELD_MAPPING, source: b, target: gender}\n"
            "  - {id: r, type: FIELD_MAPPING, source: a, target: gender}",
            {"a": "x"},
        ),
        (
            "  - {id: r, type: VALUE_MAPPING, source: a, target: gender, map: {m: male}, onMissing: 'null'}",
            {"a": "x", "b": "y"},
        ),
        ("  - {id: r, type: VALUE_MAPPING, source: a, target: gender, map: {m: male}}", {"a": "x", "b": "y"}),
        (
            "  - {id: r, type: FIELD_MAPPING, source: a, target: gender}\nvalidate: [{target: gender, in: [male]}]",
            {"a": "x", "b": "y"},
        ),
        (
            "  - {id: q, type: CALCULATION, expr: lower(a), target: language}\n"
            "  - {id: r, type: FIELD_MAPPING, source: q, target: gender}",
            {"b": "y"},
        ),
        ("  - {id: r, type: FIELD_MAPPING, source: c, target: gender, defaultValue: unknown}", {"a": "x", "b": "y"}),
    ],
    ids=[
        *("read", "condition false", "condition true", "a rival was first", "not in the map, null", "not in the map"),
        *("refused by a validation", "through another rule", "a default for nothing"),
    ],
)
def test_a_value_that_no_target_holds_is_in_the_rest(rules: str, rest: dict[str, Any] | None) -> None:
    source = FIELD if "source: c" not in rules else "source: {a: a, c: c}\nrules:\n"
    made_of = made(source + rules, {"a": "x", "b": "y"})
    assert take_unmapped(made_of.document)[1] == rest


def test_what_is_no_content_is_not_in_the_rest() -> None:
    rules = FIELD + "  - {id: r, type: FIELD_MAPPING, source: a, target: gender}\nvolatile: [changed.at, b]"
    result = made(rules, {"a": "x", "b": "1", "changed": {"at": "now", "by": "ann"}})
    assert take_unmapped(result.document)[1] == {"changed": {"by": "ann"}}


def test_a_volatile_path_is_checked_with_its_line() -> None:
    with pytest.raises(ConfigurationError) as refused:
        made("volatile:\n  - a\n  - name.select(x)", {})
    assert refused.value.place == "rules.yml:9"


def test_a_list_s_item_is_taken_by_itself() -> None:
    rules = (
        "groups:\n  - {id: g, each: phones, into: telecom, source: {n: n, k: k}, rules: [\n"
        "      {id: v, type: FIELD_MAPPING, source: n, target: value, condition: k == 'H'}]}"
    )
    result = made(rules, {"phones": [{"n": "1", "k": "H"}, {"n": "2", "k": "X"}]})
    document, rest = take_unmapped(result.document)
    assert document["telecom"] == [{"value": "1"}] and rest == {"phones": [{"n": "2", "k": "X"}]}


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({}, optional={name: st.sampled_from(["m", "x", "", None, "12"]) for name in "abcd"}))
def test_every_text_of_a_record_is_in_a_target_or_in_the_rest(record: dict[str, Any]) -> None:
    rules = (
        "source: {a: a, b: b, c: c, d: d}\nrules:\n"
        "  - {id: r1, type: VALUE_MAPPING, source: a, target: gender, map: {m: m}}\n"
        "  - {id: r2, type: FIELD_MAPPING, source: b, target: language, condition: a == 'm'}\n"
        "  - {id: r3, type: FIELD_MAPPING, source: c, target: language}\n"
        "  - {id: r4, type: DATA_TYPE_CONVERSION, source: d, to: integer, target: multipleBirthInteger}\n"
    )
    document, rest = take_unmapped(made(rules, record).document)
    held = {"a": document.get("gender"), "d": document.get("multipleBirthInteger")}
    for name, value in record.items():
        if value:
            in_target = str(held.get(name)) == value or document.get("language") == value
            assert in_target or (rest or {}).get(name) == value, name


PATIENT = (
    b'{"resourceType":"Patient","id":"p1","gender":"F","name":[{"family":"Lee","use":"official"},{"family":"Li"}],'
    b'"identifier":[{"system":"urn:a","value":"1"}],"multipleBirthInteger":2}'
)


def test_a_document_that_begins_as_its_source_keeps_what_no_rule_makes_and_numbers_as_they_were() -> None:
    rules = (
        "source: {sex: gender, family: name.first().family}\nrules:\n"
        "  - {id: g, type: VALUE_MAPPING, source: sex, map: {F: female}, target: gender}\n"
        "  - {id: f, type: CALCULATION, expr: upper(family), target: 'name[0].family'}\n"
        "  - {id: i, type: CALCULATION, expr: \"'2'\", target: \"identifier[system='urn:a'].value\"}\n"
        "  - {id: j, type: CALCULATION, expr: \"'3'\", target: \"identifier[system='urn:b'].value\"}\n"
    )
    source = read_document(PATIENT)
    result = made(rules, source, "baseOnSource: true")
    assert result.document == {
        **source,
        "gender": "female",
        "name": [{"family": "LEE", "use": "official"}, {"family": "Li"}],
        "identifier": [{"system": "urn:a", "value": "2"}, {"system": "urn:b", "value": "3"}],
    }
    assert source == read_document(PATIENT), "the record itself is not touched"


def test_where_no_rule_makes_a_value_the_source_s_stays() -> None:
    rules = (
        "source: {sex: gender}\nrules:\n"
        "  - {id: g, type: VALUE_MAPPING, source: sex, map: {M: male}, onMissing: 'null', target: gender}\n"
    )
    assert made(rules, read_document(PATIENT), "baseOnSource: true").document == read_document(PATIENT)


def test_a_list_is_not_made_anew_where_the_source_stays() -> None:
    rules = (
        "groups:\n  - {id: g, each: name, into: name, source: {f: family}, rules: [\n"
        "      {id: v, type: FIELD_MAPPING, source: f, target: text}]}"
    )
    with pytest.raises(ConfigurationError, match="keeps its lists") as refused:
        made(rules, {}, "baseOnSource: true")
    assert refused.value.place == "rules.yml:7"
