"""One resource as Python objects that lose nothing: what merging reads and writes.

Law: `write_document(read_document(body))` has the canonical hash of `body`; numbers keep every digit they came with,
and a number never equals a string.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson

from holovitals_pipelines.fhir.canonical import same_members
from holovitals_pipelines.fhir.strict_json import MalformedResource, not_an_object, parse_strictly
from holovitals_pipelines.model.writing import Document

_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
"""The integers the fast readers and writers handle; others stay text."""


class Number(str):
    """A JSON number by its text: 1.0 is not 1.00, and neither is the string "1.0".

    Documents hold it for every number that is not an integer of 64 bits, and for -0.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is Number and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __repr__(self) -> str:
        return f"Number({str(self)!r})"


def read_document(body: bytes) -> Document:
    """The resource as dicts, lists, strings, booleans, None, integers and Numbers; members in the order they came.

    Raises MalformedResource for anything that is not one JSON object without doubt, as `canonical_bytes` does.
    """
    document = _read_fast(body)
    if document is None:
        document = _read_strictly(body)
        if not isinstance(document, dict):
            raise not_an_object()
    return document


def write_document(document: Document) -> bytes:
    """Compact JSON, members in the order they stand. Raises MalformedResource for what JSON cannot carry."""
    return _written(document, orjson.OPT_PASSTHROUGH_SUBCLASS)


def read_value(text: str) -> Any:
    """Any JSON value, read as `read_document` reads a resource. Raises MalformedResource."""
    return _read_strictly(text.encode())


def write_value(value: Any) -> str:
    """Compact JSON with members sorted: equal values have equal text. Raises MalformedResource."""
    return _written(value, orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_SORT_KEYS).decode()


def exactly_equal(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON. Python alone would also take true for 1 and false for 0."""
    return one is other or (one == other and (unmistakable(one) or _same_types(one, other)))


def unmistakable(value: Any) -> bool:
    """Whether Python takes nothing but the same JSON for equal to this value: it holds no boolean, 0 or 1."""
    kind = type(value)
    if kind is dict:
        value = value.values()
    elif kind is not list:
        return not isinstance(value, int | float) or (kind is int and not 0 <= value <= 1)
    # A loop, not all(): this runs over every value that did not change.
    for inner in value:  # noqa: SIM110
        if type(inner) is not str and not unmistakable(inner):
            return False
    return True


def _same_types(one: Any, other: Any) -> bool:
    """Whether two equal values are also made of the same types."""
    if type(one) is not type(other):
        return False
    if type(one) is dict:
        return all(_same_types(member, other[name]) for name, member in one.items())
    if type(one) is list:
        return all(map(_same_types, one, other))
    return True


def _as_number(value: Any) -> orjson.Fragment:
    if type(value) is Number:
        return orjson.Fragment(str(value))
    raise TypeError


_decode = msgspec.json.Decoder(float_hook=Number).decode
_dumps = orjson.dumps


def _read_fast(body: bytes) -> Document | None:
    """The resource, or None where the fast reader may have lost something: its own writing must account for all."""
    try:
        document = _decode(body)
        if type(document) is not dict:
            return None
        form = _dumps(document, _as_number, orjson.OPT_PASSTHROUGH_SUBCLASS)
    except (ValueError, TypeError, RecursionError):
        return None
    if len(form) != len(body) and not same_members(body, form, ({}, {})):
        return None
    return document


def _read_strictly(body: bytes) -> Any:
    parse_strictly(body)  # it decides whether this is JSON, and says what is wrong
    return _EXACT.decode(body.decode())


def _integer(text: str) -> int | Number:
    value = int(text) if len(text) <= 20 else _LARGEST + 1
    return value if _SMALLEST <= value <= _LARGEST and text != "-0" else Number(text)


_EXACT = json.JSONDecoder(parse_float=Number, parse_int=_integer)


def _written(value: Any, option: int) -> bytes:
    try:
        return _dumps(value, _as_number, option)
    except TypeError:
        pass  # raised below: an exception's context would carry the value into tracebacks
    raise MalformedResource(
        "json.unwritable",
        "a value cannot be written as JSON: half of a surrogate pair, an integer beyond 64 bits, another type, or "
        "nesting deeper than 254 levels",
        "Find what produced the value: documents hold what `read_document` returns, and Numbers.",
    )
