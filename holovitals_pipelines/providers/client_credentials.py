"""OAuth 2 client credentials with a secret: athenahealth (vendors.md §5.1), NextGen's native API (§7.1).

Law: one token request at a time a connection, and neither token nor secret in any error.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import msgspec

from holovitals_pipelines.model.connection import ClientSecretAuth, SecretRef
from holovitals_pipelines.model.errors import AuthenticationError, ProtocolError, VendorError
from holovitals_pipelines.providers.answers import Answer
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.smart import missing_scopes

ResolveSecret = Callable[[SecretRef], str]

_DEFAULT_LIFETIME = 300.0
_EARLY_SECONDS = 60.0
"""athenahealth's own client lets a token go so early, "to resolve intermittent 401s"; of a short life, a fifth."""


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where a vendor gives tokens, unless the connection says otherwise, and what it wants beside the credentials."""

    address: str
    """As seen from `base_url`."""
    operation: str
    """What the request is called in errors and statistics: `POST` and a path."""
    scopes: str | None
    remedy: str
    """What to check when the credentials are refused."""
    parameters: tuple[tuple[str, str], ...] = ()
    """What else the form has to hold."""


class _TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: float | str | None = None
    scope: str | None = None


class _Refusal(msgspec.Struct):
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    renew_at: float


class ClientCredentials:
    """The authorizer of one connection."""

    def __init__(
        self, auth: ClientSecretAuth, http: VendorHttp, resolve_secret: ResolveSecret, endpoint: TokenEndpoint
    ) -> None:
        self._auth = auth
        self._http = http
        self._resolve_secret = resolve_secret
        self._endpoint = endpoint
        self._single_flight = asyncio.Lock()
        self._token: _Token | None = None
        self.missing_scopes: list[str] = []
        """What the last token lacks of the scopes that were asked for; empty where the vendor does not tell."""

    async def token(self) -> str:
        """The current access token, asked for when there is none or it is about to expire."""
        async with self._single_flight:
            if self._token is None or self._http.clock.monotonic() >= self._token.renew_at:
                self._token = await self._request_token()
            return self._token.value

    def invalidate(self, token: str) -> None:
        if self._token is not None and self._token.value == token:
            self._token = None

    async def _request_token(self) -> _Token:
        started = self._http.clock.monotonic()
        form, headers = self._asked()
        answer = await self._http.request(
            "POST",
            self._address(),
            operation=self._endpoint.operation,
            headers=headers,
            form=lambda: form,
            judge=self._judge,
            authorized=False,
        )
        return self._read(answer, started)

    def _asked(self) -> tuple[dict[str, str], dict[str, str]]:
        """The form and the headers of a token request."""
        secret = self._resolve_secret(self._auth.client_secret).strip()
        form, headers = {"grant_type": "client_credentials"}, {"Accept": "application/json"}
        if self._auth.sent_as == "basic":
            headers["Authorization"] = _basic(self._auth.client_id, secret)
        else:
            form |= {"client_id": self._auth.client_id, "client_secret": secret}
        scopes = self._auth.scopes or self._endpoint.scopes
        if scopes is not None:
            form["scope"] = scopes
        if self._auth.site_id is not None:
            form["site_id"] = self._auth.site_id
        form |= dict(self._endpoint.parameters)
        return form, headers

    def _address(self) -> httpx.URL:
        address = self._http.resolve(self._auth.token_url or self._endpoint.address)
        if self._auth.token_url is not None:
            self._http.name_origin(address, operation=self._endpoint.operation)
        return address

    def _read(self, answer: Answer, started: float) -> _Token:
        try:
            token = msgspec.json.decode(answer.body, type=_TokenAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProtocolError(
                "the token endpoint's answer is not a token answer",
                code="auth.token_answer",
                place=self._http.place(self._endpoint.operation),
                remedy="check base_url and auth.token_url: the latter must be the OAuth token endpoint",
            ) from None
        asked = (self._auth.scopes or self._endpoint.scopes or "").split()
        self.missing_scopes = [] if token.scope is None else missing_scopes(asked, token.scope.split())
        lifetime = _seconds(token.expires_in)
        return _Token(token.access_token, started + lifetime - min(_EARLY_SECONDS, lifetime / 5))

    def _judge(self, answer: Answer, place: str) -> VendorError | None:
        if answer.status < 400 or answer.status in (408, 429) or answer.status >= 500:
            return None
        try:
            word = msgspec.json.decode(answer.body, type=_Refusal).error
        except (msgspec.DecodeError, UnicodeDecodeError):
            word = ""
        word = word if re.fullmatch(r"[a-z_]{1,40}", word) else ""
        remedies = {
            "invalid_scope": "take the scope out of auth.scopes, or ask the vendor to add it to the app",
            "unauthorized_client": "ask the vendor to entitle the app to tokens of its own, by client_credentials: "
            "its id and secret are right",
        }
        return AuthenticationError(
            f"the token endpoint answered {answer.status} {word or 'without an OAuth error'}",
            code=f"auth.{word or 'refused'}",
            place=place,
            remedy=remedies.get(word, self._endpoint.remedy),
            status=answer.status,
        )


def _basic(client_id: str, secret: str) -> str:
    # RFC 6749 §2.3.1: both are form-encoded before they are joined.
    joined = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return "Basic " + b64encode(joined.encode()).decode()


def _seconds(told: float | str | None) -> float:
    try:
        return float(told) if told is not None else _DEFAULT_LIFETIME
    except ValueError:
        return _DEFAULT_LIFETIME
