"""The canonical form of a resource, and its hash: two readings are the same content exactly when their hashes agree.

Law: only what is not content is left out (sync-protocol.md §3.1). Dropped are `meta.versionId`, `meta.lastUpdated`,
`meta.source`, the resource's own narrative `text`, and members that are null, `{}` or `[]`. Everything else counts:
the order of lists, every digit of a decimal, `_element` sidecars, contained resources (which have no narrative),
extensions and elements FHIR does not know. Text is not Unicode-normalised: FHIR compares strings by code point.

The form is itself JSON: members sorted by code point, no whitespace, numbers in the text they came with. A number is
never quoted, so no string can pass for one.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

import msgspec
import orjson

from holovitals_pipelines.fhir.strict_json import not_an_object, parse_strictly, write

HASH_VERSION = 1
"""Stored beside every canonical hash; grows when the rules above change."""

_DROPPED_META = ("versionId", "lastUpdated", "source")

_decode = msgspec.json.Decoder(float_hook=orjson.Fragment).decode
_dumps = orjson.dumps
_SORTED = orjson.OPT_SORT_KEYS
_empty_member = re.compile(rb":(?:n|\{\}|\[\])").search
_negative_zero = re.compile(rb"-0[,}\]\s]").search


def canonical_bytes(body: bytes) -> bytes:
    """The canonical form of one resource.

    Raises MalformedResource for anything that is not one JSON object without doubt: see `strict_json.parse_strictly`.
    """
    # The fast readers' own complaints say little (integers beyond 64 bits) or mislead (a lone surrogate is
    # "truncated"), so they only send the body to the strict reader, which decides.
    form = _canonical_fast(body)
    return _canonical_strictly(body) if form is None else form


def canonical_hash(body: bytes) -> bytes:
    """16 bytes: the first 128 bits of SHA-256 over the canonical form, under `HASH_VERSION`."""
    return sha256(canonical_bytes(body)).digest()[:16]


def content_hash(body: bytes) -> bytes:
    """16 bytes over the exact bytes: the address of the document, and the prefilter (equal bytes are equal content)."""
    return sha256(body).digest()[:16]


def _canonical_fast(body: bytes) -> bytes | None:
    """The canonical form, or None where the fast readers cannot be sure of it."""
    try:
        document = _decode(body)
        if type(document) is not dict:
            return None
        dropped = _drop_bookkeeping(document)
        form = _dumps(document, option=_SORTED)
        if len(form) + _removed_length(dropped) != len(body) and not same_members(body, form, dropped):
            return None
    except (ValueError, TypeError, RecursionError):
        return None
    if _empty_member(form):
        _prune(document)
        return _dumps(document, option=_SORTED)
    return form


def _canonical_strictly(body: bytes) -> bytes:
    document = parse_strictly(body)
    if not isinstance(document, dict):
        raise not_an_object()
    _drop_bookkeeping(document)
    _prune(document)
    return write(document)


def _drop_bookkeeping(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take the bookkeeping out of `document`; return what was taken from the top level and from `meta`."""
    from_top: dict[str, Any] = {}
    from_meta: dict[str, Any] = {}
    meta = document.get("meta")
    if type(meta) is dict:
        for name in _DROPPED_META:
            if name in meta:
                from_meta[name] = meta.pop(name)
        if not meta:
            del document["meta"]
            from_top["meta"], from_meta = from_meta, {}
    if type(document.get("text")) is dict:
        from_top["text"] = document.pop("text")
    return from_top, from_meta


def _removed_length(dropped: tuple[dict[str, Any], dict[str, Any]]) -> int:
    """How many bytes shorter the compact form became: an object's text less its two braces, plus a comma."""
    return sum(len(_dumps(members)) - 1 for members in dropped if members)


def same_members(body: bytes, form: bytes, dropped: tuple[dict[str, Any], dict[str, Any]]) -> bool:
    """Whether decoding certainly lost nothing but whitespace and spelling of escapes.

    The caller has compared lengths first, which proves it for compact text: writing never makes JSON longer, so equal
    lengths leave no room for a member that a second one of the same name replaced, nor for a minus before zero.
    Here quotes are counted instead: each lost member takes at least its name's two with it, and only an escaped
    quote (`\\u0022`) could put one back.
    """
    if (b"\\" in body and b"u0022" in body) or _negative_zero(body):
        return False
    quotes = form.count(b'"') + sum(_dumps(members).count(b'"') for members in dropped if members)
    return quotes == body.count(b'"')


def _prune(value: Any) -> None:
    """Drop null, `{}` and `[]` members at every depth, in place.

    A list keeps all its elements: their positions pair a primitive list with its `_element` sidecar.
    """
    if type(value) is dict:
        for name in list(value):
            member = value[name]
            if type(member) is dict or type(member) is list:
                _prune(member)
                if not member:
                    del value[name]
            elif member is None:
                del value[name]
    elif type(value) is list:
        for element in value:
            _prune(element)
