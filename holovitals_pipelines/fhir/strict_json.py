"""JSON read exactly and without mercy: the slow path that decides where the fast readers only suspect.

Law: numbers keep every digit they came with, and whatever is not plain JSON (RFC 8259) is refused with a code, an
offset in bytes and a remedy, never with a piece of the text.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

from holovitals_pipelines.model.errors import ProtocolError

_RESEND = "Ask the vendor for the resource again; if it stays so, report it to the vendor with the code and offset."
_number_end = re.compile(r"[.eE][+-]?")
_CONSTANTS = ("true", "false", "null")


class MalformedResource(ProtocolError):
    """Bytes that are no resource. `offset` is the byte at which reading stopped, where that is known."""

    def __init__(self, code: str, message: str, remedy: str, offset: int | None = None) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.offset = offset


def parse_strictly(body: bytes) -> Any:
    """The JSON value of `body`; every number is an `orjson.Fragment` of its own text, so writing it back loses nothing.

    Raises MalformedResource with one of the codes `json.empty`, `json.markup`, `json.byte_order_mark`,
    `json.invalid_utf8`, `json.truncated`, `json.malformed`, `json.not_finite`, `json.duplicate_key`,
    `json.lone_surrogate`, `json.too_deep`.
    """
    start = body[:512].lstrip()
    if not start:
        if not body.strip():
            raise MalformedResource("json.empty", "there is nothing to read", _RESEND)
    elif start.startswith(b"<"):
        raise MalformedResource(
            "json.markup",
            _markup_kind(start),
            "Check the base URL and what stands before the server (proxy, login page, maintenance); FHIR JSON is "
            "asked for as application/fhir+json.",
            0,
        )
    elif start.startswith(b"\xef\xbb\xbf"):
        raise MalformedResource(
            "json.byte_order_mark", "the text starts with a byte order mark, which JSON forbids", _RESEND, 0
        )
    text = _decoded(body)
    # Raised outside the handlers, here and below: an exception's context would carry the text itself into tracebacks.
    problem = None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        problem = _unreadable(text, error.msg, error.pos)
    except RecursionError:
        problem = _too_deep()
    if problem is not None:
        raise problem
    write(value)
    return value


def write(value: Any) -> bytes:
    """`value` as compact JSON with members sorted by code point; MalformedResource if JSON cannot carry it."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        too_deep = "ecursion" in str(error)
    if too_deep:
        raise _too_deep()
    raise MalformedResource(
        "json.lone_surrogate",
        "a string holds half of a surrogate pair, which no UTF-8 text can carry",
        "The vendor must send whole characters; the text was probably cut in the middle of one.",
    )


def diagnose(body: bytes) -> MalformedResource:
    """Why `body` is not a JSON object; the answer for bytes a fast reader refused without a reason of its own."""
    try:
        value = parse_strictly(body)
    except MalformedResource as error:
        # Kept in lists and raised elsewhere: it must not hold on to the text through frames or an earlier error.
        error.__context__ = None
        return error.with_traceback(None)
    if not isinstance(value, dict):
        return not_an_object()
    return MalformedResource("json.malformed", "the text is not a resource in JSON", _RESEND)


def not_an_object() -> MalformedResource:
    return MalformedResource("json.not_an_object", "a resource is a JSON object, and this is another value", _RESEND)


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        offset = error.start
        cut = error.reason == "unexpected end of data" and error.end == len(body)
    if cut:
        raise _truncated(offset)
    raise MalformedResource(
        "json.invalid_utf8", "the text is not UTF-8", "The vendor must send UTF-8, as FHIR requires.", offset
    )


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedResource(
            "json.duplicate_key",
            "an object has two members of the same name, so it has no single meaning",
            "Read the held bytes and ask the vendor which of the two members is meant.",
        )
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise MalformedResource(
        "json.not_finite",
        "NaN and Infinity are not JSON numbers",
        "The vendor must leave out a value it does not have.",
    )


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_float=orjson.Fragment,
    parse_int=orjson.Fragment,
    parse_constant=_refuse_constant,
)


def _markup_kind(start: bytes) -> str:
    head = start[:200].lower()
    if head.startswith(b"<!doctype html") or b"<html" in head:
        return "an HTML page stands where FHIR JSON belongs"
    return "XML or other markup stands where FHIR JSON belongs"


def _truncated(offset: int) -> MalformedResource:
    return MalformedResource(
        "json.truncated",
        "the text ends before the resource does",
        "The transfer was cut: read it again. If it always ends at the same byte, the vendor stores it cut.",
        offset,
    )


def _too_deep() -> MalformedResource:
    return MalformedResource(
        "json.too_deep",
        "objects and lists are nested deeper than any FHIR resource (254 levels)",
        "This is no clinical content: ask the vendor what the resource is.",
    )


def _unreadable(text: str, reason: str, position: int) -> MalformedResource:
    rest = text[position:].rstrip()
    offset = len(text[:position].encode())
    at_the_end = not rest or rest in ("-", '"') or any(word.startswith(rest) for word in _CONSTANTS)
    cut_escape = len(rest) < 6 and "escape" in reason
    cut_number = _number_end.fullmatch(rest) is not None
    if at_the_end or cut_escape or cut_number or reason.startswith("Unterminated string"):
        return _truncated(offset)
    return MalformedResource("json.malformed", "the text is not JSON", _RESEND, offset)
