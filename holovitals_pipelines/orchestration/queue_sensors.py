"""Sensors of the queue: webhook events become jobs, jobs become runs, and a job and its run end together.

Law: the store is the cursor. A job is given out in the transaction that says so, and a run that never came to be is
found by the sweep; so a restart of the daemon loses nothing and repeats nothing.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import claim_next
from holovitals_pipelines.engine.job_sweep import sweep
from holovitals_pipelines.engine.webhooks.processing import coalesce, settle
from holovitals_pipelines.engine.worker_heartbeat import unserved
from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.model.vocabulary import JobStatus, Lane
from holovitals_pipelines.orchestration.queued_job import run_request_of
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.run_ends import SECONDS_BETWEEN_LOOKS
from holovitals_pipelines.orchestration.run_links import UNENDED, end_lost_runs, has_live_run
from holovitals_pipelines.orchestration.steps import JOB_TAG
from holovitals_pipelines.store.change_watch import ChangeWatch
from holovitals_pipelines.store.jobs import Job, change_job, get_job, history

DAGSTER = "dagster"
"""To whom the jobs are given; no process, for a queued run survives the daemon's and the code server's restarts."""
MOST_RUNS_A_TICK = 25
SECONDS_TO_A_PAGE_BOUNDARY = 10.0
"""A cancelled job that has not stopped by itself within so long is stopped through its run."""
SECONDS_BETWEEN_PEEKS = 0.2


def queue_sensors(jobs: list[Any]) -> list[dg.SensorDefinition]:
    """`jobs`: those that a run of the queue may be of."""

    @dg.sensor(
        jobs=jobs,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        description="Jobs that wait become runs: those of Dagster's lane, and all of a connection that no worker "
        "serves. Cancelled jobs end their runs; jobs whose run is lost are taken up again.",
    )
    def job_queue(context: dg.SensorEvaluationContext, home: HomeResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
        with home.open() as opened:
            end_cancelled(context.instance, opened)
            swept = sweep(opened, has_live_run=has_live_run(context.instance))
            if swept.given_back or swept.recovered or swept.ended:
                end_lost_runs(context.instance)
            given = give_out(opened)
            if not given and unserved(opened.settings, list(opened.connections)):
                given = _wait(opened)
            for job in given:
                yield run_request_of(job)
            if not given:
                yield dg.SkipReason("no job waits for a run")

    @dg.sensor(
        jobs=jobs,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        description="Webhook events become jobs, one a connection for all that came; events whose job has ended are "
        "completed, or tried again.",
    )
    def inbox(home: HomeResource) -> dg.SkipReason:
        with home.open() as opened:
            settle(opened)
            created = coalesce(opened)
        return dg.SkipReason(f"{len(created)} jobs are in the queue for what has come")

    return [job_queue, inbox]


def give_out(home: Home) -> list[Job]:
    """Jobs whose turn it is, taken from the queue for Dagster."""
    given: list[Job] = []
    alone = unserved(home.settings, list(home.connections))
    unworked = replace(home, connections={name: home.connections[name] for name in alone})
    if alone:
        settle(home)
        coalesce(home)
    while len(given) < MOST_RUNS_A_TICK:
        job = claim_next(home, DAGSTER, lane=Lane.DAGSTER)
        if job is None and alone:
            job = claim_next(unworked, DAGSTER, lane=None)
        if job is None:
            break
        given.append(_of_dagster(home, job))
    return given


def end_cancelled(instance: dg.DagsterInstance, home: Home) -> list[str]:
    """End the runs of jobs that were cancelled: those that have not begun, and those that do not stop by themselves."""
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNENDED)):
        job = _job_of(home, run)
        if job is None or run.status is dg.DagsterRunStatus.CANCELING:
            continue
        unbegun = job.status is JobStatus.CANCELLED and run.status in _NOT_BEGUN
        if unbegun or (job.cancel_requested and job.finished_at is None and _asked_long_ago(home, job)):
            instance.run_coordinator.cancel_run(run.run_id)
            ended.append(run.run_id)
    return ended


_NOT_BEGUN = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)


def _job_of(home: Home, run: dg.DagsterRun) -> Job | None:
    """None for a run without a job, and for one of a store that was here before."""
    job_id = run.tags.get(JOB_TAG)
    if job_id is None:
        return None
    try:
        with home.database.read() as transaction:
            return get_job(transaction, job_id)
    except JobError:
        return None


def _asked_long_ago(home: Home, job: Job) -> bool:
    with home.database.read() as transaction:
        asked = [event.at for event in history(transaction, job.job_id) if event.kind == "cancel_requested"]
    return bool(asked) and (datetime.now(UTC) - asked[-1]).total_seconds() > SECONDS_TO_A_PAGE_BOUNDARY


def _of_dagster(home: Home, job: Job) -> Job:
    """The job, which Dagster's runs answer for from now on, whoever should have done it."""
    with home.database.write() as transaction:
        change_job(transaction, job.job_id, {"lane": Lane.DAGSTER.value})
        return get_job(transaction, job.job_id)


def _wait(home: Home) -> list[Job]:
    """Look on for a while: the daemon looks again only after five seconds."""
    until = time.monotonic() + home.settings.sensor_wait_seconds
    watch = ChangeWatch(home.settings.resolved_database_url)
    try:
        while time.monotonic() < until:
            if watch.changed() and (given := give_out(home)):
                return given
            time.sleep(SECONDS_BETWEEN_PEEKS)
    finally:
        watch.close()
    return []
