"""Oracle Health (Cerner Millennium) as vendors.md §4 and §12 describe it: tenant in the path, search by patient, writes
under If-Match and by JSON Patch, one export at a time whose files lie elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.dialects import cerner_export, cerner_writes
from holovitals_pipelines.sandbox.dialects.cerner_answers import accepts, content, poisoned, refusal, text
from holovitals_pipelines.sandbox.dialects.cerner_form import etag, present, shown
from holovitals_pipelines.sandbox.dialects.cerner_searches import answer_search, is_poison
from holovitals_pipelines.sandbox.facts.cerner import GROUP_OF_ALL, NO_TENANT, SURFACE, TENANT
from holovitals_pipelines.sandbox.protocols import bulk
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_response, fhir_template, origin
from holovitals_pipelines.sandbox.protocols.rest import capability_statement, token_route
from holovitals_pipelines.sandbox.protocols.smart_backend import (
    Grants,
    RefusedError,
    TokenPolicy,
    TokenService,
    allows,
    system_scopes,
)
from holovitals_pipelines.sandbox.site import Dialect, Site

BASE = f"/cerner/r4/{TENANT}"
TOKEN = f"/cerner/tenants/{TENANT}/hosts/fhir-ehr-code.cerner.com/protocols/oauth2/profiles/smart-v1/token"
SYSTEM_ACCOUNT, SECRET = "holovitals-system-account", "holovitals-system-secret"

_READABLE = ("*/*", "application/*", "application/json", "application/fhir+json", "application/json+fhir")


@dataclass(frozen=True, slots=True)
class CernerSettings:
    """Knobs; seconds, rows, counts. `poison` names records (`Observation/1001`) that make every answer with them a 500;
    `repeat_rows` so many rows of a page come again on the next; `unsupported` elements (`Patient.photo`) are refused.
    """

    session_seconds: float = 600.0
    repeat_rows: int = 0
    poison: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    open_reads: bool = False
    """Reads are answered without a token, as at fhir-open.cerner.com."""
    most_scopes: int = 0
    """Token requests for more scopes are refused; 0: no maximum. unverified: the figure; documented is that there is
    one (vendors.md §4.1)."""
    polls: int = 1
    retry_after: str = "600"
    rows_a_file: int = 3000
    storage_seconds: float = 60.0
    token_seconds: int = 570


def token_policy(settings: CernerSettings) -> TokenPolicy:
    def grant(requested: str | None) -> tuple[str, Grants]:
        asked, grants = system_scopes(requested)
        if settings.most_scopes and len(asked.split()) > settings.most_scopes:
            raise RefusedError("invalid_scope", "too many scopes are asked for")
        if unknown := [kind for kind in grants if kind not in SURFACE]:
            raise RefusedError("invalid_scope", f"there are no scopes for {len(unknown)} of the types")
        return asked, grants

    return TokenPolicy(
        algorithms=frozenset({"RS384", "ES384"}),
        lifetime_seconds=settings.token_seconds,
        grant=grant,
        secrets={SYSTEM_ACCOUNT: SECRET},
    )


Handler = Callable[[Request], Any]


def open_site(site: Site) -> list[BaseRoute]:
    """The routes of the server. Without registered keys the system account with its secret is the one client."""
    if site.tokens is None:
        site.tokens = TokenService(token_policy(site.settings), [], site.clock)

    def guarded(letter: str) -> Callable[[Handler], Handler]:
        """Lets a request of a type through if token and type allow what the letter stands for."""

        def wrap(handler: Handler) -> Handler:
            async def endpoint(request: Request) -> Response:
                kind = request.path_params["kind"]
                denied = _denied(site, request, kind, letter)
                return denied if denied is not None else await handler(request)

            return endpoint

        return wrap

    async def smart_configuration(request: Request) -> Response:
        here = origin(request)
        return JSONResponse(
            {
                "issuer": f"{here}/cerner/tenants/{TENANT}",
                "token_endpoint": here + TOKEN,
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
                "grant_types_supported": ["authorization_code", "client_credentials"],
                "scopes_supported": [f"system/{kind}.read" for kind in SURFACE],
                "capabilities": ["client-confidential-symmetric", "client-confidential-asymmetric", "permission-v2"],
            }
        )

    async def metadata(request: Request) -> Response:
        return capability_statement(
            site,
            {"name": "Oracle Health Millennium"},
            _capabilities(),
            patchFormat=[cerner_writes.JSON_PATCH],
        )

    @guarded("r")
    async def read(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        number = site.records.number(kind, identity)
        body = shown(site, kind, number) if number is not None else None
        if number is None or body is None:
            return refusal(404, "not-found", f"there is no such {kind}")
        if is_poison(site, kind, number):
            return poisoned()
        if kind == "Binary":
            return content(request, body)
        return fhir_response(body, headers={"ETag": etag(site, number)})

    @guarded("s")
    async def search_type(request: Request) -> Response:
        return answer_search(site, request, BASE)

    @guarded("c")
    async def create(request: Request) -> Response:
        return await cerner_writes.create(site, request, BASE)

    @guarded("u")
    async def update(request: Request) -> Response:
        if request.path_params["kind"] == "Observation" and _denied(site, request, "Observation", "r") is not None:
            return refusal(403, "forbidden", "an Observation is updated with scopes to read and to write")
        return await cerner_writes.update(site, request)

    @guarded("p")
    async def patch(request: Request) -> Response:
        return await cerner_writes.patch(site, request)

    async def patch_by_post(request: Request) -> Response:
        named = request.headers.get("x-http-method-override", "") or request.query_params.get("_method", "")
        return await patch(request) if named.lower() == "patch" else await not_offered(request)

    @guarded("d")
    async def remove(request: Request) -> Response:
        return await cerner_writes.remove(site, request)

    async def not_offered(request: Request) -> Response:
        return refusal(405, "not-supported", "the interaction is not supported")

    async def export(request: Request) -> Response:
        issued = site.tokens.bearer(request) if site.tokens is not None else None
        return text(401, "") if issued is None else cerner_export.kick_off(site, request, issued, BASE)

    async def job(request: Request) -> Response:
        if site.tokens is not None and site.tokens.bearer(request) is None:
            return text(401, "")
        identity = request.path_params["job"]
        if request.method == "DELETE":
            return bulk.finish_answer(site, identity)
        files, wait = f"{BASE}/bulk-export/files", site.settings.retry_after
        return bulk.status_answer(site, identity, request, files, wait, "in-progress")

    async def file(request: Request) -> Response:
        if site.tokens is not None and site.tokens.bearer(request) is None:
            return text(401, "")
        return cerner_export.to_storage(site, request)

    async def stored_file(request: Request) -> Response:
        return cerner_export.stored_file(site, request)

    async def no_tenant(request: Request) -> Response:
        return text(403, NO_TENANT)

    return [
        token_route(site, TOKEN),
        Route(f"{BASE}/metadata", metadata),
        Route(f"{BASE}/.well-known/smart-configuration", smart_configuration),
        Route(f"{BASE}/Group/{{group}}/$export", export),
        Route(f"{BASE}/bulk-export/jobs/{{job}}", job, methods=["GET", "DELETE"]),
        Route(f"{BASE}/bulk-export/files/{{job}}/{{name}}", file),
        Route(f"{cerner_export.STORAGE}/{{signature}}/{{job}}/{{name}}", stored_file),
        Route(f"{BASE}/{{kind}}/{{id}}", read),
        Route(f"{BASE}/{{kind}}/{{id}}", update, methods=["PUT"]),
        Route(f"{BASE}/{{kind}}/{{id}}", patch, methods=["PATCH"]),
        Route(f"{BASE}/{{kind}}/{{id}}", patch_by_post, methods=["POST"]),
        Route(f"{BASE}/{{kind}}/{{id}}", remove, methods=["DELETE"]),
        Route(f"{BASE}/{{kind}}", search_type),
        Route(f"{BASE}/{{kind}}", create, methods=["POST"]),
        Route("/cerner/r4/{rest:path}", no_tenant, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


def _denied(site: Site, request: Request, kind: str, letter: str) -> Response | None:
    """401 and 403 by the token, 404 for a type there is none of, 405 for what its type does not offer, 406 for XML."""
    open_here = site.settings.open_reads and letter in "rs"
    issued = site.tokens.bearer(request) if site.tokens is not None else None
    if issued is None and not open_here:
        return text(401, "")
    if kind not in SURFACE:
        return refusal(404, "not-supported", "the resource type is not supported")
    if letter not in SURFACE[kind].interactions:
        return refusal(405, "not-supported", "the interaction is not supported")
    if issued is not None and not allows(issued, kind, "u" if letter == "p" else letter):
        return refusal(403, "forbidden", "the granted scopes do not include the interaction")
    return None if kind == "Binary" or accepts(request, _READABLE) else Response(status_code=406)


def _capabilities() -> list[dict[str, Any]]:
    resources: list[dict[str, Any]] = [
        {
            "type": kind,
            "interaction": [{"code": word} for word in surface.words],
            "searchParam": [{"name": name, "type": "token"} for name in surface.parameters],
            **({"updateCreate": False} if "u" in surface.interactions else {}),
        }
        for kind, surface in SURFACE.items()
    ]
    group = {"name": "export", "definition": "https://fhir-ehr.cerner.com/r4/OperationDefinition/group-export"}
    return [*resources, {"type": "Group", "operation": [group]}]


DIALECT = Dialect(
    name="cerner",
    base=BASE,
    settings=CernerSettings,
    present=present,
    open=open_site,
    template=fhir_template,
    tokens=token_policy,
    group=GROUP_OF_ALL,
)
