"""How jobs and Dagster runs find each other: whether a job has a run that is not over, and runs whose process is gone.

Law: a run is ended here only when its process certainly no longer runs.
"""

from __future__ import annotations

import dagster as dg

from holovitals_pipelines.engine.job_sweep import HasLiveRun
from holovitals_pipelines.engine.worker import is_gone
from holovitals_pipelines.orchestration.steps import JOB_TAG
from holovitals_pipelines.store.jobs import Job

PROCESS_TAG = "holovitals/process"
"""The process that executes the run, as `engine.worker.worker_name` says it; it has no server of Dagster's to ask."""

UNENDED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.MANAGED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_AT_WORK = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]


def has_live_run(instance: dg.DagsterInstance) -> HasLiveRun:
    def has_one(job: Job) -> bool:
        return bool(runs_of(instance, job))

    return has_one


def runs_of(instance: dg.DagsterInstance, job: Job) -> list[dg.DagsterRun]:
    """Runs of the job that are not over."""
    found = list(instance.get_runs(dg.RunsFilter(tags={JOB_TAG: job.job_id}, statuses=UNENDED)))
    if not found and job.run_id is not None:
        run = instance.get_run_by_id(job.run_id)
        found = [run] if run is not None and run.status in UNENDED else []
    return found


def end_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail runs whose process is gone; their ids. Dagster's own monitoring does the same where its daemon runs."""
    lost = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_AT_WORK)):
        process = run.tags.get(PROCESS_TAG)
        if process is not None and is_gone(process):
            instance.report_run_failed(run, "The process that executed the run is gone; its job is taken up again.")
            lost.append(run.run_id)
    return lost
