"""What the queue does by itself: retries whose time has come, and jobs whose worker or run is gone, are found again.

Law: nothing is taken from a worker that may live and answers; who is taken from writes nothing more (the fence).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.jobs import after_end
from holovitals_pipelines.engine.retrying import (
    RUN_DIED,
    WORKER_LOST,
    deadline_of,
    fail_or_retry,
    give_back_or_fail,
    timed_out,
)
from holovitals_pipelines.engine.worker import is_gone
from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.model.job import request_from
from holovitals_pipelines.model.vocabulary import JobStatus, Lane
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.store import jobs, leases, waiting_jobs
from holovitals_pipelines.store.jobs import Job

HasLiveRun = Callable[[Job], bool]
"""Whether a Dagster run that is not over has the job: by its `run_id`, or by the tag that names the job."""


@dataclass(slots=True)
class Swept:
    """Ids of the jobs to which something happened."""

    waiting_again: list[str] = field(default_factory=list)
    """RETRYING, and its time has come: QUEUED."""
    given_back: list[str] = field(default_factory=list)
    """Given to a worker that is gone before it began."""
    recovered: list[str] = field(default_factory=list)
    """At work under a worker that is gone, or past their timeout: RETRYING, from where they stood."""
    ended: list[str] = field(default_factory=list)
    """The same with no attempt left (FAILED), or with a cancel asked for (CANCELLED)."""


def sweep(home: Home, *, has_live_run: HasLiveRun | None = None, clock: Clock = SYSTEM_CLOCK) -> Swept:
    """Find what is lost and what is due. Safe in several processes at once.

    Only who knows Dagster can tell whether a run is over: without `has_live_run` a job of a run is left alone, unless
    the worker that ran it in its own process is gone.
    """
    swept = Swept()
    with home.database.read() as transaction:
        given = waiting_jobs.given_out(transaction)
        begun = {job.job_id: jobs.attempt_started(transaction, job.job_id) for job in given}
    for job in given:
        why = _why_lost(home, job, begun[job.job_id], has_live_run, clock.now())
        if why is not None:
            _take_back(home, job, why, clock, swept)
    with home.database.read() as transaction:
        due = waiting_jobs.due_retries(transaction, clock.now())
    for job_id in due:
        with home.database.write() as transaction:
            if jobs.lock_job(transaction, job_id).status is JobStatus.RETRYING:
                waiting_jobs.wait_again(transaction, job_id, clock.now(), Lane.WORKER)
                swept.waiting_again.append(job_id)
    return swept


def _why_lost(
    home: Home, job: Job, begun: datetime | None, has_live_run: HasLiveRun | None, now: datetime
) -> JobError | None:
    """Why the job is to be taken from whoever has it; None: it is not."""
    lease = timedelta(seconds=home.settings.lease_seconds)
    place = f"job {job.job_id}"
    if job.lane is not Lane.DAGSTER and job.dispatched_to is not None and is_gone(job.dispatched_to):
        return _lost("the worker that had the job is gone", WORKER_LOST, place)
    if job.status is JobStatus.PROCESSING:
        deadline = deadline_of(request_from(job.request).options, begun)
        if deadline is not None and now >= deadline + lease:  # by itself it would have stopped at a page boundary
            return timed_out(place)
        if job.is_live(now) and not (job.run_id is None and job.owner is not None and is_gone(job.owner)):
            return None
    if job.run_id is not None and job.lane is None:
        return None  # run from the Dagster UI: its end ends the job, and a re-execution there takes it up again
    if job.run_id is not None or job.lane is Lane.DAGSTER:
        given_long_ago = job.dispatched_at is None or now >= job.dispatched_at + lease
        if has_live_run is not None and given_long_ago and not has_live_run(job):
            return _lost("the run that had the job is over", RUN_DIED, place)
        return None
    if job.status is JobStatus.QUEUED and job.dispatched_at is not None and now < job.dispatched_at + 2 * lease:
        return None  # a worker on another machine that is about to begin
    return _lost("the worker that had the job is silent", WORKER_LOST, place)


def _lost(message: str, code: str, place: str) -> JobError:
    return JobError(message, code=code, place=place, remedy="what was done is kept; the next attempt goes on there")


def _take_back(home: Home, seen: Job, why: JobError, clock: Clock, swept: Swept) -> None:
    """Unless something has happened to the job since it was looked at."""
    with home.database.write() as transaction:
        job = jobs.lock_job(transaction, seen.job_id)
        if (job.status, job.fence, job.dispatched_at, job.lease_until) != (
            seen.status, seen.fence, seen.dispatched_at, seen.lease_until
        ):  # fmt: skip
            return
        if job.status is JobStatus.QUEUED:
            job = give_back_or_fail(transaction, job, why, clock)
            into = swept.given_back
        else:
            leases.break_lease(transaction, job.job_id, clock.now())
            if job.lane is None:
                jobs.change_job(transaction, job.job_id, {"lane": Lane.WORKER.value})
            job = jobs.get_job(transaction, job.job_id)
            job = fail_or_retry(transaction, job, why, clock, passing=True, at_once=why.code != "job.timeout")
            into = swept.recovered
        after_end(home, transaction, job)
        (swept.ended if job.finished_at is not None else into).append(job.job_id)
