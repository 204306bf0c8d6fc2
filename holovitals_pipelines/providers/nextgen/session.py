"""NextGen's one door: a session of a practice over the token, lists page by page, and JSON in both directions.

Law: a session that was lost is made anew once a call; a link to a next page says where to go on, never at which host;
and no text of an answer is ever shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

import msgspec

from holovitals_pipelines.model.connection import VendorSettings
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    ConfigurationError,
    HoloVitalsError,
    ProtocolError,
    TransientError,
    VendorError,
)
from holovitals_pipelines.providers.answers import NO_TABLE, Answer, rule_error
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.nextgen.errors import NEXTGEN_ERRORS
from holovitals_pipelines.providers.phrases import rule_for
from holovitals_pipelines.providers.refusals import Refusal, RefusalRule, RefusalTable, Write, refused
from holovitals_pipelines.providers.retry import http_date
from holovitals_pipelines.providers.vendor_words import said

SESSION_LOST = "nextgen.session_lost"
_HEADER = "X-NG-SessionID"
_JSON = {"Accept": "application/json", "Content-Type": "application/json"}
_DEFAULTS = "PUT users/me/login-defaults"
_REFUSED = frozenset({SESSION_LOST, "http.401", "write.not_authenticated"})
"""unverified: how a call outside a session is refused. A plain 401 may mean it too: the token was renewed before."""

_REFUSALS: RefusalTable = (RefusalRule(Refusal.DUPLICATE, frozenset({409}), frozenset({Write.CREATE})),)
"""409 is a person who is there already (vendors.md §7.1); everything else is told by its status alone."""

Params = Sequence[tuple[str, str]]
_Headers = Mapping[str, str]


class _Listing(msgspec.Struct):
    items: list[msgspec.Raw]
    next_page: str | None = msgspec.field(default=None, name="nextPageLink")


class _Message(msgspec.Struct):
    message: str | None = None


_message_of: msgspec.json.Decoder[_Message] = msgspec.json.Decoder(_Message)


@dataclass(frozen=True, slots=True)
class Items:
    """One page of a list: each item with its own bytes."""

    items: Sequence[bytes]
    served_at: datetime | None
    received_bytes: int


class NextGen:
    """The session of one connection: made at the first call, and again when NextGen has lost it."""

    def __init__(self, settings: VendorSettings, http: VendorHttp) -> None:
        self._settings = settings
        self._http = http
        self._single_flight = asyncio.Lock()
        self._session: str | None = None

    async def open(self) -> None:
        await self._session_id()

    async def get(self, path: str, *, operation: str, params: Params = ()) -> Answer:
        """The answer of an address below the API's."""

        async def call(headers: _Headers) -> Answer:
            return await self._http.request(
                "GET", path, operation=operation, params=params, headers=headers, judge=_read_judge
            )

        return await self._in_session(call)

    async def pages(self, path: str, *, operation: str, params: Params = ()) -> AsyncIterator[Items]:
        """The pages of a list, to its end.

        `$top` is not sent: in OData it ends the list, and the server cuts pages by itself. Raises ProtocolError for a
        link that leads nowhere new.
        """
        skip: int | None = None
        while True:
            here = [*params, *([("$skip", str(skip))] if skip is not None else [])]
            answer = await self.get(path, operation=operation, params=here)
            listing = self._listing(answer, operation)
            yield Items(
                [bytes(item) for item in listing.items], http_date(answer.headers.get("date")), len(answer.body)
            )
            if not listing.next_page:
                return
            skip = self._further(listing.next_page, skip or 0, operation)

    async def write(
        self, write: Write, method: str, path: str, body: bytes, *, operation: str, timeout_seconds: float
    ) -> Answer:
        """The answer to a write: sent again only where it was certainly not taken."""

        def judge(answer: Answer, place: str) -> HoloVitalsError | None:
            return _told(answer, place) or refused(
                answer, write, condition=False, table=_REFUSALS, codes=NO_TABLE, place=place, words=_message(answer)
            )

        async def call(headers: _Headers) -> Answer:
            return await self._http.write(
                method,
                path,
                operation=operation,
                judge=judge,
                timeout_seconds=timeout_seconds,
                content=body,
                headers=headers,
            )

        return await self._in_session(call)

    async def _in_session(self, call: Callable[[_Headers], Awaitable[Answer]]) -> Answer:
        session = await self._session_id()
        try:
            return await call({**_JSON, _HEADER: session})
        except AuthenticationError as lost:
            if lost.code not in _REFUSED:
                raise
            # Refused before anything was done: the call may be made again, once, in a new session.
            if self._session == session:
                self._session = None
        return await call({**_JSON, _HEADER: await self._session_id()})

    async def _session_id(self) -> str:
        async with self._single_flight:
            if self._session is None:
                self._session = await self._log_in()
            return self._session

    async def _log_in(self) -> str:
        settings = self._settings
        if settings.enterprise_id is None or settings.practice_id is None:
            raise ConfigurationError(
                "NextGen wants to know enterprise and practice of a session",
                code="nextgen.practice",
                place=f"connection {self._http.connection}, vendor",
                remedy="set vendor.enterprise_id and vendor.practice_id",
            )
        wanted = {"enterpriseId": settings.enterprise_id, "practiceId": settings.practice_id}
        if settings.timezone is not None:
            wanted["timeZone"] = settings.timezone
        answer = await self._http.request(
            "PUT",
            "users/me/login-defaults",
            operation=_DEFAULTS,
            headers=_JSON,
            content=msgspec.json.encode(wanted),
            judge=_login_judge,
        )
        session = str(answer.headers.get(_HEADER, "")).strip()
        if not session:
            raise ProtocolError(
                "NextGen opened no session",
                code="nextgen.no_session",
                place=self._http.place(_DEFAULTS),
                remedy="check base_url, and ask the site what vendor.enterprise_id and vendor.practice_id must be",
                status=answer.status,
            )
        return session

    def _listing(self, answer: Answer, operation: str) -> _Listing:
        try:
            return msgspec.json.decode(answer.body, type=_Listing)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise TransientError(
                "the answer is damaged, or is no list",
                code="nextgen.damaged",
                place=self._http.place(operation),
                remedy="run the job again; if it stays so, report it to the vendor",
                status=answer.status,
            ) from None

    def _further(self, link: str, skipped: int, operation: str) -> int:
        """Where a link goes on: all that is used of it, for it names an inner address (recorded: http://127.0.0.1:889/…)."""
        said = dict(parse_qsl(urlsplit(link).query)).get("$skip", "")
        if said.isascii() and said.isdigit() and len(said) < 10 and int(said) > skipped:
            return int(said)
        raise ProtocolError(
            "the link to the next page leads nowhere new",
            code="nextgen.cyclic_pages",
            place=self._http.place(operation),
            remedy="report it to the vendor; what was read until here is kept, the list is incomplete",
        )


def _told(answer: Answer, place: str) -> VendorError | None:
    """What the answer's own words stand for: a lost session, or a line of the table."""
    known = rule_for(NEXTGEN_ERRORS, answer.status, _message(answer)) if answer.status >= 300 else None
    if known is not None:
        return rule_error(known, place=place, status=answer.status)
    return _session_lost(answer, place)


def _message(answer: Answer) -> str:
    try:
        return _message_of.decode(answer.body).message or ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _session_lost(answer: Answer, place: str) -> VendorError | None:
    if answer.status not in (400, 401, 403) or b"session" not in answer.body.lower():
        return None
    return AuthenticationError(
        "NextGen lost the session, and again after a new one was made",
        code=SESSION_LOST,
        place=place,
        remedy="look whether another client logs the same user in to another practice",
        status=answer.status,
    )


def _read_judge(answer: Answer, place: str) -> VendorError | None:
    if answer.status < 300 and answer.looks_like_html():
        return ProtocolError(
            "a page was answered instead of data",
            code="nextgen.not_nextgen",
            place=place,
            remedy="check base_url, and whether a proxy or a login page stands between",
            status=answer.status,
        )
    if answer.status == 404 and answer.body.strip():
        # NextGen's own "there is none" is empty; with words it is about the address (recorded both ways).
        return _told(answer, place) or ProtocolError(
            f"there is no such address{said(_message(answer))}",
            code="nextgen.no_such_address",
            place=place,
            remedy="check base_url: it ends with nge-api/api; nothing is taken as deleted",
            status=answer.status,
        )
    return _told(answer, place)


def _login_judge(answer: Answer, place: str) -> VendorError | None:
    if answer.status not in (400, 403, 404, 422):
        return None
    return AuthenticationError(
        f"NextGen answered {answer.status} to the practice of the session",
        code="nextgen.practice_refused",
        place=place,
        remedy="check vendor.enterprise_id, vendor.practice_id and vendor.timezone, and base_url",
        status=answer.status,
    )
