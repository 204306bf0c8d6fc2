"""Notifications that wait to be delivered, and what became of them.

Law: a notification comes to be in the transaction that ends its job; its id stays the same over all attempts, so that
the other side can tell a repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from holovitals_pipelines.store.tables import notification

WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"
GONE = "notify.gone"


@dataclass(frozen=True, slots=True)
class Notification:
    notification_id: str
    endpoint: str
    payload: Mapping[str, Any]
    attempts: int
    """This one included."""


def put_notification(
    transaction: sa.Connection, job_id: str, endpoint: str, payload: Mapping[str, Any], at: datetime
) -> None:
    """Nothing is put down for an endpoint that has said it is gone."""
    gone = sa.select(notification.c.notification_id).where(
        notification.c.endpoint == endpoint, notification.c.error_code == GONE
    )
    if transaction.execute(gone.limit(1)).scalar() is None:
        transaction.execute(
            notification.insert().values(
                notification_id=str(uuid4()),
                job_id=job_id,
                endpoint=endpoint,
                payload=dict(payload),
                status=WAITING,
                attempts=0,
                next_at=at,
                created_at=at,
            )
        )


def any_due(transaction: sa.Connection, at: datetime) -> bool:
    due = sa.exists().where(notification.c.status == WAITING, notification.c.next_at <= at)
    return bool(transaction.execute(sa.select(due)).scalar())


def take_due(transaction: sa.Connection, at: datetime, until: datetime) -> Notification | None:
    """The notification that is due longest; nobody else gets it before `until`. None where none is due."""
    query = (
        sa.select(notification)
        .where(notification.c.status == WAITING, notification.c.next_at <= at)
        .order_by(notification.c.next_at, notification.c.notification_id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = transaction.execute(query).one_or_none()
    if row is None:
        return None
    _change(transaction, row.notification_id, attempts=row.attempts + 1, next_at=until)
    return Notification(row.notification_id, row.endpoint, row.payload, row.attempts + 1)


def mark_delivered(transaction: sa.Connection, notification_id: str, at: datetime) -> None:
    _change(transaction, notification_id, status=DELIVERED, next_at=None, error_code=None, delivered_at=at)


def mark_waiting(transaction: sa.Connection, notification_id: str, next_at: datetime, code: str) -> None:
    _change(transaction, notification_id, next_at=next_at, error_code=code)


def mark_failed(transaction: sa.Connection, notification_id: str, code: str) -> None:
    _change(transaction, notification_id, status=FAILED, next_at=None, error_code=code)


def fail_all_to(transaction: sa.Connection, endpoint: str) -> None:
    """The endpoint is gone: what still waits for it has nobody to go to."""
    waiting = sa.and_(notification.c.endpoint == endpoint, notification.c.status == WAITING)
    values = {"status": FAILED, "next_at": None, "error_code": GONE}
    transaction.execute(notification.update().where(waiting).values(**values))


def _change(transaction: sa.Connection, notification_id: str, **values: Any) -> None:
    this = notification.c.notification_id == notification_id
    transaction.execute(notification.update().where(this).values(**values))
