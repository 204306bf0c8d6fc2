"""A plain, well-behaved FHIR R4 server: versions, conditional updates, history, search by time, Bulk Data."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.clock import instant
from holovitals_pipelines.sandbox.dialects.fhir_export import export_of
from holovitals_pipelines.sandbox.protocols import bulk, search
from holovitals_pipelines.sandbox.protocols.binary import as_itself
from holovitals_pipelines.sandbox.protocols.outcomes import (
    FHIR_JSON,
    fhir_response,
    fhir_template,
    issue,
    origin,
    outcome,
    refusal,
)
from holovitals_pipelines.sandbox.protocols.pages import count_of
from holovitals_pipelines.sandbox.protocols.rest import (
    answer_search,
    capability_statement,
    export_routes,
    group_of_all,
    kicked_off,
    token_route,
)
from holovitals_pipelines.sandbox.protocols.smart_backend import TokenPolicy, allows, system_scopes
from holovitals_pipelines.sandbox.protocols.writing import answers_body, condition_problem, stored_form
from holovitals_pipelines.sandbox.site import Dialect, Session, Site
from holovitals_pipelines.sandbox.splice import with_server_meta, without_version

BASE = "/fhir/r4"
TOKEN = "/fhir/oauth2/token"  # noqa: S105 a path
EVERYONE = "everyone"
"""The Group of all patients, answered without being a stored resource."""

_IGNORED = {"_sort", "_format", "_summary", "_total", "_pretty"}
_OWN = {"_count", "_id", "_lastUpdated", "session"} | _IGNORED


@dataclass(frozen=True, slots=True)
class FhirSettings:
    """Knobs; seconds, rows, counts."""

    session_seconds: float = 600.0
    default_count: int = 50
    most_count: int = 10_000
    polls: int = 1
    """How many status polls are answered 202."""
    retry_after: str = "1"
    rows_a_file: int = 250_000
    token_seconds: int = 300
    versioning: str = "versioned"
    """What the CapabilityStatement declares: `versioned`, `versioned-update` or `no-version`, true or not."""
    etags: bool = True
    """False: no ETag, If-Match is ignored, resources show no version."""
    require_if_match: bool = False
    missing_status: int = 400
    stale_status: int = 412
    """Answers to a missing If-Match, where it is required, and to a stale one; Cerner's are 412 and 409."""
    read_only: bool = False
    """Every write is refused with 405."""
    immutable: tuple[str, ...] = ()
    """`Patient.birthDate`: elements that keep the vendor's own value, silently, once the resource exists."""
    lossy: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """`{"drop": ["Patient.maritalStatus"], "lower": ["Patient.name.family"]}`: elements dropped, texts lower-cased."""
    return_body: bool = True
    """False: writes are answered without a body, as Cerner does."""
    delete_status: int = 204
    """The answer to a delete; from 400 on, nothing is deleted."""


def token_policy(settings: FhirSettings) -> TokenPolicy:
    return TokenPolicy(
        algorithms=frozenset({"RS384", "ES384"}), lifetime_seconds=settings.token_seconds, grant=system_scopes
    )


def _denied(site: Site, request: Request, kind: str, letter: str) -> Response | None:
    if site.tokens is None:
        return None
    issued = site.tokens.bearer(request)
    if issued is None:
        return refusal(401, "login", "the access token is missing or no longer valid", {"WWW-Authenticate": "Bearer"})
    if not allows(issued, kind, letter):
        return refusal(403, "forbidden", f"the granted scopes do not include {letter} on {kind}")
    return None


def _refused_write(site: Site, request: Request, kind: str, letter: str) -> Response | None:
    if (denied := _denied(site, request, kind, letter)) is not None:
        return denied
    if site.settings.read_only:
        return refusal(405, "not-supported", "this server is read-only")
    return None


def open_site(site: Site) -> list[BaseRoute]:
    """The routes of the server."""
    records = site.records

    def shown(number: int, request: Request, status: int = 200) -> Response:
        version = records.version(number)
        assert version.body is not None
        headers = _etag(site, number) | {"Last-Modified": _http_time(version.updated_ms)}
        if request.method != "GET":
            history = f"/_history/{version.number}" if site.settings.etags else ""
            kind, identity = records.kind(number), records.identity(number)
            headers["Location"] = f"{origin(request)}{BASE}/{kind}/{identity}{history}"
            if not answers_body(site.settings, request):
                return Response(status_code=status, headers=headers)
        return fhir_response(version.body, status, headers)

    async def smart_configuration(request: Request) -> Response:
        return JSONResponse(
            {
                "token_endpoint": origin(request) + TOKEN,
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
                "grant_types_supported": ["client_credentials"],
                "scopes_supported": ["system/*.cruds"],
                "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
            }
        )

    async def metadata(request: Request) -> Response:
        return capability_statement(site, {"name": "HoloVitals sandbox, plain FHIR"}, _capabilities(site))

    async def read(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        if (denied := _denied(site, request, kind, "r")) is not None:
            return denied
        number = records.number(kind, identity)
        if number is None and (kind, identity) == ("Group", EVERYONE):
            return group_of_all(site, EVERYONE)
        if number is None:
            return refusal(404, "not-found", f"there is no such {kind}")
        if records.body(number) is None:
            return refusal(410, "deleted", f"the {kind} was deleted", _etag(site, number))
        alone = as_itself(request, records.body(number) or b"{}") if kind == "Binary" else None
        return alone or shown(number, request)

    async def read_version(request: Request) -> Response:
        kind = request.path_params["kind"]
        if (denied := _denied(site, request, kind, "r")) is not None:
            return denied
        number = records.number(kind, request.path_params["id"])
        wanted = request.path_params["version"]
        for version in records.history(number) if number is not None else ():
            if str(version.number) == wanted:
                if version.body is None:
                    return refusal(410, "deleted", "this version is a deletion")
                return fhir_response(version.body, headers={"ETag": f'W/"{version.number}"'})
        return refusal(404, "not-found", "there is no such version")

    async def history(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        if (denied := _denied(site, request, kind, "r")) is not None:
            return denied
        number = records.number(kind, identity)
        if number is None:
            return refusal(404, "not-found", f"there is no such {kind}")
        entries = []
        for version in reversed(records.history(number)):
            verb = "DELETE" if version.body is None else "POST" if version.number == 1 else "PUT"
            asked = orjson.dumps({"method": verb, "url": f"{kind}/{identity}"})
            answered = orjson.dumps(
                {
                    "status": {"DELETE": "204", "POST": "201", "PUT": "200"}[verb],
                    "etag": f'W/"{version.number}"',
                    "lastModified": instant(version.updated_ms),
                }
            )
            resource = b"" if version.body is None else b'"resource":%s,' % version.body
            entries.append(b'{%s"request":%s,"response":%s}' % (resource, asked, answered))
        return fhir_response(
            b'{"resourceType":"Bundle","type":"history","total":%d,"entry":[%s]}' % (len(entries), b",".join(entries))
        )

    async def search_type(request: Request) -> Response:
        kind = request.path_params["kind"]
        if (denied := _denied(site, request, kind, "s")) is not None:
            return denied
        expired = refusal(410, "expired", "the search has expired; start it again")
        invalid = refusal(400, "invalid", "a search parameter has an invalid value")
        return await answer_search(site, request, BASE, partial(_start_search, site), expired, invalid)

    async def create(request: Request) -> Response:
        kind = request.path_params["kind"]
        if (denied := _refused_write(site, request, kind, "c")) is not None:
            return denied
        condition = request.headers.get("if-none-exist")
        if condition is not None:
            found = _start_search(site, kind, parse_qsl(condition), "").numbers
            if len(found) > 1:
                return refusal(412, "multiple-matches", "the condition matches several resources")
            if found:
                return shown(found[0], request)
        return await write(request, kind, str(uuid.uuid4()))

    async def update(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        if (denied := _refused_write(site, request, kind, "u")) is not None:
            return denied
        stale = condition_problem(site.settings, request, _current(site, kind, identity))
        return stale or await write(request, kind, identity)

    async def write(request: Request, kind: str, identity: str) -> Response:
        body = await request.body()
        try:
            sent = orjson.loads(body)
            if request.method == "PUT" and sent.get("id") != identity:
                return refusal(400, "invalid", "the body's id is not the URL's")
            before = records.number(kind, identity)
            held = records.body(before) if before is not None else None
            _, created = records.put(kind, identity, stored_form(site.settings, kind, body, held))
        except (ValueError, AttributeError, KeyError):
            return refusal(400, "structure", f"the body is not a {kind}")
        number = records.number(kind, identity)
        assert number is not None
        return shown(number, request, 201 if created else 200)

    async def remove(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        if (denied := _refused_write(site, request, kind, "d")) is not None:
            return denied
        stale = condition_problem(site.settings, request, _current(site, kind, identity))
        if stale is not None:
            return stale
        status = site.settings.delete_status
        if status >= 400:
            return refusal(status, "business-rule", f"this {kind} is not to be deleted")
        records.delete(kind, identity)
        said = outcome(issue("information", "informational", "deleted")) if status == 200 else b""
        return Response(said, status, media_type=FHIR_JSON if said else None)

    async def export(request: Request) -> Response:
        if (denied := _denied(site, request, "*", "r")) is not None:
            return denied
        problem = bulk.kick_off_problem(request)
        if problem is not None:
            return refusal(400, "invalid", problem)
        params = parse_qsl(request.url.query, keep_blank_values=True)
        try:
            made = export_of(site, str(request.url), request.url.path[len(BASE) :], params, EVERYONE)
        except ValueError:
            return refusal(400, "invalid", "_since is not an instant")
        if made is None:
            return refusal(404, "not-found", "there is no such Group")
        return kicked_off(site, request, BASE, made)

    async def root(request: Request) -> Response:
        return RedirectResponse(f"{BASE}/metadata")

    return [
        token_route(site, TOKEN),
        Route(f"{BASE}/", root),
        Route(f"{BASE}/metadata", metadata),
        Route(f"{BASE}/.well-known/smart-configuration", smart_configuration),
        Route(f"{BASE}/$export", export),
        Route(f"{BASE}/Patient/$export", export),
        Route(f"{BASE}/Group/{{group}}/$export", export),
        *export_routes(site, BASE, lambda request: _denied(site, request, "*", "r")),
        Route(f"{BASE}/{{kind}}/_search", search_type, methods=["POST"]),
        Route(f"{BASE}/{{kind}}/{{id}}/_history", history),
        Route(f"{BASE}/{{kind}}/{{id}}/_history/{{version}}", read_version),
        Route(f"{BASE}/{{kind}}/{{id}}", read),
        Route(f"{BASE}/{{kind}}/{{id}}", update, methods=["PUT"]),
        Route(f"{BASE}/{{kind}}/{{id}}", remove, methods=["DELETE"]),
        Route(f"{BASE}/{{kind}}", search_type),
        Route(f"{BASE}/{{kind}}", create, methods=["POST"]),
    ]


def _http_time(ms: int) -> str:
    return format_datetime(datetime.fromtimestamp(ms // 1000, UTC), usegmt=True)


def _etag(site: Site, number: int) -> dict[str, str]:
    return {"ETag": f'W/"{site.records.version(number).number}"'} if site.settings.etags else {}


def _current(site: Site, kind: str, identity: str) -> str | None:
    """The ETag of the current version, also of a tombstone; None for what never was."""
    number = site.records.number(kind, identity)
    return None if number is None else f'W/"{site.records.version(number).number}"'


def _start_search(site: Site, kind: str, params: search.Params, query: str) -> Session:
    """Find the numbers of a search. Raises ValueError for a parameter value that cannot be read."""
    records = site.records
    patients = {value.rpartition("/")[2] for name, value in params if name in ("patient", "subject")}
    ids = [identity for name, value in params if name == "_id" for identity in value.split(",")]
    numbers: Any
    if ids:
        numbers = [n for identity in ids if (n := records.number(kind, identity)) is not None]
    elif len(patients) == 1:
        numbers = records.in_chart(kind, patients.pop())
    else:
        numbers = [] if patients else records.in_order(kind)
    numbers = records.live(kind, numbers)
    times = [value for name, value in params if name == "_lastUpdated"]
    if times:
        numbers = records.updated_between(numbers, *search.time_window(times))
    content = [
        (n, v) for n, v in params if n not in _OWN and n not in ("patient", "subject") and search.is_searchable(kind, n)
    ]
    keep = search.matcher(kind, content)
    if keep is not None:
        numbers = [n for n in numbers if (body := records.body(n)) is not None and keep(body)]
    unknown = [n for n, _ in params if n not in _OWN and not search.is_searchable(kind, n)]
    warnings = [
        issue("warning", "not-supported", f"the parameter {name} is unknown and was ignored") for name in unknown
    ]
    return Session(
        kind=kind,
        numbers=numbers,
        count=count_of(params, site.settings.default_count, site.settings.most_count),
        self_query=f"?{query}" if query else "",
        warnings=warnings,
        total=len(numbers),
    )


def _capabilities(site: Site) -> list[dict[str, Any]]:
    writes = () if site.settings.read_only else ("create", "update", "delete")
    interactions = [{"code": code} for code in ("read", "vread", "history-instance", *writes)]
    parameters = [("_id", "token"), ("_lastUpdated", "date"), ("patient", "reference"), ("identifier", "token")]
    return [
        {
            "type": kind,
            "interaction": interactions + ([] if kind == "Binary" else [{"code": "search-type"}]),
            "versioning": site.settings.versioning,
            "readHistory": True,
            "updateCreate": bool(writes),
            "conditionalCreate": bool(writes),
            "searchParam": [{"name": name, "type": what} for name, what in parameters],
        }
        for kind in site.records.types()
    ]


def _turned(site: Site) -> None:
    site.records.reshape = None if site.settings.etags else without_version


DIALECT = Dialect(
    name="fhir",
    base=BASE,
    settings=FhirSettings,
    present=with_server_meta,
    open=open_site,
    template=fhir_template,
    tokens=token_policy,
    turned=_turned,
    group=EVERYONE,
)
