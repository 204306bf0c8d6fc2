"""`holovitals conflicts`: values only where they were asked for, decisions on what was seen, mistakes explained."""

from __future__ import annotations

import getpass
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from click import Context
from click.testing import Result
from typer.testing import CliRunner

from holovitals_pipelines.cli.conflicts_commands import conflicts_app
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.local_records import edit_record, read_record
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.sync.policy import load_policy
from tests.cli.conftest import Run, declare
from tests.engine.toy_vendor import PATIENT, Bench

CLINIC = {"name": "clinic", "provider": "fhir", "base_url": "http://127.0.0.1:9/fhir"}
VALUES = ("1951", "1952", "555-0100", "Patient/p1", "Because-Smith")
"""What is health data in these tests: values, what names an item or a patient, what a person typed."""


@pytest.fixture
def conflicts(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("DATABASE_URL", "LANDING_URL", "CONNECTIONS_FILE"):
        monkeypatch.delenv(f"HOLOVITALS_{name}", raising=False)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(conflicts_app, arguments, env={"HOLOVITALS_HOME": str(home)})

    return invoke


@pytest.fixture
def bench(home: Path) -> Iterator[Bench]:
    declare(home, CLINIC)
    with open_home(Settings(home=home)) as opened:
        yield Bench(opened.database)


def edit(bench: Bench, record_id: str, **elements: Any) -> None:
    now = read_record(bench.database, record_id)
    body = json.dumps({**json.loads(now.body), **elements}).encode()
    edit_record(bench.database, record_id, body, seen_version=now.version, actor="dr")


@pytest.fixture
def critical(bench: Bench) -> str:
    """A conflict about who a patient is, in two units; its id."""
    record_id = bench.taken_in("Patient", "p1", PATIENT)
    edit(bench, record_id, birthDate="1951-01-01", telecom=[{**PATIENT["telecom"][0], "use": "work"}])
    bench.vendor.change("Patient", "p1", birthDate="1952-02-02", telecom=[{**PATIENT["telecom"][0], "use": "mobile"}])
    bench.work()
    [found] = bench.conflicts()
    return found.conflict_id


@pytest.fixture
def grave(bench: Bench) -> str:
    """A conflict of severity HIGH; its id."""
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/p1"}, "code": {"text": "Asthma"}}
    record_id = bench.taken_in("Condition", "c1", condition)
    edit(bench, record_id, code={"text": "Asthma of 1951"})
    bench.vendor.change("Condition", "c1", code={"text": "Bronchitis of 1952"})
    bench.work()
    [found] = bench.conflicts(resource_type="Condition")
    return found.conflict_id


def explained(ended: Result, code: str, *words: str) -> None:
    assert ended.exit_code == 1 and "Traceback" not in ended.output
    lines = ended.stderr.splitlines()
    [sentence] = [line for line in lines if code in line]
    assert all(word in sentence for word in words), sentence
    assert lines[lines.index(sentence) + 1].startswith("  → ")


def test_the_list_tells_what_waits_and_nothing_of_anybody(conflicts: Run, critical: str, grave: str) -> None:
    listed = conflicts("list")
    assert listed.exit_code == 0 and listed.stdout.index(critical[:8]) < listed.stdout.index(grave[:8])
    assert "birthDate" in listed.stdout and "critical" in listed.stdout
    told = json.loads(conflicts("list", "--json").stdout)
    assert [(one["conflictId"], one["elements"]) for one in told] == [
        (critical, ["birthDate", "telecom"]),
        (grave, ["code"]),
    ]
    for shown in (listed, conflicts("list", "--json"), conflicts("statistics"), conflicts("statistics", "--json")):
        assert not any(value in shown.output for value in VALUES)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--severity", "critical"), 1),
        (("--severity", "critical", "--severity", "HIGH"), 2),
        (("--type", "Condition"), 1),
        (("--status", "resolved"), 0),
        (("--status", "all", "--connection", "clinic"), 2),
        (("--patient", "Patient/p1"), 2),
        (("--patient", "Patient/p2"), 0),
        (("--post-review",), 0),
        (("--limit", "1"), 1),
    ],
)
def test_the_list_can_be_narrowed(
    conflicts: Run, critical: str, grave: str, arguments: tuple[str, ...], count: int
) -> None:
    assert len(json.loads(conflicts("list", *arguments, "--json").stdout)) == count
    assert conflicts("list", *arguments).exit_code == 0


def test_one_conflict_is_shown_side_by_side(conflicts: Run, critical: str) -> None:
    shown = conflicts("show", critical[:6])
    assert shown.exit_code == 0
    for line in ("1 birthDate  critical (", 'base          "1950-01-01"', 'local         "1951-01-01"',
                 'remote        "1952-02-02"', "proposal      to be decided", "by dr", "revision 1"):  # fmt: skip
        assert line in shown.stdout, line
    rows = json.loads(conflicts("show", critical, "--json").stdout)["rows"]
    assert [(row["number"], row["local"], row["undecided"]) for row in rows] == [
        (1, '"1951-01-01"', True),
        (2, '"work"', True),
    ]


def test_a_decision_is_taken_back_until_it_is_applied(conflicts: Run, bench: Bench, grave: str) -> None:
    explained(conflicts("withdraw", grave), "conflict.not_decided")
    decide = ("resolve", grave, "--strategy", "remote_wins", "--reason", "registry", "--revision", "1")
    assert conflicts(*decide).exit_code == 0
    taken = conflicts("withdraw", grave[:8], "--actor", "ann")
    assert taken.exit_code == 0 and "waits for a decision again" in taken.stdout
    bench.work()
    [still] = json.loads(conflicts("list", "--json").stdout)
    assert (still["conflictId"], still["decision"]) == (grave, None)
    assert conflicts(*decide).exit_code == 0
    bench.work()
    explained(conflicts("withdraw", grave), "conflict.closed")


def test_a_decision_is_made_approved_and_applied(conflicts: Run, bench: Bench, critical: str) -> None:
    decided = conflicts(
        "resolve", critical[:8], "--strategy", "manual", "--reason", "Because-Smith said so", "--revision", "1",
        "--choose", '1=value:"1953-03-03"', "--choose", "telecom[phone|555-0100].use=remote", "--actor", "ann",
    )  # fmt: skip
    assert decided.exit_code == 0, decided.output
    assert f"conflicts approve {critical[:8]} --revision 1" in decided.stdout
    assert "needs approval" in conflicts("list").stdout
    waiting = conflicts("show", critical)
    assert 'proposal      "1953-03-03" (value)' in waiting.stdout and "Because-Smith said so" in waiting.stdout
    explained(conflicts("approve", critical, "--revision", "1", "--actor", "ann"), "conflict.same_person")
    code = json.loads(conflicts("list", "--json").stdout)[0]["decision"]
    assert f"--decision {code}" in decided.stdout and f"decision {code} waits to be approved" in waiting.stdout
    other = conflicts("approve", critical, "--revision", "1", "--decision", "0" * 8, "--actor", "bob")
    explained(other, "conflict.stale", "decided anew")
    approved = conflicts("approve", critical, "--revision", "1", "--decision", code, "--actor", "bob")
    assert approved.exit_code == 0 and "holovitals writeback clinic" in approved.stdout
    assert not any(value in decided.output + approved.output for value in VALUES)
    bench.work()
    assert bench.vendor.document("Patient", "p1")["birthDate"] == "1953-03-03"
    assert "no such conflict" in conflicts("list").stdout
    told = json.loads(conflicts("show", critical, "--json").stdout)
    assert [(one["action"], one["actor"]) for one in told["history"][1:3]] == [("decide", "ann"), ("approve", "bob")]


def test_who_decides_is_the_user_unless_said_otherwise(conflicts: Run, grave: str) -> None:
    arguments = ("resolve", grave, "--strategy", "LOCAL_WINS", "--reason", "chart", "--revision", "1", "--json")
    told = json.loads(conflicts(*arguments).stdout)
    assert (told["decidedBy"], told["appliedAtNextSync"]) == (getpass.getuser(), True)


def test_a_script_has_to_say_which_revision_it_has_seen(conflicts: Run, bench: Bench, grave: str) -> None:
    for extra in ((), ("--json",)):
        ended = conflicts("resolve", grave, "--strategy", "LOCAL_WINS", "--reason", "chart", *extra)
        assert ended.exit_code == 2 and "--revision" in ended.stderr and "1951" not in ended.output
    assert conflicts("approve", grave).exit_code == 2
    assert bench.conflicts()[0].decision is None


@pytest.mark.parametrize(("answer", "decided"), [("y", True), ("n", False)])
def test_in_a_terminal_the_units_are_shown_before_the_question(
    bench: Bench, home: Path, grave: str, answer: str, decided: bool
) -> None:
    command = "from holovitals_pipelines.cli.conflicts_commands import conflicts_app; conflicts_app()"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", command, "resolve", grave, "--strategy", "REMOTE_WINS", "--reason", "chart"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "HOLOVITALS_HOME": str(home), "COLUMNS": "100"},
    ) as process:
        os.close(theirs)
        said = read_until(ours, b"Decide so?")
        os.write(ours, f"{answer}\n".encode())
        said += read_until(ours, None)
        process.wait()
    os.close(ours)
    assert b"Bronchitis of 1952" in said and said.index(b"Bronchitis") < said.index(b"Decide so?")
    [conflict] = bench.conflicts()
    assert (conflict.decision is not None) is decided and (process.returncode == 0) is decided


def read_until(terminal: int, words: bytes | None) -> bytes:
    """What the terminal shows up to these words, or to its end."""
    said = b""
    while words is None or words not in said:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # Linux: the other end is closed
            break
        if not read:
            break
        said += read
    return said


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--status", "closed"),
        ("list", "--severity", "bad"),
        ("resolve", "x", "--strategy", "CUSTOM", "--reason", "r", "--revision", "1"),
        ("resolve", "x", "--strategy", "MANUAL", "--reason", "r", "--revision", "1"),
        ("resolve", "x", "--strategy", "LOCAL_WINS", "--reason", "r", "--revision", "1", "--choose", "a=local"),
        ("resolve", "x", "--strategy", "MANUAL", "--reason", "r", "--revision", "1", "--choose", "birthDate"),
        ("resolve", "x", "--strategy", "MANUAL", "--reason", "r", "--revision", "1", "--choose", "a=SECRET"),
        ("resolve", "x", "--strategy", "LOCAL_WINS", "--reason", "r", "--revision", "0"),
        ("resolve", "x", "--strategy", "LOCAL_WINS", "--revision", "1"),
        ("revert", "x"),
        ("bogus",),
    ],
)
def test_misuse_ends_with_code_2_and_a_hint(conflicts: Run, arguments: tuple[str, ...]) -> None:
    ended = conflicts(*arguments)
    assert ended.exit_code == 2 and "--help" in ended.stderr
    assert "Traceback" not in ended.output and "SECRET" not in ended.output


def test_what_is_refused_is_said_with_a_remedy_and_without_values(conflicts: Run, critical: str, grave: str) -> None:
    explained(conflicts("show", "nope"), "conflict.unknown", "nope")
    explained(conflicts("list", "--connection", "klinic"), "settings.connection_unknown", "klinic")
    explained(conflicts("reviewed", grave), "conflict.not_due")
    explained(conflicts("revert", grave, "--reason", "r"), "revert.still_open")
    explained(conflicts("approve", grave, "--revision", "1"), "conflict.needs_no_approval")
    manual = ("resolve", critical, "--strategy", "MANUAL", "--reason", "r", "--revision")
    explained(conflicts(*manual, "2", "--choose", "1=local"), "conflict.stale", "revision 1", "made on 2")
    for choices, words in (
        (("1=local",), "no choice is given for telecom"),
        (("1=local", "2=local", "telecom[phone|999].use=local"), "1 of the choices name no unit"),
        (('1=value:"1952"x', "2=local"), "birthDate is not JSON"),
    ):
        options = [part for choice in choices for part in ("--choose", choice)]
        ended = conflicts(*manual, "1", *options)
        explained(ended, "conflict.undecidable", words)
        assert not any(value in ended.output for value in (*VALUES, "999"))
    twice = conflicts(*manual, "1", "--choose", "1=local", "--choose", "birthDate=remote")
    assert twice.exit_code == 2 and "twice" in twice.stderr
    error = json.loads(conflicts("reviewed", grave, "--json").stdout)["error"]
    assert error["code"] == "conflict.not_due" and error["remedy"]


def test_an_automatic_decision_is_looked_at_or_undone(conflicts: Run, bench: Bench) -> None:
    rows = 'version: "x"\nrows:\n  - name: vendor\n    match: {severity: HIGH}\n    chain: [REMOTE_WINS]\n'
    bench.under(load_policy(rows, "policy"))
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/p1"}, "code": {"text": "Asthma"}}
    for number in (1, 2):
        record_id = bench.taken_in("Condition", f"c{number}", condition)
        edit(bench, record_id, code={"text": "Asthma of 1951"})
        bench.vendor.change("Condition", f"c{number}", code={"text": "Bronchitis of 1952"})
        bench.work()
    first, second = (one["conflictId"] for one in json.loads(conflicts("list", "--post-review", "--json").stdout))
    assert conflicts("reviewed", first).exit_code == 0
    undone = conflicts("revert", second, "--reason", "Because-Smith", "--actor", "ann")
    assert undone.exit_code == 0 and "holovitals records revert" in undone.stdout
    assert not any(value in undone.output for value in VALUES)
    bench.work()
    texts = {key[1]: json.loads(body or b"{}")["code"]["text"] for key, (_, body) in bench.vendor.held.items()}
    assert sorted(texts.values()) == ["Asthma of 1951", "Bronchitis of 1952"]
    assert json.loads(conflicts("list", "--post-review", "--json").stdout) == []
    assert "Because-Smith" in conflicts("show", second).stdout
    told = json.loads(conflicts("statistics", "--json").stdout)
    assert (told["automatic"], told["overridden"], told["reviewDue"]) == (2, 1, 0)
    assert "overridden  1 (50%)" in conflicts("statistics", "--connection", "clinic").stdout
    again = json.loads(conflicts("revert", first, "--reason", "wrong too", "--json").stdout)
    assert (again["conflictId"], again["state"]) == (first, "active")


def test_every_command_explains_itself_and_those_with_choices_by_example(conflicts: Run) -> None:
    group: Any = typer.main.get_command(conflicts_app)
    for name in group.list_commands(Context(group)):
        command = group.get_command(Context(group), name)
        first = (command.help or "").split("\n\n")[0]
        assert first.rstrip().endswith((".", ".**")) and len(first) > 30
        for option in (one for one in command.params if one.param_type_name == "option"):
            assert getattr(option, "help", None), f"{name} {option.name} is not explained"
    for name in ("list", "resolve", "approve", "revert"):
        assert f"holovitals conflicts {name}" in conflicts(name, "--help").stdout
    assert "no conflict yet" in conflicts("statistics").stdout
