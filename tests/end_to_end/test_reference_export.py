"""A whole export through the demo command: exact, repeatable, and the same after a kill half-way.

On a small export; on the reference export of 38,483 resources with `--long`, as `make proof` runs it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.commands import Ended, holovitals, start
from tests.end_to_end.resources import write_clinic
from tests.end_to_end.stored import counted, ids_by_type, operational, rows

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "data" / "fhir-bulk-100" / "all.ndjson.gz"


@dataclass(frozen=True)
class Story:
    """The demo run three times on one home: killed half-way, started again, and run once more."""

    home: Path
    expected: dict[str, Any]
    records_at_kill: int
    stages_at_kill: dict[str, int]
    second: Ended
    third: Ended | None
    """On the small export: once is enough."""

    @property
    def total(self) -> int:
        return int(self.expected["total"])


@pytest.fixture(
    scope="module",
    params=[
        "a small export, killed while extracting",
        pytest.param("38,483 resources, killed while reconciling", marks=pytest.mark.long),
    ],
)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("export")
    if request.param.startswith("a small"):
        data, stage, settings = write_clinic(folder / "data", patients=60, each=100), "extract", {}
        # Small batches, so that the extract becomes visible in many steps.
        settings = {"HOLOVITALS_BATCH_ROWS": "100"}
        expected = json.loads((data / "expected.json").read_text())
    else:
        if not REFERENCE.exists():
            pytest.skip("the reference export is not at ../shared/data/fhir-bulk-100; the small export shows the same")
        data, stage, settings = REFERENCE, "reconcile", {}
        expected = json.loads((REFERENCE.parent / "expected.json").read_text())
    home = folder / "home"
    killed = start(home, "demo", "--data", str(data), "--json", **settings)
    with killed:
        records, stages = _kill_half_way(killed, home, stage, expected)
    command = ("demo", "--data", str(data), "--json")
    second = holovitals(home, *command, timeout=240, **settings)
    third = None if data == REFERENCE else holovitals(home, *command, timeout=240, **settings)
    yield Story(home, expected, records, stages, second, third)


def _kill_half_way(
    process: subprocess.Popen[str], home: Path, stage: str, expected: dict[str, Any]
) -> tuple[int, dict[str, int]]:
    """Kill the command once a part of the stage is visible; looks and kills between two of its commits."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            _, err = process.communicate()
            raise AssertionError(f"the command ended before it could be killed:\n{err}")
        if (home / "operational.sqlite").exists() and (seen := _progress(home, stage, expected)) is not None:
            sandbox = _children(process.pid)
            assert sandbox, "the simulated vendor runs as a child"
            with operational(home) as lock:
                lock.execute("begin immediate")  # the command cannot commit while we look
                seen = _progress(home, stage, expected)
                if seen is None:
                    continue
                if stage == "extract":
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()  # the leader alone: its child has to notice by itself
                process.wait()
            _await_end(sandbox)
            return seen
        time.sleep(0.002)
    raise AssertionError(f"the command never came half-way through {stage}")


def _progress(home: Path, stage: str, expected: dict[str, Any]) -> tuple[int, dict[str, int]] | None:
    """(records, finished types by stage) when the stage is under way and neither begun nor over; None otherwise."""
    with operational(home) as connection:
        if not connection.execute("select 1 from sqlite_master where name = 'sync_stage'").fetchone():
            return None
        finished = dict(
            connection.execute("select stage, count(*) from sync_stage where state = 'done' group by stage").fetchall()
        )
        [(records,)] = connection.execute("select count(*) from record").fetchall()
    under_way = (
        1 <= finished.get("extract", 0) < len(expected["types"])
        if stage == "extract"
        else expected["total"] // 10 < records < expected["total"]
    )
    return (records, finished) if under_way else None


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def _await_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "the simulated vendor outlived the command that started it"
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_kill_came_half_way(story: Story) -> None:
    types = len(story.expected["types"])
    done = story.stages_at_kill
    assert 0 < done.get("extract", 0) < types or 0 < done.get("reconcile", 0) < types
    assert story.records_at_kill < story.total


def test_started_again_the_command_finishes_the_killed_job_on_its_second_attempt(story: Story) -> None:
    assert story.second.code == 0, story.second.err
    first, again = story.second.json()["passes"]
    [resumed] = first["reports"]
    assert (resumed["status"], resumed["attempt"]) == ("COMPLETED", 2)
    total = resumed["total"]
    assert total["created"] == story.total
    # What was landed of a type that was not finished when the kill came is read once more, and counted.
    assert total["extracted"] == total["created"] + total["unchanged"] + total["duplicates"] + total["superseded"]
    [unchanged] = again["reports"]
    assert (unchanged["attempt"], unchanged["total"]["unchanged"]) == (1, story.total)
    assert story.second.json()["complaints"] == []


def test_every_resource_has_come_in_through_http_once_and_no_other(story: Story) -> None:
    wanted = {name: {key: one[key] for key in ("count", "ids_sha256")} for name, one in story.expected["types"].items()}
    assert ids_by_type(story.home, "fhir") == wanted
    assert counted(story.home, "record") == counted(story.home, "link") == counted(story.home, "shadow") == story.total
    [(distinct,)] = rows(story.home, "select count(distinct record_id) from link")
    assert distinct == story.total
    assert counted(story.home, "record_version") == counted(story.home, "quarantine") == 0
    assert "counts per type and ids equal" in story.second.err


def test_a_second_run_of_the_command_reports_everything_unchanged(story: Story) -> None:
    if story.third is None:
        pytest.skip("shown on the small export")
    assert story.third.code == 0, story.third.err
    for one in story.third.json()["passes"]:
        [report] = one["reports"]
        total = report["total"]
        assert total["extracted"] == total["unchanged"] == story.total
        assert total["created"] == total["updated"] == total["conflicts"] == total["absent"] == 0
    statuses = rows(story.home, "select status, attempt from sync_job order by created_at")
    assert statuses == [("COMPLETED", 2), *[("COMPLETED", 1)] * 3], "one job a pass, and the killed one is among them"
