"""Leases: which worker holds a job, and which job holds a connection.

Law: one live job a connection, one worker a job; whoever loses a lease can write nothing more under it
(`jobs.assert_fence`), because every change of hands makes the job's fence grow.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from holovitals_pipelines.model.errors import JobBusyError, JobError
from holovitals_pipelines.model.vocabulary import JobStatus
from holovitals_pipelines.store.jobs import Job, append_event, list_jobs, lock_job, move
from holovitals_pipelines.store.tables import sync_job


def begin_work(transaction: sa.Connection, job_id: str, owner: str, ttl: timedelta, at: datetime) -> int:
    """Take the connection and the job's lease and make the job PROCESSING; returns the fence of this worker.

    A job that is PROCESSING already, because its worker died, is resumed. Raises JobBusyError when another job holds
    the connection or another worker this job, ForbiddenMoveError for a job that has ended.
    """
    job = lock_job(transaction, job_id)
    take_connection(transaction, job.connection, job_id, at)
    if job.status is not JobStatus.PROCESSING:
        move(transaction, job_id, JobStatus.PROCESSING, at)
    fence = take_lease(transaction, job_id, owner, ttl, at)
    if job.status is JobStatus.PROCESSING:
        append_event(transaction, job_id, "resumed", at, detail={"attempt": job.attempt})
    return fence


def take_connection(transaction: sa.Connection, connection: str, job_id: str, at: datetime) -> None:
    """Make sure that no other job is live at the connection, for as long as this transaction lasts.

    Jobs whose worker has died lose their fence, so that such a worker cannot come back beside us; they stay
    unfinished. Raises JobBusyError naming the job that holds the connection.
    """
    if transaction.dialect.name == "postgresql":
        lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"connection:{connection}", 0))
        transaction.execute(sa.select(lock))
    for job in list_jobs(transaction, connection=connection, statuses=[JobStatus.PROCESSING], limit=1_000):
        if job.job_id == job_id:
            continue
        if job.is_live(at):
            raise JobBusyError(
                f"job {job.job_id} is at work on the connection",
                code="job.connection_busy",
                place=f"connection {connection}",
                remedy="wait for it to end, or cancel it",
            )
        if job.owner is not None:
            _update(transaction, job.job_id, fence=job.fence + 1, owner=None, lease_until=None)
            append_event(transaction, job.job_id, "fenced_off", at, detail={"by_job": job_id})


def take_lease(transaction: sa.Connection, job_id: str, owner: str, ttl: timedelta, at: datetime) -> int:
    """Take the job if no worker holds it; returns the fence to work under. Raises JobBusyError."""
    job = lock_job(transaction, job_id)
    if job.owner is not None and job.lease_until is not None and job.lease_until > at:
        raise JobBusyError(
            f"another worker holds the job until {job.lease_until:%H:%M:%S} UTC",
            code="job.held",
            place=f"job {job_id}",
            remedy="wait for it to end; if its process is gone, the job can be taken once the lease has run out",
        )
    fence = job.fence + 1
    _update(transaction, job_id, owner=owner, fence=fence, lease_until=at + ttl)
    append_event(transaction, job_id, "leased", at, detail={"owner": owner, "fence": fence})
    return fence


def renew_lease(transaction: sa.Connection, job_id: str, fence: int, ttl: timedelta, at: datetime) -> None:
    """Go on holding the job, also a lease that ran out while nobody else wanted it. Raises JobError when it is lost."""
    _require(lock_job(transaction, job_id), fence)
    _update(transaction, job_id, lease_until=at + ttl)


def release_lease(transaction: sa.Connection, job_id: str, fence: int, at: datetime) -> None:
    """Let go of a job that is not at its end, so that another worker can take it at once. Raises JobError when lost."""
    _require(lock_job(transaction, job_id), fence)
    _update(transaction, job_id, owner=None, lease_until=None)
    append_event(transaction, job_id, "released", at, detail={"fence": fence})


def break_lease(transaction: sa.Connection, job_id: str, at: datetime) -> None:
    """End the lease of a worker that is known to be dead; should it live after all, it is fenced off."""
    job = lock_job(transaction, job_id)
    if job.owner is not None:
        _update(transaction, job_id, fence=job.fence + 1, owner=None, lease_until=None)
        append_event(transaction, job_id, "lease_broken", at, detail={"fence": job.fence})


def find_unfinished(transaction: sa.Connection, connection: str, at: datetime) -> list[Job]:
    """Jobs of the connection that were begun and that no worker holds, oldest first: take these up before new ones."""
    begun = list_jobs(
        transaction, connection=connection, statuses=[JobStatus.PROCESSING, JobStatus.RETRYING], limit=1_000
    )
    return [job for job in reversed(begun) if not job.is_live(at)]


def _require(job: Job, fence: int) -> None:
    if job.fence != fence or job.owner is None:
        raise JobError(
            "the lease was lost to another worker, or the job has ended",
            code="job.lease_lost",
            place=f"job {job.job_id}",
            remedy="stop this worker: the job goes on without it",
        )


def _update(transaction: sa.Connection, job_id: str, **values: object) -> None:
    transaction.execute(sync_job.update().where(sync_job.c.job_id == job_id).values(**values))
