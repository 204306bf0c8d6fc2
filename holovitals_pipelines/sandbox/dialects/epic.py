"""Epic as vendors.md §3 and §12 describe it: no versions, search by patient, pages that expire, bulk once a day."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.dialects.epic_refusals import create_problem, epic_issue, epic_refusal
from holovitals_pipelines.sandbox.facts.epic import BULK_ONE_AT_A_TIME, BULK_TOO_SOON, BULK_TYPES, SURFACE
from holovitals_pipelines.sandbox.people import hide_first, is_about
from holovitals_pipelines.sandbox.protocols import bulk, search
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_response, fhir_template, origin, outcome, refusal
from holovitals_pipelines.sandbox.protocols.pages import count_of
from holovitals_pipelines.sandbox.protocols.rest import (
    answer_search,
    capability_statement,
    export_routes,
    group_members,
    group_of_all,
    kicked_off,
    token_route,
)
from holovitals_pipelines.sandbox.protocols.smart_backend import Grants, TokenPolicy, allows
from holovitals_pipelines.sandbox.site import Dialect, Session, Site
from holovitals_pipelines.sandbox.splice import without_server_meta

BASE = "/epic/api/FHIR/R4"
TOKEN = "/epic/oauth2/token"  # noqa: S105 a path
GROUP = "eSandboxPopulationGroup.0-1wXyZ8kQe5tN2vB7mC4jH6rP9sD3fG1aL5uT8yI0oK3"
"""The registry of all patients. Its id is given to clients out of band, and longer than FHIR's 64 characters."""


@dataclass(frozen=True, slots=True)
class EpicSettings:
    """Knobs; seconds, hours and counts. `break_the_glass` hides the first so many patients."""

    session_seconds: float = 600.0
    default_count: int = 100
    most_count: int = 1000
    patient_search_limit: int = 100
    break_the_glass: int = 0
    documents_per_day: int = 0
    """DocumentReference searches a day before 4135; 0: no maximum."""
    unauthorized_types: tuple[str, ...] = ()
    unmapped_codes: tuple[str, ...] = ()
    """Observation codes without a flowsheet row: an Observation with one of them is refused with 59188."""
    bulk_window_hours: float = 24.0
    polls: int = 1
    retry_after: str = "1"
    rows_a_file: int = 3000
    token_seconds: int = 3600


def token_policy(settings: EpicSettings) -> TokenPolicy:
    verbs = {"c": "create", "r": "read", "s": "search", "u": "update"}
    grants = {kind: what.interactions for kind, what in SURFACE.items() if kind not in settings.unauthorized_types}
    text = " ".join(f"{kind}.{verbs[letter]}" for kind, letters in grants.items() for letter in sorted(letters))

    def grant(requested: str | None) -> tuple[str, Grants]:
        return text, grants  # what the app was registered for, whatever was asked (vendors.md §3.2)

    return TokenPolicy(
        algorithms=frozenset({"RS256", "RS384", "RS512", "ES256", "ES384"}),
        lifetime_seconds=settings.token_seconds,
        grant=grant,
        ec_needs_url=True,
        times_required=True,
        describe=False,
    )


def open_site(site: Site) -> list[BaseRoute]:
    """The routes of the server."""
    records = site.records

    async def smart_configuration(request: Request) -> Response:
        here = origin(request)
        return JSONResponse(
            {
                "authorization_endpoint": f"{here}/epic/oauth2/authorize",
                "token_endpoint": here + TOKEN,
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "client_secret_basic",
                    "private_key_jwt",
                ],
                "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
                "scopes_supported": ["epic.scanning.dmsusername", "fhirUser", "launch", "openid", "profile"],
                "response_types_supported": ["code"],
                "capabilities": ["launch-ehr", "client-confidential-asymmetric", "permission-v1", "permission-v2"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def metadata(request: Request) -> Response:
        return capability_statement(site, {"name": "Epic", "version": "May 2026"}, _capabilities())

    async def read(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        if (denied := _denied(site, request, kind, "r")) is not None:
            return denied
        if (kind, identity) == ("Group", GROUP):
            return group_of_all(site, GROUP)
        survivor = site.merged.get(identity) if kind == "Patient" else None
        if survivor is not None:
            return epic_refusal(301, "4107", {"Location": f"{origin(request)}{BASE}/Patient/{survivor}"})
        number = records.number(kind, identity)
        if number is None:
            return epic_refusal(404, "4102")
        body = records.body(number)
        if body is None:
            return epic_refusal(404, "4103")
        if is_about(site, kind, number, _hidden(site)):
            return epic_refusal(403, "4130")
        return fhir_response(body)

    async def search_type(request: Request) -> Response:
        kind = request.path_params["kind"]
        if (denied := _denied(site, request, kind, "s")) is not None:
            return denied
        start = partial(_start_search, site)
        return await answer_search(site, request, BASE, start, epic_refusal(400, "4113"), epic_refusal(400, "4115"))

    async def create(request: Request) -> Response:
        kind = request.path_params["kind"]
        if (denied := _denied(site, request, kind, "c")) is not None:
            return denied
        try:
            sent = orjson.loads(await request.body())
            problem = create_problem(site, kind, sent)
            identity = f"e{secrets.token_hex(9)}.{secrets.token_hex(4)}-3"
            if problem is None:
                records.put(kind, identity, await request.body())
        except (ValueError, AttributeError, KeyError, TypeError):
            return epic_refusal(400, "59102")
        location = f"{origin(request)}{BASE}/{kind}/{identity}"
        return problem or Response(status_code=201, headers={"Location": location})

    async def update(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        if (denied := _denied(site, request, kind, "u")) is not None:
            return denied
        number = records.number(kind, identity)
        if number is None or records.body(number) is None:
            return epic_refusal(404, "4102" if number is None else "4103")  # updateCreate is false
        if is_about(site, kind, number, _hidden(site)):
            return epic_refusal(403, "4130")
        body = await request.body()
        try:
            if orjson.loads(body).get("id") != identity:
                return epic_refusal(400, "59111")
            records.put(kind, identity, body)
        except (ValueError, AttributeError, KeyError):
            return epic_refusal(400, "59102")
        return fhir_response(records.body(number) or b"")

    async def not_offered(request: Request) -> Response:
        kind = request.path_params["kind"]
        return _denied(site, request, kind, "r") or refusal(405, "not-supported", "the interaction is not supported")

    async def export(request: Request) -> Response:
        if (denied := _denied(site, request, "Group", "r")) is not None:
            return denied
        return _kick_off(site, request)

    return [
        token_route(site, TOKEN),
        Route(f"{BASE}/metadata", metadata),
        Route(f"{BASE}/.well-known/smart-configuration", smart_configuration),
        Route(f"{BASE}/Group/{{group}}/$export", export),
        *export_routes(site, BASE, lambda request: _denied(site, request, "Group", "r")),
        Route(f"{BASE}/{{kind}}/_search", search_type, methods=["POST"]),
        Route(f"{BASE}/{{kind}}/{{id}}", read),
        Route(f"{BASE}/{{kind}}/{{id}}", update, methods=["PUT"]),
        Route(f"{BASE}/{{kind}}", search_type),
        Route(f"{BASE}/{{kind}}", create, methods=["POST"]),
        Route(f"{BASE}/{{kind}}/{{rest:path}}", not_offered, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


def _denied(site: Site, request: Request, kind: str, letter: str) -> Response | None:
    """404 for a type Epic does not have, 405 for what it does not offer on it, 401 and 403 by the token."""
    if site.tokens is not None:
        issued = site.tokens.bearer(request)
        if issued is None:
            return refusal(401, "login", "Invalid OAuth 2.0 Access Token", {"WWW-Authenticate": "Bearer"})
        if kind in SURFACE and letter in SURFACE[kind].interactions and not allows(issued, kind, letter):
            return epic_refusal(403, "4118")
    if kind not in SURFACE:
        return refusal(404, "not-supported", "the resource type is not supported")
    if letter not in SURFACE[kind].interactions:
        return refusal(405, "not-supported", "the interaction is not supported")
    if kind in site.settings.unauthorized_types:
        return epic_refusal(403, "4118")
    return None


def _hidden(site: Site) -> set[str]:
    return hide_first(site, site.settings.break_the_glass)


def _start_search(site: Site, kind: str, params: search.Params, query: str) -> Session | Response:
    """A session, or what Epic answers instead. Raises ValueError for a parameter value that cannot be read."""
    surface, records, settings = SURFACE[kind], site.records, site.settings
    asked = [(name, value) for name, value in params if name not in ("_count", "_format")]
    if not asked and kind != "Patient":
        return epic_refusal(400, "4110")
    warnings: list[dict[str, Any]] = []
    content: list[tuple[str, str]] = []
    times: list[str] = []
    for name, value in asked:
        bare = name.split(":")[0]
        if bare.lower() == "_lastupdated" and "_lastUpdated" in surface.parameters:
            times.append(value)
        elif bare in ("patient", "subject") and bare not in surface.parameters:
            warnings.append(epic_issue("4122"))
        elif bare == "_id" or search.is_searchable(kind, bare):
            content.append((bare, value))
        else:
            warnings.append(epic_issue("4122"))
    numbers: Any = _candidates(site, kind, content)
    if isinstance(numbers, Response):
        return numbers
    if kind == "DocumentReference" and (refused := _count_document_query(site)) is not None:
        return refused
    numbers = records.live(kind, numbers)
    if times:
        numbers = records.updated_between(numbers, *search.time_window(times))
    filters = [(name, value) for name, value in content if name not in ("patient", "subject", "_id")]
    keep = search.matcher(kind, filters)
    if kind == "Patient" and keep is not None:
        numbers = [n for n in numbers if (body := records.body(n)) is not None and keep(body)]
        keep = None
        if len(numbers) > settings.patient_search_limit:
            return fhir_response(outcome(epic_issue("4127"), epic_issue("59133")), 400)
    is_empty = not any((body := records.body(n)) is not None and (keep is None or keep(body)) for n in numbers)
    if is_empty:
        numbers, keep = [], None
        few = kind == "Patient" and not filters and not any(name == "_id" for name, _ in content)
        warnings.append(epic_issue("59133" if few else "4101"))
    count = count_of(params, settings.default_count, settings.most_count)
    is_whole = len(numbers) <= count and keep is None
    return Session(
        kind=kind,
        numbers=numbers,
        count=count,
        self_query=f"?{query}" if query else "",
        keep=keep,
        warnings=warnings,
        total=len(numbers) if is_whole else None,
    )


def _candidates(site: Site, kind: str, content: list[tuple[str, str]]) -> Any:
    """The numbers a search looks through, or a refusal: by `_id`, by patient, or by demographics."""
    surface, records = SURFACE[kind], site.records
    ids = [identity for name, value in content if name == "_id" for identity in value.split(",")]
    patients = {value.rpartition("/")[2] for name, value in content if name in ("patient", "subject")}
    hidden, has_required = _hidden(site), any(name in surface.parameters for name, _ in content)
    if ids:
        found = [n for identity in ids if (n := records.number(kind, identity)) is not None]
        return [n for n in found if not is_about(site, kind, n, hidden)]
    if surface.needs_patient:
        if not patients:
            return epic_refusal(400, "4111")
        if len(patients) > 1:
            return epic_refusal(400, "4112")
        patient = patients.pop()
        if kind == "Observation" and not any(name in ("category", "code") for name, _ in content):
            return epic_refusal(400, "59108")
        if patient in hidden:
            return epic_refusal(403, "4130")
        survivor = site.merged.get(patient, patient)
        is_known = records.number("Patient", survivor) is not None
        return records.in_chart(kind, survivor) if is_known else epic_refusal(400, "4100")
    if kind == "Patient":
        away = hidden | set(site.merged)
        return [n for n in records.in_order(kind) if records.identity(n) not in away] if has_required else []
    return records.in_order(kind) if has_required else epic_refusal(400, "4111")


def _count_document_query(site: Site) -> Response | None:
    """4135 once the day's maximum is reached; the day is the server's."""
    if not site.settings.documents_per_day:
        return None
    today = site.clock.now().date()
    day, asked = site.shared.get("document_queries", (today, 0))
    asked = asked + 1 if day == today else 1
    site.shared["document_queries"] = (today, asked)
    return epic_refusal(400, "4135") if asked > site.settings.documents_per_day else None


def _kick_off(site: Site, request: Request) -> Response:
    group = request.path_params["group"]
    issued = site.tokens.bearer(request) if site.tokens is not None else None
    key = f"{issued.client_id if issued is not None else ''}|{group}"
    problem = bulk.kick_off_problem(request)
    if problem is not None:
        return refusal(400, "invalid", problem)
    members = group_members(site, group, GROUP)
    if members is None:
        return epic_refusal(404, "4102")
    away = _hidden(site) | set(site.merged)
    patients = [patient for patient in members if patient not in away]
    now, exports = site.clock.now_ms(), site.exports
    if exports.is_running(key):
        return refusal(400, "business-rule", BULK_ONE_AT_A_TIME)
    last = exports.last_kick_off_ms.get(key)
    if last is not None and now < last + site.settings.bulk_window_hours * 3_600_000:
        return refusal(400, "business-rule", BULK_TOO_SOON)
    params = parse_qsl(request.url.query, keep_blank_values=True)
    if any(name == "_since" for name, _ in params):
        return refusal(400, "not-supported", "_since is not supported")
    asked = {kind for name, value in params if name == "_type" for kind in value.split(",")}
    files: list[bulk.ExportFile] = []
    for kind in BULK_TYPES:
        if asked and kind not in asked:
            continue
        files += _bulk_files(site, kind, patients)
    exports.last_kick_off_ms[key] = now
    made = bulk.Export(key, str(request.url), now, files, [], polls_left=site.settings.polls)
    return kicked_off(site, request, BASE, made)


def _bulk_files(site: Site, kind: str, patients: list[str]) -> list[bulk.ExportFile]:
    """A type's files; Condition is led by the OperationOutcome Epic writes for unauthorised subtypes."""
    records = site.records
    if SURFACE[kind].needs_patient or kind == "Patient":
        numbers = [n for patient in patients for n in records.in_chart(kind, patient)]
    else:
        numbers = list(records.in_order(kind))
    extra = [outcome(epic_issue("4118"), epic_issue("4119"))] if kind == "Condition" else []
    return bulk.split_files(records, kind, records.live(kind, numbers), site.settings.rows_a_file, extra)


def _capabilities() -> list[dict[str, Any]]:
    words = {"c": "create", "r": "read", "s": "search-type", "u": "update"}
    return [
        {
            "type": kind,
            "interaction": [{"code": words[letter]} for letter in surface.interactions],
            "readHistory": False,
            "updateCreate": False,
            "conditionalCreate": False,
            "searchParam": [
                {"name": name, "type": "token"}
                for name in ("_count", "_id", *surface.parameters)
                if "s" in surface.interactions
            ],
        }
        for kind, surface in SURFACE.items()
    ]


DIALECT = Dialect(
    name="epic",
    base=BASE,
    settings=EpicSettings,
    present=without_server_meta,
    open=open_site,
    template=fhir_template,
    tokens=token_policy,
    group=GROUP,
)
