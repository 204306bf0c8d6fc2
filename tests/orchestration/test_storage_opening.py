"""Dagster's history in a new home, opened by several processes at once, as `holovitals up` does it."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

from dagster import DagsterInstance

from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home

AT_ONCE = 3


def open_at_once(folder: Path, together: Barrier) -> None:
    together.wait(30)
    os.environ["DAGSTER_HOME"] = str(folder)  # this process ends with the function
    with DagsterInstance.get() as instance:
        assert instance.get_runs_count() == 0


def test_several_processes_create_the_history_of_a_new_home_together(tmp_path: Path) -> None:
    forked = multiprocessing.get_context("fork")
    folder, together = prepare_dagster_home(tmp_path / "dagster"), forked.Barrier(AT_ONCE)
    opening = [forked.Process(target=open_at_once, args=(folder, together)) for _ in range(AT_ONCE)]
    for one in opening:
        one.start()
    for one in opening:
        one.join(60)
    assert [one.exitcode for one in opening] == [0] * AT_ONCE
