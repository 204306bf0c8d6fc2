"""Jobs that wait for a worker: whose turn it is, who was told to run one, and which waiting job is the same.

Law: a waiting job is given to one worker only, and only while nothing else is given or at work at its connection.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import JobStatus, Lane, Priority
from holovitals_pipelines.store.jobs import Job, append_event, change_job, get_job, history, lock_job, move
from holovitals_pipelines.store.tables import sync_job

WAITING = (JobStatus.PENDING, JobStatus.QUEUED)


@dataclass(frozen=True, slots=True)
class Turn:
    """By what the next job is chosen."""

    at: datetime
    ageing: timedelta
    """How long a job waits to rise by one class of priority."""
    connections: Collection[str]
    lane: Lane | None = None
    """None: of any lane."""


def lock_queue(transaction: sa.Connection) -> None:
    """Nobody else adds to the queue or takes from it until the transaction ends. SQLite has one writer anyway."""
    if transaction.dialect.name == "postgresql":
        transaction.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("job queue", 0))))


def next_waiting(transaction: sa.Connection, turn: Turn) -> str | None:
    """The id of the job whose turn it is: the highest class, in it the longest wait. None where none may begin."""
    job, other = sync_job, sync_job.alias()
    busy = sa.select(other.c.connection).where(
        sa.or_(
            other.c.status == JobStatus.PROCESSING.value,
            sa.and_(other.c.status == JobStatus.QUEUED.value, other.c.dispatched_to.is_not(None)),
        )
    )
    query = (
        sa.select(job.c.job_id)
        .where(
            job.c.status.in_([status.value for status in WAITING]),
            job.c.dispatched_to.is_(None),
            job.c.queued_at.is_not(None),
            sa.or_(job.c.next_at.is_(None), job.c.next_at <= turn.at),
            job.c.connection.in_(turn.connections),
            job.c.connection.not_in(busy),
        )
        .order_by(_class(turn), job.c.queued_at, job.c.created_at, job.c.job_id)
        .limit(1)
    )
    if turn.lane is not None:
        query = query.where(job.c.lane == turn.lane.value)
    found: str | None = transaction.execute(query).scalar()
    return found


def _class(turn: Turn) -> sa.ColumnElement[int]:
    """The priority after ageing. No job rises above CRITICAL; there the longest wait wins, so none starves."""
    risen: sa.ColumnElement[int] = sync_job.c.priority
    for classes in range(1, Priority.BACKGROUND):
        waited = sync_job.c.queued_at <= turn.at - classes * turn.ageing
        risen = risen - sa.case((waited, 1), else_=0)
    return sa.case((risen < Priority.CRITICAL, int(Priority.CRITICAL)), else_=risen)


def dispatch(transaction: sa.Connection, job_id: str, to: str, at: datetime) -> Job:
    """Give a waiting job to a worker: it is QUEUED, and nobody else gets it. Raises ForbiddenMoveError."""
    job = lock_job(transaction, job_id)
    if job.status is not JobStatus.QUEUED:
        move(transaction, job_id, JobStatus.QUEUED, at, detail={"to": to})
    else:
        append_event(transaction, job_id, "dispatched", at, detail={"to": to})
    change_job(transaction, job_id, {"dispatched_to": to, "dispatched_at": at, "next_at": None})
    return get_job(transaction, job_id)


def give_back(transaction: sa.Connection, job_id: str, at: datetime, next_at: datetime | None, why: str) -> Job:
    """A QUEUED job that was given to somebody waits again, with the wait it had."""
    job = lock_job(transaction, job_id)
    change_job(transaction, job_id, {"dispatched_to": None, "dispatched_at": None, "run_id": None, "next_at": next_at})
    append_event(transaction, job_id, "given_back", at, detail={"from": job.dispatched_to, "why": why})
    return get_job(transaction, job_id)


def times_given_back(transaction: sa.Connection, job_id: str) -> int:
    """How often in a row the job was given to somebody who did not begin it."""
    times = 0
    for event in history(transaction, job_id):
        if event.kind == "given_back":
            times += 1
        elif event.status is JobStatus.PROCESSING:
            times = 0
    return times


def wait_again(transaction: sa.Connection, job_id: str, at: datetime, lane: Lane) -> Job:
    """A RETRYING job is in the queue again; its wait begins anew, and the run that had it has no more to say of it."""
    job = move(transaction, job_id, JobStatus.QUEUED, at)
    change_job(transaction, job_id, {"queued_at": at, "lane": (job.lane or lane).value, "run_id": None})
    return get_job(transaction, job_id)


def same_waiting(transaction: sa.Connection, connection: str, scope_hash: str) -> Job | None:
    """The job that asks for the same and has read nothing yet: what it will read is as new as can be."""
    query = (
        sa.select(sync_job.c.job_id)
        .where(
            sync_job.c.connection == connection,
            sync_job.c.scope_hash == scope_hash,
            sync_job.c.status.in_([status.value for status in WAITING]),
            sync_job.c.started_at.is_(None),
            sync_job.c.queued_at.is_not(None),
        )
        .order_by(sync_job.c.created_at, sync_job.c.job_id)
    )
    for job_id in transaction.execute(query).scalars().all():
        job = lock_job(transaction, job_id)  # its worker may begin in this very moment
        if job.status in WAITING and job.started_at is None:
            return job
    return None


def join(
    transaction: sa.Connection, job: Job, priority: Priority, at: datetime, by: str, idempotency_key: str | None
) -> None:
    """One more asks for this waiting job; the higher of both priorities counts. A job has one idempotency key."""
    key = job.idempotency_key or idempotency_key
    change_job(transaction, job.job_id, {"priority": int(min(job.priority, priority)), "idempotency_key": key})
    append_event(transaction, job.job_id, "joined", at, detail={"by": by, "priority": int(priority)})


def with_idempotency_key(transaction: sa.Connection, key: str) -> Job | None:
    job_id = transaction.execute(sa.select(sync_job.c.job_id).where(sync_job.c.idempotency_key == key)).scalar()
    return None if job_id is None else get_job(transaction, job_id)


def due_retries(transaction: sa.Connection, at: datetime) -> list[str]:
    """RETRYING jobs whose time has come, and those whose retry was never given a time."""
    query = sa.select(sync_job.c.job_id).where(
        sync_job.c.status == JobStatus.RETRYING.value,
        sync_job.c.lane.is_not(None),
        sa.or_(sync_job.c.next_at.is_(None), sync_job.c.next_at <= at),
    )
    return list(transaction.execute(query.order_by(sync_job.c.next_at, sync_job.c.job_id)).scalars())


def given_out(transaction: sa.Connection) -> list[Job]:
    """Jobs somebody was told to run, begun or not."""
    query = sa.select(sync_job.c.job_id).where(
        sa.or_(
            sync_job.c.status == JobStatus.PROCESSING.value,
            sa.and_(sync_job.c.status == JobStatus.QUEUED.value, sync_job.c.dispatched_to.is_not(None)),
        )
    )
    return [get_job(transaction, job_id) for job_id in transaction.execute(query).scalars().all()]
