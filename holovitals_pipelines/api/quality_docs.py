"""Quality over HTTP: the newest outcome of every claim, letting a failure pass, and the page of it all.

Law: counts and names, no value of any record; letting pass asks for an operator and a reason.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import HTMLResponse, RedirectResponse, Response

from holovitals_pipelines.api.documented import documented
from holovitals_pipelines.api.problems import ApiError
from holovitals_pipelines.api.security import CAN_OPERATE, CAN_READ, Credentials, Operator, Reader
from holovitals_pipelines.api.shapes.base import Asked, Name, Text, Told, shown_as
from holovitals_pipelines.api.state import OpenHome
from holovitals_pipelines.engine.job_requests import connection_of
from holovitals_pipelines.engine.quality_gate import accept, holds
from holovitals_pipelines.engine.quality_page import newest_of, quality_page
from holovitals_pipelines.store.quality import StoredOutcome

routes = APIRouter(tags=["quality"])

_NO_SOURCES = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}


class QualityOutcome(Told):
    """What became of a claim about the newest batch it was judged on."""

    connection: str
    resource_type: str
    claim: str
    passed: bool
    severity: str
    rows: int
    unexpected: int
    at: datetime
    accepted_by: Annotated[str | None, Field(description="who let this failure pass")]
    held_back: Annotated[bool, Field(description="whether the type is not written to its vendor because of it")]

    @classmethod
    def of(cls, one: StoredOutcome, held_back: bool) -> QualityOutcome:
        named = {name: getattr(one, name) for name in cls.model_fields if name not in ("claim", "held_back")}
        return cls(claim=one.check_name, held_back=held_back, **named)


class QualityOutcomes(Told):
    items: list[QualityOutcome]


class Acceptance(Asked):
    """A failure that may pass until a later batch is judged."""

    model_config = shown_as(
        {
            "connection": "clinic",
            "resourceType": "Observation",
            "claim": "volume_has_not_collapsed",
            "reason": "the archive was moved, ticket 4711",
        }
    )
    connection: Name
    resource_type: Name
    claim: Name
    reason: Annotated[Text, Field(max_length=1000)]


@routes.get("/api/quality", **documented(CAN_READ, 404))
def list_quality(
    home: OpenHome, caller: Reader, connection: Annotated[Name | None, Query(examples=["clinic"])] = None
) -> QualityOutcomes:
    """The newest outcome of every claim; those that hold a type back are marked."""
    named = connection_of(home, connection) if connection is not None else None
    with home.database.read() as transaction:
        held = {hold.outcome for hold in holds(home, transaction, named)}
    return QualityOutcomes(items=[QualityOutcome.of(one, one in held) for one in newest_of(home, named)])


@routes.post("/api/quality/accept", **documented(CAN_OPERATE, 404, 409))
def accept_failure(acceptance: Acceptance, home: OpenHome, caller: Operator) -> QualityOutcome:
    """Let a failed claim pass that holds a type back. The audit log tells who did."""
    named = connection_of(home, acceptance.connection)
    accepted = accept(
        home, named, acceptance.resource_type, acceptance.claim, reason=acceptance.reason, actor=caller.name
    )
    return QualityOutcome.of(accepted, False)


@routes.get("/quality", include_in_schema=False)
def page(request: Request, home: OpenHome, credentials: Credentials) -> Response:
    """The same for people, with a token or the dashboard's session; who has neither is led to sign in."""
    try:
        CAN_READ(request, credentials)
    except ApiError as refused:
        if refused.code not in ("api.token_missing", "api.token_invalid") or credentials is not None:
            raise
        return RedirectResponse("/dashboard?then=/quality", status_code=303)
    return HTMLResponse(quality_page(home), headers=_NO_SOURCES)
