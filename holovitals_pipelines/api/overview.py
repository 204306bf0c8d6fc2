"""The dashboard's numbers over HTTP: one call for all of them, cheap to ask again.

Law: no value of anybody is in it, so it is no look into a chart and asks for no more than a reader's role.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from holovitals_pipelines.api.documented import documented, not_modified
from holovitals_pipelines.api.preconditions import IfNoneMatch, is_known, quoted, unchanged
from holovitals_pipelines.api.security import CAN_READ, Reader
from holovitals_pipelines.api.shapes.overview import Dashboard
from holovitals_pipelines.api.state import OpenHome, state_of

routes = APIRouter(tags=["dashboard"])

_MOST_DAYS = 90


@routes.get("/api/dashboard", response_model=Dashboard, **documented(CAN_READ, answers=not_modified()))
def dashboard(
    request: Request,
    home: OpenHome,
    caller: Reader,
    days: Annotated[int, Query(ge=1, le=_MOST_DAYS, description="UTC days, today among them")] = 14,
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Cards, trend, connections, jobs, errors and open conflicts. No value of anybody is in it."""
    tag, body, _ = state_of(request).recent.answer(home, days)
    if is_known(if_none_match, tag):
        return unchanged(tag)
    return Response(body, media_type="application/json", headers={"ETag": quoted(tag)})
