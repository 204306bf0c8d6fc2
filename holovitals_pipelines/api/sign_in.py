"""Signing in with a browser: a token once, then a cookie that no script can read.

Law: the answer never repeats the token; what a session may do is what its token may do at that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from holovitals_pipelines.api.documented import documented
from holovitals_pipelines.api.problems import ApiError
from holovitals_pipelines.api.security import ANYBODY, SESSION_COOKIE, Credentials, caller_of, check_token
from holovitals_pipelines.api.sessions import LASTS
from holovitals_pipelines.api.shapes.base import Asked, Text, Told, shown_as
from holovitals_pipelines.api.state import state_of
from holovitals_pipelines.engine.tokens import Caller
from holovitals_pipelines.model.vocabulary import Role

routes = APIRouter(tags=["session"])

Known = Annotated[Caller, Depends(ANYBODY)]


class SignIn(Asked):
    model_config = shown_as({"token": "hv_…"})

    token: Annotated[Text, Field(min_length=1, max_length=500)]


class Session(Told):
    name: Annotated[str | None, Field(description="of the token: by it histories tell who did something; null: nobody")]
    roles: Sequence[Role]

    @classmethod
    def of(cls, caller: Caller) -> Session:
        return cls(name=caller.name, roles=[role for role in Role if role in caller.roles])


@routes.post("/api/session", **documented(None))
def sign_in(asked: SignIn, request: Request, response: Response) -> Session:
    """Begin a browser's session: the answer sets a cookie that stands for the token, for eight hours."""
    caller = check_token(request, asked.token)
    response.set_cookie(
        SESSION_COOKIE,
        state_of(request).sessions.begin(caller.token_id, datetime.now(UTC)),
        max_age=int(LASTS.total_seconds()),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return Session.of(caller)


@routes.get("/api/session", **documented(None))
def who(request: Request, credentials: Credentials) -> Session:
    """Who calls, and which roles that token has. Nobody is an answer too: a page asks before it asks for a token."""
    try:
        return Session.of(caller_of(request, credentials))
    except ApiError as refused:
        if refused.code not in ("api.token_missing", "api.token_invalid"):
            raise
        return Session(name=None, roles=[])


@routes.delete("/api/session", **documented(ANYBODY))
def sign_out(request: Request, response: Response, caller: Known) -> Session:
    """End the browser's session."""
    state_of(request).sessions.end(request.cookies.get(SESSION_COOKIE, ""))
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
    return Session.of(caller)
