"""The warm worker: jobs of the queue as Dagster runs, side by side, told to stop, killed, and its sign of life."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest

from holovitals_pipelines.engine.connection_files import put_connection
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.job_queue import cancel, submit
from holovitals_pipelines.engine.worker_heartbeat import live_workers, unserved
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.orchestration.launch.processes import work_off
from holovitals_pipelines.orchestration.launch.warm import WarmLane
from holovitals_pipelines.settings import Settings, load_connections
from holovitals_pipelines.store.jobs import get_job
from tests.engine.webhooks.senders import sender
from tests.orchestration.installation import Installation
from tests.orchestration.test_processes import until
from tests.orchestration.vendor import Vendor
from tests.orchestration.worker import PROJECT, environment, executable


def put_in_queue(installation: Installation, patient: str, connection: str = "clinic") -> str:
    request = SyncRequest(connection, JobType.PATIENT_SYNC, patients=(patient,))
    with installation.open() as home:
        return submit(home, request, requested_by="a test").job_id


def status_of(installation: Installation, job_id: str) -> JobStatus:
    with installation.open() as home, home.database.read() as transaction:
        return get_job(transaction, job_id).status


@contextmanager
def worker(settings: Settings, said: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`holovitals worker --json`, ready."""
    with said.open("w") as output:
        process = subprocess.Popen(
            [executable("holovitals"), "worker", "--json"],
            cwd=PROJECT, env=environment(settings) | variables, stdout=output, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            until(lambda: '"ready"' in said.read_text() or process.poll() is not None)
            assert process.poll() is None, said.read_text()
            yield process
        finally:
            children = psutil.Process(process.pid).children() if process.poll() is None else []
            for one in (*children, process):
                one.kill()
            process.wait()


def test_what_waits_is_done_as_dagster_runs_that_carry_the_job_and_no_patient(
    installation_on_disk: Installation,
) -> None:
    installation = installation_on_disk
    jobs = [put_in_queue(installation, "p1"), put_in_queue(installation, "p2", "ward")]

    assert work_off(installation.settings, ()) == 2

    runs = {run.tags["holovitals/job_id"]: run for run in installation.instance.get_runs()}
    assert set(runs) == set(jobs)
    for job_id, run in runs.items():
        assert status_of(installation, job_id) is JobStatus.COMPLETED
        assert (
            run.status is dg.DagsterRunStatus.SUCCESS and run.job_name == f"queued_{run.tags['holovitals/connection']}"
        )
        assert (run.tags["holovitals/type"], run.tags["holovitals/priority"]) == ("PATIENT_SYNC", "NORMAL")
        assert installation.job_of(run.run_id).run_id == run.run_id
        assert "p1" not in str(run.run_config) and "p2" not in str(run.tags)
    touched = installation.instance.get_latest_materialization_event(dg.AssetKey(["clinic", "records", "Observation"]))
    assert touched is not None and touched.run_id == runs[jobs[0]].run_id
    assert work_off(installation.settings, ()) == 0, "and each of them once"


def test_only_jobs_of_its_own_connections_are_taken(installation_on_disk: Installation) -> None:
    job_id = put_in_queue(installation_on_disk, "p1")
    assert work_off(installation_on_disk.settings, ["ward"]) == 0
    assert status_of(installation_on_disk, job_id) is JobStatus.PENDING


def test_it_says_that_it_lives_works_when_something_comes_and_ends_with_its_job_done(
    installation_on_disk: Installation, tmp_path: Path
) -> None:
    installation = installation_on_disk
    with worker(installation.settings, tmp_path / "said") as process:
        [alive] = live_workers(installation.settings)
        assert json.loads((tmp_path / "said").read_text().splitlines()[0])["ready"]["worker"] == alive.name
        assert unserved(installation.settings, ["clinic", "ward"]) == []
        job_id = put_in_queue(installation, "p1")
        until(lambda: status_of(installation, job_id) is not JobStatus.PENDING)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, (tmp_path / "said").read_text()
        assert status_of(installation, job_id) is JobStatus.COMPLETED
    assert live_workers(installation.settings) == []
    assert unserved(installation.settings, ["clinic"]) == ["clinic"]


def test_a_killed_process_is_replaced_and_its_job_done_from_where_it_stood(
    installation_on_disk: Installation, vendor: Vendor, tmp_path: Path
) -> None:
    installation = installation_on_disk
    with worker(installation.settings, tmp_path / "said", HOLOVITALS_WORKER_PARALLEL="1") as process:
        with vendor.fault(kind="latency", seconds=60, path="Condition"):
            job_id = put_in_queue(installation, "p1")
            vendor.forget_requests()
            until(lambda: any("Condition" in request["path"] for request in vendor.requests()))
            [child] = psutil.Process(process.pid).children()
            child.kill()
        until(lambda: status_of(installation, job_id) is JobStatus.COMPLETED)
        assert process.poll() is None
        until(lambda: all(run.is_finished for run in installation.instance.get_runs()))
    statuses = sorted(run.status.value for run in installation.instance.get_runs())
    assert statuses == ["FAILURE", "SUCCESS"], "the lost run is found as well"
    [job] = installation.jobs()
    assert job.attempt == 2


def test_told_to_stop_it_hands_back_what_takes_too_long(
    installation_on_disk: Installation, vendor: Vendor, tmp_path: Path
) -> None:
    installation = installation_on_disk
    with (
        vendor.fault(kind="latency", seconds=60, path="Condition"),
        worker(installation.settings, tmp_path / "said", HOLOVITALS_WORKER_GRACE_SECONDS="0.5") as process,
    ):
        vendor.forget_requests()
        job_id = put_in_queue(installation, "p1")
        until(lambda: any("Condition" in request["path"] for request in vendor.requests()))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0, (tmp_path / "said").read_text()
    [job] = installation.jobs()
    assert (job.status in (JobStatus.RETRYING, JobStatus.QUEUED), job.owner, job.dispatched_to) == (True, None, None)
    assert [run.status for run in installation.instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]
    assert work_off(installation.settings, ()) == 1
    assert status_of(installation, job_id) is JobStatus.COMPLETED


def test_a_cancelled_job_cancels_its_run_and_a_terminated_run_its_job(
    installation_on_disk: Installation, vendor: Vendor, tmp_path: Path
) -> None:
    installation = installation_on_disk
    with worker(installation.settings, tmp_path / "said") as process:
        with vendor.fault(kind="latency", seconds=2, path="Condition"):
            by_job = put_in_queue(installation, "p1")
            until(lambda: status_of(installation, by_job) is JobStatus.PROCESSING)
            with installation.open() as home:
                cancel(home, by_job, "dr")
            until(lambda: status_of(installation, by_job) is JobStatus.CANCELLED)
        with vendor.fault(kind="latency", seconds=60, path="Condition"):
            vendor.forget_requests()
            by_run = put_in_queue(installation, "p2", "ward")
            until(lambda: any("Condition" in request["path"] for request in vendor.requests()))
            run = next(one for one in installation.instance.get_runs() if one.tags["holovitals/job_id"] == by_run)
            assert installation.instance.run_launcher.terminate(run.run_id)
            until(lambda: status_of(installation, by_run) is JobStatus.CANCELLED)
        assert process.poll() is None, "the worker goes on"
        until(lambda: all(run.is_finished for run in installation.instance.get_runs()))
        again = put_in_queue(installation, "p3", "ward")
        until(lambda: status_of(installation, again) is JobStatus.COMPLETED)
    ended = {run.tags["holovitals/job_id"]: run.status for run in installation.instance.get_runs()}
    assert (ended[by_job], ended[by_run]) == (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.CANCELED)


def test_it_costs_next_to_nothing_while_nothing_comes(installation_on_disk: Installation, tmp_path: Path) -> None:
    with worker(installation_on_disk.settings, tmp_path / "said") as process:
        everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]

        def spent() -> float:
            return sum(sum(one.cpu_times()[:2]) for one in everyone)

        before, began = spent(), time.monotonic()
        until(lambda: time.monotonic() - began >= 4)
        share = (spent() - before) / (time.monotonic() - began)
    assert share < 0.05, f"{share:.1%} of a core, for three processes"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are told apart by /proc")
def test_a_sign_of_life_of_a_dead_process_is_none(tmp_path: Path) -> None:
    from holovitals_pipelines.engine.worker import name_of_process
    from holovitals_pipelines.engine.worker_heartbeat import Heartbeat

    settings = Settings(home=tmp_path)
    sleeper = subprocess.Popen(["sleep", "60"])
    Heartbeat(settings, name_of_process(sleeper.pid), ["clinic"]).beat()
    assert [one.connections for one in live_workers(settings)] == [("clinic",)]
    sleeper.kill()
    sleeper.wait()
    assert live_workers(settings) == []
    stale = Heartbeat(settings, name_of_process(os.getpid()))
    stale.beat()
    [file] = [one for one in (tmp_path / "workers").iterdir() if str(os.getpid()) in one.name]
    os.utime(file, (0, 0))
    assert live_workers(settings) == []


def test_a_worker_of_one_connection_leaves_the_events_of_another_whole(installation_on_disk: Installation) -> None:
    with installation_on_disk.open() as home:
        clinic = sender(home)
        clinic.deliver({"id": "e1", "type": "PATIENT_UPDATED", "patientId": "p1"})
        work_off(installation_on_disk.settings, ["ward"])
        assert clinic.statuses() == {"e1": "PROCESSING"}, "in the queue, for a worker that serves its connection"
        work_off(installation_on_disk.settings, ())
        assert clinic.statuses() == {"e1": "COMPLETED"}


def test_a_connection_declared_while_the_worker_is_at_work_is_served(installation_on_disk: Installation) -> None:
    installation = installation_on_disk
    with open_home(installation.settings) as home:
        warm = WarmLane(home, installation.settings.dagster_home)
        assert not warm.turn()
        path = installation.settings.resolved_connections_file
        [clinic] = [one for one in load_connections(path) if one.name == "clinic"]
        put_connection(path, clinic.model_copy(update={"name": "annex"}))
        with installation.open() as later:
            sender(later, "annex").deliver({"id": "e1", "type": "PATIENT_UPDATED", "patientId": "p1"})
        assert warm.turn()
        warm.finish()
    assert installation.jobs("annex")[0].status is JobStatus.COMPLETED
