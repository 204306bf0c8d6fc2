"""A delivery as it came, taken apart into its events: one row of the inbox each, by an id that is always the same.

Law: no byte is lost. A delivery with one event is kept as it came; of one with several, each event keeps its own part,
which is again a delivery with one event. What cannot be read is one event, kept as it came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import Provider, WebhookEvent
from holovitals_pipelines.providers.webhooks.fhir_notifications import (
    entries_of,
    event_id_of,
    events_of,
    notification_notice,
    resource_notice,
    status_of,
)
from holovitals_pipelines.providers.webhooks.notices import (
    UNREADABLE,
    Json,
    Kind,
    Notice,
    event_of,
    named_event,
    plain_notice,
    safe_id,
    safe_type,
)

LONGEST_ID = 200
"""Longer ids, or odd ones, are known by their hash."""
_ABOUT_THE_BODY = "body:"


@dataclass(frozen=True, slots=True)
class Part:
    """One event of a delivery. `event_id` None: it has none; `identity` are the bytes that tell it from others."""

    event_id: str | None
    body: bytes
    identity: bytes


def parts_of(raw: bytes, delivery_id: str | None) -> Sequence[Part]:
    """The events of a verified delivery; `delivery_id` is its id outside the body, if the scheme has one."""
    try:
        parts = list(_parts(orjson.loads(raw)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        parts = []  # it is not what it seems to be: one event, kept as it came
    if not parts:
        return [Part(delivery_id, raw, raw)]
    if len(parts) == 1:
        only = parts[0]
        return [Part(delivery_id or only.event_id, raw, only.identity if only.event_id else raw)]
    return [
        Part(one.event_id or (f"{delivery_id}.{number}" if delivery_id else None), one.body, one.identity)
        for number, one in enumerate(parts)
    ]


def stored_id(part: Part) -> str | None:
    """Under which id the event is kept; None for one with neither an id nor a body: each of these is news."""
    if part.event_id is not None:
        if len(part.event_id) <= LONGEST_ID and part.event_id.isprintable() and part.event_id.isascii():
            return part.event_id
        return "id:" + hashlib.sha256(part.event_id.encode(errors="surrogatepass")).hexdigest()
    return _ABOUT_THE_BODY + hashlib.sha256(part.identity).hexdigest() if part.identity else None


def is_known_by_its_body(event_id: str) -> bool:
    """Whether the same bytes can also mean that the same has happened again."""
    return event_id.startswith(_ABOUT_THE_BODY)


def _read(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _parts(told: Any) -> Iterator[Part]:
    if isinstance(told, list):
        for one in told:
            body = orjson.dumps(one)
            yield Part(_plain_id(one), body, body)
    elif isinstance(told, Mapping):
        status = status_of(told)
        events = events_of(status) if status is not None else []
        if status is None:
            identity = None if _is_resource(told) else _plain_id(told)
            yield Part(identity, b"", orjson.dumps(told, option=orjson.OPT_SORT_KEYS))
        for event in events:
            yield _event_part(told, status or {}, event)


def _event_part(bundle: Json, status: Json, event: Json) -> Part:
    """A Bundle with this one event: without what differs when the same event comes in another Bundle."""
    lasting = {
        "resourceType": "SubscriptionStatus",
        **{name: status[name] for name in ("type", "subscription", "topic") if name in status},
        "notificationEvent": [event],
    }
    entries = [{"resource": lasting}, *entries_of(bundle, event)]
    body = orjson.dumps({"resourceType": "Bundle", "type": "history", "entry": entries}, option=orjson.OPT_SORT_KEYS)
    return Part(event_id_of(status, event), body, body)


def _plain_id(told: Any) -> str | None:
    if not isinstance(told, Mapping):
        return None
    named = next((told[name] for name in ("id", "eventId", "event_id") if name in told), None)
    return safe_id(named)


def read_notice(connection: ConnectionConfig, body: bytes, hint: tuple[str, str] | None = None) -> Notice:
    """What the event says. `hint`: type and id at the end of the address it was sent to (R4 rest-hook)."""
    if not body:
        if hint is not None:
            return Notice(Kind.CHANGE, event_of(hint[0], "UPDATED"), "rest-hook", *hint)
        return Notice(Kind.SOMETHING, WebhookEvent.CUSTOM, "rest-hook")
    told = _read(body)
    if not isinstance(told, Mapping):
        return UNREADABLE
    status = status_of(told)
    if status is not None and len(events_of(status)) > 1:
        return UNREADABLE  # it could not be taken apart, and none of its events may go unnoticed
    if status is not None:
        native = connection.provider is Provider.ATHENAHEALTH and connection.format is None
        return notification_notice(told, status, native_ids=native)
    return resource_notice(told) if _is_resource(told) else plain_notice(told)


_OF_PLAIN_ONES = frozenset(
    {"event", "eventType", "event_type", "resourceId", "resource_id", "remoteId", "patientId", "patient_id", "data"}
)


def _is_resource(told: Json) -> bool:
    """Whether it is a FHIR resource, and not an event that names one: some resources have a `type` as well."""
    said = told.get("type")
    named = isinstance(said, str) and named_event(said) is not None
    return safe_type(told.get("resourceType")) is not None and not named and not _OF_PLAIN_ONES & told.keys()
