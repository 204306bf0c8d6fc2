"""MEDITECH's FHIR interface (vendors.md §9.1): 33 types read, two written, `continue` pages, a token endpoint that
knows its clients and entitles none.
"""

from __future__ import annotations

import base64
import uuid
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.facts.meditech import TYPES
from holovitals_pipelines.sandbox.protocols.face import Face, Params, face_routes
from holovitals_pipelines.sandbox.protocols.outcomes import origin, refusal
from holovitals_pipelines.sandbox.site import Expiring, Site

BASE = "/meditech/v2/uscore/STU6"
TOKEN = "/meditech/oauth/token"  # noqa: S105 a path
GROUP = "sandbox-population"
_SHARED = frozenset({"Location", "Medication", "Organization", "Practitioner", "PractitionerRole"})
"""Types that are nobody's: searched without a patient."""


def fhir_routes(site: Site) -> list[BaseRoute]:
    """The interface and its token endpoint."""
    tokens: Expiring[str] = Expiring(site.clock)
    site.own_tokens.append(tokens.forget_all)

    def denied(site: Site, request: Request, kind: str, letter: str) -> Response | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not site.settings.requires_token or tokens.find(bearer) is not None:
            return None
        return refusal(401, "login", "the access token is missing or no longer valid", {"WWW-Authenticate": "Bearer"})

    async def token(request: Request) -> Response:
        return _issued(site, tokens, request, dict(parse_qsl((await request.body()).decode("utf-8", "replace"))))

    async def smart_configuration(request: Request) -> Response:
        return JSONResponse(
            {
                "token_endpoint": origin(request) + TOKEN,
                "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_basic",
                    "client_secret_post",
                    "private_key_jwt",
                ],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    face = Face(
        software={"name": "MEDITECH Expanse"},
        base=BASE,
        types=TYPES,
        link="continue",
        writes={"Communication": "c", "QuestionnaireResponse": "cu"},
        exports=("Group", "Patient"),
        group=GROUP,
        denied=denied,
        problem=_needs_patient,
        headers=_traced,
    )
    return [
        Route(TOKEN, token, methods=["POST"]),
        Route(f"{BASE}/.well-known/smart-configuration", smart_configuration),
        *face_routes(site, face),
    ]


def _issued(site: Site, tokens: Expiring[str], request: Request, form: dict[str, str]) -> Response:
    """A wrong secret and a client that is not entitled are told apart."""
    named = (form.get("client_id", ""), form.get("client_secret", ""))
    basic = request.headers.get("authorization", "")
    if basic.startswith("Basic "):
        pair = base64.b64decode(basic.removeprefix("Basic ")).decode().partition(":")
        named = (unquote(pair[0]), unquote(pair[2]))
    settings = site.settings
    if named != (settings.client_id, settings.client_secret):
        return JSONResponse({"error": "invalid_client"}, 401)
    if form.get("grant_type") != "client_credentials":
        return JSONResponse({"error": "unsupported_grant_type"}, 400)
    if not settings.entitled:
        return JSONResponse({"error": "unauthorized_client"}, 400)
    lifetime = settings.token_seconds
    value = tokens.keep(settings.client_id, lifetime)
    scope = form.get("scope", "system/*.rs")
    return JSONResponse({"access_token": value, "token_type": "Bearer", "expires_in": lifetime, "scope": scope})


def _needs_patient(site: Site, kind: str, params: Params) -> Response | None:
    """There is no population list (vendors.md §1.1); that a search without patient is a 400: unverified."""
    if kind in _SHARED or any(name in ("patient", "subject", "_id", "identifier") for name, _ in params):
        return None
    return refusal(400, "required", "a patient is required")


def _traced() -> dict[str, str]:
    return {"mtrestapi-requestid": str(uuid.uuid4())}
