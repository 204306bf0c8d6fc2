"""Events are processed once more because somebody asks for it: one, or all of a time.

Law: what is in process is left alone; the history says who asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.people import person_named
from holovitals_pipelines.model.errors import ConfigurationError, JobError, StoreError
from holovitals_pipelines.model.vocabulary import WebhookStatus
from holovitals_pipelines.store.events import LogEntry, taken_up_again, tell
from holovitals_pipelines.store.tables import webhook_log

REPLAYABLE = (WebhookStatus.FAILED, WebhookStatus.IGNORED, WebhookStatus.COMPLETED, WebhookStatus.RETRYING)
"""The others are about to be processed, or are just now."""


def retry_event(home: Home, log_id: str, by: str, *, now: datetime | None = None) -> str:
    """Process one event again, of an id that begins so; its full id. Raises StoreError (`webhook.event_unknown`,
    `webhook.event_ambiguous`), JobError (`webhook.event_in_process`)."""
    now = now or datetime.now(UTC)
    with home.database.write() as transaction:
        actor = person_named(transaction, by)
        found = find_event(transaction, log_id)
        status = transaction.execute(
            sa.select(webhook_log.c.status).where(webhook_log.c.log_id == found).with_for_update()
        ).scalar_one()
        if status not in REPLAYABLE:
            raise JobError(
                f"the event is {status}: it is being processed already",
                code="webhook.event_in_process",
                place=f"event {found}",
                remedy="see what becomes of it: holovitals webhooks event",
            )
        _again(transaction, [found], actor, now)
    return found


def replay(
    home: Home,
    connection: str,
    since: datetime,
    until: datetime,
    statuses: Sequence[WebhookStatus],
    by: str,
    *,
    now: datetime | None = None,
) -> int:
    """Process again what was received from `since` until before `until` and has one of these statuses; how many.

    Raises ConfigurationError (`settings.connection_unknown`, `webhook.not_replayable`).
    """
    home.connection(connection)
    if since >= until or not statuses or not set(statuses) <= set(REPLAYABLE):
        raise ConfigurationError(
            "there is nothing that could be replayed so",
            code="webhook.not_replayable",
            place="since, until, statuses",
            remedy=f"since before until, and at least one of {', '.join(REPLAYABLE)}",
        )
    now, c = now or datetime.now(UTC), webhook_log.c
    with home.database.write() as transaction:
        actor = person_named(transaction, by)
        query = sa.select(c.log_id).where(
            c.source == connection,
            c.webhook_id.is_not(None),
            c.received_at >= since,
            c.received_at < until,
            c.status.in_([status.value for status in statuses]),
        )
        found = list(transaction.execute(query.order_by(c.received_at, c.log_id).with_for_update()).scalars())
        _again(transaction, found, actor, now)
    return len(found)


def _again(transaction: sa.Connection, log_ids: Sequence[str], by: str, now: datetime) -> None:
    for start in range(0, len(log_ids), 500):
        batch = log_ids[start : start + 500]
        transaction.execute(webhook_log.update().where(webhook_log.c.log_id.in_(batch)).values(**taken_up_again()))
    tell(transaction, [LogEntry(one, now, "replayed", WebhookStatus.RECEIVED.value, {"by": by}) for one in log_ids])


def find_event(transaction: sa.Connection, beginning: str) -> str:
    """The log id that begins so. Raises StoreError (`webhook.event_unknown`, `webhook.event_ambiguous`)."""
    query = sa.select(webhook_log.c.log_id).where(webhook_log.c.log_id.startswith(beginning, autoescape=True))
    found = list(transaction.execute(query.order_by(webhook_log.c.log_id).limit(2)).scalars()) if beginning else []
    if len(found) == 1:
        return str(found[0])
    raise StoreError(
        "several events have ids that begin so" if found else "there is no such event",
        code="webhook.event_ambiguous" if found else "webhook.event_unknown",
        place="event",
        remedy="see the ids: holovitals webhooks events",
    )
