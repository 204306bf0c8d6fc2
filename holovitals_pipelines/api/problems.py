"""Every refusal as application/problem+json (RFC 9457): what happened, where, and what to do about it.

Law: no problem repeats a value that was sent or that is held here; fields are named, their contents are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from holovitals_pipelines.api.shapes.base import Asked
from holovitals_pipelines.engine.failure import failure_of
from holovitals_pipelines.model.errors import (
    ConfigurationError,
    ForbiddenMoveError,
    HoloVitalsError,
    JobBusyError,
    JobError,
    StoreError,
    TransientError,
    VendorError,
)

MEDIA_TYPE = "application/problem+json"

_STATUS_OF_CODE = {
    "page.cursor_invalid": 400,
    "api.if_match_unreadable": 400,
    "api.token_missing": 401,
    "api.token_invalid": 401,
    "api.role_missing": 403,
    "api.foreign_page": 403,
    "record.gone": 410,
    "record.changed": 412,
    "connection.changed": 412,
    "conflict.changed": 412,
    "conflict.undecidable": 422,
    "api.precondition_needed": 428,
    "api.media_type": 415,
    "api.busy": 429,
    "record.ambiguous": 409,
    "conflict.stale": 409,
    "revert.contradicted": 409,
    "revert.still_open": 409,
    "revert.nothing_to_undo": 409,
    "conflict.closed": 409,
    "conflict.same_person": 409,
    "conflict.not_decided": 409,
    "conflict.not_due": 409,
    "conflict.needs_no_approval": 409,
    "connection.exists": 409,
    "job.idempotency_conflict": 409,
    "settings.secret_missing": 409,
    "quarantine.not_held": 409,
    "quarantine.still_broken": 409,
    "quality.nothing_held": 409,
    "proposal.closed": 409,
    "proposal.stale": 409,
    "webhook.ambiguous": 404,
    "webhook.event_ambiguous": 404,
    "engine.unexpected": 500,
}
_STATUS_OF_CLASS: tuple[tuple[type[HoloVitalsError], int], ...] = (
    (ForbiddenMoveError, 409),
    (JobBusyError, 409),
    (TransientError, 503),
    (VendorError, 502),
    (JobError, 409),
    (ConfigurationError, 422),
    (StoreError, 422),
)
_OUT_OF_ORDER = ("store.", "landing.", "secret.key", "system.", "settings.database")
_UNKNOWN = re.compile(r"[a-z_]+\.(?:\w+_)?unknown(?:_\w+)?")
_REPEATS_WHAT_WAS_SENT = frozenset({"union_tag_invalid", "uuid_parsing"})
_WITHOUT_WHAT_WAS_SENT = {
    "settings.connection_unknown": ("there is no connection of this name", "GET /api/connections lists the names"),
}
_AFTER_A_SECOND = {"Retry-After": "1"}


class ApiError(HoloVitalsError):
    """A call that is refused by the API itself, with the headers its answer needs."""

    def __init__(
        self, message: str, *, code: str, place: str = "", remedy: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, code=code, place=place, remedy=remedy)
        self.headers = dict(headers or {})


def status_of(error: HoloVitalsError) -> int:
    """The HTTP status that says whose turn it is: the caller's (4xx), the vendor's (502), or ours (5xx)."""
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    if error.code.startswith(_OUT_OF_ORDER):
        return 503
    if _UNKNOWN.fullmatch(error.code):
        return 404
    return next((status for kind, status in _STATUS_OF_CLASS if isinstance(error, kind)), 500)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    remedy: str,
    place: str = "",
    instance: str | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    told: dict[str, Any] = {
        "type": f"urn:holovitals:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "place": place or None,
        "remedy": remedy or None,
        "instance": instance,
    }
    body = {name: value for name, value in told.items() if value is not None}
    if errors:
        body["errors"] = list(errors)
    return Response(orjson.dumps(body), status, dict(headers or {}), MEDIA_TYPE)


def instance_of(request: Request) -> str:
    """The call's own id, which the log of calls has too; a path can hold an id that names a person elsewhere."""
    return f"urn:uuid:{request.scope.get('holovitals.call', '')}"


def install_problems(app: FastAPI) -> None:
    """Answer everything that goes wrong with a problem."""
    app.add_exception_handler(HoloVitalsError, _ours)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(HTTPException, _of_http)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, HoloVitalsError)
    status = status_of(error)
    if error.code == "settings.connection_unknown" and request.method == "POST" and not request.path_params:
        status = 422  # it is the body that names it
    detail, remedy = _WITHOUT_WHAT_WAS_SENT.get(error.code, (error.message, error.remedy))
    headers = error.headers if isinstance(error, ApiError) else _AFTER_A_SECOND if status == 503 else {}
    return problem(
        status,
        error.code,
        detail,
        remedy=remedy,
        place="" if _UNKNOWN.fullmatch(error.code) else error.place,  # it would repeat the id that was sent
        instance=instance_of(request),
        headers=headers,
    )


async def _unfit(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return problem(
            400,
            "api.not_json",
            "the body is not JSON",
            place="body",
            remedy="send valid JSON, in UTF-8",
            instance=instance_of(request),
        )
    fields = [{"field": _field(one["loc"]), "code": str(one["type"]), "message": _said(one)} for one in found]
    return problem(
        422,
        "api.invalid",
        f"{len(fields)} of the values sent {'is' if len(fields) == 1 else 'are'} missing or do not fit",
        place=fields[0]["field"],
        remedy="correct the fields that `errors` names; /docs shows what each call takes, with examples",
        instance=instance_of(request),
        errors=fields,
    )


def _field(loc: Sequence[Any]) -> str:
    """Where it is. Within a body only names of ours are told: another could be something that was sent."""
    first, *rest = loc
    if first == "body":
        rest = [part if isinstance(part, int) or part in _field_names() else "(unnamed)" for part in rest]
    return ".".join(str(part) for part in (first, *rest))


@cache
def _field_names() -> frozenset[str]:
    """Of all fields that any body has."""
    kinds: list[type[Asked]] = Asked.__subclasses__()
    return frozenset(field.alias or name for kind in kinds for name, field in kind.model_fields.items())


def _said(one: Mapping[str, Any]) -> str:
    return "the value does not fit" if one["type"] in _REPEATS_WHAT_WAS_SENT else str(one["msg"])


_OF_HTTP = {
    400: ("api.bad_request", "the request cannot be read", "send what /docs shows for this call"),
    404: ("api.not_found", "there is no such call", "/docs lists the calls"),
    405: ("api.method_not_allowed", "the call has no such method", "`Allow` names the methods there are"),
    408: (
        "api.body_too_slow",
        "the body did not arrive in time",
        "send it again at once, in smaller parts; or raise HOLOVITALS_API_BODY_SECONDS",
    ),
    413: (
        "api.body_too_large",
        "the body is larger than this installation takes",
        "send less at once, or raise HOLOVITALS_API_MAX_BODY_BYTES",
    ),
}


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, detail, remedy = _OF_HTTP.get(
        error.status_code, ("api.refused", HTTPStatus(error.status_code).phrase.lower(), "see /docs")
    )
    headers = {"Allow": _methods_of(request)} if error.status_code == 405 else error.headers
    return problem(error.status_code, code, detail, remedy=remedy, instance=instance_of(request), headers=headers)


def _methods_of(request: Request) -> str:
    """Every method of the path: the router names those of one route."""
    found: set[str] = set()
    parts = request.url.path.split("/")
    for path, methods in request.app.openapi()["paths"].items():
        template = path.split("/")
        if len(template) == len(parts) and all(
            there.startswith("{") or there == here for there, here in zip(template, parts, strict=True)
        ):
            found |= {method.upper() for method in methods}
    return ", ".join(sorted(found))


def unexpected(call_id: str, error: Exception) -> Response:
    """The text of an exception nobody expected may be health data: only its type is told."""
    failure = failure_of(error)
    return problem(500, failure.code, failure.message, remedy=failure.remedy, instance=f"urn:uuid:{call_id}")
