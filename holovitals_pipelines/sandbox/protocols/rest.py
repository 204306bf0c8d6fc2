"""What every FHIR server answers the same way: token requests, pages of a search, the later steps of an export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from holovitals_pipelines.sandbox.clock import instant
from holovitals_pipelines.sandbox.protocols import bulk, search
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_response, origin
from holovitals_pipelines.sandbox.protocols.pages import bundle_page, page_fault_of, split_session_token
from holovitals_pipelines.sandbox.site import Session, Site


def token_route(site: Site, path: str) -> Route:
    """The token endpoint; a site without token service refuses every client."""

    async def token(request: Request) -> Response:
        if site.tokens is None:
            return JSONResponse({"error": "invalid_client", "error_description": None}, 400)
        return await site.tokens.answer(request, origin(request) + path)

    return Route(path, token, methods=["POST"])


def export_routes(site: Site, base: str, denied: Callable[[Request], Response | None]) -> list[Route]:
    """Status, clean-up and files of exports that were kicked off."""

    async def status(request: Request) -> Response:
        if (refused := denied(request)) is not None:
            return refused
        identity = request.path_params["job"]
        if request.method == "DELETE":
            return bulk.finish_answer(site, identity)
        return bulk.status_answer(site, identity, request, f"{base}/bulk/files", site.settings.retry_after)

    async def file(request: Request) -> Response:
        if (refused := denied(request)) is not None:
            return refused
        return bulk.file_answer(site, request.path_params["job"], request.path_params["name"], request)

    return [
        Route(f"{base}/bulk/status/{{job}}", status, methods=["GET", "DELETE"]),
        Route(f"{base}/bulk/files/{{job}}/{{name}}", file),
    ]


def kicked_off(site: Site, request: Request, base: str, export: bulk.Export) -> Response:
    location = f"{origin(request)}{base}/bulk/status/{site.exports.add(export)}"
    return Response(status_code=202, headers={"Content-Location": location})


async def answer_search(
    site: Site,
    request: Request,
    base: str,
    start: Callable[[str, search.Params, str], Session | Response],
    expired: Response,
    invalid: Response,
) -> Response:
    """A search's first page, or the page a `next` link leads to.

    `start` finds what a new search looks through; it raises ValueError for parameter values it cannot read. A POST
    search reads its body only.
    """
    kind = request.path_params["kind"]
    query = (await request.body()).decode() if request.method == "POST" else request.url.query
    params = parse_qsl(query, keep_blank_values=True)
    asked = next((value for name, value in params if name == "session"), None)
    try:
        if asked is not None:
            name, position = split_session_token(asked)
            found = site.sessions.find(name)
            if found is None or found.kind != kind:
                return expired
        else:
            started = start(kind, params, query)
            if isinstance(started, Response):
                return started
            found, position = started, 0
            name = site.sessions.keep(started, site.settings.session_seconds)
    except ValueError:
        return invalid
    fault = page_fault_of(request.scope)
    base_url = origin(request) + base
    return fhir_response(bundle_page(site, found, position, base_url, f"{base_url}/{kind}?session={name}.", fault))


def group_members(site: Site, group: str, everyone: str) -> list[str] | None:
    """Patient ids of a Group resource, or of the group of all; None when there is no such group."""
    if group == everyone:
        return [site.records.identity(number) for number in site.records.in_order("Patient")]
    number = site.records.number("Group", group)
    body = site.records.body(number) if number is not None else None
    if body is None:
        return None
    return [text.rpartition("/")[2] for text in search.values_at(orjson.loads(body), "member.entity.reference")]


def group_of_all(site: Site, identity: str) -> Response:
    count = site.records.counts().get("Patient", 0)
    group = {"resourceType": "Group", "id": identity, "type": "person", "actual": True, "quantity": count}
    return fhir_response(orjson.dumps(group))


def capability_statement(
    site: Site, software: dict[str, str], resources: Sequence[dict[str, Any]], **more: Any
) -> Response:
    """The server's CapabilityStatement; `more` are members of its own."""
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(site.clock.now_ms()),
        "kind": "instance",
        "instantiates": ["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"],
        "software": software,
        "fhirVersion": "4.0.1",
        "format": ["json"],
        **more,
        "rest": [{"mode": "server", "resource": resources}],
    }
    return fhir_response(orjson.dumps(statement))
