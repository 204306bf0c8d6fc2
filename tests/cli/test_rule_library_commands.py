"""`holovitals rules save|versions|show|activate|deactivate`: what is kept, what jobs use, and who said so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.transform.shipped_rule_sets import shipped_as_written
from tests.cli.conftest import Run

RULES = """# of the clinic
ruleSet: clinic/patient
version: 1.0.0
provider: nextgen
resourceType: Patient
sourceFormat: CUSTOM_JSON
source: {sex: sex}
rules:
  - {id: gender, type: VALUE_MAPPING, source: sex, target: gender, map: {F: female}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "patient.yml"
    written.write_text(RULES, encoding="utf-8")
    return written


def told(run: Run, *arguments: str, exit_code: int = 0) -> Any:
    ended = run("rules", *arguments, "--json")
    assert ended.exit_code == exit_code, ended.output
    return json.loads(ended.stdout)


def test_saving_keeps_the_text_and_says_that_jobs_do_not_use_it_yet(run: Run, file: Path) -> None:
    ended = run("rules", "save", str(file), "--comment", "F and M", "--actor", "ann")
    assert ended.exit_code == 0 and ended.stderr == ""
    assert "✓ clinic/patient@1.0.0 is in the store, saved by ann: nextgen's Patient" in ended.stdout
    assert "holovitals rules activate clinic/patient@1.0.0" in ended.stdout
    [one] = told(run, "versions")["versions"]
    assert (one["savedBy"], one["comment"], one["active"]) == ("ann", "F and M", False)
    shown = run("rules", "show", "clinic/patient@1.0.0")
    assert shown.stdout == RULES, "as it was written, and nothing else"
    assert "not active, saved by ann" in shown.stderr and "F and M" in shown.stderr
    assert told(run, "show", "clinic/patient@1.0.0")["text"] == RULES


def test_versions_are_activated_replaced_and_deactivated_and_the_history_tells_it(run: Run, file: Path) -> None:
    saved = told(run, "save", str(file), "--activate", "--actor", "ann")
    assert saved["active"] and saved["replaced"] == []
    file.write_text(RULES.replace("1.0.0", "1.1.0"), encoding="utf-8")
    assert told(run, "save", str(file), "--actor", "ann")["active"] is False
    done = run("rules", "activate", "clinic/patient@1.1.0", "--actor", "bob")
    assert done.exit_code == 0
    assert "clinic/patient@1.1.0 is active for nextgen's Patient (INBOUND, CUSTOM_JSON)" in done.stdout
    assert "in place of clinic/patient@1.0.0" in done.stdout and "--replay" in done.stdout
    table = run("rules", "versions").stdout
    assert table.index("clinic/patient@1.1.0") < table.index("clinic/patient@1.0.0") and "active" in table
    ended = run("rules", "deactivate", "clinic/patient", "--actor", "cyd")
    assert ended.exit_code == 0 and "clinic/patient@1.1.0 is active no longer" in ended.stdout
    events = told(run, "versions", "clinic/patient")["history"]
    assert [(one["version"], one["action"], one["actor"], one["cause"]) for one in events] == [
        ("1.0.0", "saved", "ann", None),
        ("1.0.0", "activated", "ann", None),
        ("1.1.0", "saved", "ann", None),
        ("1.0.0", "deactivated", "bob", "clinic/patient@1.1.0"),
        ("1.1.0", "activated", "bob", None),
        ("1.1.0", "deactivated", "cyd", None),
    ]
    assert (
        "bob deactivated 1.0.0, replaced by clinic/patient@1.1.0" in run("rules", "versions", "clinic/patient").stdout
    )
    again = told(run, "activate", "clinic/patient@1.0.0", "--actor", "ann")
    assert again["active"] and again["replaced"] == []
    assert told(run, "deactivate", "clinic/patient")["active"] is False


def test_other_text_under_a_saved_version_is_refused_with_the_version_to_take(run: Run, file: Path) -> None:
    assert run("rules", "save", str(file)).exit_code == 0
    assert run("rules", "save", str(file)).exit_code == 0, "the same text again"
    file.write_text(RULES.replace("female", "male"), encoding="utf-8")
    ended = run("rules", "save", str(file), "--activate")
    assert ended.exit_code == 1
    assert "rules.version_taken" in ended.stderr and str(file) in ended.stderr and "1.0.1" in ended.stderr
    assert told(run, "versions")["versions"][0]["active"] is False
    assert told(run, "save", str(file), exit_code=1)["error"]["code"] == "rules.version_taken"


def test_a_mistake_in_the_file_is_named_with_its_line_and_nothing_is_saved(run: Run, file: Path) -> None:
    file.write_text(RULES.replace("source: sex, target", "source: sax, target"), encoding="utf-8")
    ended = run("rules", "save", str(file))
    assert ended.exit_code == 1 and f"rules.invalid {file}:9" in ended.stderr
    assert run("rules", "save", str(file.with_name("none.yml"))).exit_code == 1
    assert told(run, "versions")["versions"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (("activate", "clinic/patient@9.9.9"), "rules.unknown", 1),
        (("show", "clinic/patient@9.9.9"), "rules.unknown", 1),
        (("versions", "nobody"), "rules.unknown", 1),
        (("deactivate", "nobody"), "rules.unknown", 1),
        (("deactivate", "clinic/patient"), "rules.not_active", 1),
        (("activate", "clinic/patient"), "NAME@1.2.0", 2),
        (("show", "@1.0.0"), "NAME@1.2.0", 2),
        (("activate", "clinic/patient@1.0.0", "--actor", "policy:x"), "actor.invalid", 1),
    ],
)
def test_what_is_not_there_or_not_so_is_said_with_what_to_do(
    run: Run, file: Path, arguments: tuple[str, ...], code: str, exit_code: int
) -> None:
    assert run("rules", "save", str(file)).exit_code == 0
    ended = run("rules", *arguments)
    assert ended.exit_code == exit_code, ended.output
    assert code in ended.stderr and "Traceback" not in ended.output
    if exit_code == 1:
        assert "  → " in ended.stderr


def test_what_is_shipped_is_listed_and_shown_to_begin_with(run: Run) -> None:
    assert "holovitals rules save FILE" in run("rules", "versions").stdout
    listed = told(run, "versions", "--shipped")["shipped"]
    assert {"ruleSet": "nextgen/patient", "version": "1.0.0"} in listed
    assert "nextgen/patient@1.0.0" in run("rules", "versions", "--shipped").stdout
    shown = run("rules", "show", "nextgen/patient@1.0.0")
    assert shown.stdout == shipped_as_written()["nextgen/patient@1.0.0"].text and "shipped" in shown.stderr
    assert told(run, "show", "nextgen/patient@1.0.0")["shipped"] is True
