"""Webhooks over HTTP: register, list, rotate, delete; their events: list, look at, process again, count.

Law: a secret is answered once, by the call that makes it; the body of an event by none.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response, status

from holovitals_pipelines.api.documented import documented
from holovitals_pipelines.api.security import CAN_OPERATE, CAN_READ, Operator, Reader
from holovitals_pipelines.api.shapes.base import Instant, Limit, Name, PageOf, Text
from holovitals_pipelines.api.shapes.webhooks import (
    AskedWebhook,
    EventEntry,
    EventStatistics,
    RegisteredWebhook,
    Replay,
    Replayed,
    Rotation,
    WebhookEntry,
)
from holovitals_pipelines.api.state import OpenHome
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_requests import connection_of
from holovitals_pipelines.engine.webhooks import registration, replaying, views
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import WebhookEvent, WebhookStatus

routes = APIRouter(tags=["webhooks"])

WebhookId = Annotated[Text, Path(alias="webhookId", max_length=64)]
EventId = Annotated[Text, Path(alias="eventId", max_length=64)]
AtConnection = Annotated[Name | None, Query(alias="ehrConnectionId", examples=["clinic"])]
Since = Annotated[Instant | None, Query(description="received then or later")]
Until = Annotated[Instant | None, Query(description="received before")]


@routes.post(
    "/api/sync/webhooks",
    response_model=RegisteredWebhook,
    status_code=status.HTTP_201_CREATED,
    **documented(CAN_OPERATE, 409),
)
def register(asked: AskedWebhook, home: OpenHome, caller: Operator, response: Response) -> Any:
    """Register a webhook. Its receive path, and a secret that was made here, are shown in this answer only."""
    connection = connection_of(home, asked.ehr_connection_id, asked.ehr_provider)
    new = registration.NewWebhook(
        connection=connection,
        endpoint=asked.endpoint,
        events=tuple(asked.events),
        secret=asked.secret,
        scheme=asked.scheme,
        signature_header=asked.signature_header,
        signature_algorithm=asked.signature_algorithm,
        retry_attempts=asked.retry_attempts,
        retry_delay_ms=asked.retry_delay,
        timeout_ms=asked.timeout,
        custom_headers=dict(asked.custom_headers),
        provider=asked.ehr_provider,
    )
    made = registration.register(home, new, caller.name)
    response.headers["Location"] = f"/api/sync/webhooks/{made.webhook.webhook_id}"
    return made.as_json()


@routes.get("/api/sync/webhooks", response_model=PageOf[WebhookEntry], **documented(CAN_READ, 404))
def list_webhooks(home: OpenHome, caller: Reader, connection: AtConnection = None) -> Any:
    """All that are registered, the newest first."""
    found = registration.list_webhooks(home, _connection(home, connection))
    return {"items": [one.as_json() for one in found], "next": None}


@routes.get("/api/sync/webhooks/events", response_model=PageOf[EventEntry], **documented(CAN_READ, 404))
def list_events(
    home: OpenHome,
    caller: Reader,
    connection: AtConnection = None,
    webhook_id: Annotated[Name | None, Query(alias="webhookId")] = None,
    status: Annotated[list[WebhookStatus] | None, Query(description="repeatable")] = None,
    event: Annotated[list[WebhookEvent] | None, Query(description="repeatable")] = None,
    since: Since = None,
    until: Until = None,
    cursor: Annotated[Text | None, Query(max_length=1000)] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> Any:
    """Events, the newest first, without their bodies."""
    wanted = views.EventFilter(
        connection=_connection(home, connection),
        webhook_id=webhook_id,
        statuses=tuple(status or ()),
        events=tuple(event or ()),
        since=since,
        until=until,
    )
    page = views.list_events(home, wanted, cursor, limit)
    return {"items": [one.as_json() for one in page.items], "next": page.next}


@routes.get("/api/sync/webhooks/events/{eventId}", response_model=EventEntry, **documented(CAN_READ, 404))
def show_event(event_id: EventId, home: OpenHome, caller: Reader) -> Any:
    """One event with its history."""
    return _event(home, event_id).as_json()


@routes.get("/api/sync/webhooks/statistics", response_model=EventStatistics, **documented(CAN_READ, 404))
def statistics(
    home: OpenHome, caller: Reader, connection: AtConnection = None, since: Since = None, until: Until = None
) -> Any:
    """How many events were received, by event type and status; how many came again."""
    return views.statistics(home, since, until, _connection(home, connection))


@routes.post("/api/sync/webhooks/replay", **documented(CAN_OPERATE, 404))
def replay(asked: Replay, home: OpenHome, caller: Operator) -> Replayed:
    """Process again what was received in a time, whatever has become of it."""
    connection = connection_of(home, asked.ehr_connection_id)
    count = replaying.replay(home, connection, asked.since, asked.until, asked.statuses, caller.name)
    return Replayed(events=count)


@routes.get("/api/sync/webhooks/{webhookId}", response_model=WebhookEntry, **documented(CAN_READ, 404))
def show(webhook_id: WebhookId, home: OpenHome, caller: Reader) -> Any:
    """One webhook, without its secrets."""
    return _webhook(home, webhook_id).as_json()


@routes.delete("/api/sync/webhooks/{webhookId}", response_model=WebhookEntry, **documented(CAN_OPERATE, 404))
def delete(webhook_id: WebhookId, home: OpenHome, caller: Operator) -> Any:
    """From now on its deliveries are refused; its events stay, and are processed."""
    return registration.delete_webhook(home, _webhook(home, webhook_id).webhook_id, caller.name).as_json()


@routes.post("/api/sync/webhooks/{webhookId}/rotate", response_model=RegisteredWebhook, **documented(CAN_OPERATE, 404))
def rotate(webhook_id: WebhookId, asked: Rotation, home: OpenHome, caller: Operator) -> Any:
    """A new secret; the one before still counts for a while. The address stays."""
    found = _webhook(home, webhook_id).webhook_id
    overlap = timedelta(hours=asked.overlap_hours)
    return registration.rotate_secret(home, found, caller.name, secret=asked.secret, overlap=overlap).as_json()


@routes.post("/api/sync/webhooks/{eventId}/retry", response_model=EventEntry, **documented(CAN_OPERATE, 404, 409))
def retry(event_id: EventId, home: OpenHome, caller: Operator) -> Any:
    """Process an event again: one that failed, or was ignored, or should be read once more."""
    found = replaying.retry_event(home, _event(home, event_id).log_id, caller.name)
    return views.view_event(home, found).as_json()


def _connection(home: Home, named: str | None) -> str | None:
    return connection_of(home, named) if named is not None else None


def _webhook(home: Home, webhook_id: str) -> registration.Webhook:
    """By its whole id: what is deleted is what was meant."""
    found = registration.get_webhook(home, webhook_id)
    if found.webhook_id != webhook_id:
        raise StoreError(
            "there is no such webhook", code="webhook.unknown", remedy="GET /api/sync/webhooks lists the ids"
        )
    return found


def _event(home: Home, event_id: str) -> views.EventView:
    found = views.view_event(home, event_id)
    if found.log_id != event_id:
        raise StoreError(
            "there is no such event", code="webhook.event_unknown", remedy="GET /api/sync/webhooks/events lists the ids"
        )
    return found
