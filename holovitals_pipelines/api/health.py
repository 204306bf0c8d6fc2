"""Whether the process lives, whether it can do its work, and numbers for Prometheus.

Law: none of these says anything of a record, a patient or a secret; all of them can be asked without a token, but
/metrics only while the settings say so.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from holovitals_pipelines import __version__
from holovitals_pipelines.api.security import CAN_READ_OR_AUDIT, Credentials
from holovitals_pipelines.api.shapes.base import Told
from holovitals_pipelines.api.state import OpenHome, state_of
from holovitals_pipelines.engine.readiness import check_readiness

routes = APIRouter(tags=["health"])

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Alive(Told):
    status: Annotated[str, Field(examples=["ok"])]
    version: str


class Check(Told):
    name: Annotated[str, Field(examples=["database"])]
    ok: bool
    message: str
    remedy: str | None


class Readiness(Told):
    ready: bool
    checks: list[Check]


@routes.get("/healthz")
def healthz() -> Alive:
    """The process answers."""
    return Alive(status="ok", version=__version__)


@routes.get("/readyz", responses={503: {"model": Readiness, "description": "Something that is needed is not there."}})
def readyz(home: OpenHome, response: Response) -> Readiness:
    """Database, migrations, disk, connections file, and the worker where one has been at work."""
    checks = check_readiness(home)
    ready = all(check.ok for check in checks)
    if not ready:
        response.status_code = 503
    return Readiness(ready=ready, checks=[Check(**{n: getattr(c, n) for n in Check.model_fields}) for c in checks])


@routes.get(
    "/metrics",
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text format."},
        **{
            status: {
                "description": "A token is needed.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
            for status in (401, 403)
        },
    },
    response_class=Response,
)
def metrics(request: Request, home: OpenHome, credentials: Credentials) -> Any:
    """Calls and latencies, jobs, queue, open conflicts, webhook events, waiting writes: counts, no ids."""
    state = state_of(request)
    if not state.settings.api_open_metrics:
        CAN_READ_OR_AUDIT(request, credentials)
    return Response(state.meters.text(), media_type=_TEXT)
