"""Two commands at once on one home, and notebooks that hold the warehouse open: nobody waits, nobody loses."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from holovitals_pipelines.sandbox.process import RunningSandbox
from holovitals_pipelines.store.warehouse import open_current
from tests.end_to_end.commands import Ended, clinic, declare, start
from tests.end_to_end.conftest import EACH, PATIENTS
from tests.end_to_end.stored import counted, ids_by_type, rows

ROUNDS = 10
TYPES = ("Patient", "Observation", "Condition")
TOTAL = PATIENTS + 2 * EACH
LEFT, RIGHT = ([f"{side}{number}" for number in range(ROUNDS)] for side in ("left", "right"))


@pytest.fixture(scope="module")
def after(
    tmp_path_factory: pytest.TempPathFactory, vendor: RunningSandbox
) -> Iterator[tuple[Path, list[Ended], list[int]]]:
    """The home after both commands, what they said, and what an analyst counted in a snapshot opened at the beginning.

    Each command does ten jobs, one after the other; the jobs of the two go side by side, and each of them ends by
    publishing the warehouse.
    """
    connections = [
        clinic(name, vendor.base_urls["fhir"], *TYPES, mode="search", page_size=50) for name in [*LEFT, *RIGHT]
    ]
    home = declare(
        tmp_path_factory.mktemp("both") / "home", *connections, clinic("before", vendor.base_urls["fhir"], *TYPES)
    )
    with start(home, "sync", "before", "--json") as first:
        first.communicate(timeout=60)
    assert first.returncode == 0
    analyst = open_current(home / "warehouse")
    both = [start(home, "sync", *names, "--json") for names in (LEFT, RIGHT)]
    counts = []
    while any(process.poll() is None for process in both):
        counts.append(_jobs_in(analyst))
        try:
            both[len(counts) % 2].wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
    counts.append(_jobs_in(analyst))
    said = []
    for process in both:
        out, err = process.communicate(timeout=60)
        said.append(Ended(process.returncode, out, err))
    yield home, said, counts
    analyst.close()


def _jobs_in(warehouse: duckdb.DuckDBPyConnection) -> int:
    [(jobs,)] = warehouse.execute("select count(*) from sync_jobs").fetchall()
    return int(jobs)


def test_neither_command_ever_meets_a_locked_database(after: tuple[Path, list[Ended], list[int]]) -> None:
    _, said, _ = after
    for ended in said:
        assert ended.code == 0, ended.said
        assert "locked" not in ended.said and ended.err == ""


def test_both_commands_are_exact_in_every_round(after: tuple[Path, list[Ended], list[int]]) -> None:
    home, said, _ = after
    for ended, names in zip(said, (LEFT, RIGHT), strict=True):
        reports = ended.json()
        assert [report["connection"] for report in reports] == names
        assert {report["total"]["created"] for report in reports} == {TOTAL}
        assert {report["attempt"] for report in reports} == {1}
    for name in [*LEFT, *RIGHT]:
        counts = {kind: one["count"] for kind, one in ids_by_type(home, name).items()}
        assert counts == {"Patient": PATIENTS, "Observation": EACH, "Condition": EACH}
    assert counted(home, "record") == TOTAL * (2 * ROUNDS + 1)


def test_the_two_commands_really_worked_at_the_same_time(after: tuple[Path, list[Ended], list[int]]) -> None:
    home, _, _ = after
    spans = rows(
        home,
        "select substr(connection, 1, 4), started_at, finished_at from sync_job where connection <> 'before'",
    )
    left = [span for span in spans if span[0] == "left"]
    right = [span for span in spans if span[0] == "righ"]
    overlapping = [(a, b) for a in left for b in right if a[1] < b[2] and b[1] < a[2]]
    assert len(overlapping) >= ROUNDS // 2


def test_a_snapshot_that_is_held_open_stays_as_it_was_and_blocks_no_publishing(
    after: tuple[Path, list[Ended], list[int]],
) -> None:
    home, _, counts = after
    assert set(counts) == {1} and len(counts) > 3, "every question was answered from the snapshot that was opened"
    with open_current(home / "warehouse") as newest:
        assert _jobs_in(newest) == 2 * ROUNDS + 1
