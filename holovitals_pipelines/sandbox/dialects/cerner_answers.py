"""Oracle Health's answers that are no resource: plain texts, OperationOutcomes, contents, and what a write is told."""

from __future__ import annotations

import uuid
from base64 import b64decode
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import format_datetime

import orjson
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.sandbox.dialects.cerner_form import etag
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_response, issue, outcome
from holovitals_pipelines.sandbox.site import Site


def text(status: int, words: str) -> Response:
    return Response(words, status, {"X-Request-Id": _request_id()}, media_type="text/plain")


def refusal(status: int, code: str, words: str, *, severity: str = "error") -> Response:
    return fhir_response(outcome(issue(severity, code, words)), status, {"X-Request-Id": _request_id()})


def poisoned() -> Response:
    """The answer that a record without a mandatory element always gets."""
    return refusal(500, "required", "a required field is missing", severity="fatal")


def written(site: Site, number: int, status: int, location: str | None = None) -> Response:
    """The empty body of a write that was carried out; its ETag is the next If-Match."""
    updated = datetime.fromtimestamp(site.records.version(number).updated_ms // 1000, UTC)
    headers = {
        "ETag": etag(site, number),
        "Last-Modified": format_datetime(updated, usegmt=True),
        "X-Request-Id": _request_id(),
    }
    return Response(status_code=status, headers=headers if location is None else {**headers, "Location": location})


def accepts(request: Request, media_types: Collection[str]) -> bool:
    asked = request.headers.get("accept", "*/*").split(",")
    return any(one.partition(";")[0].strip() in media_types for one in asked)


def content(request: Request, binary: bytes) -> Response:
    """A Binary, as FHIR or as what it is, by the Accept header; 406 for anything else (CE-x binary.md)."""
    held = orjson.loads(binary)
    media_type = str(held.get("contentType", ""))
    if accepts(request, [media_type.partition(";")[0], "*/*"]):
        return Response(b64decode(held.get("data", "")), media_type=media_type)
    return fhir_response(binary) if accepts(request, ["application/fhir+json"]) else Response(status_code=406)


def _request_id() -> str:
    return str(uuid.uuid4())
