"""The job queue: jobs are submitted, claimed by workers, cancelled, and tried again when somebody asks for it.

Law: the store is the queue. Whoever asks for a job gets its id back before anything is done, and no job is ever given
to two workers. What nobody asks for (due retries, lost workers and runs) is found by `job_sweep.sweep`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.jobs import NOT_WAITING, after_end, open_claimed, report_of
from holovitals_pipelines.engine.progress import Progress
from holovitals_pipelines.engine.retrying import give_back_or_fail
from holovitals_pipelines.engine.vendors import AdapterFactory
from holovitals_pipelines.engine.worker import is_gone
from holovitals_pipelines.model.errors import ConfigurationError, JobBusyError, JobError
from holovitals_pipelines.model.job import JobReport, SyncRequest, check_request
from holovitals_pipelines.model.vocabulary import JobStatus, JobType, Lane
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.store import jobs, waiting_jobs
from holovitals_pipelines.store.jobs import Job
from holovitals_pipelines.store.waiting_jobs import Turn

LONGEST_KEY = 200
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Submitted:
    job_id: str
    joined: bool
    """Whether a job is meant that was there already: an identical one that waits, or the idempotency key's."""


def submit(
    home: Home,
    request: SyncRequest,
    *,
    requested_by: str,
    idempotency_key: str | None = None,
    lane: Lane | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Submitted:
    """Put a job into the queue (PENDING), or join the one that waits there and asks for the same.

    `lane`: who shall run it; by default Dagster's own queue for a FULL_SYNC, the warm worker for all else. The same
    `idempotency_key` means the job it was first given with, whatever has become of it. Raises ConfigurationError for a
    request that cannot be done, JobError (job.idempotency_conflict) for a key that stands for another request.
    """
    with home.database.write() as transaction:
        return submit_within(
            home,
            transaction,
            request,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            lane=lane,
            clock=clock,
        )


def submit_within(
    home: Home,
    transaction: sa.Connection,
    request: SyncRequest,
    *,
    requested_by: str,
    idempotency_key: str | None = None,
    lane: Lane | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Submitted:
    """`submit` as part of the caller's own write transaction, so that its rows and the job come to be together."""
    provider = home.connection(request.connection).provider
    check_request(request)
    if idempotency_key is not None and not 0 < len(idempotency_key) <= LONGEST_KEY:
        raise ConfigurationError(
            f"an idempotency key has between 1 and {LONGEST_KEY} characters",
            code="job.idempotency_key",
            place="idempotency key",
            remedy="a UUID will do",
        )
    now, scope = clock.now(), scope_hash(request)
    waiting_jobs.lock_queue(transaction)
    if idempotency_key is not None:
        known = waiting_jobs.with_idempotency_key(transaction, idempotency_key)
        if known is not None and known.scope_hash != scope:
            raise _key_taken(known)
        if known is not None:
            return Submitted(known.job_id, joined=True)
    same = waiting_jobs.same_waiting(transaction, request.connection, scope)
    if same is not None and (idempotency_key is None or same.idempotency_key is None):
        waiting_jobs.join(transaction, same, request.priority, now, requested_by, idempotency_key)
        return Submitted(same.job_id, joined=True)
    job = jobs.create_job(
        transaction,
        request,
        provider,
        now,
        requested_by=requested_by[:_LONGEST_NAME],
        scope_hash=scope,
        idempotency_key=idempotency_key,
        lane=lane or _usual_lane(request),
    )
    return Submitted(job.job_id, joined=False)


def scope_hash(request: SyncRequest) -> str:
    """The same for requests that ask for the same, whatever their priority."""
    plain = {name: value for name, value in request.describe().items() if name != "priority"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def _usual_lane(request: SyncRequest) -> Lane:
    return Lane.DAGSTER if request.type is JobType.FULL_SYNC and not request.is_named else Lane.WORKER


def _key_taken(job: Job) -> JobError:
    return JobError(
        "the idempotency key was given with another request before",
        code="job.idempotency_conflict",
        place=f"job {job.job_id}",
        remedy="use a new key for a new request; repeat a request exactly to get its first job back",
    )


def claim_next(home: Home, worker: str, *, lane: Lane | None = Lane.WORKER, clock: Clock = SYSTEM_CLOCK) -> Job | None:
    """The job whose turn it is, given to this worker (QUEUED, dispatched_to); None where none may begin now.

    The highest class goes first, in it the longest wait; a job rises one class per `queue_ageing_seconds`. Jobs of a
    connection that is disabled, or where another job was given out or is at work, wait. `lane` None: any lane's.
    """
    turn = Turn(
        clock.now(),
        timedelta(seconds=home.settings.queue_ageing_seconds),
        [name for name, connection in home.connections.items() if connection.enabled],
        lane,
    )
    with home.database.read() as transaction:
        if waiting_jobs.next_waiting(transaction, turn) is None:
            return None
    with home.database.write() as transaction:
        waiting_jobs.lock_queue(transaction)
        while (job_id := waiting_jobs.next_waiting(transaction, turn)) is not None:
            if jobs.lock_job(transaction, job_id).status in waiting_jobs.WAITING:  # not cancelled in this very moment
                return waiting_jobs.dispatch(transaction, job_id, worker, turn.at)
    return None


def run_claimed(
    home: Home,
    job_id: str,
    worker: str,
    *,
    progress: Progress | None = None,
    adapter_for: AdapterFactory | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> JobReport:
    """Do a claimed job here and report it. One that cannot begin now, or was taken back, is reported as it stands."""
    from holovitals_pipelines.engine.sync import do_job, publish_statistics  # all of the sync; asking needs none

    try:
        with open_claimed(
            home, job_id, worker=worker, progress=progress, adapter_for=adapter_for, clock=clock
        ) as session:
            report = do_job(session)
    except JobBusyError as busy:
        with home.database.write() as transaction:
            after_end(
                home, transaction, give_back_or_fail(transaction, jobs.lock_job(transaction, job_id), busy, clock)
            )
        return report_of(home, job_id)
    except JobError as error:
        if error.code != NOT_WAITING:
            raise
        return report_of(home, job_id)
    except ConfigurationError as error:
        with home.database.write() as transaction:
            after_end(home, transaction, jobs.move(transaction, job_id, JobStatus.FAILED, clock.now(), error=error))
        return report_of(home, job_id)
    publish_statistics(home)
    return report


def cancel(home: Home, job_id: str, by: str, *, clock: Clock = SYSTEM_CLOCK) -> Job:
    """One that waits ends at once, one that is at work at its next page boundary; then its run is to be ended too.

    Raises JobError for a job that is unknown, ForbiddenMoveError for one that has ended.
    """
    with home.database.write() as transaction:
        job = jobs.lock_job(transaction, job_id)
        at_work = job.status is JobStatus.PROCESSING and job.run_id is not None
        held = at_work and job.owner is not None and not is_gone(job.owner)
        job = jobs.request_cancel(transaction, job_id, clock.now(), by, held=held)
        after_end(home, transaction, job)
        return job


def retry(home: Home, job_id: str, by: str, *, clock: Clock = SYSTEM_CLOCK) -> Job:
    """A FAILED job is in the queue again, for one more attempt that keeps what was done.

    Raises JobError (job.not_failed) for any other.
    """
    now = clock.now()
    with home.database.write() as transaction:
        job = jobs.lock_job(transaction, job_id)
        if job.status is not JobStatus.FAILED:
            raise JobError(
                f"only a failed job can be tried again, this one is {job.status}",
                code="job.not_failed",
                place=f"job {job_id}",
                remedy="see what became of it: holovitals jobs show; create another: holovitals jobs create",
            )
        jobs.move(transaction, job_id, JobStatus.RETRYING, now, detail={"by": by})
        return waiting_jobs.wait_again(transaction, job_id, now, Lane.WORKER)
