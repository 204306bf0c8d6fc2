"""The demo as a newcomer runs it: once, again in the same home, and in a home where what it tells is not so.

Four of its eight vendors here, one of each kind: FHIR with versions, FHIR without, messages, an interface of its own;
all of them with `--long`, and in `make demo`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from holovitals_pipelines.cli.demo.declared import VENDORS
from holovitals_pipelines.cli.demo.scenes import WITHOUT_FHIR
from tests.end_to_end.commands import Ended, holovitals, start
from tests.end_to_end.stored import rows
from tests.local_http import LOCAL

pytestmark = [pytest.mark.timeout(1500), pytest.mark.long(by_examples=True)]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SHORT = ("epic", "fhir", "meditech", "nextgen")

SCENES = {
    ("epic", "edit_there"),
    ("epic", "edit_here_without_guard"),
    ("epic", "edit_that_cannot_be_written"),
    ("fhir", "edit_there"),
    ("fhir", "edit_here"),
    ("fhir", "edits_that_meet"),
    ("fhir", "contradiction_for_the_policy"),
    ("fhir", "contradiction_for_people"),
    ("fhir", "update_meets_delete"),
    ("fhir", "undone"),
    ("fhir", "delete_there"),
    ("fhir", "told_by_webhook"),
    ("fhir", "forged_webhook"),
    ("cerner", "edit_there"),
    ("cerner", "edit_here"),
    ("eclinicalworks", "edit_there"),
    ("eclinicalworks", "edit_here_in_its_own_form"),
    *((vendor, "edit_there_in_its_own_form") for vendor in WITHOUT_FHIR),
    *((vendor, "edit_here_in_its_own_form") for vendor in WITHOUT_FHIR),
}
PEOPLE_DECIDE = """
version: "test-1"
rows:
  - name: ask-somebody
    match: {resource_type: Patient, unit: maritalStatus}
    chain: [MANUAL]
"""
LEFT_TO_PEOPLE = {"contradiction_for_the_policy", "undone"}
"""With this policy the story of an automatic decision is not so."""


@dataclass(frozen=True)
class Demos:
    """Two demos in one home: told to a person, and told in JSON under a policy that contradicts the story."""

    home: Path
    vendors: tuple[str, ...]
    first: Ended
    conflicts_after_first: list[tuple[Any, ...]]
    second: Ended


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Demos]:
    home = tmp_path_factory.mktemp("demo") / "home"
    command = ("demo", "--patients", "12")
    vendors = VENDORS if pytestconfig.getoption("--long") else SHORT
    chosen = () if vendors == VENDORS else tuple(part for vendor in vendors for part in ("--provider", vendor))
    first = holovitals(home, *command, *chosen, timeout=500)
    conflicts = rows(home, "select conflict_id, severity, status, revision from sync_conflict order by detected_at")
    (home / "policy.yml").write_text(PEOPLE_DECIDE, encoding="utf-8")
    # A vendor is enough, and half the time.
    second = holovitals(home, *command, "--json", "--provider", "fhir", timeout=500)
    (home / "policy.yml").unlink()
    yield Demos(home, vendors, first, conflicts, second)


def scenes_of(*vendors: str) -> set[tuple[str, str]]:
    return {scene for scene in SCENES if scene[0] in vendors}


def story(ended: Ended) -> dict[tuple[str, str], dict[str, Any]]:
    return {(line["connection"], line["scene"]): line for line in ended.json()["story"]}


def test_it_ends_well_and_tells_every_line_of_its_story(demos: Demos) -> None:
    assert demos.first.code == 0, demos.first.said
    assert "✗" not in demos.first.said and demos.first.out.count("    → ") == len(scenes_of(*demos.vendors))
    for told in (
        "severity MEDIUM, decided by policy row default (REMOTE_WINS)",
        "severity CRITICAL: waits for two people",
        "a standing difference, listed as read only",
        "created there again, under a new id",
        "and nothing else was read: version",
        "refused with 401 before anything of it was kept",
        "0 writes in the vendor's request log",
        "patients are equal at both stores",
        "linked records are equal at both stores (held conflicts: 1)",
        "linked records are equal at both stores (standing differences: 1)",
        "signed heads verified; every record is what the log says",
    ):
        assert told in demos.first.out, told


def test_the_commands_it_names_can_be_run(demos: Demos) -> None:
    named = re.findall(r"look: holovitals (.+)", demos.first.out)
    assert {line.split()[0] for line in named} == {"standing", "conflicts", "audit", "records", "webhooks"}
    for line in named:
        ended = holovitals(demos.home, *line.split())
        assert ended.code == 0, ended.said


def test_what_it_tells_is_in_the_store(demos: Demos) -> None:
    found = sorted((severity, status) for _, severity, status, _ in demos.conflicts_after_first)
    assert found == [
        ("CRITICAL", "PENDING_REVIEW"),  # birthDate
        ("HIGH", "RESOLVED"),  # an update met a delete
        ("LOW", "RESOLVED"),  # a clean merge
        ("MEDIUM", "RESOLVED"),  # maritalStatus
    ]
    assert rows(demos.home, "select distinct connection, resource_type from standing_difference") == [
        ("epic", "Condition")
    ]
    assert rows(demos.home, "select count(*) from outbox where state not in ('done', 'superseded')") == [(0,)]


def test_in_the_same_home_it_is_told_again_by_vendors_that_remember(demos: Demos) -> None:
    lines = story(demos.second)
    assert all(line["holds"] for (_, scene), line in lines.items() if scene not in LEFT_TO_PEOPLE)
    assert set(lines) == scenes_of("fhir")
    before, after = lines["fhir", "edit_here"]["facts"]["versionThere"]
    assert (int(before), int(after)) == (2, 3), "the first demo had written version 2"
    [waiting] = [row for row in demos.conflicts_after_first if row[1] == "CRITICAL"]
    facts = lines["fhir", "contradiction_for_people"]["facts"]
    assert (facts["conflict"], facts["revision"]) == (waiting[0], 2), "it still waits, on the newer values"


def test_both_stores_are_compared_and_the_last_pass_writes_nothing(demos: Demos) -> None:
    told = demos.second.json()
    [side] = told["bothStores"]
    assert side["linked"] == side["equal"] + 2 > 500
    assert (side["standing"], side["held"], side["apart"], side["only_there"]) == (0, 2, 0, 0)
    assert told["writesOfLastPass"] == {"fhir": 0}
    [report] = told["passes"][-1]["reports"]
    assert report["total"]["extracted"] == report["total"]["unchanged"] == side["linked"]
    assert told["audit"]["findings"] == 0 and told["audit"]["entries"] > 1000 and told["audit"]["heads"] >= 5


def test_the_exit_code_tells_when_a_line_of_the_story_is_not_so(demos: Demos) -> None:
    """A policy file of one's own leaves to people what the story has the policy decide."""
    assert demos.first.code == 0 and demos.second.code == 1
    told = demos.second.json()
    assert {line["scene"] for line in told["story"] if not line["holds"]} == LEFT_TO_PEOPLE
    assert told["complaints"][0].startswith("fhir: a patient's maritalStatus is changed on both sides")
    assert told["bothStores"][0]["apart"] == 0, "a held conflict is excused; the story was wrong, not the stores"


def test_it_says_nothing_of_the_patients(demos: Demos) -> None:
    query = "select d.body from record r join document d using (document_hash) where r.resource_type = 'Patient'"
    from holovitals_pipelines.store.documents import unpack

    people = [json.loads(unpack(body)) for (body,) in rows(demos.home, query)]
    said = demos.first.said + demos.second.said
    values = {person["birthDate"] for person in people} | {person["name"][0]["family"] for person in people}
    values |= {person["id"] for person in people} | {person.get("maritalStatus", {}).get("text") for person in people}
    assert len(people) > 10
    assert [value for value in values if value and len(value) > 4 and value in said] == []


def test_the_vendors_can_be_started_again_as_the_demo_left_them(demos: Demos) -> None:
    serving = start(demos.home, "sandbox", "--demo", "--port", "0")
    try:
        assert serving.stdout is not None
        base = next(line.split()[1] for line in serving.stdout if line.startswith("fhir: "))
        declared = yaml.safe_load((demos.home / "connections.yaml").read_text(encoding="utf-8"))
        assert base in {connection["base_url"] for connection in declared["connections"]}
        [(identity,)] = rows(
            demos.home, "select remote_id from link where resource_type = 'Patient' and connection = 'fhir' limit 1"
        )
        behind = f"{base.removesuffix('/fhir/r4')}/_sandbox/fhir/Patient/{identity}"
        assert LOCAL.get(behind).json()["id"] == identity

        reached = holovitals(demos.home, "connections", "test", "fhir")
        assert reached.code == 0 and "create, update, delete" in reached.out
        synced = holovitals(demos.home, "sync", *demos.vendors, "--json")
        assert synced.code == 0, synced.err
        assert sum(report["total"]["updated"] + report["total"]["pushed"] for report in synced.json()) == 0

        busy = holovitals(demos.home, "demo", "--patients", "12", "--json")
        assert (busy.code, busy.json()["error"]["code"]) == (1, "sandbox.journal_in_use")
    finally:
        serving.send_signal(signal.SIGINT)
        serving.wait(timeout=30)


def test_a_home_is_not_told_the_story_of_another_population(demos: Demos) -> None:
    other = holovitals(demos.home, "demo", "--patients", "13", "--json")
    assert (other.code, other.json()["error"]["code"]) == (1, "demo.another_population")


@pytest.mark.long
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_in_under_a_minute_on_the_home_of_the_demo(demos: Demos, path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    environment = {"HOLOVITALS_HOME": str(demos.home), "PYTHONPATH": str(NOTEBOOKS.parent), "IPYTHONDIR": str(tmp_path)}
    began = time.monotonic()
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute(env={**os.environ, **environment})
    assert time.monotonic() - began < 60
    said = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert said and {output.output_type for output in said} == {"execute_result"}, "no errors, nothing on stderr"
    assert "run «holovitals demo»" not in json.dumps([output.data for output in said], ensure_ascii=False)
