"""When a run is over and its job is not: the worker was killed, or was stopped between two of its results."""

import dagster as dg

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.jobs import end_job_of_run
from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.model.job import JobReport
from holovitals_pipelines.orchestration.executors import fans_out
from holovitals_pipelines.orchestration.queued_job import GIVEN_TAG
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.steps import JOB_TAG, run_was_cancelled
from holovitals_pipelines.store.jobs import Job, get_job

SECONDS_BETWEEN_LOOKS = 4
"""The daemon looks every five seconds at what waits for less (dagster.md §6.2)."""


def end_job_of(home: Home, run: dg.DagsterRun) -> JobReport | None:
    """Bring the job of a run that is over to its end; None where nothing was left to do."""
    place = f"run {run.run_id}"
    if _was_given_to_another(home, run):
        return None
    if run.status is dg.DagsterRunStatus.CANCELED:
        failure = run_was_cancelled(place)
    else:
        failure = JobError(
            "the run ended before its job did",
            code="job.run_died",
            place=place,
            remedy="see the run's last events; run it again from failure, what is landed is not read again",
        )
    given = run.tags.get(JOB_TAG) if GIVEN_TAG in run.tags else None
    moves = fans_out(home.settings)
    report = end_job_of_run(home, run.root_run_id or run.run_id, failure, given, steps_move=moves)
    if report is not None:
        publish_statistics(home)
    return report


def give_back_unbegun(home: Home, job: Job, run_id: str) -> None:
    """The job was given out, and no run of it came to be."""
    failure = JobError("its run could not be created", code="job.run_died", place=f"job {job.job_id}")
    end_job_of_run(home, run_id, failure, job.job_id)


def _was_given_to_another(home: Home, run: dg.DagsterRun) -> bool:
    """Whether the job of the run was taken back from it: nothing that becomes of the run is about the job any more."""
    given_at, job_id = run.tags.get(GIVEN_TAG), run.tags.get(JOB_TAG)
    if given_at is None or job_id is None:
        return False
    try:
        with home.database.read() as transaction:
            job = get_job(transaction, job_id)
    except JobError:  # it was of a store that was here before
        return True
    return job.dispatched_at is None or job.dispatched_at.isoformat() != given_at


def run_end_sensors() -> list[dg.SensorDefinition]:
    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.CANCELED,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        description="A cancelled run cancels its job.",
    )
    def cancelled_runs(context: dg.RunStatusSensorContext, home: HomeResource) -> None:
        with home.open() as opened:
            end_job_of(opened, context.dagster_run)

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.FAILURE,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        description="A run whose worker died fails its job, unless Dagster is about to run it again.",
    )
    def failed_runs(context: dg.RunStatusSensorContext, home: HomeResource) -> None:
        if context.dagster_run.tags.get("dagster/will_retry") != "true":
            with home.open() as opened:
                end_job_of(opened, context.dagster_run)

    return [cancelled_runs, failed_runs]
