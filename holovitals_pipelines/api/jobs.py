"""Jobs over HTTP: create, list, look at, cancel, retry; and what they add up to.

Law: everything here goes through the queue, under the name of the token.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response, status

from holovitals_pipelines.api.documented import documented
from holovitals_pipelines.api.security import CAN_OPERATE, CAN_READ, Operator, Reader
from holovitals_pipelines.api.shapes.base import Instant, Limit, Name, PageOf, Text
from holovitals_pipelines.api.shapes.jobs import CreatedJob, JobDetail, JobEntry, NewJob, Statistics
from holovitals_pipelines.api.state import OpenHome
from holovitals_pipelines.engine import job_queue
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_requests import connection_of, request_of
from holovitals_pipelines.engine.job_statistics import job_statistics
from holovitals_pipelines.engine.job_views import JobFilter, list_job_views, view_job
from holovitals_pipelines.model.vocabulary import Direction, JobStatus, JobType

routes = APIRouter(tags=["jobs"])

JobPath = Annotated[Text, Path(alias="jobId", max_length=64, examples=["7f3c1c0e-6f0a-4b4e-9a51-0d8e5a1f2b3c"])]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="chosen by you: a second call with it answers the first call's job",
        min_length=1,
        max_length=100,
        pattern=r"^[\x21-\x7e]+$",
        examples=["import-2026-03-01"],
    ),
]


@routes.post(
    "/api/sync/jobs",
    response_model=CreatedJob,
    status_code=status.HTTP_201_CREATED,
    **documented(
        CAN_OPERATE, 409, answers={200: {"model": CreatedJob, "description": "A job that was there already."}}
    ),
)
def create(asked: NewJob, home: OpenHome, caller: Operator, response: Response, key: Key = None) -> Any:
    """Put a job into the queue. An identical one that waits is joined instead, and answered with 200."""
    request = request_of(home, asked.plain())
    scoped = f"{caller.name}:{key}" if key is not None else None
    made = job_queue.submit(home, request, requested_by=caller.name, idempotency_key=scoped)
    response.headers["Location"] = f"/api/sync/jobs/{made.job_id}"
    if made.joined:
        response.status_code = status.HTTP_200_OK
    return {**_told(home, made.job_id), "joined": made.joined}


@routes.get("/api/sync/jobs", response_model=PageOf[JobEntry], **documented(CAN_READ, 404))
def list_jobs(
    home: OpenHome,
    caller: Reader,
    connection: Annotated[Name | None, Query(alias="ehrConnectionId", examples=["clinic"])] = None,
    status: Annotated[list[JobStatus] | None, Query(description="repeatable")] = None,
    job_type: Annotated[list[JobType] | None, Query(alias="type", description="repeatable")] = None,
    direction: Annotated[list[Direction] | None, Query(description="repeatable")] = None,
    requested_by: Annotated[Name | None, Query(alias="requestedBy")] = None,
    since: Annotated[Instant | None, Query(description="created then or later")] = None,
    until: Annotated[Instant | None, Query(description="created before")] = None,
    cursor: Annotated[Text | None, Query(max_length=1000)] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> Any:
    """Jobs, the newest first; without errors, conflicts, history, and ids of patients."""
    wanted = JobFilter(
        connection=connection_of(home, connection) if connection is not None else None,
        statuses=tuple(status or ()),
        types=tuple(job_type or ()),
        directions=tuple(direction or ()),
        requested_by=requested_by,
        since=since,
        until=until,
    )
    page = list_job_views(home, wanted, cursor, limit)
    return {"items": [view.as_json(named=False) for view in page.items], "next": page.next}


@routes.get("/api/sync/jobs/{jobId}", response_model=JobDetail, **documented(CAN_READ, 404))
def show(job_id: JobPath, home: OpenHome, caller: Reader) -> Any:
    """One job with its counts, errors, conflicts and history."""
    return _told(home, job_id)


@routes.delete("/api/sync/jobs/{jobId}", response_model=JobDetail, **documented(CAN_OPERATE, 404, 409))
def cancel(job_id: JobPath, home: OpenHome, caller: Operator) -> Any:
    """Cancel a job: one that waits ends at once, one at work at its next page. What it has committed stays."""
    job_queue.cancel(home, job_id, caller.name)
    return _told(home, job_id)


@routes.post("/api/sync/jobs/{jobId}/retry", response_model=JobDetail, **documented(CAN_OPERATE, 404, 409))
def retry(job_id: JobPath, home: OpenHome, caller: Operator) -> Any:
    """Queue a failed job again, for one more attempt that keeps what was done."""
    job_queue.retry(home, job_id, caller.name)
    return _told(home, job_id)


@routes.get("/api/sync/statistics", response_model=Statistics, tags=["statistics"], **documented(CAN_READ, 404))
def statistics(
    home: OpenHome,
    caller: Reader,
    connection: Annotated[Name | None, Query(alias="ehrConnectionId", examples=["clinic"])] = None,
    since: Annotated[Instant | None, Query(description="jobs that ended then or later")] = None,
    until: Annotated[Instant | None, Query(description="jobs that ended before")] = None,
) -> Any:
    """Totals, success rate, durations and volumes: overall, by connection, by connection and day."""
    named = connection_of(home, connection) if connection is not None else None
    return job_statistics(home, since, until, named)


def _told(home: Home, job_id: str) -> dict[str, Any]:
    return view_job(home, job_id).as_json()
