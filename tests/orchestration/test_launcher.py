"""The fork-server run launcher: runs of a real instance, terminated, killed, and where it steps aside."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.engine.job_queue import claim_next, submit
from holovitals_pipelines.engine.worker import is_gone
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.orchestration.launch import forkserver
from holovitals_pipelines.orchestration.launch.forkserver import ForkServerRunLauncher
from holovitals_pipelines.orchestration.queued_job import run_request_of
from holovitals_pipelines.orchestration.run_ends import end_job_of
from holovitals_pipelines.orchestration.run_links import PROCESS_TAG
from holovitals_pipelines.settings import Settings
from tests.orchestration.installation import Installation
from tests.orchestration.test_processes import until
from tests.orchestration.vendor import Vendor


@dataclass(frozen=True)
class Launching:
    installation: Installation
    launcher: ForkServerRunLauncher

    def launch(self, patient: str, module: str = forkserver.MODULE) -> dg.DagsterRun:
        """A job given to Dagster, its run created as the daemon would, and launched."""
        with self.installation.open() as home:
            request = SyncRequest("clinic", JobType.PATIENT_SYNC, patients=(patient,))
            submit(home, request, requested_by="a test")
            job = claim_next(home, "dagster")
            assert job is not None
            asked = run_request_of(job)
        repository = RepositoryPythonOrigin("python", ModuleCodePointer(module, "defs", str(Path.cwd())))
        run = self.installation.instance.create_run_for_job(
            self.installation.definitions.resolve_job_def("queued_clinic"),
            run_config=asked.run_config,
            tags=asked.tags,
            job_code_origin=JobPythonOrigin("queued_clinic", repository),
            status=dg.DagsterRunStatus.STARTING,
        )
        self.launcher.launch_run(LaunchRunContext(run, None))
        return self.now(run)

    def now(self, run: dg.DagsterRun) -> dg.DagsterRun:
        found = self.installation.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def launching(
    prepare_home: Callable[[Path], Settings], definitions: dg.Definitions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launching]:
    """One server for all of them: it is what takes time."""
    settings = prepare_home(tmp_path_factory.mktemp("launching") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLOVITALS_HOME", str(settings.root))
        patch.setenv("DAGSTER_HOME", str(prepare_dagster_home(settings.dagster_home)))
        with dg.DagsterInstance.get() as instance:
            launcher = instance.run_launcher
            assert isinstance(launcher, ForkServerRunLauncher), "the shipped dagster.yaml names it"
            yield Launching(Installation(settings, instance, definitions), launcher)


def test_a_run_is_done_in_a_forked_process_and_does_its_job(launching: Launching) -> None:
    run = launching.launch("p1")
    assert launching.launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    until(lambda: launching.now(run).is_finished)
    assert launching.now(run).status is dg.DagsterRunStatus.SUCCESS
    assert launching.installation.job_of(run.run_id).status is JobStatus.COMPLETED
    until(lambda: is_gone(run.tags[PROCESS_TAG]))


def test_a_terminated_run_cancels_its_job(launching: Launching, vendor: Vendor) -> None:
    vendor.forget_requests()
    with vendor.fault(kind="latency", seconds=60, path="Condition"):
        run = launching.launch("p1")
        until(lambda: any("Condition" in request["path"] for request in vendor.requests()))
        assert launching.launcher.terminate(run.run_id)
        until(lambda: launching.now(run).is_finished)
    assert launching.now(run).status is dg.DagsterRunStatus.CANCELED
    assert launching.installation.job_of(run.run_id).status is JobStatus.CANCELLED
    assert not launching.launcher.terminate(run.run_id), "and it is over"


def test_a_killed_run_is_noticed_and_its_job_tried_again(launching: Launching, vendor: Vendor) -> None:
    vendor.forget_requests()
    with vendor.fault(kind="latency", seconds=60, path="Condition"):
        run = launching.launch("p2")
        until(lambda: any("Condition" in request["path"] for request in vendor.requests()))
        os.kill(int(run.tags[PROCESS_TAG].split("/")[2]), signal.SIGKILL)
        until(lambda: launching.launcher.check_run_worker_health(run).status is WorkerStatus.FAILED)
    launching.installation.instance.report_run_failed(launching.now(run))  # as the daemon's run monitoring does then
    with launching.installation.open() as home:
        end_job_of(home, launching.now(run))
    assert launching.installation.job_of(run.run_id).status is JobStatus.RETRYING


def test_a_server_that_died_is_replaced(launching: Launching) -> None:
    first = launching.launch("p1")
    server = launching.launcher._server
    assert server is not None
    server._process.kill()
    server._process.wait()
    until(lambda: launching.now(first).is_finished)
    assert launching.now(first).status is dg.DagsterRunStatus.SUCCESS, "a run does not end with the server"
    run = launching.launch("p3")
    until(lambda: launching.now(run).is_finished)
    assert launching.now(run).status is dg.DagsterRunStatus.SUCCESS


@pytest.mark.parametrize("why", ["version", "code location"])
def test_where_it_cannot_be_trusted_the_stock_launcher_takes_the_run_and_the_log_says_why(
    why: str, launching: Launching, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[str] = []
    monkeypatch.setattr(DefaultRunLauncher, "launch_run", lambda _, context: taken.append(context.dagster_run.run_id))
    if why == "version":
        monkeypatch.setattr(forkserver, "DAGSTER_VERSIONS", ("0.1.",))
    log = logging.getLogger("dagster.holovitals.launcher")
    monkeypatch.setattr(log, "propagate", True)
    monkeypatch.setattr(logging.getLogger("dagster"), "propagate", True)
    with caplog.at_level(logging.WARNING):
        foreign = why == "code location"
        run = launching.launch("p0" if foreign else "p3", "somebody.elses" if foreign else forkserver.MODULE)
    assert taken == [run.run_id] and PROCESS_TAG not in run.tags
    assert "the stock launcher takes run" in caplog.text
    launching.installation.instance.report_run_failed(run)
    with launching.installation.open() as home:
        end_job_of(home, launching.now(run))
