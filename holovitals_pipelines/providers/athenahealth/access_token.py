"""OAuth 2 client credentials with a secret, as athenahealth takes them (vendors.md §5.1).

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

ResolveSecret = Callable[[SecretRef], str]

_TOKEN = "POST oauth2/v1/token"  # noqa: S105 the name of an operation
_BESIDE_V1 = "../../oauth2/v1/token"
"""Seen from `…/v1/{practiceid}/`."""
_SCOPES = "athena/service/Athenanet.MDP.*"
_DEFAULT_LIFETIME = 300.0
_EARLY_SECONDS = 60.0
"""athenahealth's own client lets a token go so early, "to resolve intermittent 401s"."""


class _TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: float | str | None = None


class _Refusal(msgspec.Struct):
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    renew_at: float


class ClientCredentials:
    """The authorizer of one connection."""

    def __init__(self, auth: ClientSecretAuth, http: VendorHttp, resolve_secret: ResolveSecret) -> None:
        self._auth = auth
        self._http = http
        self._resolve_secret = resolve_secret
        self._single_flight = asyncio.Lock()
        self._token: _Token | None = None

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
        secret = self._resolve_secret(self._auth.client_secret).strip()
        form = {"grant_type": "client_credentials", "scope": self._auth.scopes or _SCOPES}
        headers = {"Accept": "application/json"}
        if self._auth.sent_as == "basic":
            headers["Authorization"] = _basic(self._auth.client_id, secret)
        else:
            form |= {"client_id": self._auth.client_id, "client_secret": secret}
        answer = await self._http.request(
            "POST",
            self._address(),
            operation=_TOKEN,
            headers=headers,
            form=lambda: form,
            judge=_judge,
            authorized=False,
        )
        return self._read(answer, started)

    def _address(self) -> httpx.URL:
        if self._auth.token_url is None:
            return self._http.resolve(_BESIDE_V1)
        address = self._http.resolve(self._auth.token_url)
        self._http.name_origin(address, operation=_TOKEN)
        return address

    def _read(self, answer: Answer, started: float) -> _Token:
        try:
            token = msgspec.json.decode(answer.body, type=_TokenAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProtocolError(
                "the token endpoint's answer is not a token answer",
                code="auth.token_answer",
                place=self._http.place(_TOKEN),
                remedy="check base_url and auth.token_url: the latter must be the OAuth token endpoint",
            ) from None
        lifetime = _seconds(token.expires_in)
        return _Token(token.access_token, started + lifetime - min(_EARLY_SECONDS, lifetime / 5))


def _basic(client_id: str, secret: str) -> str:
    # RFC 6749 §2.3.1: both are form-encoded before they are joined.
    joined = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return "Basic " + b64encode(joined.encode()).decode()


def _seconds(told: float | str | None) -> float:
    try:
        return float(told) if told is not None else _DEFAULT_LIFETIME
    except ValueError:
        return _DEFAULT_LIFETIME


def _judge(answer: Answer, place: str) -> VendorError | None:
    if answer.status < 400 or answer.status == 429 or answer.status >= 500:
        return None
    try:
        word = msgspec.json.decode(answer.body, type=_Refusal).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        word = ""
    word = word if re.fullmatch(r"[a-z_]{1,40}", word) else ""
    remedy = (
        "take the scope out of auth.scopes, or ask athenahealth to add it to the app"
        if word == "invalid_scope"
        else "check auth.client_id and auth.client_secret, and that the app is approved for this practice and host "
        "(preview and production have secrets of their own)"
    )
    return AuthenticationError(
        f"the token endpoint answered {answer.status} {word or 'without an OAuth error'}",
        code=f"auth.{word or 'refused'}",
        place=place,
        remedy=remedy,
        status=answer.status,
    )
