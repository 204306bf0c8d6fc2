"""Real processes, really killed: nothing is lost, nothing is done twice, and the numbers come out the same.

More moments of death, and more deaths of one job, with `--long`, as `make proof` runs it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.tables import landing_part, link, record, shadow, sync_job, sync_job_event
from tests.engine.conftest import Vendor, observation, patient

PATIENTS, OBSERVATIONS = 330, 420


@pytest.fixture
def full_vendor(vendor: Vendor) -> Vendor:
    vendor.holds("Patient", [patient(n) for n in range(PATIENTS)])
    vendor.holds("Observation", [observation(n) for n in range(OBSERVATIONS)])
    return vendor


def worker(settings: Settings, vendor: Vendor, *kill: str) -> subprocess.Popen[str]:
    environment = os.environ | {"HOLOVITALS_DATABASE_URL": settings.resolved_database_url}
    command = [sys.executable, "-m", "tests.engine.killed_worker", str(settings.home), str(vendor.folder), *kill]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(settings: Settings, vendor: Vendor) -> dict[str, object]:
    process = worker(settings, vendor)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    report: dict[str, object] = json.loads(out)
    return report


def counts(settings: Settings) -> dict[str, int]:
    with open_home(settings) as home, home.database.read() as transaction:
        return {
            table.name: transaction.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (record, link, shadow, sync_job)
        }


SQLITE_ONLY = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    ("database_url", "stage", "event"),
    [
        ("sqlite", "extract", "1"),
        pytest.param("sqlite", "extract", "6", marks=pytest.mark.long),
        ("sqlite", "transform", "4"),
        ("sqlite", "reconcile", "1"),
        pytest.param("sqlite", "reconcile", "7", marks=pytest.mark.long),
        ("postgresql", "extract", "4"),
        ("postgresql", "reconcile", "4"),
    ],
    indirect=["database_url"],
)
def test_a_job_killed_at_any_stage_goes_on_and_reports_as_if_nothing_had_happened(
    settings: Settings, full_vendor: Vendor, stage: str, event: str
) -> None:
    killed = worker(settings, full_vendor, stage, event)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL

    report = finish(settings, full_vendor)

    total = report["total"]
    assert isinstance(total, dict)
    assert (total["extracted"], total["created"]) == (PATIENTS + OBSERVATIONS, PATIENTS + OBSERVATIONS)
    assert (total["unchanged"], total["conflicts"], total["quarantined"], total["duplicates"]) == (0, 0, 0, 0)
    assert report["attempt"] == 2
    assert counts(settings) == {"record": 750, "link": 750, "shadow": 750, "sync_job": 1}


@SQLITE_ONLY
@pytest.mark.parametrize("times", [3, pytest.param(12, marks=pytest.mark.long)])
def test_a_job_killed_again_and_again_at_random_moments_ends_exact(
    settings: Settings, full_vendor: Vendor, times: int
) -> None:
    chance = random.Random(20261122)
    kills = 0
    for _ in range(times):
        process = worker(settings, full_vendor)
        deadline = time.monotonic() + 0.6 + chance.random() * 1.5
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate(timeout=60)

    finish(settings, full_vendor)

    assert kills > 0
    assert counts(settings) | {"sync_job": 0} == {"record": 750, "link": 750, "shadow": 750, "sync_job": 0}
    with open_home(settings) as home, home.database.read() as transaction:
        visible = {row.path: row.rows for row in transaction.execute(sa.select(landing_part))}
        events = transaction.execute(sa.select(sa.func.count()).select_from(sync_job_event)).scalar_one()
        for path, rows in visible.items():
            assert sum(batch.num_rows for batch in home.landing.open_parts([path])) == rows
    assert events > 0


@SQLITE_ONLY
def test_a_connection_that_is_being_synced_refuses_a_second_job_with_a_sentence(
    settings: Settings, full_vendor: Vendor
) -> None:
    first = worker(settings, full_vendor, "extract", "1", "SIGSTOP")
    try:
        _, status = os.waitpid(first.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        second = worker(settings, full_vendor)
        _, said = second.communicate(timeout=60)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    first.communicate(timeout=60)

    assert second.returncode != 0 and "JobBusyError" in said and "clinic" in said
    assert counts(settings)["record"] == 750
