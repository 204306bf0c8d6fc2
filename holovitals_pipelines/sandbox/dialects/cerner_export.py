"""Oracle Health's Group export: one at a time, and files that are fetched from a store that wants no token (§4.4)."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.sandbox.clock import parse_instant
from holovitals_pipelines.sandbox.dialects.cerner_answers import refusal
from holovitals_pipelines.sandbox.facts.cerner import BULK_NEED_ANOTHER, BULK_PARAMETERS, BULK_TYPES, GROUP_OF_ALL
from holovitals_pipelines.sandbox.protocols import bulk, search
from holovitals_pipelines.sandbox.protocols.outcomes import origin
from holovitals_pipelines.sandbox.protocols.rest import group_members
from holovitals_pipelines.sandbox.protocols.smart_backend import Issued, allows
from holovitals_pipelines.sandbox.site import Site

STORAGE = "/cerner/storage"
_SIGNATURES = "storage_signatures"


def kick_off(site: Site, request: Request, issued: Issued | None, base: str) -> Response:
    problem = bulk.kick_off_problem(request)
    if problem is not None:
        return refusal(400, "invalid", problem)
    params = parse_qsl(request.url.query, keep_blank_values=True)
    lenient = "handling=lenient" in request.headers.get("prefer", "")
    refused = _parameter_problem(params, lenient=lenient)
    if refused is not None:
        return refused
    asked = _types(params)
    if issued is not None and any(not allows(issued, kind, "r") for kind in asked):
        return refusal(403, "forbidden", "the token does not read all types")
    key = issued.client_id if issued is not None else "open"
    if site.exports.is_unfinished(key):
        return refusal(429, "throttled", "an export job is already in progress for this client and tenant")
    members = group_members(site, request.path_params["group"], GROUP_OF_ALL)
    if members is None:
        return refusal(404, "not-found", "there is no such Group")
    try:
        since = max((parse_instant(value) for name, value in params if name == "_since"), default=None)
    except ValueError:
        return refusal(400, "invalid", "_since is not an instant")
    files: list[bulk.ExportFile] = []
    for kind in BULK_TYPES:
        readable = issued is None or allows(issued, kind, "r")
        if kind in asked or (not asked and readable):
            numbers = _numbers(site, kind, members, since)
            files += bulk.split_files(site.records, kind, numbers, site.settings.rows_a_file)
    made = bulk.Export(key, str(request.url), site.clock.now_ms(), files, [], polls_left=site.settings.polls)
    location = f"{origin(request)}{base}/bulk-export/jobs/{site.exports.add(made)}"
    return Response(status_code=202, headers={"Content-Location": location})


def to_storage(site: Site, request: Request) -> Response:
    """307 to a short-lived address on another host, as a pre-signed one is."""
    job, name = request.path_params["job"], request.path_params["name"]
    signature = secrets.token_urlsafe(12)
    site.shared.setdefault(_SIGNATURES, {})[signature] = site.clock.now_ms() + site.settings.storage_seconds * 1000
    host, _, port = request.headers.get("host", "localhost").partition(":")
    other = "127.0.0.1" if host == "localhost" else "localhost"
    location = f"http://{other}:{port}{STORAGE}/{signature}/{job}/{name}"
    return Response(status_code=307, headers={"Location": location})


def stored_file(site: Site, request: Request) -> Response:
    """The file, to whoever has the address; with a token as well the store refuses."""
    if "authorization" in request.headers:
        return Response("<Error><Code>InvalidArgument</Code></Error>", 400, media_type="application/xml")
    until = site.shared.get(_SIGNATURES, {}).get(request.path_params["signature"], 0)
    if until <= site.clock.now_ms():
        return Response("<Error><Code>AccessDenied</Code></Error>", 403, media_type="application/xml")
    return bulk.file_answer(site, request.path_params["job"], request.path_params["name"], request)


def _types(params: search.Params) -> list[str]:
    return [kind for name, value in params if name == "_type" for kind in value.split(",")]


def _parameter_problem(params: search.Params, *, lenient: bool) -> Response | None:
    asked, names = _types(params), [name for name, _ in params]
    if not lenient and (set(names) - BULK_PARAMETERS or names.count("_type") > 1):
        return refusal(400, "invalid", "a parameter is not supported")
    if any(kind not in BULK_TYPES for kind in asked):
        return refusal(400, "invalid", "_type names a type that is not exported")
    if asked and set(asked) <= BULK_NEED_ANOTHER:
        return refusal(400, "invalid", "the types are exported together with another only")
    filters = [one for name, value in params if name == "_typeFilter" for one in value.split(",")]
    if filters and (not asked or any(one.partition("?")[0] not in asked for one in filters)):
        return refusal(400, "invalid", "_typeFilter does not fit _type")
    if len({one.partition("?")[0] for one in filters}) < len(filters):
        return refusal(400, "invalid", "_typeFilter has several queries for a type")
    if any("_lastUpdated" in one for one in filters):
        return refusal(422, "invalid", "_typeFilter has an unsupported value")
    return None


def _numbers(site: Site, kind: str, members: list[str], since: int | None) -> Any:
    records = site.records
    numbers: Any = list(records.in_order(kind))
    if kind not in BULK_NEED_ANOTHER:
        patients = [patient for patient in members if patient not in site.merged]
        numbers = sorted({number for patient in patients for number in records.in_chart(kind, patient)})
    numbers = records.live(kind, numbers)
    return numbers if since is None else records.updated_between(numbers, since, float("inf"))
