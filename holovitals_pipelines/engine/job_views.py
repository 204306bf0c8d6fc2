"""Jobs as people and programs look at them: one with its whole history, many by page.

Law: a view is what the store says at one moment; looking changes nothing and asks no vendor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_requests import options_as_json
from holovitals_pipelines.engine.outcome import outcomes_of
from holovitals_pipelines.model.job import Outcome, ReportedError, SyncRequest, request_from
from holovitals_pipelines.model.paging import Page, page_of, place_of
from holovitals_pipelines.model.vocabulary import Direction, JobStatus, JobType, Stage
from holovitals_pipelines.store import errors, jobs, stages
from holovitals_pipelines.store.jobs import Job, JobEvent
from holovitals_pipelines.store.stages import StageRow
from holovitals_pipelines.store.tables import sync_conflict

LISTED = 50
"""Errors and conflicts that are shown with a job; how many there are is told beside them."""
_LIST = "jobs"


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs; an empty tuple or None is any."""

    connection: str | None = None
    statuses: tuple[JobStatus, ...] = ()
    types: tuple[JobType, ...] = ()
    directions: tuple[Direction, ...] = ()
    requested_by: str | None = None
    since: datetime | None = None
    """Created then or later ..."""
    until: datetime | None = None
    """... and before this."""


@dataclass(frozen=True, slots=True)
class TypeProgress:
    """How far one resource type has come."""

    resource_type: str
    stage: Stage
    """The one begun last, or the one that failed."""
    state: str
    """running, done or failed."""
    extracted: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ListedConflict:
    conflict_id: str
    resource_type: str
    type: str
    severity: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Details:
    """What only the view of one job has."""

    errors: tuple[ReportedError, ...]
    error_count: int
    conflicts: tuple[ListedConflict, ...]
    conflict_count: int
    history: tuple[JobEvent, ...]


@dataclass(frozen=True, slots=True)
class JobView:
    job: Job
    request: SyncRequest
    total: Outcome
    patients_processed: int
    progress: tuple[TypeProgress, ...]
    details: Details | None = None
    """None in lists."""

    def as_json(self, *, named: bool = True) -> dict[str, Any]:
        """In the HTTP API's spelling. `named`: with the vendor's ids of patients and resources that were asked for."""
        job, request = self.job, self.request
        plain: dict[str, Any] = {
            "id": job.job_id,
            "type": job.type.value,
            "direction": job.direction.value,
            "priority": int(job.priority),
            "status": job.status.value,
            "ehrProvider": job.provider.value,
            "ehrConnectionId": job.connection,
            "resourceTypes": list(dict.fromkeys((*request.resource_types, *(kind for kind, _ in request.ids)))),
            "filters": _filters(request),
            "options": options_as_json(request.options),
            "attempt": job.attempt,
            "runId": job.run_id,
            "lane": job.lane.value if job.lane else None,
            "requestedBy": job.requested_by,
            "createdAt": _text(job.created_at),
            "queuedAt": _text(job.queued_at),
            "startedAt": _text(job.started_at),
            "finishedAt": _text(job.finished_at),
            "cancelling": job.cancel_requested and job.status is JobStatus.PROCESSING,
            "nextAt": _text(job.next_at),
            "error": {"code": job.error_code, "message": job.error_message} if job.error_code else None,
            "result": self._result(),
            "progress": [_progress_as_json(one) for one in self.progress],
        }
        if named:
            plain["patientId"] = request.patients[0] if len(request.patients) == 1 else None
            plain["patientIds"] = list(request.patients)
            plain["resourceIds"] = [remote_id for _, remote_id in request.ids]
        return plain | (_details_as_json(self.details) if self.details else {})

    def _result(self) -> dict[str, Any]:
        """processed = succeeded + failed + skipped, once the job is through; while it runs, the rest is under way."""
        total = self.total
        held = min(total.held, total.conflicts)
        return {
            "recordsProcessed": total.extracted + total.pushed + total.refused_writes,
            "recordsSucceeded": total.created + total.updated + total.conflicts - held + total.pushed,
            "recordsFailed": total.quarantined + total.refused_writes,
            "recordsSkipped": total.unchanged + total.duplicates + total.superseded + held,
            "summary": {
                "patientsProcessed": self.patients_processed,
                "resourcesCreated": total.created,
                "resourcesUpdated": total.updated,
                "resourcesDeleted": total.removed,
                "resourcesWritten": total.pushed,
                "bytesTransferred": total.bytes,
            },
        }


def view_job(home: Home, job_id: str) -> JobView:
    """One job with its errors, conflicts and history. Raises JobError for an unknown id."""
    with home.database.read() as transaction:
        job = jobs.get_job(transaction, job_id)
        details = Details(
            errors=tuple(errors.errors_of(transaction, job_id, limit=LISTED)),
            error_count=sum(errors.count_errors(transaction, job_id).values()),
            conflicts=_conflicts(transaction, job_id),
            conflict_count=_count_conflicts(transaction, job_id),
            history=tuple(jobs.history(transaction, job_id)),
        )
        return _view(job, stages.stages_of(transaction, job_id), details)


def list_job_views(home: Home, wanted: JobFilter, cursor: str | None = None, limit: int = 50) -> Page[JobView]:
    """Jobs that fit, newest first, without their details. Raises StoreError for a cursor of another list."""
    before = place_of(cursor, _LIST, str)[0] if cursor else None
    with home.database.read() as transaction:
        found = jobs.list_jobs(
            transaction,
            connection=wanted.connection,
            statuses=wanted.statuses or None,
            types=wanted.types or None,
            directions=wanted.directions or None,
            requested_by=wanted.requested_by,
            since=wanted.since,
            until=wanted.until,
            limit=limit + 1,
            before=before,
        )
        rows = stages.stages_of_jobs(transaction, [job.job_id for job in found])
    return page_of([_view(job, rows[job.job_id]) for job in found], limit, _LIST, lambda view: (view.job.job_id,))


def _view(job: Job, rows: Sequence[StageRow], details: Details | None = None) -> JobView:
    outcomes = outcomes_of(rows)
    total = Outcome()
    for outcome in outcomes.values():
        total = total.plus(outcome)
    request = request_from(job.request)
    patients = outcomes["Patient"].extracted if "Patient" in outcomes else len(request.patients)
    return JobView(job, request, total, patients, _progress(rows, outcomes), details)


def _progress(rows: Sequence[StageRow], outcomes: Mapping[str, Outcome]) -> tuple[TypeProgress, ...]:
    order = {stage: place for place, stage in enumerate(Stage)}
    newest: dict[str, StageRow] = {}
    for row in rows:
        known = newest.get(row.resource_type)
        if known is None or (known.state != "failed" and order[row.stage] >= order[known.stage]):
            newest[row.resource_type] = row
    return tuple(
        TypeProgress(name, row.stage, row.state, outcomes[name].extracted, round(outcomes[name].seconds, 3))
        for name, row in newest.items()
    )


def _conflicts(transaction: sa.Connection, job_id: str) -> tuple[ListedConflict, ...]:
    columns = ("conflict_id", "resource_type", "type", "severity", "status")
    query = (
        sa.select(*(sync_conflict.c[name] for name in columns))
        .where(sync_conflict.c.job_id == job_id)
        .order_by(sync_conflict.c.detected_at, sync_conflict.c.conflict_id)
        .limit(LISTED)
    )
    return tuple(ListedConflict(*row) for row in transaction.execute(query))


def _count_conflicts(transaction: sa.Connection, job_id: str) -> int:
    query = sa.select(sa.func.count()).select_from(sync_conflict).where(sync_conflict.c.job_id == job_id)
    return int(transaction.execute(query).scalar_one())


def _filters(request: SyncRequest) -> dict[str, Any]:
    filters: dict[str, Any] = {"resourceTypes": list(request.resource_types)} if request.resource_types else {}
    if request.window is not None:
        filters |= {"since": _text(request.window[0]), "until": _text(request.window[1])}
    return filters


def _details_as_json(details: Details) -> dict[str, Any]:
    return {
        "errors": [
            {
                "severity": str(error.severity),
                "code": error.code,
                "message": error.message,
                "remedy": error.remedy,
                "resourceType": error.resource_type,
                "context": {"source": error.source, "line": error.line},
            }
            for error in details.errors
        ],
        "errorCount": details.error_count,
        "conflicts": [
            {
                "conflictId": conflict.conflict_id,
                "resourceType": conflict.resource_type,
                "type": conflict.type,
                "severity": conflict.severity,
                "status": conflict.status,
            }
            for conflict in details.conflicts
        ],
        "conflictCount": details.conflict_count,
        "history": [
            {
                "at": _text(event.at),
                "kind": event.kind,
                "status": event.status.value if event.status else None,
                "detail": dict(event.detail) if event.detail else None,
            }
            for event in details.history
        ],
    }


def _progress_as_json(one: TypeProgress) -> dict[str, Any]:
    return {
        "resourceType": one.resource_type,
        "stage": one.stage.value,
        "state": one.state,
        "extracted": one.extracted,
        "seconds": one.seconds,
    }


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
