"""Rule sets on records: from files and from what a sync landed, compared with one another, held to their examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.rule_samples import Sample, open_rule_set, samples_of_connection, samples_of_file
from holovitals_pipelines.engine.rule_workbench import (
    ExampleResult,
    FindingCount,
    Mismatch,
    compare_outputs,
    count_findings,
    examples_file,
    read_examples,
    run_examples,
    try_rule_set,
)
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.fhir.exact import Number
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import ErrorSeverity, JobType
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.transform.reading import RuleSetReady
from tests.engine.conftest import CONNECTION, Vendor, patient

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
RULES = """
ruleSet: clinic/patient
version: 1.0.0
provider: fhir
resourceType: Patient
sourceFormat: CUSTOM_JSON
options: {strictMode: false}
source:
  sex: sex
  family: name
  weight: {path: weight, type: number}
rules:
  - {id: gender, type: VALUE_MAPPING, source: sex, target: gender, map: {F: female, M: male}}
  - {id: name, type: FIELD_MAPPING, source: family, target: "name[0].family", required: true}
  - {id: kg, type: FIELD_MAPPING, source: weight, target: "extension[url='urn:kg'].valueDecimal"}
groups:
  - id: phones
    each: phones
    into: telecom
    source: {number: number}
    rules: [{id: value, type: CUSTOM_FUNCTION, source: number, function: phone_e164@1, target: value}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def rule_set(folder: Path, text: str = RULES, name: str = "patient.yml") -> RuleSetReady:
    (folder / name).write_text(text, encoding="utf-8")
    return open_rule_set(folder / name)


def samples(*documents: dict[str, Any]) -> list[Sample]:
    return [Sample(number, document) for number, document in enumerate(documents, start=1)]


def refusal(call: Any, *arguments: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refused:
        call(*arguments)
    assert refused.value.remedy
    return refused.value


# records


def test_records_of_lines_keep_their_digits_and_are_named_by_their_lines(folder: Path) -> None:
    file = folder / "docs.ndjson"
    file.write_text('{"w": 7.40}\n\n{"w": "a\u2028b"}\n{"w": 3}\n', encoding="utf-8")
    found = samples_of_file(file, 2).records
    assert found == (Sample(1, {"w": Number("7.40")}), Sample(3, {"w": "a\u2028b"}))


@pytest.mark.parametrize("text", ['{"a": 1.0}', '[{"a": 1.0}]'])
def test_a_json_file_holds_one_record_or_a_list(folder: Path, text: str) -> None:
    file = folder / "docs.json"
    file.write_text(text)
    assert samples_of_file(file, 5).records == (Sample(1, {"a": Number("1.0")}),)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("docs.ndjson", '{"a": 1}\n{"secret": \n', "docs.ndjson:2"),
        ("docs.ndjson", '["secret"]\n', "docs.ndjson:1"),
        ("docs.json", '{"secret"', "docs.json"),
        ("docs.json", '[{"a": 1}, "secret"]', "docs.json"),
    ],
)
def test_records_that_are_none_are_named_by_place_and_not_shown(folder: Path, name: str, text: str, place: str) -> None:
    (folder / name).write_text(text)
    error = refusal(samples_of_file, folder / name, 5)
    assert error.code == "rules.input" and error.place.endswith(place)
    assert "secret" not in str(error)


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    assert refusal(open_rule_set, folder / "none.yml").place.endswith("none.yml")
    (folder / "latin.yml").write_bytes(b"owner: \xe9")
    assert "UTF-8" in refusal(open_rule_set, folder / "latin.yml").message


@pytest.fixture
def opened(home: Path, sqlite_template: Path) -> Iterator[Home]:
    (home / "operational.sqlite").write_bytes(sqlite_template.read_bytes())
    save_connections(home / "connections.yaml", [CONNECTION])
    with open_home(Settings(home=home, batch_rows=100, commit_rows=100)) as opened:
        yield opened


def test_records_of_a_connection_are_those_of_its_newest_extract_that_brought_any(opened: Home, vendor: Vendor) -> None:
    error = refusal(samples_of_connection, opened, "clinic", "Patient", 5)
    assert error.code == "rules.no_extract" and "holovitals sync clinic" in error.remedy

    def sync() -> None:
        request = SyncRequest(connection="clinic", type=JobType.FULL_SYNC, resource_types=("Patient",))
        run_sync(opened, request, adapter_for=vendor.source)

    vendor.holds("Patient", [patient(1, "Old")])
    sync()
    vendor.deletions = {"Patient": ["p9"]}
    vendor.holds(
        "Patient",
        [
            patient(1, "New"),
            b'{"resourceType": "Patient", "id": "p2", "a": 1, "a": 2}',
            patient(3, "New"),
            patient(4, "New"),
        ],
    )
    sync()
    vendor.deletions = {}
    (vendor.folder / "Patient.ndjson").write_bytes(b"")
    sync()
    found = samples_of_connection(opened, "clinic", "Patient", 2)
    assert [one.document["name"][0]["family"] for one in found.records] == ["New", "New"]
    assert [one.document["id"] for one in found.records] == ["p1", "p3"]
    assert found.unreadable == 1
    whole = samples_of_connection(opened, "clinic", "Patient", 50)
    assert [one.number for one in whole.records] == [1, 2, 3], "a deletion is no record"
    assert refusal(samples_of_connection, opened, "klinic", "Patient", 5).code == "settings.connection_unknown"


# tried


def test_findings_are_counted_by_place_and_code_without_a_value(folder: Path) -> None:
    records = samples(
        {"sex": "secret", "name": "A", "phones": [{"number": "secret"}, {"number": "1"}]},
        {"sex": "F", "name": "", "weight": "secret"},
        {"sex": "secret", "name": "C"},
    )
    tried = try_rule_set(rule_set(folder), records)
    assert [one.before for one in tried] == [one.document for one in records]
    assert count_findings(tried) == [
        FindingCount("gender", "not_in_map", ErrorSeverity.ERROR, 2, 2),
        FindingCount("phones.value", "not_a_phone_number", ErrorSeverity.ERROR, 2, 1),
        FindingCount("name", "required", ErrorSeverity.ERROR, 1, 1),
        FindingCount("source.weight", "not_a_number", ErrorSeverity.ERROR, 1, 1),
    ]


def test_what_a_field_refused_is_kept_with_what_no_rule_read(folder: Path) -> None:
    text = RULES.replace("strictMode: false", "strictMode: false, preserveUnmapped: true, includeMetadata: false")
    text = text.replace("source: {number: number}", "source: {number: {path: number, type: string}}")
    record = {
        "sex": "F",
        "name": "Lee",
        "weight": "heavy",
        "phones": [{"number": ["1", "2"]}, {"number": "2125550199"}],
    }
    [one] = try_rule_set(rule_set(folder, text), samples(record))
    [kept] = one.after.document["extension"]
    assert json.loads(kept["valueString"]) == {"weight": "heavy", "phones": [{"number": ["1", "2"]}]}


# compared

RECORDS = samples(
    {"sex": "F", "name": "A", "weight": Number("7.40"), "phones": [{"number": "2125550199"}]},
    {"sex": "X", "name": "B"},
    {"sex": "M"},
)


def compared(folder: Path, old: str, new: str, base: str = RULES) -> Any:
    assert old in base
    return compare_outputs(rule_set(folder, base), rule_set(folder, base.replace(old, new), "new.yml"), RECORDS)


def test_a_new_version_that_means_the_same_changes_no_output(folder: Path) -> None:
    found = compared(folder, "1.0.0", "1.0.1")
    assert (found.records, found.changed, found.targets, found.appeared, found.vanished) == (3, 0, {}, {}, {})


def test_changed_outputs_are_counted_by_target(folder: Path) -> None:
    assert compared(folder, "F: female", "F: other").targets == {"gender": 1}
    assert compared(folder, "phone_e164@1", "digits_only@1").targets == {"telecom[].value": 1}
    moved = compared(folder, "target: gender", "target: language")
    assert (moved.changed, moved.targets) == (2, {"gender": 2, "language": 2})


def test_a_number_that_only_loses_a_digit_is_a_change(folder: Path) -> None:
    found = compared(folder, "type: number}", "type: decimal}")
    assert (found.changed, found.targets) == (1, {"extension[url='urn:kg'].valueDecimal": 1})


def test_new_and_vanished_errors_are_counted(folder: Path) -> None:
    assert compared(folder, "M: male}", 'M: male}, onMissing: "null"').vanished == {("gender", "not_in_map"): 1}
    fewer = compared(folder, "F: female, M: male", "F: female")
    assert (fewer.appeared, fewer.vanished) == ({("gender", "not_in_map"): 1}, {})


def test_records_that_are_newly_rejected_come_out_otherwise(folder: Path) -> None:
    stricter = compared(folder, "strictMode: false", "strictMode: true")
    assert (stricter.changed, stricter.newly_rejected, stricter.no_longer_rejected) == (2, 2, 0)
    strict = RULES.replace("strictMode: false", "strictMode: true")
    looser = compared(folder, "strictMode: true", "strictMode: false", strict)
    assert (looser.changed, looser.newly_rejected, looser.no_longer_rejected) == (2, 0, 2)


# examples


def held(folder: Path, *examples: str) -> list[ExampleResult]:
    file = examples_file(folder / "patient.yml")
    file.write_text("\n".join(examples), encoding="utf-8")
    return run_examples(rule_set(folder), file)


def test_examples_stand_beside_the_rule_set(folder: Path) -> None:
    assert examples_file(folder / "patient.yml") == folder / "patient.examples.yml"
    assert refusal(run_examples, rule_set(folder), folder / "patient.examples.yml").code == "rules.no_examples"


def test_an_example_holds_where_the_part_that_is_said_is_there(folder: Path) -> None:
    example = """
    - name: all is well
      source: {sex: F, name: Lee, weight: 7.40, phones: [{number: 2125550199}]}
      expect: {gender: female, name: [{family: Lee}], telecom: [{value: "+12125550199"}],
               extension: [{valueDecimal: 7.40}], birthDate: null}
    """
    assert held(folder, example) == [ExampleResult("all is well", (), (), ())]


@pytest.mark.parametrize(
    ("expect", "mismatch"),
    [
        ("{gender: male}", Mismatch("gender", "male", "female")),
        ("{name: [{family: Li}]}", Mismatch("name[0].family", "Li", "Lee")),
        ("{name: []}", Mismatch("name", [], [{"family": "Lee"}])),
        ("{gender: null}", Mismatch("gender", None, "female")),
        ("{birthDate: 1980-02-29}", Mismatch("birthDate", "1980-02-29", None)),
        ("{extension: [{valueDecimal: 7.4}]}", Mismatch("extension[0].valueDecimal", Number("7.4"), Number("7.40"))),
        ('{extension: [{valueDecimal: "7.40"}]}', Mismatch("extension[0].valueDecimal", "7.40", Number("7.40"))),
    ],
)
def test_a_failing_example_names_the_path_and_both_values(folder: Path, expect: str, mismatch: Mismatch) -> None:
    example = f"- {{name: x, source: {{sex: F, name: Lee, weight: 7.40}}, expect: {expect}}}"
    [result] = held(folder, example)
    assert result.mismatches == (mismatch,) and not result.passed


def test_errors_are_exactly_those_that_are_said(folder: Path) -> None:
    source = "source: {sex: X, name: Lee, phones: [{number: 1}, {number: 2}]}"
    happened = "gender:not_in_map, phones.value:not_a_phone_number"
    right, silent, wrong = held(
        folder,
        f"- {{name: right, {source}, errors: [{happened}]}}",
        f"- {{name: silent, {source}}}",
        f"- {{name: wrong, {source}, errors: [{happened}, name:required]}}",
    )
    assert right.passed
    assert silent.unexpected == ("gender:not_in_map", "phones.value:not_a_phone_number")
    assert wrong.missing == ("name:required",) and not wrong.passed


def test_values_of_examples_are_those_of_json() -> None:
    text = '- {name: x, source: {a: 7.40, b: no, c: 1980-02-29, d: true, e: ~, f: "5", g: 5, h: 8:30, i: 007}}'
    [example] = read_examples(text, "x.yml")
    assert example.source == {
        "a": Number("7.40"),
        "b": "no",
        "c": "1980-02-29",
        "d": True,
        "e": None,
        "f": "5",
        "g": 5,
        "h": "8:30",
        "i": "007",
    }


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("- name: a\n  source: {}\n- name: b\n  sauce: {}\n", 3, "line 4: 1.sauce"),
        ("- name: a\n  source: {}\n  source: {}\n", 3, "once"),
        ("- name: a\n  source: [1\n", 3, "expected"),
        ("- name: a\n  source: &x {}\n  expect: *x\n", None, "aliases"),
        ("# nothing\n", None, "no example"),
        ("name: a\nsource: {}\n", 1, ""),
    ],
)
def test_a_file_that_holds_no_examples_is_refused_with_its_line(text: str, line: int | None, words: str) -> None:
    error = refusal(read_examples, text, "x.yml")
    assert error.code == "rules.examples"
    assert error.place == (f"x.yml:{line}" if line else "x.yml")
    assert words in error.message


# the page


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_on_the_page_hold_for_the_rule_set_on_the_page(folder: Path) -> None:
    [complete] = [block for block in blocks("yaml") if "\nruleSet:" in block]
    [examples] = [block for block in blocks("yaml") if block.startswith("- name:")]
    (folder / "patient.examples.yml").write_text(examples)
    results = run_examples(rule_set(folder, complete), folder / "patient.examples.yml")
    assert len(results) == 2 and all(result.passed for result in results), results


def test_the_notebook_code_on_the_page_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "rules").mkdir()
    rule_set(folder / "rules")
    (folder / "patients.ndjson").write_text(json.dumps({"sex": "X", "name": "Lee"}) + "\n")
    monkeypatch.chdir(folder)
    [code] = blocks("python")
    exec(compile(code, "docs/rules.md", "exec"), {})
    assert "not_in_map" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source_format", "name", "written", "path", "wanted"),
    [
        ("CUSTOM_XML", "person.xml", b"<person sex='F'><name>Lee</name></person>", "person._sex", "female"),
        ("CUSTOM_JSON", "person.json", b'{"person": {"sex": "F"}}', "person.sex", "female"),
    ],
)
def test_records_are_read_in_what_the_rules_say_they_are_written_in(
    tmp_path: Path, source_format: str, name: str, written: bytes, path: str, wanted: str
) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "ruleSet: a/b\nversion: 1.0.0\nprovider: fhir\nresourceType: Patient\n"
        f"sourceFormat: {source_format}\nsource: {{sex: {path}}}\n"
        "rules: [{id: g, type: VALUE_MAPPING, source: sex, map: {F: female}, target: gender}]\n"
    )
    (tmp_path / name).write_bytes(written)
    ready = open_rule_set(rules)
    [tried] = try_rule_set(ready, samples_of_file(tmp_path / name, 5, ready.rules).records)
    assert tried.after.document["gender"] == wanted


def test_a_file_that_is_not_written_so_is_refused_by_name(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("ruleSet: a/b\nversion: 1.0.0\nprovider: fhir\nresourceType: Patient\nsourceFormat: CUSTOM_XML\n")
    (tmp_path / "person.xml").write_bytes(b"<person>SECRET")
    error = refusal(samples_of_file, tmp_path / "person.xml", 5, open_rule_set(rules).rules)
    assert "person.xml" in error.place and "SECRET" not in str(error)
