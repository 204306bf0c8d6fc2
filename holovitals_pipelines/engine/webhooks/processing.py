"""Events become jobs: what they were about is read from the vendor, in one job a connection.

Law: an event and the job that reads for it are written by one transaction. An event that fails holds up later ones of
its own link, and no others. What becomes of events when their job has ended: `settling`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.events import VendorEvent, request_after
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import submit_within
from holovitals_pipelines.engine.webhooks.handlers import (
    Event,
    Handlers,
    Queue,
    handler_for,
    installed_handlers,
)
from holovitals_pipelines.engine.webhooks.settling import ALONE, settle
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.job import JobOptions, SyncRequest
from holovitals_pipelines.model.vocabulary import WebhookStatus
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.providers.webhooks.deliveries import read_notice
from holovitals_pipelines.providers.webhooks.notices import UNREADABLE, Kind, Notice
from holovitals_pipelines.store import webhook_queue
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.events import LogEntry, tell
from holovitals_pipelines.store.webhook_queue import QueuedEvent
from holovitals_pipelines.store.webhooks import StoredWebhook, webhooks_by_id

__all__ = ["coalesce", "settle"]

A_TIME = 1000
"""Events taken up by one transaction."""
ALONE_A_TIME = 20
"""Events that are tried by themselves, each in a job of its own, at a time."""
REQUESTED_BY = "webhook"
_ONE_ATTEMPT = JobOptions(max_retries=0)
"""The events have a schedule of their own."""


@dataclass(slots=True)
class _Plan:
    """An event, what it says, and what is to be done about it."""

    event: QueuedEvent
    notice: Notice
    queue: Queue
    status: WebhookStatus = WebhookStatus.VALIDATED
    code: str | None = None
    message: str | None = None
    job_id: str | None = None
    link_id: str | None = None
    next_at: datetime | None = None

    def end(self, status: WebhookStatus, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message

    def values(self, at: datetime) -> Mapping[str, Any]:
        over = self.status in (WebhookStatus.IGNORED, WebhookStatus.FAILED)
        return {
            "log_id": self.event.log_id,
            "status": self.status.value,
            "attempts": self.event.attempts,
            "event_type": self.notice.event.value,
            "vendor_event": self.notice.name,
            "resource_type": self.notice.resource_type,
            "remote_id": self.notice.remote_id,
            "patient_id": self.notice.patient_id,
            "link_id": self.link_id,
            "job_id": self.job_id,
            "next_at": self.next_at,
            "error_code": self.code if over else self.event.error_code,
            "error_message": self.message if over else None,
            "completed_at": at if over else None,
        }


def coalesce(home: Home, *, clock: Clock = SYSTEM_CLOCK, limit: int = A_TIME) -> list[str]:
    """Take up the events that are due, and submit the jobs that read what they were about; their ids.

    Several processes may do it at once: each event is taken up by one. Raises ConfigurationError for handlers that
    cannot be loaded; then events wait.
    """
    handlers, now = installed_handlers(home.settings), clock.now()
    with home.database.read() as transaction:
        if not webhook_queue.any_due(transaction, now):
            return []
    with home.database.write() as transaction:
        due = webhook_queue.take_due(transaction, now, limit)
        webhooks = webhooks_by_id(transaction, sorted({one.webhook_id for one in due}))
        plans = [_planned(home, handlers, webhooks[one.webhook_id], one) for one in due]
        ready = _may_go_on(transaction, [one for one in plans if one.status is WebhookStatus.VALIDATED], now)
        job_ids = _submit_all(home, transaction, ready, clock)
        changed = [one for one in plans if _is_news(one)]
        webhook_queue.decide(transaction, [one.values(now) for one in changed])
        tell(transaction, [entry for one in changed for entry in _history(one, now)])
    return job_ids


def _planned(home: Home, handlers: Handlers, webhook: StoredWebhook, event: QueuedEvent) -> _Plan:
    connection = home.connections.get(event.source)
    if connection is None:
        plan = _Plan(event, UNREADABLE, Queue(event.source))
        plan.end(WebhookStatus.FAILED, "settings.connection_unknown", "its connection is declared no more")
        return plan
    hint = (event.resource_type, event.remote_id)
    try:
        notice = read_notice(connection, event.body, hint if hint[0] and hint[1] else None)  # type: ignore[arg-type]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        notice = UNREADABLE
    plan = _Plan(event, notice, Queue(event.source))
    if notice.kind is Kind.UNREADABLE:
        plan.end(WebhookStatus.FAILED, "webhook.unreadable", "it is not JSON in UTF-8; it is kept as it came")
        return plan
    wanted = webhook.config["events"]
    told = Event(
        event.source, connection.provider.value, event.event_id, notice.event, notice.name, notice.kind,
        notice.resource_type, notice.remote_id, notice.patient_id,
    )  # fmt: skip
    handler, installed = handler_for(handlers, told)
    if wanted and notice.kind is not Kind.SIGN_OF_LIFE and notice.event.value not in wanted and not _unknown(plan):
        plan.end(WebhookStatus.IGNORED, "webhook.unwanted", "the webhook is not registered for such events")
        return plan
    try:
        handler(told, plan.queue)
    except Exception as error:  # noqa: BLE001 its text may be health data: only the type is kept
        plan.end(WebhookStatus.FAILED, "webhook.handler_failed", f"its handler raised {type(error).__name__}")
        return plan
    if not (plan.queue.resources or plan.queue.patients or plan.queue.requests):
        said = "its handler asks for nothing" if installed else "there is nothing to read for it"
        plan.end(WebhookStatus.IGNORED, plan.queue.ignored, said)
    plan.link_id = _link_of(plan)
    return plan


def _unknown(plan: _Plan) -> bool:
    """An unknown name is told as such, whatever the webhook is registered for."""
    return plan.notice.kind is Kind.UNKNOWN


def _link_of(plan: _Plan) -> str | None:
    named = sorted(plan.queue.resources) or [("Patient", patient) for patient in sorted(plan.queue.patients)]
    return link_id_of(plan.event.source, *named[0]) if named else None


def _may_go_on(transaction: sa.Connection, plans: Sequence[_Plan], now: datetime) -> list[_Plan]:
    """All but those of a link that waits for the next attempt of an earlier event."""
    held = webhook_queue.links_waiting(transaction, {one.link_id for one in plans if one.link_id is not None}, now)
    for plan in plans:
        plan.next_at = held.get(plan.link_id or "")
    return [one for one in plans if one.next_at is None]


def _submit_all(home: Home, transaction: sa.Connection, plans: Sequence[_Plan], clock: Clock) -> list[str]:
    """One job for each connection; one by itself for each link that has to be tried alone."""
    alone = {one.link_id for one in plans if one.event.error_code == ALONE and one.link_id is not None}
    chosen = sorted(alone)[:ALONE_A_TIME]
    groups: dict[tuple[str, str | None], list[_Plan]] = {}
    job_ids: list[str] = []
    for plan in plans:
        if plan.link_id in alone and plan.link_id not in chosen:
            continue  # its turn comes
        if plan.queue.requests:
            job_ids += _submit(home, transaction, plan.queue.requests, [plan], clock)
        if plan.queue.resources or plan.queue.patients:
            groups.setdefault((plan.event.source, plan.link_id if plan.link_id in alone else None), []).append(plan)
    for (source, _), group in groups.items():
        told = {VendorEvent(remote_id, kind) for one in group for kind, remote_id in one.queue.resources}
        told |= {VendorEvent(patient) for one in group for patient in one.queue.patients}
        request = replace(request_after(source, told), options=_ONE_ATTEMPT)
        job_ids += _submit(home, transaction, [request], group, clock)
    return list(dict.fromkeys(job_ids))


def _submit(
    home: Home, transaction: sa.Connection, requests: Sequence[SyncRequest], plans: Sequence[_Plan], clock: Clock
) -> list[str]:
    """Submit, and let the events wait for the last of these jobs."""
    try:
        ids = [
            submit_within(home, transaction, request, requested_by=REQUESTED_BY, clock=clock).job_id
            for request in requests
        ]
    except ConfigurationError as error:
        for plan in plans:
            plan.end(WebhookStatus.FAILED, error.code, error.message)
        return []
    for plan in plans:
        if plan.status is not WebhookStatus.FAILED:
            plan.status, plan.job_id = WebhookStatus.PROCESSING, ids[-1]
    return ids


def _is_news(plan: _Plan) -> bool:
    """Whether anything is to be written: an event that still waits is not moved again."""
    waits = plan.event.status == WebhookStatus.RECEIVED or plan.next_at is not None
    return plan.status is not WebhookStatus.VALIDATED or waits


def _history(plan: _Plan, at: datetime) -> list[LogEntry]:
    log_id, told = plan.event.log_id, []
    if plan.event.status == WebhookStatus.RECEIVED and plan.status is not WebhookStatus.FAILED:
        detail = {"event": plan.notice.event.value}
        told.append(LogEntry(log_id, at, "moved", WebhookStatus.VALIDATED.value, detail))
    if plan.status is not WebhookStatus.VALIDATED:
        why = {"job": plan.job_id} if plan.job_id is not None else {"code": plan.code}
        told.append(LogEntry(log_id, at, "moved", plan.status.value, why))
    return told
