"""Light reading of what vendors send: who a resource is, and what a page of a search holds.

Law: no byte is lost or rewritten. A resource taken from a bundle is the slice the vendor sent, indentation and all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.fhir.strict_json import MalformedResource, diagnose

__all__ = [
    "MAX_ID_LENGTH",
    "BundleEntry",
    "BundlePage",
    "DeletedEntry",
    "Head",
    "MalformedResource",
    "OutcomeIssue",
    "read_bundle",
    "read_head",
    "read_heads",
    "read_outcome",
]

MAX_ID_LENGTH = 256
"""FHIR says 64; vendors go beyond, and the stores keep up to this."""

_MAX_VERSION_LENGTH = 128


class Head(msgspec.Struct, frozen=True):
    """Who a resource is. `last_updated` is in UTC; None when absent, unreadable or without time zone."""

    resource_type: str
    id: str
    version_id: str | None
    last_updated: datetime | None


def read_head(body: bytes) -> Head:
    """The head of one resource.

    Raises MalformedResource: the `json.*` codes of `strict_json.parse_strictly`, `json.not_an_object`,
    `resource.no_type`, `resource.no_id`, `resource.id_not_text`, `resource.id_too_long`. The rest of the resource is
    only skimmed: a twice-given member or a byte that is no UTF-8 further down is found by `canonical_hash`.
    """
    head = _read(body)
    if isinstance(head, MalformedResource):
        raise head
    return head


def read_heads(bodies: Iterable[bytes]) -> list[Head | MalformedResource]:
    """The heads of many resources, in order; a resource that has none gives its error in its place."""
    return [_read(body) for body in bodies]


class _WireMeta(msgspec.Struct):
    versionId: str | None = None
    lastUpdated: datetime | None = None


class _WireHead(msgspec.Struct):
    resourceType: str = ""
    id: str = ""
    meta: _WireMeta | None = None


class _LooseHead(msgspec.Struct):
    resourceType: Any = None
    id: Any = None
    meta: Any = None


_decode_head = msgspec.json.Decoder(_WireHead).decode
_decode_loose_head = msgspec.json.Decoder(_LooseHead).decode


def _read(body: bytes) -> Head | MalformedResource:
    try:
        wire = _decode_head(body)
    except (ValueError, RecursionError):
        return _read_loosely(body)
    identity = wire.id
    if not wire.resourceType or not identity or len(identity) > MAX_ID_LENGTH:
        return _read_loosely(body)
    meta = wire.meta
    if meta is None:
        return Head(wire.resourceType, identity, None, None)
    return Head(wire.resourceType, identity, _version(meta.versionId), _instant(meta.lastUpdated))


def _read_loosely(body: bytes) -> Head | MalformedResource:
    """The same for heads that are not shaped as FHIR says: `meta` may be anything, type and id must be right."""
    try:
        wire = _decode_loose_head(body)
    except (ValueError, RecursionError):
        return diagnose(body)
    if not isinstance(wire.resourceType, str) or not wire.resourceType:
        return MalformedResource(
            "resource.no_type",
            "the object has no resourceType, so it is no FHIR resource",
            "Check that the connection's base URL is that of a FHIR R4 server.",
        )
    if wire.id is None or wire.id == "":
        return MalformedResource(
            "resource.no_id",
            "the resource has no id, so it cannot be linked to a record",
            "Ask the vendor to send resources with their logical id.",
        )
    if not isinstance(wire.id, str):
        return MalformedResource(
            "resource.id_not_text",
            "the resource's id is not a string",
            "FHIR ids are JSON strings; ask the vendor to send them so.",
        )
    if len(wire.id) > MAX_ID_LENGTH:
        return MalformedResource(
            "resource.id_too_long",
            f"the resource's id is longer than {MAX_ID_LENGTH} characters",
            "FHIR allows 64; ask the vendor for the resource's logical id.",
        )
    meta = wire.meta if isinstance(wire.meta, dict) else {}
    updated = meta.get("lastUpdated")
    instant = None
    if isinstance(updated, str):
        try:
            instant = datetime.fromisoformat(updated)
        except ValueError:
            instant = None
    return Head(wire.resourceType, wire.id, _version(meta.get("versionId")), _instant(instant))


def _version(token: Any) -> str | None:
    if isinstance(token, int) and not isinstance(token, bool):
        token = str(token)
    return token if isinstance(token, str) and 0 < len(token) <= _MAX_VERSION_LENGTH else None


def _instant(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        return None
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return None


@dataclass(frozen=True, slots=True)
class OutcomeIssue:
    """One issue of an OperationOutcome. `diagnostics` may hold health data: it is never shown by repr or in errors."""

    severity: str | None
    code: str | None
    vendor_code: str | None = None
    """The first `details.coding[].code`, by which vendors number their errors."""
    expression: tuple[str, ...] = ()
    diagnostics: str | None = field(default=None, repr=False)
    """`diagnostics`, else `details.text`."""


class BundleEntry(NamedTuple):
    """One resource of a bundle: its exact bytes, `search.mode`, and its type (None when it names none)."""

    body: bytes
    mode: str | None
    resource_type: str | None


class DeletedEntry(NamedTuple):
    """A DELETE a history bundle reports. `position` counts the `entries` before it: history comes newest first."""

    resource_type: str
    id: str
    position: int


@dataclass(frozen=True, slots=True)
class BundlePage:
    """What one page holds. OperationOutcomes are not `entries`: parsed they are `issues`, whole `outcomes`."""

    entries: list[BundleEntry] = field(default_factory=list, repr=False)
    next_url: str | None = field(default=None, repr=False)
    self_url: str | None = field(default=None, repr=False)
    total: int | None = None
    type: str | None = None
    issues: list[OutcomeIssue] = field(default_factory=list)
    deleted: list[DeletedEntry] = field(default_factory=list, repr=False)
    outcomes: list[bytes] = field(default_factory=list, repr=False)


class _Link(msgspec.Struct):
    relation: str | None = None
    url: str | None = None


class _Search(msgspec.Struct):
    mode: str | None = None


class _Request(msgspec.Struct):
    method: str | None = None
    url: str | None = None


class _Response(msgspec.Struct):
    outcome: msgspec.Raw = msgspec.Raw(b"")


class _Entry(msgspec.Struct):
    fullUrl: str | None = None
    resource: msgspec.Raw = msgspec.Raw(b"")
    search: _Search | None = None
    request: _Request | None = None
    response: _Response | None = None


class _Bundle(msgspec.Struct):
    resourceType: str = ""
    type: str | None = None
    total: Any = None
    link: list[_Link] | None = None
    entry: list[_Entry] | None = None


_decode_bundle = msgspec.json.Decoder(_Bundle).decode
_type_first = re.compile(rb'\s*\{\s*"resourceType"\s*:\s*"([A-Za-z]+)"').match
_reference_tail = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([^/?#\s]+)(?:/_history/[^/]+)?$").search
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOTHING = (b"", b"null")


def read_bundle(page: bytes) -> BundlePage:
    """The page of a search, a history or a batch answer; a bare OperationOutcome gives a page of issues only.

    Raises MalformedResource: the `json.*` codes (an HTML page is `json.markup`), `bundle.unexpected_type` for another
    resource, `bundle.shape` when links or entries are not what FHIR says.
    """
    page = page.removeprefix(_BYTE_ORDER_MARK)
    problem = None
    try:
        wire = _decode_bundle(page)
    except (ValueError, RecursionError) as error:
        problem = _unreadable_page(page, error)
    if problem is not None:  # outside the handler: an exception's context would carry the page into tracebacks
        raise problem
    if wire.resourceType == "OperationOutcome":
        return BundlePage(issues=list(read_outcome(page)), outcomes=[page])
    if wire.resourceType != "Bundle":
        raise _unexpected_type(wire.resourceType)
    result = BundlePage(
        next_url=_link(wire, "next"),
        self_url=_link(wire, "self"),
        total=wire.total if type(wire.total) is int else None,
        type=wire.type,
    )
    for entry in wire.entry or ():
        _sort_entry(entry, result)
    return result


def read_outcome(body: bytes) -> tuple[OutcomeIssue, ...]:
    """The issues of an OperationOutcome; nothing for any other bytes, whatever they are."""
    try:
        outcome = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(outcome, dict) or outcome.get("resourceType") != "OperationOutcome":
        return ()
    return tuple(_issue(issue) for issue in _list(outcome.get("issue")) if isinstance(issue, dict))


def _sort_entry(entry: _Entry, page: BundlePage) -> None:
    if entry.response is not None:
        outcome = bytes(entry.response.outcome)
        if outcome not in _NOTHING:
            page.outcomes.append(outcome)
            page.issues.extend(read_outcome(outcome))
    if entry.request is not None and entry.request.method == "DELETE":
        found = _reference_tail(entry.request.url or "") or _reference_tail(entry.fullUrl or "")
        if found and found[1] in RESOURCE_TYPES:
            page.deleted.append(DeletedEntry(found[1], found[2], len(page.entries)))
            return
    body = bytes(entry.resource)
    if body in _NOTHING:
        return
    resource_type = _resource_type(body)
    if resource_type == "OperationOutcome":
        page.outcomes.append(body)
        page.issues.extend(read_outcome(body))
    else:
        page.entries.append(BundleEntry(body, entry.search.mode if entry.search else None, resource_type))


def _resource_type(body: bytes) -> str | None:
    first = _type_first(body)
    if first:
        return first[1].decode()
    try:
        found = _decode_loose_head(body).resourceType
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, str) and found else None


def _link(bundle: _Bundle, relation: str) -> str | None:
    return next((link.url for link in bundle.link or () if link.relation == relation and link.url), None)


def _issue(issue: dict[str, Any]) -> OutcomeIssue:
    details = issue.get("details")
    details = details if isinstance(details, dict) else {}
    codes = (_text(coding.get("code")) for coding in _list(details.get("coding")) if isinstance(coding, dict))
    places = _list(issue.get("expression")) or _list(issue.get("location"))
    return OutcomeIssue(
        severity=_text(issue.get("severity")),
        code=_text(issue.get("code")),
        vendor_code=next((code for code in codes if code), None),
        expression=tuple(place for place in places if isinstance(place, str)),
        diagnostics=_text(issue.get("diagnostics")) or _text(details.get("text")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _unreadable_page(page: bytes, error: Exception) -> MalformedResource:
    if not isinstance(error, msgspec.ValidationError):
        return diagnose(page)
    reason = diagnose(page)
    if reason.code != "json.malformed" or reason.offset is not None:
        return reason
    where = re.search(r"at `\$([\w.\[\]]*)`$", str(error))
    return MalformedResource(
        "bundle.shape",
        f"the Bundle is not shaped as FHIR says{f', at Bundle{where[1]}' if where else ''}",
        "Keep the page, and report it to the vendor: links and entries must be lists of objects.",
    )


def _unexpected_type(resource_type: str) -> MalformedResource:
    what = resource_type if resource_type in RESOURCE_TYPES else "an object that is no R4 resource"
    return MalformedResource(
        "bundle.unexpected_type",
        f"a Bundle was asked for and {what} came",
        "Check that the connection's base URL is that of a FHIR R4 server.",
    )
