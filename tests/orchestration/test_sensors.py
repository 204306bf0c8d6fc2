"""Sensors of the queue: jobs become runs once, survive what happens between two steps, and end with their runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from holovitals_pipelines.engine.job_queue import cancel, claim_next, submit
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.engine.worker_heartbeat import Heartbeat
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType, Lane
from holovitals_pipelines.orchestration.queued_job import GIVEN_TAG, run_request_of
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.run_ends import end_job_of
from holovitals_pipelines.store.jobs import get_job
from holovitals_pipelines.store.tables import sync_job
from tests.orchestration.installation import Installation

PATIENT = SyncRequest("clinic", JobType.PATIENT_SYNC, patients=("p1",))


@pytest.fixture
def here(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation whose sensors wait for nothing."""
    monkeypatch.setenv("HOLOVITALS_SENSOR_WAIT_SECONDS", "0")
    return installation


def tick(here: Installation, name: str = "job_queue") -> list[dg.RunRequest]:
    """What one evaluation of the sensor asks for."""
    sensor = here.definitions.resolve_sensor_def(name)
    context = dg.build_sensor_context(
        instance=here.instance, definitions=here.definitions, resources={"home": HomeResource()}
    )
    return list(sensor.evaluate_tick(context).run_requests or [])


def put(here: Installation, request: SyncRequest = PATIENT) -> str:
    with here.open() as home:
        return submit(home, request, requested_by="a test").job_id


def execute(here: Installation, asked: dg.RunRequest) -> dg.ExecuteInProcessResult:
    """As the daemon would, after the tick."""
    assert asked.job_name is not None
    return here.definitions.resolve_job_def(asked.job_name).execute_in_process(
        instance=here.instance,
        run_config={**asked.run_config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags=asked.tags,
        partition_key=asked.partition_key,
        raise_on_error=False,
    )


def test_a_job_becomes_one_run_with_its_tags_and_the_run_does_it(here: Installation) -> None:
    job_id = put(here)
    [asked] = tick(here)
    assert tick(here) == [], "it was given out"
    assert asked.tags["holovitals/job_id"] == job_id and "p1" not in str(asked)

    result = execute(here, asked)

    assert result.success
    [job] = here.jobs()
    assert (job.status, job.run_id, job.lane) == (JobStatus.COMPLETED, result.run_id, Lane.DAGSTER)


def test_a_full_sync_is_the_main_job_with_all_its_assets(here: Installation) -> None:
    job_id = put(here, SyncRequest("clinic", JobType.FULL_SYNC))
    [asked] = tick(here)
    assert asked.job_name == "sync_clinic"
    result = execute(here, asked)
    assert result.success and here.job_id_of(result.run_id) == job_id
    assert [job.type for job in here.jobs()] == [JobType.FULL_SYNC]


def test_a_living_worker_keeps_its_jobs_and_dagster_gets_its_own_lane(here: Installation) -> None:
    Heartbeat(here.settings, worker_name(), ["clinic"]).beat()
    put(here)
    assert tick(here) == []
    of_dagster = put(here, SyncRequest("ward", JobType.FULL_SYNC))
    [asked] = tick(here)
    assert asked.tags["holovitals/job_id"] == of_dagster


def test_a_job_whose_run_never_came_to_be_is_given_out_again(here: Installation) -> None:
    """The daemon was killed between the tick and the launch."""
    put(here)
    [lost] = tick(here)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    here.change(sync_job.update().values(dispatched_at=long_ago))
    given = tick(here)  # the sweep gives it back for a moment by chance, which may be over in the same tick
    here.change(sync_job.update().values(next_at=None))
    [again] = [*given, *tick(here)]
    assert again.run_key != lost.run_key, "Dagster would take the same key for the same run"
    assert execute(here, again).success
    assert [job.status for job in here.jobs()] == [JobStatus.COMPLETED]


def test_a_run_that_ends_late_leaves_the_job_to_whom_it_was_given_since(here: Installation) -> None:
    put(here)
    [asked] = tick(here)
    late = here.instance.create_run_for_job(
        here.definitions.resolve_job_def("queued_clinic"),
        run_config=asked.run_config, tags=asked.tags, status=dg.DagsterRunStatus.FAILURE,
    )  # fmt: skip
    here.change(sync_job.update().values(dispatched_to=None, dispatched_at=None, status="QUEUED"))
    with here.open() as home:
        claimed = claim_next(home, worker_name(), lane=None)
        assert claimed is not None and run_request_of(claimed).tags[GIVEN_TAG] != asked.tags[GIVEN_TAG]
        assert end_job_of(home, late) is None
        with home.database.read() as transaction:
            assert get_job(transaction, claimed.job_id) == claimed


def test_a_job_that_is_cancelled_before_its_run_begins_cancels_the_run(here: Installation) -> None:
    job_id = put(here)
    [asked] = tick(here)
    queued = here.instance.create_run_for_job(
        here.definitions.resolve_job_def("queued_clinic"),
        run_config=asked.run_config, tags=asked.tags, status=dg.DagsterRunStatus.NOT_STARTED,
    )  # fmt: skip
    with here.open() as home:
        assert cancel(home, job_id, "dr").status is JobStatus.CANCELLED
    assert execute(here, asked).success is False, "nor does it begin should it be too late for that"
    assert [job.status for job in here.jobs()] == [JobStatus.CANCELLED]
    with pytest.MonkeyPatch.context() as patch:
        asked_to_cancel: list[str] = []
        patch.setattr(here.instance.run_coordinator, "cancel_run", asked_to_cancel.append)
        tick(here)
    assert asked_to_cancel == [queued.run_id]


def test_a_run_waits_for_a_connection_where_a_job_is_at_work(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from holovitals_pipelines.engine.jobs import end_job, open_session

    put(here)
    [asked] = tick(here)
    with here.open() as home, open_session(home, SyncRequest("clinic"), owner="elsewhere/boot/1/2") as holding:
        monkeypatch.setenv("HOLOVITALS_CONNECTION_WAIT_SECONDS", "0.5")
        refused = execute(here, asked)
        assert not refused.success
        end_job(holding)
    here.change(sync_job.update().where(sync_job.c.type == "PATIENT_SYNC").values(run_id=None))
    assert execute(here, asked).success, "and goes on when it is free"
