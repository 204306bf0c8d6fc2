"""Who may call what: a bearer token in the header or a session in a browser's cookie, and roles by route.

Law: a call without a valid token learns nothing but how to get one; a refused role learns which one is needed. A
session is never more than its token: revoked, expired or of other roles from the next call on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from holovitals_pipelines.api.problems import ApiError
from holovitals_pipelines.api.state import home_of, state_of
from holovitals_pipelines.engine.tokens import Caller, authenticate, still_valid
from holovitals_pipelines.model.vocabulary import Role

_bearer = HTTPBearer(
    scheme_name="token",
    description="A token of `holovitals tokens create NAME --role …`, sent as `Authorization: Bearer hv_…`.",
    auto_error=False,
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
CALLER = "holovitals.caller"
"""Where the call keeps who makes it."""
SESSION_COOKIE = "holovitals_session"
FROM_OUR_PAGES = "X-HoloVitals"
"""A header that pages of other sites cannot send with a browser's cookie: asked for where a call changes something."""
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="holovitals"'}
_READING = ("GET", "HEAD")
_HOW = "holovitals tokens create NAME --role viewer, then send: Authorization: Bearer <token>"


class Allowed:
    """A dependency that lets callers with one of these roles through, and says who calls."""

    def __init__(self, *roles: Role) -> None:
        self.roles = roles

    def __call__(self, request: Request, credentials: Credentials) -> Caller:
        caller = caller_of(request, credentials)
        request.scope[CALLER] = caller
        if caller.roles.isdisjoint(self.roles):
            raise ApiError(
                f"the token has no role that may do this; needed: {' or '.join(self.roles)}",
                code="api.role_missing",
                place="Authorization",
                remedy="use a token with such a role: holovitals tokens create NAME --role " + self.roles[0],
            )
        return caller


def caller_of(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Caller:
    """Who calls. Raises ApiError (`api.token_missing`, `api.token_invalid`, `api.foreign_page`)."""
    if credentials is not None and credentials.credentials:
        return check_token(request, credentials.credentials)
    session = request.cookies.get(SESSION_COOKIE)
    if session is None:
        raise ApiError(
            "the call has no token", code="api.token_missing", place="Authorization", remedy=_HOW, headers=_CHALLENGE
        )
    return _of_session(request, session)


def check_token(request: Request, secret: str) -> Caller:
    """Whose token it is. Raises ApiError (`api.token_invalid`)."""
    caller = authenticate(home_of(request).database, secret, datetime.now(UTC))
    return _admitted(request, caller, "the token is unknown, revoked or has expired", _HOW)


def _of_session(request: Request, session: str) -> Caller:
    if request.method not in _READING and FROM_OUR_PAGES not in request.headers:
        raise ApiError(
            "a browser's session changes something only from our own pages",
            code="api.foreign_page",
            place=FROM_OUR_PAGES,
            remedy=f"send the header {FROM_OUR_PAGES}: dashboard; or a token as Authorization: Bearer <token>",
        )
    now = datetime.now(UTC)
    token_id = state_of(request).sessions.token_of(session, now)
    caller = still_valid(home_of(request).database, token_id, now) if token_id is not None else None
    return _admitted(request, caller, "the session has ended", "sign in again, with a token that is valid")


def _admitted(request: Request, caller: Caller | None, refusal: str, remedy: str) -> Caller:
    buckets = state_of(request).buckets
    if caller is None:
        buckets.take(f"address:{request.client.host if request.client else ''}")  # slows guessing down
        raise ApiError(
            refusal,
            code="api.token_invalid",
            place="Authorization",
            remedy=remedy,
            headers={"WWW-Authenticate": 'Bearer realm="holovitals", error="invalid_token"'},
        )
    buckets.take(f"token:{caller.token_id}")
    return caller


CAN_READ = Allowed(Role.VIEWER, Role.OPERATOR, Role.RESOLVER, Role.APPROVER)
CAN_OPERATE = Allowed(Role.OPERATOR)
CAN_RESOLVE = Allowed(Role.RESOLVER)
CAN_APPROVE = Allowed(Role.APPROVER)
CAN_AUDIT = Allowed(Role.AUDITOR)
CAN_READ_OR_AUDIT = Allowed(*CAN_READ.roles, Role.AUDITOR)
ANYBODY = Allowed(*Role)

Reader = Annotated[Caller, Depends(CAN_READ)]
Operator = Annotated[Caller, Depends(CAN_OPERATE)]
Resolver = Annotated[Caller, Depends(CAN_RESOLVE)]
Approver = Annotated[Caller, Depends(CAN_APPROVE)]
Auditor = Annotated[Caller, Depends(CAN_AUDIT)]
ReaderOrAuditor = Annotated[Caller, Depends(CAN_READ_OR_AUDIT)]
