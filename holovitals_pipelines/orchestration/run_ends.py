"""When a run is over and its job is not: the worker was killed, or was stopped between two of its results."""

import dagster as dg

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.jobs import end_job_of_run
from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.model.job import JobReport
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.steps import run_was_cancelled

SECONDS_BETWEEN_LOOKS = 4
"""The daemon looks every five seconds at what waits for less (dagster.md §6.2)."""


def end_job_of(home: Home, run: dg.DagsterRun) -> JobReport | None:
    """Bring the job of a run that is over to its end; None where nothing was left to do."""
    place = f"run {run.run_id}"
    if run.status is dg.DagsterRunStatus.CANCELED:
        failure = run_was_cancelled(place)
    else:
        failure = JobError(
            "the run ended before its job did",
            code="job.run_died",
            place=place,
            remedy="see the run's last events; run it again from failure, what is landed is not read again",
        )
    report = end_job_of_run(home, run.root_run_id or run.run_id, failure)
    if report is not None:
        publish_statistics(home)
    return report


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
