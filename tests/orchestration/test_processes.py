"""Runs in processes of their own: side by side, cancelled, killed; and what they leave in files and on terminals."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.model.vocabulary import JobStatus
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.tables import outbox, quarantine, record, sync_conflict
from holovitals_pipelines.store.warehouse import open_current
from tests.orchestration.installation import Installation, files_with
from tests.orchestration.test_failures import execute, look_at_ended_runs
from tests.orchestration.vendor import Vendor, observation, patient
from tests.orchestration.worker import materialize, started

FAMILY, IDENTITY = "Zzyzxcanary", "canary-4711-zzyzx"
HELD, REFUSED = patient(IDENTITY, FAMILY), {**observation(f"o-{IDENTITY}", IDENTITY), "note": [{"text": FAMILY}]}
del REFUSED["status"]


@dataclass(frozen=True)
class SideBySide:
    installation: Installation
    returned: dict[str, int]
    said: dict[str, str]


@pytest.fixture(scope="module")
def side_by_side(
    vendor: Vendor,
    prepare_home: Callable[[Path], Settings],
    definitions: dg.Definitions,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SideBySide]:
    """Two connections synced by two processes at once, with a notebook holding the warehouse open all the while.

    The vendor has a patient of an unmistakable name, a resource about her that cannot be accepted, and a change of hers
    that meets a change made here, which `clinic` may be told of.
    """
    folder = tmp_path_factory.mktemp("side-by-side")
    settings = prepare_home(folder / "home")
    prepare_dagster_home(settings.dagster_home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLOVITALS_HOME", str(settings.root))
        patch.setenv("DAGSTER_HOME", str(settings.dagster_home))
        with dg.DagsterInstance.get() as instance:
            installation = Installation(settings, instance, definitions)
            installation.declare("clinic", "write", enabled=True)
            vendor.put(HELD)
            vendor.put(REFUSED)
            try:
                installation.run("clinic", *(f"{layer}/Patient" for layer in ("extract", "records", "conflicts")))
                installation.edit("Patient", IDENTITY, name=[{"family": FAMILY, "given": ["Eve"]}])
                with installation.open() as home:
                    publish_statistics(home)
                vendor.put({**HELD, "gender": "other"})
                yield _run_both(installation, folder)
            finally:
                vendor.delete("Observation", REFUSED["id"])
                vendor.delete("Patient", IDENTITY)


def _run_both(installation: Installation, folder: Path) -> SideBySide:
    settings = installation.settings
    with open_current(settings.warehouse_folder) as notebook:
        before = notebook.execute("select count(*) from sync_statistics").fetchall()
        logs = {name: folder / f"{name}.log" for name in ("clinic", "ward")}
        with (
            logs["clinic"].open("w") as one,
            logs["ward"].open("w") as other,
            started(materialize("clinic"), settings, one) as clinic,
            started(materialize("ward"), settings, other) as ward,
        ):
            returned = {"clinic": clinic.wait(timeout=120), "ward": ward.wait(timeout=120)}
        said = {name: log.read_text(encoding="utf-8") for name, log in logs.items()}
        assert notebook.execute("select count(*) from sync_statistics").fetchall() == before
    return SideBySide(installation, returned, said)


def test_two_runs_and_an_open_notebook_never_meet_a_locked_database(side_by_side: SideBySide) -> None:
    assert side_by_side.returned == {"clinic": 0, "ward": 0}, side_by_side.said
    for said in side_by_side.said.values():
        assert "locked" not in said and "Could not set lock" not in said
    for connection in ("clinic", "ward"):
        assert side_by_side.installation.jobs(connection)[0].status is JobStatus.COMPLETED
    with open_current(side_by_side.installation.settings.warehouse_folder) as warehouse:
        shown = {row[0] for row in warehouse.execute("select distinct connection from sync_statistics").fetchall()}
    assert shown == {"clinic", "ward"}


def test_a_patients_name_and_id_reach_no_event_log_no_metadata_and_no_terminal(side_by_side: SideBySide) -> None:
    installation = side_by_side.installation
    assert installation.count(record, record.c.resource_type == "Patient") > 0
    assert installation.count(quarantine) == 2, "she has a resource in quarantine at either connection"
    assert installation.count(sync_conflict) == 1, "and a conflict at one"
    assert installation.count(outbox, outbox.c.state == "done") == 1, "that was merged, and written back"
    assert files_with(IDENTITY.encode(), installation.folder), "her id is in the operational store"
    assert files_with(b"sync_clinic", installation.settings.dagster_home), "and what Dagster keeps can be searched"

    for canary in (FAMILY, IDENTITY):
        assert files_with(canary.encode(), installation.settings.dagster_home) == []
        assert files_with(canary.encode(), installation.settings.warehouse_folder) == []
        assert all(canary not in said for said in side_by_side.said.values())
    for run in installation.instance.get_runs():
        assert FAMILY not in str(run.tags) and IDENTITY not in str(run.tags)


def test_terminating_a_run_cancels_its_job(installation_on_disk: Installation, vendor: Vendor, tmp_path: Path) -> None:
    installation = installation_on_disk
    with reading_for_ever(installation, vendor, tmp_path) as process:
        [run] = installation.instance.get_runs()
        installation.instance.report_run_canceling(run)  # the run launcher's way: say so, then interrupt
        os.kill(process.pid, signal.SIGINT)
        process.wait(timeout=60)

    [run] = installation.instance.get_runs()
    [job] = installation.jobs()
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert (job.status, job.error_code) == (JobStatus.CANCELLED, "job.cancelled")
    again = dg.ReexecutionOptions.from_failure(run.run_id, installation.instance)
    with execute(installation, again) as result:
        assert result.success
    assert [job.status for job in installation.jobs()] == [JobStatus.COMPLETED, JobStatus.CANCELLED]


def test_a_killed_run_leaves_its_job_to_the_retry_and_fails_it_when_there_is_none(
    installation_on_disk: Installation, vendor: Vendor, tmp_path: Path
) -> None:
    installation = installation_on_disk
    with reading_for_ever(installation, vendor, tmp_path) as process:
        process.kill()
        process.wait(timeout=60)
    [run] = installation.instance.get_runs()
    installation.instance.report_run_failed(run)  # as the daemon's run monitoring does

    def look() -> tuple[JobStatus, str | None]:
        [run] = installation.instance.get_runs()
        look_at_ended_runs(installation, "failed_runs", run, "PIPELINE_FAILURE")
        [job] = installation.jobs()
        return job.status, job.error_code

    assert look() == (JobStatus.PROCESSING, None), "Dagster is about to run it again"
    installation.instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})
    assert look() == (JobStatus.FAILED, "job.run_died")
    assert installation.run("clinic").success, "and it is in nobody's way"


@contextmanager
def reading_for_ever(installation: Installation, vendor: Vendor, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own whose vendor does not answer the second search."""
    vendor.forget_requests()
    with (
        (folder / "said.log").open("w") as log,
        vendor.fault(kind="latency", seconds=60, path="Condition"),
        started(materialize("clinic"), installation.settings, log) as process,
    ):
        until(lambda: any("Condition" in request["path"] for request in vendor.requests()) or process.poll())
        yield process


def until(done: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)
