"""Every mistake in a rule set's YAML is refused before a record is seen: with its line, and in words."""

from __future__ import annotations

import pytest

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.reading import read_rule_set
from holovitals_pipelines.transform.shipped_functions import shipped_functions

from .plans import tables

HEAD = """\
ruleSet: test/patient
version: 1.0.0
provider: fhir
resourceType: Patient
sourceFormat: CUSTOM_JSON
source:
  x: x
  number: {path: number, type: number}
  whole: {path: whole, type: integer}
  day: {path: day, type: date}
  at: {path: at, type: dateTime}
  flag: {path: flag, type: boolean}
  any: {path: any, type: json}
rules:
  - {id: first, type: FIELD_MAPPING, source: x, target: gender}
"""
HERE = "# here"
"""On the line that has to be named."""


def rule(kind: str, *lines: str) -> str:
    return "\n".join(["  - id: second", f"    type: {kind}", *(f"    {line}" for line in lines)]) + "\n"


def mapping(*lines: str) -> str:
    return rule("FIELD_MAPPING", *lines)


def calculation(expression: str, target: str = "multipleBirthInteger") -> str:
    return rule("CALCULATION", f"target: {target}", f"expr: {expression}  {HERE}")


def conversion(*lines: str) -> str:
    return rule("DATA_TYPE_CONVERSION", "source: x", "target: birthDate", *lines)


def validation(check: str, made: str = "") -> str:
    return f"{made}validate:\n  - target: gender\n    {check}\n"


def read(text: str) -> None:
    read_rule_set(text, "rules.yaml", shipped_functions(), tables())


def refused(text: str, words: str) -> None:
    [line] = [number for number, one in enumerate(text.splitlines(), start=1) if HERE in one]
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert caught.value.place == f"rules.yaml:{line}", caught.value.message
    assert words in caught.value.message


def test_what_the_mistakes_are_made_in_is_without_one() -> None:
    read(HEAD)


EXPRESSIONS = {
    "attribute": ("x.upper == 'A'", "x.upper"),
    "call": ("open('secret')", "open"),
    "method": ("x.upper()", "x.upper"),
    "comprehension": ("[one for one in x]", "[one for one"),
    "generator": ("sum(one for one in x)", "sum"),
    "lambda": ("(lambda: x)()", "lambda"),
    "subscript": ("x[0]", "x[0]"),
    "walrus": ("(y := whole)", ":="),
    "f-string": ("f'{x}'", "f'"),
    "power": ("whole ** 2", "**"),
    "dunder": ("__import__", "__import__"),
    "star": ("concat(*x)", "*x"),
    "keyword": ("round(number, digits=1)", "digits"),
    "201 nodes": (f"whole in [{', '.join(['1'] * 201)}]", "200"),
    "nested": (" + ".join(["1"] * 101), "nested"),
    "syntax": ("whole +", "whole +"),
    "empty": ("", ""),
    "unknown name": ("whle + 1", "whle"),
    "types": ("whole + x", "whole + x"),
    "pattern": ("matches(x, 'a+')", "a+"),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a35_an_expression_that_is_not_of_the_language_is_refused_at_load(name: str) -> None:
    expression, words = EXPRESSIONS[name]
    written = '"' + expression.replace("\\", "\\\\").replace('"', '\\"') + '"'
    text = HEAD + rule("CALCULATION", f"target: multipleBirthInteger  {HERE}", f"expr: {written}")
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert caught.value.place in {"rules.yaml:16", "rules.yaml:19"}, "the rule, or its expression"
    assert words in caught.value.message


def test_two_hundred_nodes_are_allowed() -> None:
    listed = ", ".join(map(str, range(190)))
    read(HEAD + rule("CALCULATION", "target: active", f"expr: whole in [{listed}]"))


RULES = {
    "unknown type": (
        rule("FELD_MAPPING", "source: x", "target: id").replace("id: second", f"id: second  {HERE}"),
        "FELD_MAPPING",
    ),
    "unknown member": (mapping("source: x", "target: language", f"colour: red  {HERE}"), "colour"),
    "member missing": (mapping("source: x").replace("id: second", f"id: second  {HERE}"), "target"),
    "unknown source": (
        mapping(f"source: y  {HERE}", "target: language"),
        "'y' is neither a source field nor an earlier rule",
    ),
    "later rule": (
        mapping(f"source: third  {HERE}", "target: language")
        + "  - {id: third, type: FIELD_MAPPING, source: x, target: id}\n",
        "'third' is neither",
    ),
    "type of a map's source": (
        rule("VALUE_MAPPING", f"source: whole  {HERE}", "target: language", "map: {a: b}"),
        "'whole' is a integer",
    ),
    "type of a split's source": (
        rule("SPLIT", f"source: day  {HERE}", "target: [language]", 'separator: ","'),
        "'day' is a date",
    ),
    "type of a lookup's source": (
        rule("LOOKUP", f"source: whole  {HERE}", "target: language", "table: codes@1", "value: display"),
        "'whole' is a integer",
    ),
    "type of an argument": (
        rule("CUSTOM_FUNCTION", f"source: whole  {HERE}", "target: language", "function: phone_e164@1"),
        "'whole' is a integer",
    ),
    "number of arguments": (
        rule("CUSTOM_FUNCTION", f"source: [x, x]  {HERE}", "target: language", "function: phone_e164@1"),
        "2 values",
    ),
    "json joined": (rule("CONCATENATION", f"source: [x, any]  {HERE}", "target: language"), "'any' is a json"),
    "one to join": (rule("CONCATENATION", f"source: [x]  {HERE}", "target: language"), "at least 2"),
    "duplicate id": (
        mapping("source: x", "target: language").replace("second", f"first  {HERE}"),
        "'first' is the name of",
    ),
    "id of a field": (mapping("source: x", "target: language").replace("second", f"x  {HERE}"), "'x' is the name of"),
    "id but for case": (
        mapping("source: x", "target: language").replace("second", f"FIRST  {HERE}"),
        "'FIRST' is the name of",
    ),
    "id's shape": (mapping("source: x", "target: language").replace("second", f"second rule  {HERE}"), "pattern"),
    "bad target": (mapping("source: x", f"target: name..family  {HERE}"), "character"),
    "clashing targets": (mapping("source: x", f"target: gender.text  {HERE}"), "exclude each other"),
    "target of two types": (mapping("source: whole", f"target: gender  {HERE}"), "makes 'gender' a string"),
    "empty map": (rule("VALUE_MAPPING", "source: x", "target: language", f"map: {{}}  {HERE}"), "at least 1"),
    "map of yes": (rule("VALUE_MAPPING", "source: x", "target: language", f"map: {{a: yes}}  {HERE}"), "string"),
    "map twice": (
        rule("VALUE_MAPPING", "source: x", "target: language", f"map: {{a: b, A: c}}  {HERE}", "ignoreCase: true"),
        "two keys",
    ),
    "unknown policy": (
        rule("VALUE_MAPPING", "source: x", "target: language", "map: {a: b}", f"onMissing: skip  {HERE}"),
        "'error'",
    ),
    "no part wanted": (rule("SPLIT", "source: x", f"target: [null]  {HERE}", 'separator: ","'), "one is wanted"),
    "part twice": (
        rule("SPLIT", "source: x", f"target: [language, language]  {HERE}", 'separator: ","'),
        "a place of its own",
    ),
    "part of another's": (
        rule("SPLIT", "source: x", f"target: [gender, language]  {HERE}", 'separator: ","'),
        "places of its own",
    ),
    "empty separator": (rule("SPLIT", "source: x", "target: [language]", f'separator: ""  {HERE}'), "at least 1"),
    "unlike cases": (
        rule("CONDITIONAL", "target: language", f'cases: [{{when: whole > 1, then: "1"}}]  {HERE}', "else: x"),
        "make them alike",
    ),
    "case of no truth": (
        rule("CONDITIONAL", "target: language", f"cases: [{{when: whole, then: x}}]  {HERE}"),
        "a case holds or it does not",
    ),
    "condition": (
        mapping("source: x", "target: language", f"condition: whole  {HERE}"),
        "a condition is true or false",
    ),
    "unknown column": (
        rule("LOOKUP", "source: x", "target: language", "table: codes@1", f"value: colour  {HERE}"),
        "no column 'colour'",
    ),
    "unknown conversion": (conversion(f"to: day  {HERE}"), "'string'"),
    "to json": (conversion(f"to: json  {HERE}"), "nothing is converted to it"),
    "scale of a date": (conversion("to: date", f"scale: 2  {HERE}"), "digits after the point"),
    "scale too great": (conversion("to: decimal", f"scale: 10  {HERE}"), "less than or equal to 9"),
    "format of a number": (conversion("to: integer", f"format: '%Y'  {HERE}"), "has no format"),
    "timezone of a date": (conversion("to: date", f"timezone: UTC  {HERE}"), "has no time zone"),
    "two written formats": (
        conversion("to: string", f"format: ['%Y-%m-%d', '%d.%m.%Y']  {HERE}").replace("source: x", "source: day"),
        "one format",
    ),
    "truth and lie": (conversion("to: boolean", f"trueValues: ['1', 'NO']  {HERE}"), "twice"),
    "default of another type": (
        mapping("source: whole", "target: language", f"defaultValue: none  {HERE}"),
        "is no integer",
    ),
    "default beyond 64 bits": (
        mapping("source: whole", "target: language", f"defaultValue: 9223372036854775808  {HERE}"),
        "is no integer",
    ),
    "default that is no text": (mapping("source: x", "target: language", f"defaultValue: ''  {HERE}"), "is no string"),
    "default that is no number": (
        mapping("source: number", "target: language", f"defaultValue: .nan  {HERE}"),
        "is no number",
    ),
    "default that is no day": (
        mapping("source: day", "target: language", f"defaultValue: '2021-02-29'  {HERE}"),
        "is no date",
    ),
    "default that is no time": (
        mapping("source: at", "target: language", f"defaultValue: yesterday  {HERE}"),
        "is no dateTime",
    ),
    "key twice": (mapping("source: x", "target: language", f"source: x  {HERE}"), "'source' is written twice"),
    "alias": (mapping("source: &same x", f"target: *same  {HERE}"), "aliases are not read"),
}


@pytest.mark.parametrize("name", RULES)
def test_a_mistake_in_a_rule_is_refused_with_its_line(name: str) -> None:
    text, words = RULES[name]
    refused(HEAD + text, words)


NAMED = {
    "unknown function": (rule("CUSTOM_FUNCTION", "source: x", "target: language", "function: phone@1"), "phone@1"),
    "unknown version": (
        rule("CUSTOM_FUNCTION", "source: x", "target: language", "function: phone_e164@9"),
        "phone_e164@9",
    ),
    "unknown table": (rule("LOOKUP", "source: x", "target: language", "table: code@1", "value: display"), "code@1"),
    "bad format": (conversion("to: date", "format: '%y-%m-%d'"), "years have four digits"),
    "format without a day": (conversion("to: date", "format: '%Y-%m'"), "a date needs a day"),
    "bad timezone": (conversion("to: dateTime", "timezone: America/New_Yorck"), "no time zone"),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_a_rule_names_and_nobody_knows_is_refused_with_the_rule(name: str) -> None:
    text, words = NAMED[name]
    refused(HEAD + text.replace("id: second", f"id: second  {HERE}"), words)


WHOLE = "  - {id: second, type: FIELD_MAPPING, source: whole, target: gender}\n"
VALIDATIONS = {
    "unknown member": (validation(f"rnge: [1, 2]  {HERE}"), "rnge"),
    "range of a text": (validation(f"range: [1, 2]  {HERE}"), "a string has no range"),
    "range of one": (validation(f"range: [1]  {HERE}"), "range"),
    "not allowed at all": (validation(f"in: []  {HERE}"), "a list of string values"),
    "allowed of another type": (validation(f"in: [a, 1]  {HERE}"), "a list of string values"),
    "pattern without a limit": (validation(f"pattern: '[a-z]+'  {HERE}"), "limit"),
    "severity": (validation(f"severity: fatal  {HERE}"), "warning"),
}


@pytest.mark.parametrize("name", VALIDATIONS)
def test_a_mistake_in_a_validation_is_refused(name: str) -> None:
    text, words = VALIDATIONS[name]
    with pytest.raises(ConfigurationError) as caught:
        read(HEAD + text)
    assert caught.value.place in {"rules.yaml:17", "rules.yaml:18"}, "the validation, or its check"
    assert words in caught.value.message


RANGES = {
    "upside down": ("whole", "[2, 1]", "greater than the greatest"),
    "of texts": ("whole", "['1', '2']", "numbers"),
    "infinite": ("number", "[.inf, null]", "at most 20 digits"),
    "no number": ("number", "[.nan, null]", "at most 20 digits"),
    "too fine": ("number", "[1.0e-19, null]", "at most 20 digits"),
    "too great": ("number", "[null, 100000000000000000000]", "at most 20 digits"),
    "no days": ("day", "[1, 2]", "dates"),
    "no such day": ("day", "['2021-02-29', null]", "dates"),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_bad_range_is_refused_with_its_line(name: str) -> None:
    field, bounds, words = RANGES[name]
    made = mapping(f"source: {field}", "target: birthDate")
    refused(HEAD + made + f"validate:\n  - target: birthDate\n    range: {bounds}  {HERE}\n", words)


SAYING_NOTHING = "validate:\n  - target: gender  # here\n"


def test_a_validation_of_what_no_rule_makes_or_that_says_nothing_is_refused() -> None:
    refused(HEAD + SAYING_NOTHING, "nothing is said of 'gender'")
    refused(HEAD + SAYING_NOTHING.replace("gender", "language") + "    required: true\n", "no rule makes 'language'")
    refused(HEAD + SAYING_NOTHING + "    exists: code@1\n", "code@1")


TOPS = {
    "bad path": ("  x: x\n", f"  x: 'a[[0]'  {HERE}\n", "path"),
    "field's name": ("  x: x\n", f"  x: x\n  a-b: y  {HERE}\n", "letters, digits and underscores"),
    "field's name but for case": ("  x: x\n", f"  x: x\n  X: y  {HERE}\n", "but for letter case"),
    "field's type": (
        "  any: {path: any, type: json}\n",
        f"  any:\n    path: any\n    type: blob  {HERE}\n",
        "'string'",
    ),
    "unknown member": ("version: 1.0.0\n", f"version: 1.0.0\nrule: []  {HERE}\n", "rule"),
    "version": ("version: 1.0.0", f"version: '1.0'  {HERE}", "pattern"),
    "provider": ("provider: fhir", f"provider: epics  {HERE}", "provider"),
    "resource type": ("resourceType: Patient", f"resourceType: Patients  {HERE}", "'Patients' is no resource type"),
    "no YAML": ("source:\n", "source: [\n", "not YAML"),
}


@pytest.mark.parametrize("name", TOPS)
def test_a_mistake_in_what_stands_above_the_rules_is_refused(name: str) -> None:
    old, new, words = TOPS[name]
    text = HEAD.replace(old, new)
    lines = [number for number, one in enumerate(text.splitlines(), start=1) if HERE in one]
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert not lines or caught.value.place == f"rules.yaml:{lines[0]}"
    assert words in caught.value.message


def test_a_mistake_in_a_group_is_refused_with_its_line() -> None:
    group = f"""\
groups:
  - id: phones
    each: phones
    into: telecom
    source: {{value: value}}
    rules:
      - {{id: value_, type: FIELD_MAPPING, source: value, target: value}}
      - {{id: more, type: FIELD_MAPPING, source: value, target: value.more}}  {HERE}
"""
    refused(HEAD + group, "exclude each other")
    refused(
        HEAD + group.replace("value.more", "use").replace("source: value, target: use", "source: x, target: use"),
        "'x' is neither",
    )
