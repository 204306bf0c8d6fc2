"""`holovitals rules`: sentences and exit codes that tell the truth; values of records only from `preview`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from holovitals_pipelines.cli.rules_commands import rules_app
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType
from holovitals_pipelines.settings import Settings
from tests.cli.conftest import Run, declare
from tests.engine.conftest import Vendor, patient

RULES = """
ruleSet: clinic/patient
version: 1.0.0
provider: fhir
resourceType: Patient
sourceFormat: FHIR_R4
source:
  sex: gender
  family: name[0].family
  weight: {path: weight, type: number}
rules:
  - {id: gender, type: VALUE_MAPPING, source: sex, target: gender, map: {female: female}}
  - {id: name, type: FIELD_MAPPING, source: family, target: "name[0].family", required: true}
  - {id: kg, type: FIELD_MAPPING, source: weight, target: "extension[url='urn:kg'].valueDecimal"}
"""
RECORDS = """{"gender": "female", "name": [{"family": "Mustermann"}], "weight": 7.40}
{"gender": "4711", "name": [{"family": "Mustermann"}]}
"""
VALUES = ("Mustermann", "4711", "7.40")


class Rules:
    """A folder with a rule set and records, and the command in it."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.home = folder, home
        self.file = str(self.write("patient.yml", RULES))
        self.records = str(self.write("docs.ndjson", RECORDS))

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        return file

    def changed(self, old: str, new: str, name: str = "new.yml") -> str:
        assert old in RULES
        return str(self.write(name, RULES.replace(old, new)))

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(rules_app, arguments, env={"HOLOVITALS_HOME": str(self.home)})

    def told(self, *arguments: str, exit_code: int = 0) -> Any:
        ended = self(*arguments, "--json")
        assert ended.exit_code == exit_code, ended.output
        return json.loads(ended.stdout)


@pytest.fixture
def rules(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Rules:
    for name in ("DATABASE_URL", "LANDING_URL", "CONNECTIONS_FILE"):
        monkeypatch.delenv(f"HOLOVITALS_{name}", raising=False)
    return Rules(tmp_path, home)


def test_the_commands_are_part_of_holovitals(run: Run) -> None:
    shown = run("rules", "--help").stdout
    for name in ("validate", "preview", "diff", "test", "schema"):
        assert f" {name} " in shown
        assert f"holovitals rules {name}" in run("rules", name, "--help").stdout


# validate


def test_a_valid_rule_set_is_told_in_a_sentence(rules: Rules) -> None:
    ended = rules("validate", rules.file)
    assert ended.exit_code == 0 and ended.stderr == ""
    first, reads, makes = ended.stdout.splitlines()
    told = rules.told("validate", rules.file)["files"][0]
    for words in (rules.file, "clinic/patient@1.0.0", told["hash"][:12], "3 rules (2 FIELD_MAPPING, 1 VALUE_MAPPING)"):
        assert words in first
    assert "strict" in first and "not strict" not in first
    assert reads == "  reads gender, name[0].family, weight"
    assert makes == "  makes gender, name[0].family, extension[url='urn:kg'].valueDecimal"
    assert told["rules"] == {"FIELD_MAPPING": 2, "VALUE_MAPPING": 1} and told["makes"] == makes[8:].split(", ")


def test_the_rules_of_lists_are_counted_and_their_places_told(rules: Rules) -> None:
    group = """
groups:
  - id: phones
    each: phones
    into: telecom
    source: {number: digits}
    rules: [{id: value, type: FIELD_MAPPING, source: number, target: value}]
"""
    [told] = rules.told("validate", str(rules.write("lists.yml", RULES + group)))["files"]
    assert told["rules"] == {"FIELD_MAPPING": 3, "VALUE_MAPPING": 1}
    assert told["reads"][-1] == "phones: digits" and told["makes"][-1] == "telecom[].value"


def test_one_invalid_file_of_several_is_named_with_its_line_and_fails_the_command(rules: Rules) -> None:
    wrong = rules.changed("source: family", "source: familie", "wrong.yml")
    ended = rules("validate", wrong, rules.file, str(rules.folder / "none.yml"))
    assert ended.exit_code == 1
    assert f"rules.invalid {wrong}:13: " in ended.stderr and "'familie'" in ended.stderr and "  → " in ended.stderr
    assert "rules.unreadable" in ended.stderr and "clinic/patient@1.0.0" in ended.stdout
    told = rules.told("validate", wrong, rules.file, exit_code=1)["files"]
    assert [one["valid"] for one in told] == [False, True]
    assert told[0]["error"]["place"] == f"{wrong}:13"


# preview


def test_a_preview_shows_records_before_and_after_with_all_their_digits(rules: Rules) -> None:
    ended = rules("preview", rules.file, "--input", rules.records)
    assert ended.exit_code == 0
    assert '"weight": 7.40' in ended.stdout and '"valueDecimal": 7.40' in ended.stdout
    assert "record 1 made" in ended.stdout and "record 2 rejected" in ended.stdout
    assert "error gender: not_in_map" in ended.stdout
    assert "2 records, 1 rejected" in ended.stdout
    answer = rules("preview", rules.file, "--input", rules.records, "--json").stdout
    assert '"valueDecimal": 7.40' in answer
    told = json.loads(answer)
    assert [one["rejected"] for one in told["records"]] == [False, True]
    assert told["records"][0]["after"]["name"] == [{"family": "Mustermann"}]
    [error] = told["errors"]
    assert error == {"place": "gender", "code": "not_in_map", "severity": "ERROR", "count": 1, "records": 1}


def test_a_limit_is_how_many_records_are_taken(rules: Rules) -> None:
    assert len(rules.told("preview", rules.file, "--input", rules.records, "--limit", "1")["records"]) == 1


def test_a_preview_of_a_connection_shows_what_its_last_sync_landed(rules: Rules) -> None:
    declare(rules.home, {"name": "clinic", "provider": "fhir", "base_url": "http://127.0.0.1:9/fhir"})
    missing = rules("preview", rules.file, "--connection", "clinic")
    assert missing.exit_code == 1 and "rules.no_extract" in missing.stderr and "connection clinic" in missing.stderr
    vendor = Vendor(rules.folder / "vendor")
    vendor.holds("Patient", [patient(1, "Landed"), patient(2, "Second")])
    with open_home(Settings(home=rules.home)) as opened:
        request = SyncRequest(connection="clinic", type=JobType.FULL_SYNC, resource_types=("Patient",))
        run_sync(opened, request, adapter_for=vendor.source)
    [told] = rules.told("preview", rules.file, "--connection", "clinic", "--limit", "1")["records"]
    assert told["before"]["id"] == "p1" and told["after"]["name"] == [{"family": "Landed"}]
    compared = rules.told("diff", rules.file, rules.changed("source: sex", "source: family"), "--connection", "clinic")
    assert compared["outputs"]["records"] == 2 and compared["outputs"]["newlyRejected"] == 2
    unknown = rules("preview", rules.file, "--connection", "klinic")
    assert unknown.exit_code == 1 and "settings.connection_unknown" in unknown.stderr


@pytest.mark.parametrize("source", [(), ("--input", "docs.ndjson", "--connection", "clinic")])
def test_a_preview_needs_one_source_of_records(rules: Rules, source: tuple[str, ...]) -> None:
    ended = rules("preview", rules.file, *source)
    assert ended.exit_code == 2 and "--input" in ended.stderr


def test_a_record_that_is_no_json_is_an_error_with_its_line_and_without_its_text(rules: Rules) -> None:
    file = str(rules.write("bad.ndjson", '{"name": "Mustermann"\n'))
    ended = rules("preview", rules.file, "--input", file)
    assert ended.exit_code == 1 and f"rules.input {file}:1" in ended.stderr
    assert "Mustermann" not in ended.output
    assert rules.told("preview", rules.file, "--input", file, exit_code=1)["error"]["code"] == "rules.input"


# diff


def test_a_difference_names_rules_and_counts_what_it_changes_without_a_value(rules: Rules) -> None:
    new = rules.changed("{female: female}", '{female: female, "4711": male}')
    ended = rules("diff", rules.file, new, "--input", rules.records)
    assert ended.exit_code == 0
    assert '~ rules.gender changed\n    map: {"female":"female"} → {"4711":"male","female":"female"}' in ended.stdout
    assert "1 of 2 records come out otherwise\n  1 are rejected no longer\n" in ended.stdout
    assert "       1  gender\n       1  error that is gone: gender: not_in_map\n" in ended.stdout
    assert "Mustermann" not in ended.output and "7.40" not in ended.output
    told = rules.told("diff", rules.file, new, "--input", rules.records)
    assert told["changes"][0]["place"] == "rules.gender"
    assert told["outputs"]["targets"] == {"gender": 1}
    assert told["outputs"]["vanishedErrors"] == [{"place": "gender", "code": "not_in_map", "count": 1}]


def test_added_and_removed_rules_are_named(rules: Rules) -> None:
    lines = rules("diff", rules.file, rules.changed("id: kg", "id: kilos")).stdout.splitlines()
    assert lines == ["- rules.kg removed", "+ rules.kilos added"]


def test_the_same_rules_differ_in_nothing(rules: Rules) -> None:
    told = rules.told("diff", rules.file, rules.file)
    assert told["changes"] == [] and told["outputs"] is None and told["old"] == told["new"]
    assert "The rules are the same." in rules("diff", rules.file, rules.file).stdout


# test

GOOD = """- name: a woman
  source: {gender: female, name: [{family: Made-Up}], weight: 7.40}
  expect: {gender: female, extension: [{valueDecimal: 7.40}]}
"""


def test_examples_that_hold_are_named_and_counted(rules: Rules) -> None:
    rules.write("patient.examples.yml", GOOD)
    ended = rules("test", rules.file)
    assert ended.exit_code == 0
    assert ended.stdout.splitlines() == ["✓ a woman", "1 example, 0 failed"]


def test_a_failing_example_shows_path_values_and_errors_and_fails_the_command(rules: Rules) -> None:
    wrong = (
        "- {name: wrong, source: {gender: x, weight: 7.40}, expect: {extension: [{valueDecimal: 7.4}]}, errors: [a:b]}"
    )
    rules.write("patient.examples.yml", GOOD + wrong)
    ended = rules("test", rules.file)
    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [
        "✓ a woman",
        "✗ wrong",
        "    extension[0].valueDecimal: expected 7.4, found 7.40",
        "    expected the error a:b, which did not happen",
        "    found the error gender:not_in_map, which is not expected",
        "    found the error name:required, which is not expected",
        "2 examples, 1 failed",
    ]
    told = rules.told("test", rules.file, exit_code=1)
    assert (told["examples"], told["failed"]) == (2, 1)
    assert told["results"][1]["unexpectedErrors"] == ["gender:not_in_map", "name:required"]


def test_a_rule_set_without_examples_fails_with_the_name_of_the_file_to_write(rules: Rules) -> None:
    ended = rules("test", rules.file)
    assert ended.exit_code == 1
    assert "rules.no_examples" in ended.stderr and "patient.examples.yml" in ended.stderr


# schema


def test_the_schema_is_printed_for_editors(rules: Rules) -> None:
    ended = rules("schema")
    assert ended.exit_code == 0
    Draft202012Validator.check_schema(json.loads(ended.stdout))
    assert json.loads(ended.stdout) == json.loads(
        (Path(__file__).parents[2] / "docs" / "rule-set.schema.json").read_text(encoding="utf-8")
    )


def test_errors_and_counts_of_every_command_hold_no_value_of_a_record(rules: Rules) -> None:
    new = rules.changed("required: true", "required: false")
    for ended in (
        rules("validate", rules.file),
        rules("diff", rules.file, new, "--input", rules.records),
        rules("diff", rules.file, new, "--input", rules.records, "--json"),
    ):
        assert ended.exit_code == 0
        assert not [value for value in VALUES if value in ended.output]
