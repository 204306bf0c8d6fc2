"""Writes at Oracle Health: If-Match always, PUT that takes away what it leaves out, JSON Patch, empty answers."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.fhir.exact import read_document, read_value, write_document
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sandbox.dialects.cerner_answers import refusal, written
from holovitals_pipelines.sandbox.dialects.cerner_form import etag
from holovitals_pipelines.sandbox.dialects.cerner_patches import PatchRefused, patched
from holovitals_pipelines.sandbox.dialects.cerner_rules import content_problem, same_allergy
from holovitals_pipelines.sandbox.protocols.outcomes import origin
from holovitals_pipelines.sandbox.site import Site

JSON_PATCH = "application/json-patch+json"


async def create(site: Site, request: Request, base: str) -> Response:
    kind = request.path_params["kind"]
    sent = _document(await request.body(), kind)
    if isinstance(sent, Response):
        return sent
    if (problem := content_problem(site, kind, sent, None)) is not None:
        return problem
    existing = same_allergy(site, sent) if kind == "AllergyIntolerance" else None
    identity = str(secrets.randbelow(10**9) + 10**9) if existing is None else site.records.identity(existing)
    site.records.put(kind, identity, write_document(sent))
    number = site.records.number(kind, identity)
    assert number is not None
    return written(site, number, 201, f"{origin(request)}{base}/{kind}/{identity}")


async def update(site: Site, request: Request) -> Response:
    kind, identity = request.path_params["kind"], request.path_params["id"]
    number = _guarded(site, request)
    if isinstance(number, Response):
        return number
    sent = _document(await request.body(), kind)
    if isinstance(sent, Response):
        return sent
    if sent.get("id") != identity:
        return refusal(400, "invalid", "the body's id is not the URL's")
    held = read_document(site.records.body(number) or b"{}")
    if (problem := content_problem(site, kind, sent, held)) is not None:
        return problem
    site.records.put(kind, identity, write_document(sent))
    return written(site, number, 200)


async def patch(site: Site, request: Request) -> Response:
    kind, identity = request.path_params["kind"], request.path_params["id"]
    number = _guarded(site, request)
    if isinstance(number, Response):
        return number
    if request.headers.get("content-type", "").partition(";")[0] != JSON_PATCH:
        return refusal(415, "not-supported", f"a patch is {JSON_PATCH}")  # unverified: the status
    try:
        operations: Any = _value(await request.body())
        document = patched(kind, read_document(site.records.body(number) or b"{}"), operations)
    except PatchRefused as refused:
        return refusal(422, refused.code, refused.reason)
    except (ValueError, AttributeError):
        return refusal(400, "structure", "the body is not a JSON patch")
    site.records.put(kind, identity, write_document(document))
    return written(site, number, 200)


async def remove(site: Site, request: Request) -> Response:
    number = _guarded(site, request)
    if isinstance(number, Response):
        return number
    site.records.delete(request.path_params["kind"], request.path_params["id"])
    return Response(status_code=204)


def _guarded(site: Site, request: Request) -> int | Response:
    """The number of the resource, if If-Match names its version: 412 without the header, 409 with another version."""
    kind, identity = request.path_params["kind"], request.path_params["id"]
    number = site.records.number(kind, identity)
    if number is None or site.records.body(number) is None:
        return refusal(404, "not-found", f"there is no such {kind}")
    wanted = request.headers.get("if-match")
    if wanted is None:
        return refusal(412, "required", "If-Match is required")
    if wanted != etag(site, number):
        return refusal(409, "conflict", "If-Match does not name the current version")
    return number


def _document(body: bytes, kind: str) -> Document | Response:
    try:
        sent = read_document(body)
    except MalformedResource:
        return refusal(400, "structure", "the body is not JSON")
    if sent.get("resourceType") != kind:
        return refusal(400, "structure", f"the body is not a {kind}")
    return sent


def _value(body: bytes) -> Any:
    """The operations with every digit of their numbers. Raises ValueError."""
    try:
        return read_value(body.decode())
    except MalformedResource:
        raise ValueError("not JSON") from None
