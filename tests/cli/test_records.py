"""`holovitals records`: found, read, edited against the version that was seen, put back; content only from `show`."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from click import Context
from click.testing import Result
from typer.testing import CliRunner

from holovitals_pipelines.cli.records_commands import records_app
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.local_records import read_record
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store import audit
from tests.cli.conftest import declare
from tests.cli.test_conflicts import CLINIC, explained
from tests.engine.toy_vendor import PATIENT, Bench


class Records:
    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(records_app, arguments, input=stdin, env={"HOLOVITALS_HOME": str(self._home)})


@pytest.fixture
def records(home: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    for name in ("DATABASE_URL", "LANDING_URL", "CONNECTIONS_FILE"):
        monkeypatch.delenv(f"HOLOVITALS_{name}", raising=False)
    return Records(home)


@pytest.fixture
def bench(home: Path) -> Iterator[Bench]:
    declare(home, CLINIC)
    with open_home(Settings(home=home)) as opened:
        yield Bench(opened.database)


@pytest.fixture
def ann(bench: Bench) -> str:
    return bench.taken_in("Patient", "p1", PATIENT)


def told(ended: Result) -> Any:
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def test_a_record_is_shown_to_the_byte_by_any_of_its_names(records: Records, bench: Bench, ann: str) -> None:
    body = read_record(bench.database, ann).body
    for name in (ann, ann[:8], "Patient/p1"):
        shown = records("show", name)
        assert shown.exit_code == 0 and "version 1" in shown.stdout
        assert shown.stdout_bytes.endswith(body + b"\n")
    assert records("show", ann, "--body").stdout_bytes == body + b"\n"
    assert told(records("show", ann, "--json"))["body"].encode() == body
    explained(records("show", "Patient/nobody"), "record.unknown")
    explained(records("show", ann, "--version", "7"), "record.unknown_version", "7")


def test_a_record_is_found_by_the_id_a_vendor_gave_it(records: Records, ann: str) -> None:
    assert told(records("find", "--connection", "clinic", "Patient", "p1", "--json"))["recordId"] == ann
    assert ann in records("find", "--connection", "clinic", "Patient", "p1").stdout
    missing = records("find", "--connection", "clinic", "Patient", "SECRET")
    explained(missing, "record.unknown")
    assert "SECRET" not in missing.output
    explained(records("find", "--connection", "klinic", "Patient", "p1"), "settings.connection_unknown")


def test_lists_versions_and_links_show_nothing_of_the_content(records: Records, bench: Bench, ann: str) -> None:
    assert records("edit", ann, "--version", "1", "--set", 'birthDate="1951-01-01"').exit_code == 0
    commands = [("list",), ("list", "--type", "Patient", "--connection", "clinic"), ("history", ann), ("links", ann)]
    for command in commands:
        for arguments in (command, (*command, "--json")):
            shown = records(*arguments)
            assert shown.exit_code == 0
            assert not any(value in shown.output for value in ("1950", "1951", "Doe", "555-0100"))
    assert [one["recordId"] for one in told(records("list", "--json"))] == [ann]
    versions = told(records("history", ann, "--json"))["versions"]
    assert [(one["version"], one["changedBy"]) for one in versions] == [(2, getpass.getuser()), (1, "clinic")]
    assert "changed here since" in records("links", ann).stdout
    [link] = told(records("links", ann, "--json"))["links"]
    assert (link["agreed"], link["changedHere"], link["marked"]) == (True, True, "local")
    assert "no such record" in records("list", "--type", "Observation").stdout
    assert "no such record" in records("list", "--deleted").stdout


def test_a_record_is_edited_from_a_file_or_element_by_element(
    records: Records, bench: Bench, ann: str, tmp_path: Path
) -> None:
    changed = records(
        "edit", "Patient/p1", "--version", "1", "--set", 'birthDate="1951-01-01"', "--set", "telecom=null",
        "--actor", "ann",
    )  # fmt: skip
    assert changed.exit_code == 0 and "version 2" in changed.stdout and "1951" not in changed.output
    bench.work()
    there = bench.vendor.document("Patient", "p1")
    assert there["birthDate"] == "1951-01-01" and "telecom" not in there

    file = tmp_path / "body.json"
    file.write_bytes(records("show", ann, "--body").stdout_bytes.replace(b"1951-01-01", b"1953-03-03"))
    assert told(records("edit", ann, "--version", "2", "--file", str(file), "--json"))["version"] == 3
    piped = records("edit", ann, "--version", "3", "--file", "-", stdin=file.read_bytes().replace(b"1953", b"1954"))
    assert piped.exit_code == 0
    assert json.loads(read_record(bench.database, ann).body)["birthDate"] == "1954-03-03"
    with bench.database.read() as transaction:
        assert [entry.actor for entry in audit.entries(transaction, record_id=ann)][1] == "ann"


def test_numbers_keep_their_digits_through_an_edit_of_another_element(records: Records, bench: Bench) -> None:
    body = (
        b'{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},"valueQuantity":{"value":5.400}}'
    )
    made = told(records("create", "--file", "-", "--json", stdin=body))
    records("edit", made["recordId"], "--version", "1", "--set", 'status="amended"')
    now = read_record(bench.database, made["recordId"]).body
    assert b"5.400" in now and b'"amended"' in now


def test_a_record_is_created_deleted_and_put_back(records: Records, bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "patient.json"
    file.write_text(json.dumps(PATIENT))
    made = told(records("create", "--file", str(file), "--connection", "clinic", "--json"))
    assert "not created there yet" in records("links", made["recordId"]).stdout
    bench.work()
    assert len(bench.vendor.held) == 1
    gone = records("delete", made["recordId"], "--version", "1")
    assert gone.exit_code == 0 and "is deleted" in gone.stdout
    assert "this was its last content" in records("show", made["recordId"]).stdout
    assert [one["recordId"] for one in told(records("list", "--deleted", "--json"))] == [made["recordId"]]
    back = told(records("restore", made["recordId"], "--to-version", "1", "--version", "2", "--json"))
    assert (back["version"], back["state"]) == (3, "active")


def test_one_change_is_undone_and_the_undo_too(records: Records, bench: Bench, ann: str) -> None:
    records("edit", ann, "--version", "1", "--set", 'gender="male"')
    with bench.database.read() as transaction:
        last = audit.last(transaction)
    assert last is not None
    records("edit", ann, "--version", "2", "--set", 'birthDate="1951-01-01"')
    undone = records("revert", str(last.seq), "--reason", "wrong patient")
    assert undone.exit_code == 0 and "To undo this: holovitals records revert" in undone.stdout
    now = json.loads(read_record(bench.database, ann).body)
    assert (now["gender"], now["birthDate"]) == ("female", "1951-01-01")
    again = told(records("revert", str(last.seq + 2), "--reason", "it was right", "--json"))
    assert again["version"] == 5 and json.loads(read_record(bench.database, ann).body)["gender"] == "male"


def test_what_is_refused_is_said_with_a_remedy_and_without_values(records: Records, ann: str, tmp_path: Path) -> None:
    explained(records("edit", ann, "--version", "2", "--set", 'gender="male"'), "record.changed", "version 1")
    for value, place in (('gender="SECRET"', "Patient.gender"), ('id="SECRET"', "Patient.id")):
        ended = records("edit", ann, "--version", "1", "--set", value)
        explained(ended, "record.invalid", place)
        assert "SECRET" not in ended.output
    explained(records("edit", ann, "--version", "1", "--file", str(tmp_path / "none.json")), "system.refused")
    for stdin in (b"{SECRET", b"[1]", b'{"resourceType":"Nonsense"}', b"{}"):
        ended = records("create", "--file", "-", stdin=stdin)
        explained(ended, "record.invalid")
        assert "SECRET" not in ended.output
    explained(records("create", "--file", "-", "--connection", "klinic", stdin=b"{}"), "settings.connection_unknown")
    explained(records("revert", "999", "--reason", "r"), "audit.entry_unknown")
    explained(records("delete", ann, "--version", "1", "--actor", "clinic"), "actor.invalid")
    error = told_error(records("history", "nope", "--json"))
    assert error["code"] == "record.unknown" and error["remedy"]


def told_error(ended: Result) -> Any:
    assert ended.exit_code == 1 and ended.stderr == ""
    return json.loads(ended.stdout)["error"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("edit", "x", "--set", 'gender="male"'),
        ("edit", "x", "--version", "1"),
        ("edit", "x", "--version", "1", "--file", "a", "--set", "b=1"),
        ("edit", "x", "--version", "1", "--set", "gender=SECRET"),
        ("edit", "x", "--version", "1", "--set", "name[0].family=1"),
        ("edit", "x", "--version", "1", "--set", "gender"),
        ("delete", "x"),
        ("create",),
        ("restore", "x"),
        ("find", "Patient", "1"),
        ("list", "--limit", "0"),
    ],
)
def test_misuse_ends_with_code_2_and_a_hint(records: Records, arguments: tuple[str, ...]) -> None:
    ended = records(*arguments)
    assert ended.exit_code == 2 and "--help" in ended.stderr
    assert "Traceback" not in ended.output and "SECRET" not in ended.output


def test_every_command_explains_itself_and_most_by_example(records: Records) -> None:
    group: Any = typer.main.get_command(records_app)
    for name in group.list_commands(Context(group)):
        command = group.get_command(Context(group), name)
        first = (command.help or "").split("\n\n")[0]
        assert first.rstrip().endswith((".", ".**")) and len(first) > 30
        for option in command.params:
            if option.param_type_name == "option":
                assert getattr(option, "help", None), f"{name} {option.name} is not explained"
        assert "holovitals " in records(name, "--help").stdout or name == "links"
