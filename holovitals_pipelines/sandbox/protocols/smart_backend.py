"""SMART Backend Services as a server sees it: client assertions checked, tokens issued, requests let in or not.

The law: an assertion is accepted once, and every reason for refusing it is checked (SMART, vendors.md §2.1 and §3.2).
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from holovitals_pipelines.sandbox.clock import Clock

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

Grants = Mapping[str, str]
"""Resource type or `*` → the letters of `cruds` that are allowed."""


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client: its public keys, and whether they were registered as a JWK Set URL."""

    client_id: str
    keys: tuple[dict[str, Any], ...]
    by_url: bool = True


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """What one vendor demands of assertions and gives in return."""

    algorithms: frozenset[str]
    lifetime_seconds: int
    grant: Callable[[str | None], tuple[str, Grants]]
    """Requested scope → (scope text of the answer, grants). Raises RefusedError."""
    ec_needs_url: bool = False
    times_required: bool = False
    """Epic's extra rules: iat and nbf not in the future, exp at most 5 minutes after them, jti at most 151 long."""
    describe: bool = True
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Client id → secret, of clients that say who they are by HTTP Basic instead of an assertion."""
    told: Callable[[RefusedError], tuple[int, str]] | None = None
    """The status and the OAuth error by which a refusal is told; None: its own."""


@dataclass(frozen=True, slots=True)
class Issued:
    client_id: str
    grants: Grants
    expires_ms: int


class RefusedError(Exception):
    """The token request is refused with an OAuth error code."""

    def __init__(self, error: str, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self.status = status


def read_clients(path_bytes: bytes) -> list[Client]:
    """Clients of a registration file: `{client_id: {"keys": [jwk, …], "by_url": true}}`."""
    return [
        Client(client_id, tuple(entry["keys"]), entry.get("by_url", True))
        for client_id, entry in orjson.loads(path_bytes).items()
    ]


class TokenService:
    """The token endpoint of one vendor and the memory behind it."""

    def __init__(self, policy: TokenPolicy, clients: list[Client], clock: Clock) -> None:
        self.policy = policy
        self._clients = {client.client_id: client for client in clients}
        self._clock = clock
        self._issued: dict[str, Issued] = {}
        self._used: dict[tuple[str, str], int] = {}

    async def answer(self, request: Request, token_url: str) -> Response:
        """The token endpoint."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        try:
            if form.get("grant_type") != "client_credentials":
                raise RefusedError("unsupported_grant_type", "grant_type must be client_credentials")
            client_id = self._by_secret(request) if self._has_secret(request) else self._by_assertion(form, token_url)
            text, grants = self.policy.grant(form.get("scope"))
        except RefusedError as refused:
            description = refused.reason if self.policy.describe else None
            request.scope["holovitals.note"] = refused.reason
            told = self.policy.told
            status, error = told(refused) if told is not None else (refused.status, refused.error)
            return JSONResponse({"error": error, "error_description": description}, status)
        token = secrets.token_urlsafe(32)
        lifetime = self.policy.lifetime_seconds
        self._issued[token] = Issued(client_id, grants, self._clock.now_ms() + lifetime * 1000)
        answer = {"access_token": token, "token_type": "bearer", "expires_in": lifetime, "scope": text}
        return JSONResponse(answer, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def bearer(self, request: Request) -> Issued | None:
        """What the request's token stands for, None when it is missing, unknown, expired or revoked."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        issued = self._issued.get(token) if kind.lower() == "bearer" else None
        return issued if issued is not None and issued.expires_ms > self._clock.now_ms() else None

    def revoke_all(self) -> None:
        self._issued.clear()

    def forget_key(self, kid: str) -> None:
        """As after a rotation at the vendor: assertions signed by the key, and its tokens, are no longer taken."""
        self._clients = {
            name: replace(client, keys=tuple(key for key in client.keys if key.get("kid") != kid))
            for name, client in self._clients.items()
        }
        self.revoke_all()

    def _has_secret(self, request: Request) -> bool:
        return bool(self.policy.secrets) and request.headers.get("authorization", "").lower().startswith("basic ")

    def _by_secret(self, request: Request) -> str:
        """The client's id by HTTP Basic. Raises RefusedError."""
        try:
            sent = base64.b64decode(request.headers["authorization"][6:], validate=True).decode()
        except ValueError:
            sent = ""
        client_id, _, secret = (unquote(part) for part in sent.partition(":"))
        if not client_id or self.policy.secrets.get(client_id) != secret:
            raise RefusedError("invalid_client", "the client or its secret is not known", 401)
        return client_id

    def _by_assertion(self, form: Mapping[str, str], token_url: str) -> str:
        """The client's id by a signed assertion. Raises RefusedError."""
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise RefusedError("invalid_client", "client_assertion_type must be jwt-bearer")
        return self._check(form.get("client_assertion", ""), token_url)

    def _check(self, assertion: str, token_url: str) -> str:
        """The client's id. Raises RefusedError."""
        header = _part(assertion, 0)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self.policy.algorithms:
            raise RefusedError("invalid_client", "the signature algorithm is not allowed")
        unverified = _part(assertion, 1)
        client = self._clients.get(str(unverified.get("iss")))
        if client is None or unverified.get("sub") != unverified.get("iss"):
            raise RefusedError("invalid_client", "iss and sub must both be a registered client_id")
        keys = [key for key in client.keys if key.get("kid") == kid]
        if kid is None or len(keys) != 1:
            raise RefusedError("invalid_client", "kid does not name exactly one registered key")
        if keys[0]["kty"] == "EC" and self.policy.ec_needs_url and not client.by_url:
            raise RefusedError("invalid_client", "EC keys are accepted only from a JWK Set URL")
        try:
            claims = jwt.decode(assertion, JWKRegistry.import_key(keys[0]), algorithms=[str(algorithm)]).claims
        except (JoseError, ValueError) as error:
            raise RefusedError("invalid_client", "the signature does not fit the key") from error
        self._check_claims(client.client_id, claims, token_url)
        return client.client_id

    def _check_claims(self, client_id: str, claims: dict[str, Any], token_url: str) -> None:
        now = self._clock.now_ms() / 1000
        audience, expires, jti = claims.get("aud"), claims.get("exp"), claims.get("jti")
        if token_url not in (audience if isinstance(audience, list) else [audience]):
            raise RefusedError("invalid_client", "aud is not the token endpoint")
        if not isinstance(expires, int | float) or expires <= now:
            raise RefusedError("invalid_client", "exp is missing or past")
        if expires > now + 300:
            raise RefusedError("invalid_client", "exp is more than five minutes ahead")
        if self.policy.times_required:
            for name in ("iat", "nbf"):
                at = claims.get(name)
                if at is not None and (at > now or expires - at > 300):
                    raise RefusedError("invalid_client", f"{name} is in the future or too far before exp")
        if not isinstance(jti, str) or not jti or (self.policy.times_required and len(jti) > 151):
            raise RefusedError("invalid_client", "jti is missing or too long")
        self._used = {key: until for key, until in self._used.items() if until > now}
        if (client_id, jti) in self._used:
            raise RefusedError("invalid_client", "jti was used before")
        self._used[client_id, jti] = int(expires) + 1


def _part(assertion: str, place: int) -> dict[str, Any]:
    try:
        text = assertion.split(".")[place]
        found = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (IndexError, ValueError) as error:
        raise RefusedError("invalid_client", "client_assertion is not a JWT") from error
    if not isinstance(found, dict):
        raise RefusedError("invalid_client", "client_assertion is not a JWT")
    return found


def allows(issued: Issued, kind: str, letter: str) -> bool:
    return letter in issued.grants.get(kind, "") or letter in issued.grants.get("*", "")


def system_scopes(requested: str | None) -> tuple[str, Grants]:
    """Grants of `system/…` scopes in either version; what is not understood is left out. Raises RefusedError."""
    versions = {"read": "rs", "write": "cud", "*": "cruds"}
    granted: list[str] = []
    grants: dict[str, str] = {}
    for scope in (requested or "").split():
        context, _, rest = scope.partition("/")
        kind, _, permission = rest.partition(".")
        letters = versions.get(permission, permission)
        in_order = "".join(letter for letter in "cruds" if letter in letters)
        if context == "system" and kind and letters and letters == in_order:
            granted.append(scope)
            grants[kind] = grants.get(kind, "") + letters
    if not granted:
        raise RefusedError("invalid_scope", "ask for system scopes")
    return " ".join(granted), grants
