"""The habits of the v1 API: lists with an envelope, arrays of one, form bodies, errors inside 200 (vendors.md §5.2).

Law: the body says whether a call succeeded, and none of its text is ever shown; an item keeps its own bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from holovitals_pipelines.model.errors import (
    ErrorAction,
    HoloVitalsError,
    NotFoundError,
    PermanentError,
    ProtocolError,
    TransientError,
    VendorError,
)
from holovitals_pipelines.providers.answers import NO_TABLE, Answer, Judge, rule_error
from holovitals_pipelines.providers.athenahealth.errors import ATHENA_ERRORS, THROTTLED
from holovitals_pipelines.providers.exchange import outcome_unknown
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.phrases import rule_for
from holovitals_pipelines.providers.refusals import Write, refused
from holovitals_pipelines.providers.retry import http_date
from holovitals_pipelines.providers.vendor_words import said

_FORM = "application/x-www-form-urlencoded"

Members = dict[str, msgspec.Raw]
_members: msgspec.json.Decoder[Members] = msgspec.json.Decoder(Members)
_items: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_text: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)

Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list: each item with its own bytes."""

    items: Sequence[bytes]
    served_at: datetime | None
    received_bytes: int


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of the API: its address below the practice, and the member of the envelope that holds the items."""

    path: str
    items: str
    template: str
    """The address without ids, for errors and statistics."""
    params: Params = ()

    @property
    def operation(self) -> str:
        return f"GET {self.template}"


class Practice:
    """One practice's API at one connection."""

    def __init__(self, http: VendorHttp) -> None:
        self.http = http

    async def get(self, path: str, operation: str, params: Params = ()) -> Answer:
        return await self.http.request(
            "GET", path, operation=operation, params=params, headers=_headers(), judge=_read_judge
        )

    async def one(self, path: str, operation: str) -> tuple[bytes, Answer]:
        """The only item of an array. Raises NotFoundError for an empty one."""
        answer = await self.get(path, operation)
        found = self._array(answer.body, operation)
        if len(found) != 1:
            raise NotFoundError(
                f"the server answered {len(found)} records where one was asked for",
                code="read.not_found",
                place=self.http.place(operation),
                remedy="check the id; nothing is taken as deleted because of it",
                status=answer.status,
            )
        return found[0], answer

    async def pages(self, asked: ListOf) -> AsyncIterator[Listing]:
        """A list from its first page to its last. Raises ProtocolError when it ends before all it counted has come.

        Of `next`, only the offset is taken: the address is the one asked for, whatever gateway stands between.
        """
        offset, received, total = 0, 0, None
        while True:
            params = [*asked.params, ("limit", str(self.http.settings.page_size))]
            params += [("offset", str(offset))] if offset else []
            answer = await self.get(asked.path, asked.operation, params)
            envelope = self._envelope(answer, asked)
            counted = _said(envelope, "totalcount")
            items = self._items(envelope, asked, counted)
            received += len(items)
            if counted.isdigit():
                # Records may vanish while a list is read: the least count is the one that binds.
                total = int(counted) if total is None else min(total, int(counted))
            yield Listing(items, http_date(answer.headers.get("date")), len(answer.body))
            onwards = _offset(_said(envelope, "next"))
            if onwards is None:
                break
            if onwards <= offset:
                raise self._not_as_promised("list.cycle", "a next link leads back to a page already read", asked)
            offset = onwards
        if total is not None and received < total:
            raise self._not_as_promised("list.incomplete", f"the server counted {total}, {received} came", asked)

    async def first_page(self, asked: ListOf, limit: int) -> Sequence[bytes]:
        """At most `limit` items from the beginning of a list."""
        answer = await self.get(asked.path, asked.operation, [*asked.params, ("limit", str(limit))])
        envelope = self._envelope(answer, asked)
        return self._items(envelope, asked, _said(envelope, "totalcount"))

    async def subscribe(self, path: str, operation: str) -> None:
        """POST without fields. Asking twice for a subscription changes nothing, so it is repeated as a read is."""
        await self.http.request(
            "POST",
            path,
            operation=operation,
            headers={**_headers(), "Content-Type": _FORM},
            content=b"",
            judge=_read_judge,
        )

    async def write(
        self, write: Write, path: str, fields: Mapping[str, Any], *, operation: str, timeout_seconds: float
    ) -> Members:
        """Send form fields; the members of the answer, of its only item where it is an array.

        Raises what the answer stands for: PermanentError for a refusal inside 200 too.
        """
        answer = await self.http.write(
            "POST" if write is Write.CREATE else "PUT",
            path,
            operation=operation,
            judge=_write_judge(write),
            timeout_seconds=timeout_seconds,
            content=urlencode({name: _field(value) for name, value in fields.items()}).encode(),
            headers={**_headers(), "Content-Type": _FORM},
        )
        told = _told(answer.body)
        assert told is not None, "the judge has read the answer"
        return told

    def _envelope(self, answer: Answer, asked: ListOf) -> Members:
        try:
            return _members.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._not_as_promised("list.shape", "the answer is not a list", asked) from None

    def _items(self, envelope: Members, asked: ListOf, counted: str) -> list[bytes]:
        if asked.items in envelope:
            return self._array(bytes(envelope[asked.items]), asked.operation)
        if counted != "0":
            # An empty list would say that there is nothing.
            raise self._not_as_promised("list.shape", f"the answer has no {asked.items}", asked)
        return []

    def _array(self, body: bytes, operation: str) -> list[bytes]:
        try:
            return [bytes(item) for item in _items.decode(body)]
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProtocolError(
                "the answer is not the array it should be",
                code="list.shape",
                place=self.http.place(operation),
                remedy="report it to the vendor; what came before is kept",
            ) from None

    def _not_as_promised(self, code: str, message: str, asked: ListOf) -> ProtocolError:
        return ProtocolError(
            message,
            code=code,
            place=self.http.place(asked.operation),
            remedy="run the job again; if it stays so, report it to the vendor. What came is kept",
        )


def members_of(item: bytes) -> Members:
    """The members of an item. Raises ValueError for what is no JSON object."""
    try:
        return _members.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError("not an object") from error


def text_of(members: Members, name: str) -> str:
    """A member as text: ids are strings at one address and numbers at the next. "" for none, and for what is neither.

    Raises ValueError for a text that is not UTF-8.
    """
    raw = bytes(members.get(name, msgspec.Raw(b"null")))
    if raw.startswith(b'"'):
        try:
            return _text.decode(raw).strip()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError("not a text") from error
    return raw.decode() if raw[:1].isdigit() else ""


def _said(envelope: Members, name: str) -> str:
    try:
        return text_of(envelope, name)
    except ValueError:
        return ""


def _headers() -> dict[str, str]:
    return {"Accept": "application/json", "X-Request-Id": str(uuid.uuid4())}


def _encoded(text: str) -> bytes:
    return msgspec.json.encode(text)


def _offset(link: str) -> int | None:
    found = dict(parse_qsl(urlsplit(link).query)).get("offset", "")
    return int(found) if found.isdigit() else None


def _field(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict) else str(value)


def _told(body: bytes) -> Members | None:
    """The members of an answer, or of the only item of an array; None where it is neither.

    A write may answer a number alone, which is how many it changed, or a text alone, which is why it changed nothing.
    """
    try:
        if body.lstrip()[:1] == b'"':
            return {"errormessage": msgspec.Raw(_encoded(_text.decode(body)))}
        if body.strip().isdigit():
            return {"count": msgspec.Raw(body.strip())}
        if body.lstrip()[:1] == b"[":
            found = _items.decode(body)
            return _members.decode(found[0]) if len(found) == 1 else None
        return _members.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _is_throttle(answer: Answer) -> bool:
    """429, or the 403 of the old gateway: every other 403 means what it says (vendors.md §5.7)."""
    return answer.status == 429 or (answer.status == 403 and "x-mashery-error-code" in answer.headers)


def _not_the_apis_word(answer: Answer, place: str) -> ProtocolError:
    return ProtocolError(
        f"{answer.status} was answered by something that is not the API{said(_text_in(answer.body))}",
        code="athenahealth.not_the_api",
        place=place,
        remedy="check base_url: it ends with /v1/ and the practice's number; nothing is taken as deleted",
        status=answer.status,
        action=ErrorAction.FIX_DATA,
    )


def _read_judge(answer: Answer, place: str) -> HoloVitalsError | None:
    if _is_throttle(answer):
        return rule_error(THROTTLED, place=place, status=answer.status)
    if answer.status in (404, 410) and _told(answer.body) is None:
        return _not_the_apis_word(answer, place)
    if answer.status >= 300 and (known := rule_for(ATHENA_ERRORS, answer.status, _text_in(answer.body))) is not None:
        return rule_error(known, place=place, status=answer.status)
    return _unfit(answer, place) if answer.status < 300 else None


def _unfit(answer: Answer, place: str) -> VendorError | None:
    """What a good status with a body that cannot be used stands for."""
    if answer.looks_like_html():
        return _not_the_apis_word(answer, place)
    told: Members | None = None
    try:
        if answer.body.lstrip()[:1] == b"[":
            _items.decode(answer.body)
        else:
            told = _members.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return TransientError(
            "the answer was damaged on its way",
            code="read.damaged",
            place=place,
            remedy="run the job again; if it stays so, report it to the vendor",
            status=answer.status,
        )
    return _refused(answer, place, "read.refused") if told is not None and _says_no(told) else None


def _says_no(told: Members) -> bool:
    """Whether a body refuses, whatever the status: `{"success": false}`, `{"errormessage": "…"}`, `{"error": "…"}`."""
    try:
        words = text_of(told, "errormessage") or text_of(told, "error") or text_of(told, "detailedmessage")
        return bool(words) or bytes(told.get("success", b"true")).strip(b'"').lower() == b"false"
    except ValueError:
        return True


def _refused(answer: Answer, place: str, code: str) -> VendorError:
    text = _text_in(answer.body)
    known = rule_for(ATHENA_ERRORS, answer.status, text)
    if known is not None:
        return rule_error(known, place=place, status=answer.status)
    return PermanentError(
        f"the server answered {answer.status} and that it refuses{said(text)}",
        code=code,
        place=place,
        remedy="ask the practice what its API log says of the request; what may name a patient is not repeated here. "
        "Sending the same again cannot help",
        status=answer.status,
        action=ErrorAction.FIX_DATA,
    )


def _text_in(body: bytes) -> str:
    """What an answer says in words: the members that athenahealth puts them in, or the whole of a plain text."""
    told = _told(body)
    if told is None:
        return body[:500].decode("utf-8", "replace")
    return " ".join(filter(None, (_said(told, name) for name in ("error", "errormessage", "detailedmessage"))))


def _write_judge(write: Write) -> Judge:
    def judge(answer: Answer, place: str) -> HoloVitalsError | None:
        if _is_throttle(answer):
            return rule_error(THROTTLED, place=place, status=answer.status)
        told = _told(answer.body)
        if answer.status == 404 and told is not None and write is not Write.CREATE:
            return NotFoundError(
                "the server answered 404",
                code="write.not_found",
                place=place,
                remedy="nothing: the vendor is read and decided on",
                status=404,
            )
        if answer.status == 404 and told is not None:
            return _refused(answer, place, "write.refused")
        if answer.status >= 300:
            return refused(answer, write, condition=False, table=(), codes=NO_TABLE, place=place)
        if told is None:
            return outcome_unknown("the answer cannot be read", place=place, status=answer.status)
        nothing = _said(told, "count") == "0"
        return _refused(answer, place, "write.refused") if nothing or _says_no(told) else None

    return judge
