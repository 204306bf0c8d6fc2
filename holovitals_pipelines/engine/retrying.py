"""Whether a job that failed is tried again, and when: exponential, with full jitter, from the job's own options.

Law: only what may pass by itself is tried again, and only what waits in the queue; a job that was run where it was
asked is reported there, and whoever asked decides.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from holovitals_pipelines.model.errors import HoloVitalsError, JobError, TransientError
from holovitals_pipelines.model.job import JobOptions, request_from
from holovitals_pipelines.model.vocabulary import JobStatus
from holovitals_pipelines.providers.clock import Clock
from holovitals_pipelines.store import jobs
from holovitals_pipelines.store.jobs import Job
from holovitals_pipelines.store.waiting_jobs import give_back, times_given_back

LONGEST_DELAY = timedelta(minutes=15)
MOST_GIVEN_BACK = 5
"""A job that so many workers in a row did not even begin is not the workers' trouble."""

CANCELLED = "job.cancelled"
TYPES_FAILED = "job.types_failed"
TIMED_OUT = "job.timeout"
WORKER_LOST = "job.worker_lost"
RUN_DIED = "job.run_died"

_PASSING = frozenset({TIMED_OUT, WORKER_LOST, RUN_DIED, "store.locked", "store.unreachable", "landing.unreachable"})
"""Codes of errors that are not the vendor's and may be gone at the next attempt."""


def may_pass(error: HoloVitalsError) -> bool:
    """Whether the same may succeed later: 5xx, 429, timeouts, locks, a worker that died."""
    return isinstance(error, TransientError) or error.code in _PASSING


def longest_delay(options: JobOptions, attempt: int) -> timedelta:
    """The ceiling of the wait after this attempt: retryDelay, doubled with each attempt, 15 minutes at the most."""
    return min(timedelta(milliseconds=options.retry_delay_ms * (1 << min(attempt - 1, 30))), LONGEST_DELAY)


def deadline_of(options: JobOptions, begun: datetime | None) -> datetime | None:
    """When an attempt that began then has to stop; None where it may take what it takes."""
    if options.timeout_ms is None or begun is None:
        return None
    return begun + timedelta(milliseconds=options.timeout_ms)


def timed_out(place: str) -> JobError:
    return JobError(
        "the job has taken longer than its timeout allows",
        code=TIMED_OUT,
        place=place,
        remedy="what was done is kept, the next attempt goes on; raise the option `timeout` if it never suffices",
    )


def attempts_left(job: Job) -> bool:
    return job.attempt <= request_from(job.request).options.max_retries


def fail_or_retry(
    transaction: sa.Connection,
    job: Job,
    failure: HoloVitalsError,
    clock: Clock,
    *,
    passing: bool,
    at_once: bool = False,
) -> Job:
    """Move a job that could not go on to RETRYING, where that is worth while, and to FAILED where not.

    A job of which a cancel was asked meanwhile is CANCELLED. `at_once`: its worker was lost, nothing was refused.
    """
    now = clock.now()
    if job.cancel_requested:
        return jobs.move(transaction, job.job_id, JobStatus.CANCELLED, now)
    if not (passing and job.lane is not None and attempts_left(job)):
        return jobs.move(transaction, job.job_id, JobStatus.FAILED, now, error=failure)
    delay = timedelta() if at_once else clock.chance() * longest_delay(request_from(job.request).options, job.attempt)
    return jobs.move(
        transaction,
        job.job_id,
        JobStatus.RETRYING,
        now,
        error=failure,
        next_at=now + delay,
        detail={"attempt": job.attempt, "delay_seconds": round(delay.total_seconds(), 3)},
    )


def give_back_or_fail(transaction: sa.Connection, job: Job, why: HoloVitalsError, clock: Clock) -> Job:
    """A job that was given to a worker and not begun waits again, a little longer each time; in the end it fails."""
    now, times = clock.now(), times_given_back(transaction, job.job_id)
    if times >= MOST_GIVEN_BACK:
        return jobs.move(transaction, job.job_id, JobStatus.FAILED, now, error=why)
    delay = clock.chance() * longest_delay(request_from(job.request).options, times + 1)
    return give_back(transaction, job.job_id, now, now + delay, why.code)
