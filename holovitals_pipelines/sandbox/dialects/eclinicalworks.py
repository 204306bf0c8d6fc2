"""eClinicalWorks as vendors.md §8 describes it: a practice code in the path, two kinds of tokens, 250 calls a minute.

Law: the minute is the wall clock's, and every call of the practice counts in it, token requests too.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.clock import parse_instant
from holovitals_pipelines.sandbox.dialects.eclinicalworks_saves import forget_ordered, save
from holovitals_pipelines.sandbox.facts.eclinicalworks import NOT_EXPORTED, SURFACE, WHOLE_EMR
from holovitals_pipelines.sandbox.protocols import bulk, search
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_response, fhir_template, origin, refusal
from holovitals_pipelines.sandbox.protocols.pages import (
    bundle_page,
    count_of,
    page_fault_of,
    split_session_token,
)
from holovitals_pipelines.sandbox.protocols.rest import capability_statement, group_members, token_route
from holovitals_pipelines.sandbox.protocols.smart_backend import Grants, RefusedError, TokenPolicy, allows
from holovitals_pipelines.sandbox.site import Dialect, Session, Site
from holovitals_pipelines.sandbox.splice import without_server_meta

PRACTICE = "HVSBXA"
"""Six characters; every base URL is a practice's own."""
BASE = f"/eclinicalworks/fhir/r4/{PRACTICE}"
TOKEN = "/eclinicalworks/oauth/oauth2/token"  # noqa: S105 a path
GROUP = "1001"
"""The Group somebody made inside the EMR; its id is given to clients out of band."""
_LEGACY = "application/json+fhir"
_LETTERS = {"read": "rs", "rs": "rs", "r": "r", "c": "c", "u": "u", "d": "d", "create": "c", "update": "u"}
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class EcwSettings:
    """Knobs; seconds, rows, counts."""

    requests_per_minute: int = 250
    """More in a minute of the sandbox's clock are 429 until the next begins; 0: no limit."""
    app: str = "both"
    """What the client is registered for: `bulk` (Group.read must be asked for), `single` (must not), or `both`."""
    legacy_content_type: bool = False
    write_back: bool = False
    """Whether the practice has licensed it; without, QuestionnaireResponse can be created and nothing else."""
    locked_encounters: tuple[str, ...] = ()
    """139 for every write-back to one of them."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """`{"Observation": "611 INVALID_UNIT"}`: what a write-back of the type is answered ..."""
    refused_times: int = 0
    """... so many times; 0: always."""
    success_names_id: bool = True
    session_seconds: float = 600.0
    default_count: int = 50
    most_count: int = 1000
    polls: int = 1
    retry_after: str = "120"
    rows_a_file: int = 3000
    token_seconds: int = 300


def token_policy(settings: EcwSettings) -> TokenPolicy:
    def grant(requested: str | None) -> tuple[str, Grants]:
        if not requested:
            raise RefusedError("invalid_request", "scope is missing")
        grants: dict[str, str] = {}
        for scope in requested.split():
            named = re.fullmatch(r"system/([A-Za-z]+|\*)\.([a-z]+)", scope)
            if named is None or named[1] not in {*SURFACE, "*"} or named[2] not in _LETTERS:
                raise RefusedError("invalid_grant", "a scope is not supported")
            grants[named[1]] = grants.get(named[1], "") + _LETTERS[named[2]]
        if ("Group" in grants and settings.app == "single") or ("Group" not in grants and settings.app == "bulk"):
            raise RefusedError("invalid_grant", "system/Group.read does not go with what the app is registered for")
        return requested, grants

    return TokenPolicy(
        algorithms=frozenset({"RS384"}), lifetime_seconds=settings.token_seconds, grant=grant, told=_refusal_of_token
    )


def _refusal_of_token(refused: RefusedError) -> tuple[int, str]:
    """401 for who asks, 400 for what is asked, 500 for all else."""
    if refused.error != "invalid_client":
        return 400, refused.error
    if "exp is" in refused.reason or "not a JWT" in refused.reason:
        return 400, "invalid_grant"
    if "jti" in refused.reason or "aud" in refused.reason:
        return 500, "access_denied"
    return 401, "invalid_client"


def open_site(site: Site) -> list[BaseRoute]:
    """The routes of the server."""
    records = site.records

    def shown(body: bytes) -> Response:
        return Response(body, media_type=_LEGACY) if site.settings.legacy_content_type else fhir_response(body)

    async def smart_configuration(request: Request) -> Response:
        return JSONResponse(
            {
                "token_endpoint": origin(request) + TOKEN,
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["RS384"],
                "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
                "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
            }
        )

    async def metadata(request: Request) -> Response:
        return capability_statement(site, {"name": "eCW FHIR Facade", "version": "1.6"}, _capabilities())

    async def read(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        if (denied := _denied(site, request, kind, "r")) is not None:
            return denied
        number = records.number(kind, identity)
        body = records.body(number) if number is not None else None
        return shown(body) if body is not None else refusal(404, "not-found", "there is no such resource")

    async def everything(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        if (denied := _denied(site, request, kind, "r")) is not None:
            return denied
        number = records.number(kind, identity) if kind in ("Patient", "Encounter") else None
        if number is None or records.body(number) is None:
            return refusal(404, "not-found", "there is no such resource")
        return shown(_everything(site, kind, identity, str(request.url)))

    async def search_type(request: Request) -> Response:
        kind = request.path_params["kind"]
        if (denied := _denied(site, request, kind, "s")) is not None:
            return denied
        try:
            answer = _search(site, request, kind)
        except ValueError:
            return refusal(400, "invalid", "a search parameter has an invalid value")
        return shown(answer) if isinstance(answer, bytes) else answer

    async def write(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params.get("id")
        letter = "c" if request.method == "POST" else "u"
        if (denied := _denied(site, request, kind, letter)) is not None:
            return denied
        return save(site, kind, identity, await request.body())

    async def export(request: Request) -> Response:
        return _denied(site, request, "Group", "r", exporting=True) or _kick_off(site, request)

    async def poll(request: Request) -> Response:
        if (denied := _denied(site, request, "Group", "r", exporting=True)) is not None:
            return denied
        job = request.query_params.get("job_id", "")
        if request.method == "DELETE":
            return bulk.finish_answer(site, job)
        under_way = site.exports.running.get(job)
        done = 0 if under_way is None else under_way.polls * 100 // (under_way.polls + under_way.polls_left + 1)
        files, wait = f"{BASE}/bulk/files", site.settings.retry_after
        return bulk.status_answer(site, job, request, files, wait, progress=f"{done}% Completed")

    async def file(request: Request) -> Response:
        denied = _denied(site, request, "Group", "r", exporting=True)
        return denied or bulk.file_answer(site, request.path_params["job"], request.path_params["name"], request)

    routes = [
        token_route(site, TOKEN),
        Route(f"{BASE}/metadata", metadata),
        Route(f"{BASE}/.well-known/smart-configuration", smart_configuration),
        Route(f"{BASE}/Group/{{group}}/$export", export),
        Route(f"{BASE}/$export-poll-location", poll, methods=["GET", "DELETE"]),
        Route(f"{BASE}/bulk/files/{{job}}/{{name}}", file),
        Route(f"{BASE}/{{kind}}/{{id}}/$everything", everything),
        Route(f"{BASE}/{{kind}}/{{id}}", read),
        Route(f"{BASE}/{{kind}}/{{id}}", write, methods=["PUT"]),
        Route(f"{BASE}/{{kind}}", search_type),
        Route(f"{BASE}/{{kind}}", write, methods=["POST"]),
    ]
    return [Route(route.path, _counted(site, route.endpoint), methods=list(route.methods or ())) for route in routes]


def _counted(site: Site, endpoint: Endpoint) -> Endpoint:
    """The endpoint behind the practice's minute."""

    async def answer(request: Request) -> Response:
        minute = site.clock.now_ms() // 60_000
        then, asked = site.shared.get("minute", (minute, 0))
        asked = asked + 1 if then == minute else 1
        site.shared["minute"] = (minute, asked)
        limit = site.settings.requests_per_minute
        if limit and asked > limit:
            return refusal(429, "throttled", "too many requests")  # and no Retry-After: none is documented
        return await endpoint(request)

    return answer


def _denied(site: Site, request: Request, kind: str, letter: str, *, exporting: bool = False) -> Response | None:
    """401 and 403 by the token, 404 for a type eClinicalWorks does not have, 405 for what it does not offer on it."""
    if site.tokens is not None:
        issued = site.tokens.bearer(request)
        if issued is None or (exporting and "Group" not in issued.grants):
            return refusal(401, "login", "the access token is not valid", {"WWW-Authenticate": "Bearer"})
        # unverified: what is answered to a token that is for exports only
        if not exporting and ("Group" in issued.grants or (kind in SURFACE and not allows(issued, kind, letter))):
            return refusal(403, "forbidden", "the granted scopes do not include this")
    if exporting:
        return None
    if kind not in SURFACE:
        return refusal(404, "not-supported", "the resource type is not supported")
    licensed = site.settings.write_back and letter in "cu"
    if letter not in SURFACE[kind].interactions and not licensed:
        return refusal(405, "not-supported", "the interaction is not supported")
    return None


def _search(site: Site, request: Request, kind: str) -> bytes | Response:
    """A page of a search. Raises ValueError for a parameter value that cannot be read."""
    query = request.url.query
    params = parse_qsl(query, keep_blank_values=True)
    asked = next((value for name, value in params if name == "page"), None)
    if asked is None:
        started = _start_search(site, kind, params)
        if isinstance(started, Response):
            return started
        found, position, token = started, 0, site.sessions.keep(started, site.settings.session_seconds)
    else:
        token, position = split_session_token(asked)
        kept = site.sessions.find(token)
        if kept is None or kept.kind != kind:
            return refusal(410, "expired", "the page is no longer there; start the search again")  # unverified
        found = kept
    base, fault = origin(request) + BASE, page_fault_of(request.scope)
    onwards = f"{base}/{kind}?page={token}."
    return bundle_page(site, found, position, base, onwards, fault, previous_url=onwards)


def _start_search(site: Site, kind: str, params: search.Params) -> Session | Response:
    surface, records = SURFACE[kind], site.records
    # Parameters it does not declare are ignored, `_lastUpdated` among them.
    content = [(name, value) for name, value in params if name.split(":")[0] in surface.parameters and name != "page"]
    named = surface.patient_parameter
    ids = [identity for name, value in content if name == "_id" for identity in value.split(",")]
    patients = {value.rpartition("/")[2] for name, value in content if name == named}
    if not ids and not patients and (named is not None or not content):
        # unverified: how a search of everybody's is refused
        return refusal(400, "required", "the search needs a patient or an id" if named else "the search is too wide")
    numbers: Any = records.in_order(kind)
    if ids:
        numbers = [number for identity in ids if (number := records.number(kind, identity)) is not None]
    elif patients:
        numbers = [number for patient in sorted(patients) for number in records.in_chart(kind, patient)]
    filters = [_filter(name, value) for name, value in content if name not in ("_id", named)]
    keep = search.matcher(kind, [(name, value) for name, value in filters if search.is_searchable(kind, name)])
    numbers = records.live(kind, numbers)
    if keep is not None:
        numbers = [number for number in numbers if (body := records.body(number)) is not None and keep(body)]
    count = count_of(params, site.settings.default_count, site.settings.most_count)
    return Session(kind, numbers, count, self_query=f"?{urlencode(params)}" if params else "", total=len(numbers))


def _filter(name: str, value: str) -> tuple[str, str]:
    # unverified: the statement describes `_since` as the time the observation was obtained, not the time it was filed.
    return ("date", f"ge{value.removeprefix('ge')}") if name == "_since" else (name, value)


def _everything(site: Site, kind: str, identity: str, url: str) -> bytes:
    records, mention = site.records, f'"{kind}/{identity}"'.encode()
    own = records.number(kind, identity)
    bodies = [] if own is None else [records.body(own)]
    for other in records.types():
        numbers = records.in_chart(other, identity) if kind == "Patient" else records.in_order(other)
        bodies += [
            body for n in numbers if n != own and (body := records.body(n)) and (kind == "Patient" or mention in body)
        ]
    entries = b",".join(b'{"resource":%s,"search":{"mode":"match"}}' % body for body in bodies if body is not None)
    link = orjson.dumps([{"relation": "self", "url": url}])
    head = b'{"resourceType":"Bundle","type":"searchset","total":%d,"link":%s' % (len(bodies), link)
    return head + b',"entry":[%s]}' % entries


def _kick_off(site: Site, request: Request) -> Response:
    problem = bulk.kick_off_problem(request)
    if problem is not None:
        return refusal(400, "invalid", problem)
    members = group_members(site, request.path_params["group"], GROUP)
    if members is None:
        return refusal(401, "login", "the token or the group is not valid")
    issued = site.tokens.bearer(request) if site.tokens is not None else None
    key = f"{issued.client_id if issued is not None else ''}|{request.url}"
    if site.exports.is_unfinished(key):
        # unverified: by which status an identical request is rejected
        return refusal(400, "business-rule", "an identical bulk operation request is already in progress")
    params = parse_qsl(request.url.query, keep_blank_values=True)
    try:
        since = max(
            (parse_instant(value.replace(" ", "+")) for name, value in params if name == "_since"), default=None
        )
    except ValueError:
        return refusal(400, "invalid", "_since is not an instant")
    asked = {kind for name, value in params if name == "_type" for kind in value.split(",")}
    files: list[bulk.ExportFile] = []
    for kind in site.records.types():
        if kind in SURFACE and kind not in NOT_EXPORTED and (not asked or kind in asked):
            numbers = _of_members(site, kind, members, since)
            files += bulk.split_files(site.records, kind, numbers, site.settings.rows_a_file)
    made = bulk.Export(key, str(request.url), site.clock.now_ms(), files, [], polls_left=site.settings.polls)
    job = site.exports.add(made)
    location = f"{origin(request)}{BASE}/$export-poll-location?job_id={job}"
    return Response(status_code=202, headers={"Content-Location": location, "Retry-After": site.settings.retry_after})


def _of_members(site: Site, kind: str, members: list[str], since: int | None) -> Any:
    records = site.records
    numbers: Any = records.in_order(kind)
    if kind not in WHOLE_EMR:
        numbers = [number for patient in members for number in records.in_chart(kind, patient)]
    numbers = records.live(kind, numbers)
    return numbers if since is None else records.updated_between(numbers, since, float("inf"))


def _capabilities() -> list[dict[str, Any]]:
    words = {"c": "create", "r": "read", "s": "search-type"}
    operations = {"Patient": "everything", "Encounter": "everything", "Group": "export"}
    return [
        {
            "type": kind,
            "interaction": [{"code": words[letter]} for letter in surface.interactions],
            "searchParam": [{"name": name, "type": "token"} for name in surface.parameters],
            **({"operation": [{"name": operations[kind]}]} if kind in operations else {}),
        }
        for kind, surface in SURFACE.items()
    ]


def _template(path: str) -> str:
    return "oauth2/token" if path.endswith("oauth2/token") else fhir_template(path)


def _turned(site: Site) -> None:
    forget_ordered(site)
    if site.tokens is not None:
        site.tokens.policy = token_policy(site.settings)


DIALECT = Dialect(
    name="eclinicalworks",
    base=BASE,
    settings=EcwSettings,
    present=without_server_meta,
    open=open_site,
    template=_template,
    tokens=token_policy,
    turned=_turned,
    group=GROUP,
)
