"""What is held in quarantine over HTTP: where it came from, the rule it broke, what to do, and closing it.

Law: ids and contents of what is held stay in the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from holovitals_pipelines.api.documented import documented
from holovitals_pipelines.api.security import CAN_OPERATE, CAN_READ, Operator, Reader
from holovitals_pipelines.api.shapes.base import Asked, Limit, Name, PageOf, Text, Told, shown_as
from holovitals_pipelines.api.state import OpenHome
from holovitals_pipelines.engine.job_requests import connection_of
from holovitals_pipelines.engine.quarantine import Closed, dismiss_held, explain_held, held_page, release_held
from holovitals_pipelines.model.vocabulary import SourceFormat

routes = APIRouter(tags=["quarantine"])

QuarantineId = Annotated[int, Path(alias="quarantineId", ge=1, le=9_000_000_000_000_000)]


class HeldResource(Told):
    """A resource that was refused and is kept."""

    quarantine_id: int
    connection: str
    resource_type: str
    stage: str
    rule: str
    path: str | None
    message: str
    remedy: str
    source: str | None
    line: int | None
    at: datetime
    state: Annotated[str, Field(examples=["held", "released", "superseded", "dismissed"])]
    closed_by: str | None
    closed_at: datetime | None


class FoundIssue(Told):
    severity: str
    path: str
    rule: str
    message: str
    remedy: str


class Explanation(Told):
    """Everything today's rules find in it; nothing: the next full sync takes it."""

    quarantine_id: int
    state: Annotated[str, Field(examples=["held", "released", "superseded", "dismissed"])]
    format: Annotated[SourceFormat, Field(description="what the bytes are written in, as the vendor sent them")]
    rule_set: Annotated[str | None, Field(description="what makes FHIR R4 of them, and is judged with them")]
    issues: Sequence[FoundIssue]


class ClosedEntry(Told):
    """An entry that is held no more; its bytes stay."""

    quarantine_id: int
    state: Annotated[str, Field(examples=["released", "dismissed"])]
    job_id: Annotated[str | None, Field(description="the job that reads the resource again")]

    @classmethod
    def of(cls, closed: Closed) -> ClosedEntry:
        return cls(quarantine_id=closed.quarantine_id, state=closed.state, job_id=closed.job_id)


class Dismissal(Asked):
    model_config = shown_as({"reason": "a test patient"})
    reason: Annotated[Text, Field(max_length=1000)]


@routes.get("/api/quarantine", **documented(CAN_READ, 404))
def list_held(
    home: OpenHome,
    caller: Reader,
    connection: Annotated[Name | None, Query(examples=["clinic"])] = None,
    closed: Annotated[bool, Query(description="those that are held no more")] = False,
    cursor: Annotated[Text | None, Query(max_length=1000)] = None,
    limit: Annotated[Limit, Query()] = 100,
) -> PageOf[HeldResource]:
    """The newest first; those that are still held, or those that are not."""
    named = connection_of(home, connection) if connection is not None else None
    page = held_page(home, named, cursor=cursor, limit=limit, closed=closed)
    return PageOf(items=[HeldResource.model_validate(row) for row in page.items], next=page.next)


@routes.get("/api/quarantine/{quarantineId}", **documented(CAN_READ, 404))
def explain(
    quarantine_id: QuarantineId,
    home: OpenHome,
    caller: Reader,
) -> Explanation:
    """Everything that is wrong with one of them, without its content."""
    explained = explain_held(home, quarantine_id)
    judged, names = explained.judged, FoundIssue.model_fields
    return Explanation(
        quarantine_id=quarantine_id,
        state=explained.state,
        format=judged.format,
        rule_set=judged.rule_set,
        issues=[FoundIssue(**{n: getattr(issue, n) for n in names}) for issue in judged.issues],
    )


@routes.post("/api/quarantine/{quarantineId}/release", **documented(CAN_OPERATE, 404, 409))
def release(quarantine_id: QuarantineId, home: OpenHome, caller: Operator) -> ClosedEntry:
    """Let go what the rules of today take; a job reads it again. What still breaks a rule stays held."""
    return ClosedEntry.of(release_held(home, quarantine_id, actor=caller.name))


@routes.post("/api/quarantine/{quarantineId}/dismiss", **documented(CAN_OPERATE, 404, 409))
def dismiss(quarantine_id: QuarantineId, dismissal: Dismissal, home: OpenHome, caller: Operator) -> ClosedEntry:
    """Close one that shall not come in, or has come in by another reading."""
    return ClosedEntry.of(dismiss_held(home, quarantine_id, reason=dismissal.reason, actor=caller.name))
