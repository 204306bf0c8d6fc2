"""The inbox as a queue: which events are due, which have been read, and what became of them.

Law: rows that are being decided are locked; whoever else looks passes them over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import TERMINAL_STATUSES, WebhookStatus
from holovitals_pipelines.store.bulk import update_rows
from holovitals_pipelines.store.tables import sync_job, webhook_log


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """One event as its processing needs it."""

    log_id: str
    source: str
    event_id: str
    webhook_id: str
    event_type: str
    resource_type: str | None = field(repr=False)
    remote_id: str | None = field(repr=False)
    patient_id: str | None = field(repr=False)
    link_id: str | None
    status: str
    attempts: int
    error_code: str | None
    job_id: str | None
    body: bytes = field(repr=False)


_COLUMNS = tuple(QueuedEvent.__dataclass_fields__)
_SELECT = sa.select(*(webhook_log.c[name] for name in _COLUMNS))
_WAITING = (WebhookStatus.RECEIVED.value, WebhookStatus.VALIDATED.value)
_RETRYING, _PROCESSING = WebhookStatus.RETRYING.value, WebhookStatus.PROCESSING.value
_DECIDED = (
    "status", "attempts", "event_type", "vendor_event", "resource_type", "remote_id", "patient_id", "link_id", "job_id",
    "next_at", "error_code", "error_message", "completed_at",
)  # fmt: skip


def _due(at: datetime) -> sa.ColumnElement[bool]:
    c = webhook_log.c
    return sa.and_(
        c.webhook_id.is_not(None),
        c.status.in_((*_WAITING, _RETRYING)),
        sa.or_(c.next_at <= at, sa.and_(c.next_at.is_(None), c.status != _RETRYING)),
    )


def any_due(transaction: sa.Connection, at: datetime) -> bool:
    return transaction.execute(sa.select(webhook_log.c.log_id).where(_due(at)).limit(1)).first() is not None


def take_due(transaction: sa.Connection, at: datetime, limit: int) -> list[QueuedEvent]:
    """The oldest events that may be processed, locked."""
    query = _SELECT.where(_due(at)).order_by(webhook_log.c.received_at, webhook_log.c.log_id).limit(limit)
    return [QueuedEvent(*row) for row in transaction.execute(query.with_for_update(skip_locked=True))]


def links_waiting(transaction: sa.Connection, link_ids: Iterable[str], at: datetime) -> dict[str, datetime]:
    """Of these links, those of which an event waits for its next attempt, and until when."""
    c = webhook_log.c
    query = sa.select(c.link_id, sa.func.max(c.next_at)).group_by(c.link_id)
    query = query.where(c.link_id.in_(sorted(link_ids)), c.status == _RETRYING, c.next_at > at)
    return {row[0]: row[1] for row in transaction.execute(query)}


def decide(transaction: sa.Connection, decided: Sequence[Mapping[str, Any]]) -> None:
    """Write what was decided; each has `log_id` and every column of `_DECIDED`."""
    rows = [(one["log_id"], *(one[name] for name in _DECIDED)) for one in decided]
    update_rows(transaction, webhook_log, ("log_id",), _DECIDED, rows)


def ended_jobs(transaction: sa.Connection) -> list[str]:
    """Jobs that have ended, and whose events do not know it yet."""
    query = (
        sa.select(webhook_log.c.job_id)
        .join(sync_job, sync_job.c.job_id == webhook_log.c.job_id)
        .where(webhook_log.c.status == _PROCESSING)
        .where(sync_job.c.status.in_([status.value for status in TERMINAL_STATUSES]))
        .distinct()
    )
    return sorted(transaction.execute(query).scalars())


def events_of_job(transaction: sa.Connection, job_id: str) -> list[QueuedEvent]:
    """Those that it processes, locked."""
    query = _SELECT.where(webhook_log.c.job_id == job_id, webhook_log.c.status == _PROCESSING)
    query = query.order_by(webhook_log.c.received_at, webhook_log.c.log_id)
    return [QueuedEvent(*row) for row in transaction.execute(query.with_for_update(skip_locked=True))]


def settle_event(transaction: sa.Connection, log_id: str, values: Mapping[str, Any]) -> None:
    transaction.execute(webhook_log.update().where(webhook_log.c.log_id == log_id).values(**values))
