"""Webhook events to look at: pages of them, one with its history, and how many there are of each kind.

Law: a body is shown by `body_of` only; nothing else here tells what an event said, beyond names and ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.webhooks.replaying import find_event
from holovitals_pipelines.model.paging import Page, page_of, place_of
from holovitals_pipelines.model.vocabulary import WebhookEvent, WebhookStatus
from holovitals_pipelines.store.tables import webhook_log, webhook_log_event

_LIST = "webhook_events"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 10**17


@dataclass(frozen=True, slots=True)
class EventFilter:
    connection: str | None = None
    webhook_id: str | None = None
    statuses: tuple[WebhookStatus, ...] = ()
    events: tuple[WebhookEvent, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventView:
    """One event, without its body."""

    log_id: str
    source: str
    event_id: str
    webhook_id: str | None
    event_type: str
    vendor_event: str | None
    resource_type: str | None
    remote_id: str | None = field(repr=False)
    patient_id: str | None = field(repr=False)
    status: str
    attempts: int
    next_at: datetime | None
    job_id: str | None
    key_id: str | None
    times_received: int
    altered: int
    error_code: str | None
    error_message: str | None
    received_at: datetime
    completed_at: datetime | None
    size: int
    history: tuple[dict[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Lists have an empty history."""
        return {
            "id": self.log_id,
            "ehrConnectionId": self.source,
            "eventId": self.event_id,
            "webhookId": self.webhook_id,
            "event": self.event_type,
            "vendorEvent": self.vendor_event,
            "resourceType": self.resource_type,
            "resourceId": self.remote_id,
            "patientId": self.patient_id,
            "status": self.status,
            "attempts": self.attempts,
            "nextAt": _text(self.next_at),
            "jobId": self.job_id,
            "key": self.key_id,
            "timesReceived": self.times_received,
            "altered": self.altered,
            "errorCode": self.error_code,
            "errorMessage": self.error_message,
            "receivedAt": _text(self.received_at),
            "completedAt": _text(self.completed_at),
            "bytes": self.size,
            "history": list(self.history),
        }


_COLUMNS = tuple(name for name in EventView.__dataclass_fields__ if name not in ("size", "history"))
_SELECT = sa.select(*(webhook_log.c[name] for name in _COLUMNS), sa.func.length(webhook_log.c.body))


def list_events(home: Home, wanted: EventFilter, cursor: str | None = None, limit: int = 50) -> Page[EventView]:
    """The newest first. Raises StoreError (`page.cursor_invalid`)."""
    c = webhook_log.c
    query = _filtered(_SELECT, wanted).order_by(c.received_at.desc(), c.log_id.desc()).limit(limit + 1)
    if cursor is not None:
        microseconds, log_id = place_of(cursor, _LIST, int, str)
        at = _EPOCH + timedelta(microseconds=max(0, min(microseconds, _LATEST)))
        query = query.where(sa.or_(c.received_at < at, sa.and_(c.received_at == at, c.log_id < log_id)))
    with home.database.read() as transaction:
        found = [EventView(*row) for row in transaction.execute(query)]
    return page_of(
        found, limit, _LIST, lambda one: ((one.received_at - _EPOCH) // timedelta(microseconds=1), one.log_id)
    )


def view_event(home: Home, log_id: str) -> EventView:
    """One with its history, by the beginning of its id. Raises StoreError (`webhook.event_unknown`, `…_ambiguous`)."""
    h = webhook_log_event.c
    with home.database.read() as transaction:
        found = find_event(transaction, log_id)
        row = transaction.execute(_SELECT.where(webhook_log.c.log_id == found)).one()
        history = transaction.execute(
            sa.select(h.at, h.kind, h.status, h.detail).where(h.log_id == found).order_by(h.sequence)
        ).all()
    told = tuple(
        {"at": _text(at), "kind": kind, "status": status, "detail": detail} for at, kind, status, detail in history
    )
    return replace(EventView(*row), history=told)


def body_of(home: Home, log_id: str) -> bytes:
    """The event as it came. This can be health data. Raises StoreError."""
    with home.database.read() as transaction:
        found = find_event(transaction, log_id)
        return bytes(
            transaction.execute(sa.select(webhook_log.c.body).where(webhook_log.c.log_id == found)).scalar_one()
        )


def statistics(
    home: Home, since: datetime | None = None, until: datetime | None = None, connection: str | None = None
) -> dict[str, Any]:
    """How many events were received, by event type, by status, and by both; and how often any came again."""
    c = webhook_log.c
    counted = sa.select(
        c.event_type, c.status, sa.func.count(), sa.func.sum(c.times_received - 1), sa.func.sum(c.altered)
    ).group_by(c.event_type, c.status)
    wanted = EventFilter(connection=connection, since=since, until=until)
    with home.database.read() as transaction:
        rows = [tuple(row) for row in transaction.execute(_filtered(counted, wanted))]
    by_event: dict[str, dict[str, int]] = {}
    by_status = dict.fromkeys((status.value for status in WebhookStatus), 0)
    for event, status, count, _, _ in rows:
        by_event.setdefault(event, {})[status] = count
        by_status[status] = by_status.get(status, 0) + count
    return {
        "total": sum(row[2] for row in rows),
        "repeated": sum(int(row[3] or 0) for row in rows),
        "altered": sum(int(row[4] or 0) for row in rows),
        "byStatus": by_status,
        "byEvent": {event: {"total": sum(counts.values()), **counts} for event, counts in sorted(by_event.items())},
    }


def _filtered(query: sa.Select[Any], wanted: EventFilter) -> sa.Select[Any]:
    c = webhook_log.c
    if wanted.connection is not None:
        query = query.where(c.source == wanted.connection)
    if wanted.webhook_id is not None:
        query = query.where(c.webhook_id == wanted.webhook_id)
    if wanted.statuses:
        query = query.where(c.status.in_([status.value for status in wanted.statuses]))
    if wanted.events:
        query = query.where(c.event_type.in_([event.value for event in wanted.events]))
    if wanted.since is not None:
        query = query.where(c.received_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(c.received_at < wanted.until)
    return query


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
