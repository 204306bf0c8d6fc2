"""docs/rules.md is true, rule by rule; the schema editors use is the model's; differences are of meaning."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from holovitals_pipelines.fhir.exact import exactly_equal, read_document
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import RuleType
from holovitals_pipelines.transform.reading import RuleSetReady, read_rule_set
from holovitals_pipelines.transform.records import compile_rule_set
from holovitals_pipelines.transform.rule_schema import Change, Member, compare_rules, rule_set_schema
from holovitals_pipelines.transform.rule_set import Options, RuleSet
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.tables import shipped_tables

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "rules.md").read_text(encoding="utf-8")
HEAD = """ruleSet: docs/observation
version: 1.0.0
provider: fhir
resourceType: Observation
sourceFormat: CUSTOM_JSON
options: {strictMode: false, includeMetadata: false}
"""
SECTIONS = {
    title.strip("`"): text
    for title, text in re.findall(r"^##+ ([^\n]+)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)
}
EXAMPLES = {
    title: (HEAD + block, re.findall(r"^\| `(\{.*?\})` \| `(\{.*?\})` \| (?:`(.*?)` )?\|$", text, re.MULTILINE))
    for title, text in SECTIONS.items()
    for block in re.findall(r"```yaml\n((?:source|groups):.*?)```", text, re.DOTALL)
}
COMPLETE = re.findall(r"```(?:yaml|json)\n(.*?)```", SECTIONS["A complete example"], re.DOTALL)
SCHEMA = Draft202012Validator(rule_set_schema())


def read(text: str) -> RuleSetReady:
    return read_rule_set(text, "docs/rules.md", shipped_functions(), shipped_tables())


def made_by(text: str, record: str) -> tuple[dict[str, Any], list[str]]:
    """What comes of a record, without type and tag, and its errors."""
    made = compile_rule_set(read(text))(read_document(record.encode()))
    document = {name: value for name, value in made.document.items() if name not in ("resourceType", "meta")}
    groups = [f"{finding.group}." if finding.group else "" for finding in made.findings]
    problems = [finding.problem for finding in made.findings]
    return document, [f"{group}{one.place}:{one.code}" for group, one in zip(groups, problems, strict=True)]


def test_the_page_has_a_section_with_examples_for_every_type_and_names_every_member() -> None:
    assert {one.value for one in RuleType} <= EXAMPLES.keys()
    assert {"Every rule", "Groups: lists", "Validations"} <= EXAMPLES.keys()
    assert all(len(rows) >= 2 for _, rows in EXAMPLES.values())
    members = {name for model in rule_set_schema()["$defs"].values() for name in model.get("properties", {})}
    assert {name for name in members if f"`{name}" not in PAGE and f"{name}:" not in PAGE} == set()


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_of_the_page_does_what_the_page_says(title: str) -> None:
    text, rows = EXAMPLES[title]
    for record, document, errors in rows:
        made, found = made_by(text, record)
        assert exactly_equal(made, read_document(document.encode())), record
        assert sorted(found) == sorted(errors.split(", ") if errors else []), record


def test_the_complete_example_makes_what_the_page_shows() -> None:
    text, record, document = COMPLETE
    made, errors = made_by(text, record)
    wanted = read_document(document.encode())
    del wanted["resourceType"]
    assert exactly_equal(made, wanted)
    assert errors == ["phones.value:not_a_phone_number"]


def test_the_page_says_the_defaults_of_the_options() -> None:
    for name, default in Options().model_dump(by_alias=True).items():
        said = "none" if default is None else f"`{str(default).lower()}`"
        assert f"| `{name}` | {said} |" in SECTIONS["Options, and what becomes of errors"]


def test_the_committed_schema_is_the_one_the_code_makes() -> None:
    committed = (DOCS / "rule-set.schema.json").read_text(encoding="utf-8")
    wanted = json.dumps(rule_set_schema(), indent=2) + "\n"
    assert committed == wanted, "write it anew: holovitals rules schema > docs/rule-set.schema.json"


@pytest.mark.parametrize("text", [COMPLETE[0], *(text for text, _ in EXAMPLES.values())])
def test_the_schema_allows_every_rule_set_of_the_page(text: str) -> None:
    Draft202012Validator.check_schema(SCHEMA.schema)
    assert [error.message for error in SCHEMA.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("type: VALUE_MAPPING", "type: VALUE_MAPING"),
        ("onMissing: pass", "onMissing: passed"),
        ("onMissing: pass", "on_missng: pass"),
        ("target: birthDate, to", "to"),
        ("version: 1.2.0", "version: '1.2'"),
        ("type: decimal", "type: float"),
    ],
)
def test_what_the_schema_marks_wrong_the_reader_refuses_too(old: str, new: str) -> None:
    wrong = COMPLETE[0].replace(old, new, 1)
    assert wrong != COMPLETE[0]
    assert list(SCHEMA.iter_errors(yaml.safe_load(wrong)))
    with pytest.raises(ConfigurationError) as refused:
        read(wrong)
    assert re.fullmatch(r"docs/rules\.md:\d+", refused.value.place)


def test_the_schema_explains_members_in_the_words_of_files() -> None:
    models = rule_set_schema()["$defs"]
    assert models["Lookup"]["properties"]["table"]["description"] == "`name@version`."
    assert "true" in models["FieldMapping"]["properties"]["condition"]["description"], "also what is inherited"
    assert "`skipNull`" in models["Concatenation"]["description"]
    assert "every rule's" not in json.dumps(models) and ".py" not in json.dumps(models)


def compared(old: str, new: str) -> list[Change]:
    return compare_rules(read(old).rules, read(new).rules)


BASE = (
    HEAD
    + """source: {a: a, b: b}
rules:
  - {id: one, type: FIELD_MAPPING, source: a, target: valueString}
  - {id: two, type: FIELD_MAPPING, source: b, target: valueString}
validate:
  - {target: valueString, required: true}
  - {target: valueString, pattern: "[a-z]{1,9}"}
groups:
  - id: list
    each: list
    into: component
    source: {c: c}
    rules: [{id: three, type: FIELD_MAPPING, source: c, target: valueString}]
"""
)


def test_what_is_only_written_otherwise_is_no_change() -> None:
    otherwise = BASE.replace("source: {a: a, b: b}", "source: # remark\n  b: {type: string, path: b}\n  a: a")
    assert otherwise != BASE
    assert compared(BASE, otherwise) == []


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("source: a,", "source: b,", Change("changed", "rules.one", (Member("source", "a", "b"),))),
        ("id: two", "id: zwei", Change("added", "rules.zwei")),
        ("id: two", "id: zwei", Change("removed", "rules.two")),
        ("path: c", "path: d", Change("changed", "groups.list.source.c", (Member("path", "c", "d"),))),
        ("into: component", "into: note", Change("changed", "groups.list", (Member("into", "component", "note"),))),
        (
            "source: c,",
            "source: c, required: true,",
            Change("changed", "groups.list.rules.three", (Member("required", False, True),)),
        ),
        (
            "[a-z]{1,9}",
            "[A-Z]{1,9}",
            Change("changed", "validate.valueString (2)", (Member("pattern", "[a-z]{1,9}", "[A-Z]{1,9}"),)),
        ),
        ("strictMode: false", "strictMode: true", Change("changed", "options", (Member("strictMode", False, True),))),
        ("1.0.0", "1.1.0", Change("changed", "rule set", (Member("version", "1.0.0", "1.1.0"),))),
    ],
)
def test_a_change_is_named_by_its_place_with_both_of_its_values(old: str, new: str, change: Change) -> None:
    base = BASE.replace("{c: c}", "{c: {path: c}}")
    changed = base.replace(old, new)
    assert changed != base
    changes = compared(base, changed)
    assert change in changes
    assert len(changes) == (2 if old == "id: two" else 1)


def test_rules_that_only_changed_places_are_a_change() -> None:
    one, two = BASE.splitlines()[8:10]
    moved = BASE.replace(f"{one}\n{two}", f"{two}\n{one}")
    assert compared(BASE, moved) == [Change("changed", "rules", (Member("order", ["one", "two"], ["two", "one"]),))]


def test_every_difference_of_meaning_is_named() -> None:
    """The hash says that two rule sets mean different things; the comparison then has something to say."""
    rules: RuleSet = read(BASE).rules
    for option in Options.model_fields:
        value = {"error_threshold": 0.5}.get(option, not getattr(rules.options, option))
        other = rules.model_copy(update={"options": rules.options.model_copy(update={option: value})})
        assert [change.place for change in compare_rules(rules, other)] == ["options"]
