"""The token of NextGen's native API: client id, secret and site in one form (vendors.md §7.1).

Law: one token request at a time a connection, and neither token nor secret in any error.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import msgspec

from holovitals_pipelines.model.connection import ClientSecretAuth, SecretRef
from holovitals_pipelines.model.errors import AuthenticationError, ProtocolError, VendorError
from holovitals_pipelines.providers.answers import Answer
from holovitals_pipelines.providers.http import VendorHttp

ResolveSecret = Callable[[SecretRef], str]

_TOKEN = "POST nge-oauth/token"  # noqa: S105 the name of an operation
_BESIDE_THE_API = "../../nge-oauth/token"
"""Seen from `…/nge-api/api/`."""
_DEFAULT_LIFETIME = 300.0
_EARLY_SECONDS = 60.0


class _TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: float | str | None = None


class _Refusal(msgspec.Struct):
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    renew_at: float


class SiteToken:
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
        form = {
            "grant_type": "client_credentials",
            "client_id": self._auth.client_id,
            "client_secret": self._resolve_secret(self._auth.client_secret).strip(),
            "site_id": self._auth.site_id or "",
        }
        answer = await self._http.request(
            "POST",
            self._address(),
            operation=_TOKEN,
            headers={"Accept": "application/json"},
            form=lambda: form,
            judge=_judge,
            authorized=False,
        )
        return self._read(answer, started)

    def _address(self) -> httpx.URL:
        address = self._http.resolve(self._auth.token_url or _BESIDE_THE_API)
        self._http.name_origin(address, operation=_TOKEN)
        return address

    def _read(self, answer: Answer, started: float) -> _Token:
        try:
            token = msgspec.json.decode(answer.body, type=_TokenAnswer)
            lifetime = float(token.expires_in) if token.expires_in is not None else _DEFAULT_LIFETIME
        except (msgspec.DecodeError, ValueError):
            raise ProtocolError(
                "the token endpoint's answer is not a token answer",
                code="auth.token_answer",
                place=self._http.place(_TOKEN),
                remedy="check base_url (it ends with nge-api/api) and auth.token_url: it must be the token endpoint",
            ) from None
        # A token is let go a little early: a request already under way must not outlive it.
        return _Token(token.access_token, started + lifetime - min(_EARLY_SECONDS, lifetime / 5))


def _judge(answer: Answer, place: str) -> VendorError | None:
    if answer.status < 400 or answer.status in (408, 429) or answer.status >= 500:
        return None
    try:
        word = msgspec.json.decode(answer.body, type=_Refusal).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        word = ""
    word = word if re.fullmatch(r"[a-z_]{1,40}", word) else ""
    return AuthenticationError(
        f"the token endpoint answered {answer.status} {word or 'without an OAuth error'}",
        code=f"auth.{word or 'refused'}",
        place=place,
        remedy="check auth.client_id, auth.client_secret and auth.site_id, and that the site has approved the client",
        status=answer.status,
    )
