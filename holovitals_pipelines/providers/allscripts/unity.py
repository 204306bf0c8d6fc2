"""Unity's one door: a token, a user's session, and actions with up to six parameters (vendors.md §6.1).

Law: one call at a time a session; the body says whether a call succeeded, and none of its text is ever shown.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import msgspec

from holovitals_pipelines.model.connection import SecretRef, UnityAuth
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    ErrorAction,
    HoloVitalsError,
    NotPermittedError,
    PermanentError,
    ProtocolError,
    TransientError,
    VendorError,
)
from holovitals_pipelines.providers.allscripts.errors import NO_TOKEN, SESSION_ENDED, UNITY_ERRORS
from holovitals_pipelines.providers.answers import NO_TABLE, Answer, Judge, rule_error
from holovitals_pipelines.providers.exchange import outcome_unknown
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.phrases import rule_for
from holovitals_pipelines.providers.refusals import R4_REFUSALS, Write, refused
from holovitals_pipelines.providers.retry import http_date
from holovitals_pipelines.providers.vendor_words import said

ResolveSecret = Callable[[SecretRef], str]

_JSON = {"Accept": "application/json", "Content-Type": "application/json"}
_TOKEN = re.compile(rb'"?([\w-]+)"?')
"""What public clients take for a token; everything else is a refusal in words, with status 200."""
_FAULT = re.compile(rb"<faultstring[^>]*>(.*?)</faultstring>", re.DOTALL)
_PARAMETERS = tuple(f"Parameter{number}" for number in range(1, 7))
_GOODBYE_SECONDS = 5.0

_Tables = list[dict[str, msgspec.Raw]]
_tables: msgspec.json.Decoder[_Tables] = msgspec.json.Decoder(_Tables)
_items: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_text: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Rows:
    """What an action answered: its rows, each with its own bytes."""

    rows: Sequence[bytes]
    served_at: datetime | None
    received_bytes: int


@dataclass(frozen=True, slots=True)
class Action:
    """One call. `parameters` are by position from 1; what is not given is sent empty, as Unity wants it."""

    name: str
    patient: str = ""
    parameters: Mapping[str, str] | None = None

    @property
    def operation(self) -> str:
        return f"MagicJson {self.name}"


def action(name: str, patient: str = "", *parameters: str) -> Action:
    return Action(name, patient, dict(zip(_PARAMETERS, parameters, strict=False)))


class Unity:
    """The session of one connection: made at the first call, renewed once a call when Unity has ended it."""

    def __init__(self, auth: UnityAuth, http: VendorHttp, resolve_secret: ResolveSecret) -> None:
        self._auth = auth
        self._http = http
        self._resolve_secret = resolve_secret
        self._single_flight = asyncio.Lock()
        self._token: str | None = None
        # A base_url that ends with the service itself is Ubiquity's, or a site's own path.
        self._service = "json/" if http.base_url.path.rstrip("/").endswith(".svc") else "Unity/UnityService.svc/json/"

    async def open(self) -> None:
        async with self._single_flight:
            await self._authenticated()

    async def close(self) -> None:
        """Give the token back: it holds a licence. That nobody answers is no error any more."""
        if self._token is None:
            return
        parting = {"Token": self._token, "Appname": self._auth.application}
        self._token = None
        with suppress(VendorError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._post("RetireSecurityToken", "RetireSecurityToken", parting, judge=None)

    async def ask(self, asked: Action) -> Rows:
        """The rows of an action that only reads; repeated as any read is."""

        async def call(token: str) -> Answer:
            return await self._post("MagicJson", asked.operation, self._call(asked, token), judge=_read_judge(asked))

        return await self._in_session(asked, call)

    async def tell(self, told: Action, timeout_seconds: float) -> Rows:
        """The rows of an action that changes something: sent again only where it was certainly not taken."""

        async def call(token: str) -> Answer:
            return await self._http.write(
                "POST",
                f"{self._service}MagicJson",
                operation=told.operation,
                judge=_write_judge(told),
                timeout_seconds=timeout_seconds,
                content=msgspec.json.encode(self._call(told, token)),
                headers=_JSON,
            )

        return await self._in_session(told, call)

    async def _in_session(self, called: Action, call: Callable[[str], Awaitable[Answer]]) -> Rows:
        async with self._single_flight:
            try:
                answer = await call(await self._authenticated())
            except AuthenticationError as ended:
                if ended.code != SESSION_ENDED:
                    raise
                # Refused before anything was done: the call may be made again, once, in a new session.
                self._token = None
                answer = await call(await self._authenticated())
        rows = _rows(answer, called)
        assert rows is not None, "the judge has read the answer"
        return Rows(rows, http_date(answer.headers.get("date")), len(answer.body))

    async def _authenticated(self) -> str:
        """A token whose session has an EHR user: nothing else may be called before (vendors.md §6.1)."""
        if self._token is None:
            token = await self._new_token()
            await self._log_in(token)
            self._token = token
        return self._token

    async def _new_token(self) -> str:
        asked = {
            "Username": self._resolve_secret(self._auth.service_user).strip(),
            "Password": self._resolve_secret(self._auth.service_password).strip(),
            "Appname": self._auth.application,
        }
        answer = await self._post("GetToken", "GetToken", asked, judge=_token_judge)
        found = _TOKEN.fullmatch(answer.body.strip())
        assert found is not None, "the judge has read the answer"
        return found[1].decode()

    async def _log_in(self, token: str) -> None:
        asked = action("GetUserAuthentication", "", self._resolve_secret(self._auth.ehr_password).strip())
        answer = await self._post("MagicJson", asked.operation, self._call(asked, token), judge=_read_judge(asked))
        rows = _rows(answer, asked) or ()
        if not any(text_of(row, "ValidUser").upper() == "YES" for row in rows):
            raise AuthenticationError(
                "Unity does not take the EHR user",
                code="unity.invalid_user",
                place=self._http.place(asked.operation),
                remedy="check auth.ehr_user and auth.ehr_password with the site: the account may be locked or expired",
            )

    def _call(self, called: Action, token: str) -> dict[str, str]:
        given = called.parameters or {}
        return {
            "Action": called.name,
            "AppUserID": self._auth.ehr_user,
            "Appname": self._auth.application,
            "PatientID": called.patient,
            "Token": token,
            **{name: given.get(name, "") for name in _PARAMETERS},
            "Data": "",
        }

    async def _post(self, path: str, operation: str, sent: Mapping[str, str], *, judge: Judge | None) -> Answer:
        return await self._http.request(
            "POST",
            self._service + path,
            operation=operation,
            headers=_JSON,
            content=msgspec.json.encode(sent),
            judge=judge,
        )


def text_of(row: bytes, name: str) -> str:
    """A member of a row without the blanks it is padded with; numbers as they are written, "" for none.

    Raises ValueError for a row that is no object, or not UTF-8.
    """
    try:
        members = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
        raw = bytes(members.get(name, msgspec.Raw(b"null")))
        return _text.decode(raw).strip() if raw.startswith(b'"') else "" if raw == b"null" else raw.decode().strip()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError("not a row") from error


def is_blank(row: bytes) -> bool:
    """Whether a row says nothing at all, as rows do that stand for "there is none" (vendors.md §6.1)."""
    try:
        members = msgspec.json.decode(row, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return all(value is None or str(value).strip() in ("", "0") for value in members.values())


def _rows(answer: Answer, called: Action) -> Sequence[bytes] | None:
    """The rows under `<action>info`, None where the answer is not of that shape."""
    wanted = f"{called.name}info".lower()
    try:
        tables = _tables.decode(answer.body)
        found = [raw for table in tables for name, raw in table.items() if name.lower() == wanted]
        if len(tables) != 1 or len(found) != 1:
            return None
        return () if bytes(found[0]) == b"null" else [bytes(row) for row in _items.decode(found[0])]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _said_error(answer: Answer) -> str | None:
    """The text of `[{"Error": …}]`, or of the SOAP form's fault; what of it may be shown is for `vendor_words`."""
    if (fault := _FAULT.search(answer.body)) is not None:
        return fault[1].decode("utf-8", "replace")
    try:
        tables = _tables.decode(answer.body)
        for table in tables:
            for name, raw in table.items():
                if name.lower() == "error":
                    return _text.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None


def _own_words(text: str) -> str:
    """What stands behind `Magic Error - Action: <action> - `."""
    return text.rpartition(" - ")[2]


def _read_judge(asked: Action) -> Judge:
    def judge(answer: Answer, place: str) -> HoloVitalsError | None:
        if answer.status >= 300:
            return None
        text = _said_error(answer)
        if text is not None:
            known = rule_for(UNITY_ERRORS, answer.status, text)
            if known is not None:
                return rule_error(known, place=place, status=answer.status)
            return NotPermittedError(
                f"Unity refuses {asked.name}{said(_own_words(text))}",
                code="unity.refused",
                place=place,
                remedy="ask the site what its Unity log (LastLogs) says of the action; what may name a patient is not "
                "repeated here",
                status=answer.status,
            )
        return None if _rows(answer, asked) is not None else _unreadable(answer, place)

    return judge


def _write_judge(told: Action) -> Judge:
    def judge(answer: Answer, place: str) -> HoloVitalsError | None:
        if answer.status >= 300:
            return refused(
                answer, Write.CREATE, condition=False, table=R4_REFUSALS, codes=NO_TABLE, place=place
            ) or outcome_unknown("the answer says neither yes nor no", place=place, status=answer.status)
        text = _said_error(answer)
        if text is not None:
            known = rule_for(UNITY_ERRORS, answer.status, text)
            if known is not None:
                return rule_error(known, place=place, status=answer.status)
            return PermanentError(
                f"Unity refuses {told.name}{said(_own_words(text))}",
                code="write.refused",
                place=place,
                remedy="ask the site what its Unity log says of the action; sending the same again cannot help",
                status=answer.status,
                action=ErrorAction.FIX_DATA,
            )
        if _rows(answer, told) is None:
            return outcome_unknown("the answer cannot be read", place=place, status=answer.status)
        return None

    return judge


def _token_judge(answer: Answer, place: str) -> HoloVitalsError | None:
    if answer.status >= 300 or _TOKEN.fullmatch(answer.body.strip()):
        return None
    if answer.looks_like_html():
        return _unreadable(answer, place)
    known = rule_for(UNITY_ERRORS, answer.status, answer.body[:500].decode("utf-8", "replace"))
    return rule_error(known or NO_TOKEN, place=place, status=answer.status)


def _unreadable(answer: Answer, place: str) -> VendorError:
    if answer.looks_like_html():
        return ProtocolError(
            "a page was answered instead of data",
            code="unity.not_unity",
            place=place,
            remedy="check base_url, and whether a proxy or a login page stands between",
            status=answer.status,
        )
    return TransientError(
        "the answer is damaged, or not of the shape Unity's answers have",
        code="unity.damaged",
        place=place,
        remedy="run the job again; if it stays so, report it to the vendor",
        status=answer.status,
    )
