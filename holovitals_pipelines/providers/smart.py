"""SMART Backend Services: a signed assertion for an access token, reused until shortly before it expires.

The law: one token request at a time a connection, and no token, assertion or key in any error (vendors.md §2.1, §3.2).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from holovitals_pipelines.model.connection import SecretRef, SmartBackendAuth
from holovitals_pipelines.model.errors import AuthenticationError, ConfigurationError, ProtocolError, VendorError
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.providers.answers import Answer
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.retry import http_date
from holovitals_pipelines.providers.signing import SigningKey, read_key

ResolveSecret = Callable[[SecretRef], str]

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TOKEN = "POST token"  # noqa: S105 the name of an operation
_DISCOVERY = "GET .well-known/smart-configuration"
_DEFAULT_LIFETIME = 300.0
_WORST_HARMLESS_SKEW = timedelta(seconds=30)
_KEY_REFUSALS = frozenset({"invalid_client", "invalid_grant", "unauthorized_client"})
"""Servers were seen to refuse a key as 401 invalid_client and as 400 invalid_grant (libraries.md, server habits)."""

_V1_PERMISSIONS = {"read": "rs", "search": "s", "write": "cud", "*": "cruds"}


class _TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: float | str | None = None
    scope: str | None = None


class _Refusal(msgspec.Struct):
    error: str = ""


class _SmartConfiguration(msgspec.Struct):
    token_endpoint: str


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    renew_at: float


class SmartBackend:
    """The authorizer of one connection."""

    def __init__(self, auth: SmartBackendAuth, http: VendorHttp, resolve_secret: ResolveSecret) -> None:
        self._auth = auth
        self._http = http
        self._resolve_secret = resolve_secret
        self._single_flight = asyncio.Lock()
        self._token: _Token | None = None
        self._token_url: str | None = None
        self._keys: list[SigningKey] = []
        self._skew = timedelta()
        self.problems: list[Problem] = []
        """What the token answers had to say; the reader passes them on once."""

    async def token(self) -> str:
        """The current access token, asked for when there is none or it is about to expire."""
        async with self._single_flight:
            if self._token is None or self._http.clock.monotonic() >= self._token.renew_at:
                self._token = await self._request_token()
            return self._token.value

    def invalidate(self, token: str) -> None:
        if self._token is not None and self._token.value == token:
            self._token = None

    def asking_for(self, scopes: str) -> SmartBackend:
        """The same client with the same keys, asking for other scopes: its token is another one."""
        other = SmartBackend(self._auth.model_copy(update={"scopes": scopes}), self._http, self._resolve_secret)
        other._keys = self._keys
        return other

    def public_keys(self) -> list[SigningKey]:
        if not self._keys:
            place = f"connection {self._http.connection}, auth.keys"
            # In place: `asking_for` shares the list, and reading a key costs a fifth of a second.
            self._keys += [
                read_key(self._resolve_secret(ref), self._auth.algorithm, place=f"{place}[{number}]")
                for number, ref in enumerate(self._auth.keys)
            ]
        return self._keys

    async def _request_token(self) -> _Token:
        keys = self.public_keys()
        url = await self._find_token_url()
        refusal: AuthenticationError | None = None
        for number, key in enumerate(keys):
            try:
                token = await self._ask(url, key)
            except _KeyRefused as refused:
                refusal = refused.error
                continue
            # The key that worked goes first from now on: each refusal is a line in the vendor's security log.
            keys.insert(0, keys.pop(number))
            return token
        assert refusal is not None
        raise refusal

    async def _ask(self, url: str, key: SigningKey) -> _Token:
        """One token from one key; measures the clocks and asks again when ours is what the server dislikes."""
        for last_try in (False, True):
            started = self._http.clock.monotonic()
            judge = _TokenJudge(self._http.connection, len(self.public_keys()))
            try:
                answer = await self._http.request(
                    "POST",
                    self._http.resolve(url),
                    operation=_TOKEN,
                    headers={"Accept": "application/json"},
                    form=lambda: self._form(url, key),
                    judge=judge,
                    authorized=False,
                )
            except AuthenticationError as error:
                if judge.refused_key is None:
                    raise
                if last_try or not self._learn_skew(judge.refused_key):
                    raise _KeyRefused(error) from None
            else:
                return self._read(answer, started)
        raise AssertionError("unreachable")

    def _learn_skew(self, refusal: Answer) -> bool:
        served = http_date(refusal.headers.get("date"))
        if served is None:
            return False
        skew = served - self._http.clock.now()
        if abs(skew - self._skew) <= _WORST_HARMLESS_SKEW:
            return False
        self._skew = skew
        self.problems.append(
            Problem(
                code="auth.clock_skew",
                message=f"this machine's clock is {abs(skew.total_seconds()):.0f} s "
                f"{'behind' if skew > timedelta() else 'ahead of'} the vendor's; assertions are dated by the vendor's",
                remedy="set this machine's clock (NTP): assertions live five minutes",
                source=_TOKEN,
                severity=ErrorSeverity.WARNING,
            )
        )
        return True

    def _form(self, url: str, key: SigningKey) -> dict[str, str]:
        now = self._http.clock.now() + self._skew
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": key.assertion(
                client_id=self._auth.client_id, audience=url, now=now, jku=self._auth.jku
            ),
        }
        if self._auth.scopes is not None:
            form["scope"] = self._auth.scopes
        return form

    def _read(self, answer: Answer, started: float) -> _Token:
        try:
            token = msgspec.json.decode(answer.body, type=_TokenAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProtocolError(
                "the token endpoint's answer is not a token answer",
                code="auth.token_answer",
                place=self._http.place(_TOKEN),
                remedy="check auth.token_url: it must be the OAuth token endpoint",
            ) from None
        self._check_scopes(token.scope)
        try:
            lifetime = float(token.expires_in) if token.expires_in is not None else _DEFAULT_LIFETIME
        except ValueError:
            lifetime = _DEFAULT_LIFETIME
        # A token is let go a little early: a request already under way must not outlive it.
        return _Token(token.access_token, started + lifetime - min(60.0, lifetime / 5))

    def _check_scopes(self, granted: str | None) -> None:
        if self._auth.scopes is None or granted is None:
            return
        missing = missing_scopes(self._auth.scopes.split(), granted.split())
        if missing and not any(problem.code == "auth.scope_reduced" for problem in self.problems):
            self.problems.append(
                Problem(
                    code="auth.scope_reduced",
                    message=f"the vendor granted less than was asked; missing: {' '.join(missing)}",
                    remedy="ask the site to grant the scopes, or take them out of auth.scopes",
                    source=_TOKEN,
                    severity=ErrorSeverity.WARNING,
                )
            )

    async def _find_token_url(self) -> str:
        if self._token_url is None:
            found = self._auth.token_url or await discover_token_url(self._http)
            self._http.name_origin(self._http.resolve(found), operation=_DISCOVERY)
            self._token_url = found
        return self._token_url


async def discover_token_url(http: VendorHttp) -> str:
    """What the server's SMART configuration names. Raises ConfigurationError, or VendorError for one out of reach."""
    try:
        answer = await http.request(
            "GET",
            ".well-known/smart-configuration",
            operation=_DISCOVERY,
            headers={"Accept": "application/json"},
            authorized=False,
        )
        return str(http.resolve(msgspec.json.decode(answer.body, type=_SmartConfiguration).token_endpoint))
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = "an answer without a token endpoint"
    except VendorError as error:
        # What a vendor says in its own words (no such tenant) tells more than that this address does not answer.
        if error.status is None or error.status >= 500 or not error.code.startswith("http."):
            raise
        status = f"status {error.status}"
    raise ConfigurationError(
        f"the server's SMART configuration cannot be used: {status}",
        code="auth.discovery",
        place=http.place(_DISCOVERY),
        remedy="set auth.token_url, or check that base_url is the FHIR base",
    )


class _KeyRefused(Exception):
    def __init__(self, error: AuthenticationError) -> None:
        self.error = error


class _TokenJudge:
    """Reads an OAuth refusal, whatever its status; remembers the answer when it is the key that was refused."""

    def __init__(self, connection: str, keys: int) -> None:
        self._keys = keys
        self.refused_key: Answer | None = None

    def __call__(self, answer: Answer, place: str) -> VendorError | None:
        if answer.status < 400 or answer.status == 429:
            return None
        try:
            word = msgspec.json.decode(answer.body, type=_Refusal).error
        except (msgspec.DecodeError, UnicodeDecodeError):
            word = ""
        word = word if re.fullmatch(r"[a-z_]{1,40}", word) else ""
        # eClinicalWorks answers 500 access_denied where it refuses for any reason of its own (vendors.md §8).
        if answer.status >= 500 and word != "access_denied":
            return None
        if word in _KEY_REFUSALS or (not word and answer.status == 401):
            self.refused_key = answer
        remedy = (
            "take the scope out of auth.scopes or ask the site to grant it (Epic wants no scopes at all)"
            if word == "invalid_scope"
            else "check client_id, that the public half of the key is registered at this vendor (kid included), that "
            "auth.token_url is the audience the vendor expects, and that the site has activated the client "
            "(Epic: up to 12 hours)"
        )
        tried = f" for every one of {self._keys} keys" if self.refused_key is not None and self._keys > 1 else ""
        return AuthenticationError(
            f"the token endpoint answered {answer.status} {word or 'without an OAuth error'}{tried}",
            code=f"auth.{word or 'refused'}",
            place=place,
            remedy=remedy,
            status=answer.status,
        )


def missing_scopes(asked: Iterable[str], granted: Sequence[str]) -> list[str]:
    """Scopes asked for that no granted scope covers, v1 and v2 spellings alike."""
    held = [_parse_scope(scope) for scope in granted]
    return [scope for scope in asked if scope not in granted and not _covered(_parse_scope(scope), held)]


_Scope = tuple[str, str, frozenset[str]]


def _covered(scope: _Scope | None, held: Sequence[_Scope | None]) -> bool:
    return scope is not None and any(
        other is not None and other[0] == scope[0] and other[1] in ("*", scope[1]) and other[2] >= scope[2]
        for other in held
    )


def _parse_scope(scope: str) -> _Scope | None:
    match = re.fullmatch(r"(?:(system|user|patient)/)?([A-Z][A-Za-z]+|\*)\.([a-z]+|\*)", scope)
    if match is None:
        return None
    context, resource_type, permissions = match.groups()
    # Epic grants `Patient.read Patient.search`, without the context (vendors.md §3.2).
    return context or "system", resource_type, frozenset(_V1_PERMISSIONS.get(permissions, permissions))
