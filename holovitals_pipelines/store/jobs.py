"""Jobs: what was asked, what status each has, and the history of every change.

Law: a job moves only along ALLOWED_MOVES, and every change is in `sync_job_event` by the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from holovitals_pipelines.model.errors import ForbiddenMoveError, HoloVitalsError, JobError
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import (
    ALLOWED_MOVES,
    TERMINAL_STATUSES,
    Direction,
    JobStatus,
    JobType,
    Lane,
    Priority,
    Provider,
)
from holovitals_pipelines.store.tables import sync_job, sync_job_event


@dataclass(frozen=True, slots=True)
class Job:
    """One row of `sync_job`."""

    job_id: str
    connection: str
    provider: Provider
    type: JobType
    direction: Direction
    priority: Priority
    status: JobStatus
    resource_types: tuple[str, ...]
    request: Mapping[str, Any]
    """`SyncRequest.describe()`; may name patients, so it stays out of logs and tags."""
    attempt: int
    requested_by: str | None
    scope_hash: str | None
    idempotency_key: str | None
    queued_at: datetime | None
    next_at: datetime | None
    lane: Lane | None
    """Who runs it when its turn comes; None for a job that was run where it was asked."""
    dispatched_to: str | None
    dispatched_at: datetime | None
    run_id: str | None
    owner: str | None
    fence: int
    lease_until: datetime | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_code: str | None
    error_message: str | None

    def is_live(self, at: datetime) -> bool:
        """Whether a worker is at work on it: PROCESSING under a lease that has not run out."""
        return self.status is JobStatus.PROCESSING and self.lease_until is not None and self.lease_until > at


@dataclass(frozen=True, slots=True)
class JobEvent:
    event_id: int
    at: datetime
    kind: str
    status: JobStatus | None
    detail: Mapping[str, Any] | None


def create_job(
    transaction: sa.Connection,
    request: SyncRequest,
    provider: Provider,
    at: datetime,
    *,
    resource_types: Sequence[str] | None = None,
    run_id: str | None = None,
    job_id: str | None = None,
    requested_by: str | None = None,
    scope_hash: str | None = None,
    idempotency_key: str | None = None,
    lane: Lane | None = None,
) -> Job:
    """A new PENDING job. `resource_types` are those it covers once the connection's own are known."""
    job_id = job_id or str(uuid4())
    transaction.execute(
        sync_job.insert().values(
            job_id=job_id,
            connection=request.connection,
            provider=provider.value,
            type=request.type.value,
            direction=request.direction.value,
            priority=int(request.priority),
            status=JobStatus.PENDING.value,
            resource_types=list(request.resource_types if resource_types is None else resource_types),
            request=request.describe(),
            run_id=run_id,
            requested_by=requested_by,
            scope_hash=scope_hash,
            idempotency_key=idempotency_key,
            lane=lane.value if lane else None,
            queued_at=at if lane else None,
            created_at=at,
        )
    )
    detail = {"by": requested_by} if requested_by else None
    append_event(transaction, job_id, "created", at, status=JobStatus.PENDING, detail=detail)
    return get_job(transaction, job_id)


def get_job(transaction: sa.Connection, job_id: str) -> Job:
    """Raises JobError for an unknown id."""
    return _read(transaction, sa.select(sync_job), job_id)


def lock_job(transaction: sa.Connection, job_id: str) -> Job:
    """As `get_job`, and nobody else changes the job until this transaction ends (write transactions only)."""
    return _read(transaction, sa.select(sync_job).with_for_update(), job_id)


def list_jobs(
    transaction: sa.Connection,
    *,
    connection: str | None = None,
    statuses: Iterable[JobStatus] | None = None,
    types: Iterable[JobType] | None = None,
    directions: Iterable[Direction] | None = None,
    requested_by: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    run_id: str | None = None,
    limit: int = 50,
    before: str | None = None,
) -> list[Job]:
    """Jobs that fit, newest first. `since` and `until` are about when they were created; `before` is the job id that
    ended the previous page."""
    query = sa.select(sync_job).order_by(sync_job.c.created_at.desc(), sync_job.c.job_id.desc()).limit(limit)
    if connection is not None:
        query = query.where(sync_job.c.connection == connection)
    if statuses is not None:
        query = query.where(sync_job.c.status.in_([status.value for status in statuses]))
    if types is not None:
        query = query.where(sync_job.c.type.in_([kind.value for kind in types]))
    if directions is not None:
        query = query.where(sync_job.c.direction.in_([direction.value for direction in directions]))
    if requested_by is not None:
        query = query.where(sync_job.c.requested_by == requested_by)
    if since is not None:
        query = query.where(sync_job.c.created_at >= since)
    if until is not None:
        query = query.where(sync_job.c.created_at < until)
    if run_id is not None:
        query = query.where(sync_job.c.run_id == run_id)
    if before is not None:
        last = get_job(transaction, before)
        query = query.where(
            sa.or_(
                sync_job.c.created_at < last.created_at,
                sa.and_(sync_job.c.created_at == last.created_at, sync_job.c.job_id < last.job_id),
            )
        )
    return [_job(row) for row in transaction.execute(query)]


def move(
    transaction: sa.Connection,
    job_id: str,
    status: JobStatus,
    at: datetime,
    *,
    error: HoloVitalsError | None = None,
    detail: Mapping[str, Any] | None = None,
    next_at: datetime | None = None,
) -> Job:
    """Change a job's status. Raises ForbiddenMoveError for a move the state machine does not have.

    Ending a job frees its lease. RETRYING starts the next attempt, not before `next_at`; PROCESSING clears the error of
    the attempt before, which stays in the history.
    """
    job = lock_job(transaction, job_id)
    if status not in ALLOWED_MOVES[job.status]:
        open_moves = ", ".join(sorted(ALLOWED_MOVES[job.status])) or "none: it has ended"
        raise ForbiddenMoveError(
            f"a job that is {job.status} cannot become {status}",
            code="job.forbidden_move",
            place=f"job {job_id}",
            remedy=f"possible from {job.status}: {open_moves}",
        )
    values: dict[str, Any] = {"status": status.value, "next_at": next_at}
    if status in TERMINAL_STATUSES:
        values |= {"finished_at": at, "owner": None, "lease_until": None}
    if status is JobStatus.PROCESSING:
        values |= {"started_at": job.started_at or at, "error_code": None, "error_message": None}
        detail = {**(detail or {}), "attempt": job.attempt}
    if status is JobStatus.RETRYING:
        values |= {
            "attempt": job.attempt + 1,
            "finished_at": None,
            "owner": None,
            "lease_until": None,
            "cancel_requested": False,
            "dispatched_to": None,
            "dispatched_at": None,
            "error_code": None,
            "error_message": None,
        }
    if error is not None:
        values |= {"error_code": error.code, "error_message": error.message}
        detail = {**(detail or {}), "error_code": error.code, "error_message": error.message}
    change_job(transaction, job_id, values)
    append_event(transaction, job_id, "moved", at, status=status, detail={"from": job.status.value, **(detail or {})})
    return get_job(transaction, job_id)


def assign_run(transaction: sa.Connection, job_id: str, run_id: str, at: datetime) -> None:
    """From now on this Dagster run works on the job."""
    change_job(transaction, job_id, {"run_id": run_id})
    append_event(transaction, job_id, "assigned", at, detail={"run_id": run_id})


def request_cancel(
    transaction: sa.Connection, job_id: str, at: datetime, by: str | None = None, *, held: bool = False
) -> Job:
    """Ask a job to stop: one that nobody works on ends at once, a running one at its next page boundary.

    `held`: a run has it, between two of its steps, whatever its lease says. Raises ForbiddenMoveError for one that has
    ended.
    """
    job = lock_job(transaction, job_id)
    detail = {"by": by} if by else None
    if not (job.is_live(at) or held):
        return move(transaction, job_id, JobStatus.CANCELLED, at, detail=detail)
    if not job.cancel_requested:
        change_job(transaction, job_id, {"cancel_requested": True})
        append_event(transaction, job_id, "cancel_requested", at, detail=detail)
    return get_job(transaction, job_id)


def assert_fence(transaction: sa.Connection, job_id: str, fence: int) -> None:
    """Refuse a worker that no longer holds the job; call it first in every transaction of a worker.

    Until the transaction ends nobody can take the job over. Raises JobError.
    """
    query = sa.select(sync_job.c.fence, sync_job.c.status).where(sync_job.c.job_id == job_id)
    row = transaction.execute(query.with_for_update(read=True)).one_or_none()
    if row is None or row.fence != fence or row.status != JobStatus.PROCESSING:
        raise JobError(
            "this worker no longer holds the job; nothing of its late work was written",
            code="job.lease_lost",
            place=f"job {job_id}",
            remedy="nothing is lost: the job was ended, or the worker that took it over goes on where this one stopped",
        )


def attempt_started(transaction: sa.Connection, job_id: str) -> datetime | None:
    """Since when the present attempt is at work, or the last one was."""
    begun = sa.select(sa.func.max(sync_job_event.c.at)).where(
        sync_job_event.c.job_id == job_id,
        sync_job_event.c.kind == "moved",
        sync_job_event.c.status == JobStatus.PROCESSING.value,
    )
    found: datetime | None = transaction.execute(begun).scalar()
    return found


def ids_that_begin(transaction: sa.Connection, beginning: str, *, limit: int) -> list[str]:
    """Ids of at most `limit` jobs whose id begins so, as people type them."""
    query = sa.select(sync_job.c.job_id).where(sync_job.c.job_id.startswith(beginning, autoescape=True)).limit(limit)
    return list(transaction.execute(query).scalars())


def change_job(transaction: sa.Connection, job_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of one job; a change that people shall know of goes with an event."""
    transaction.execute(sync_job.update().where(sync_job.c.job_id == job_id).values(**values))


def append_event(
    transaction: sa.Connection,
    job_id: str,
    kind: str,
    at: datetime,
    *,
    status: JobStatus | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add to a job's history; `detail` holds counts, codes and names of types, never values of resources."""
    transaction.execute(
        sync_job_event.insert().values(
            job_id=job_id,
            at=at,
            kind=kind,
            status=status.value if status else None,
            detail=dict(detail) if detail else None,
        )
    )


def history(transaction: sa.Connection, job_id: str) -> list[JobEvent]:
    """Everything that happened to a job, oldest first."""
    query = sa.select(sync_job_event).where(sync_job_event.c.job_id == job_id).order_by(sync_job_event.c.event_id)
    return [
        JobEvent(row.event_id, row.at, row.kind, JobStatus(row.status) if row.status else None, row.detail)
        for row in transaction.execute(query)
    ]


def _read(transaction: sa.Connection, query: sa.Select[Any], job_id: str) -> Job:
    row = transaction.execute(query.where(sync_job.c.job_id == job_id)).one_or_none()
    if row is None:
        raise JobError(
            "there is no such job", code="job.unknown", place=f"job {job_id}", remedy="list the jobs to see their ids"
        )
    return _job(row)


def _job(row: sa.Row[Any]) -> Job:
    values = {field.name: row._mapping[field.name] for field in fields(Job)}
    return Job(
        **{
            **values,
            "provider": Provider(values["provider"]),
            "type": JobType(values["type"]),
            "direction": Direction(values["direction"]),
            "priority": Priority(values["priority"]),
            "lane": Lane(values["lane"]) if values["lane"] else None,
            "status": JobStatus(values["status"]),
            "resource_types": tuple(values["resource_types"]),
        }
    )
