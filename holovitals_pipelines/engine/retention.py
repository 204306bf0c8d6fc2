"""What is removed when it is old: webhook events that have ended, and files that were taken or that nobody names.

Law: nothing that waits or runs is removed, no record, no audit entry, and nothing younger than the settings say.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from holovitals_pipelines.engine.drop_folder import remove_done
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.maintenance import sweep_landing_zone
from holovitals_pipelines.model.vocabulary import WebhookStatus
from holovitals_pipelines.store.tables import webhook_log, webhook_log_event

_ENDED = [WebhookStatus.COMPLETED.value, WebhookStatus.FAILED.value, WebhookStatus.IGNORED.value]
A_TIME = 500
"""Events of one transaction; writers elsewhere wait for no more than that."""


@dataclass(frozen=True, slots=True)
class Removed:
    events: int
    files: int
    """Of the landing zone."""
    dropped: int
    """Of the drop folder."""


def remove_what_is_old(home: Home, now: datetime | None = None) -> Removed:
    before = (now or datetime.now(UTC)) - timedelta(days=home.settings.retention_event_days)
    events = 0
    while removed := _remove_events(home, before):
        events += removed
    return Removed(events, len(sweep_landing_zone(home)), remove_done(home, before))


def _remove_events(home: Home, before: datetime) -> int:
    old = sa.select(webhook_log.c.log_id).where(webhook_log.c.received_at < before, webhook_log.c.status.in_(_ENDED))
    with home.database.write() as transaction:
        ids = list(transaction.execute(old.limit(A_TIME)).scalars())
        transaction.execute(webhook_log_event.delete().where(webhook_log_event.c.log_id.in_(ids)))
        transaction.execute(webhook_log.delete().where(webhook_log.c.log_id.in_(ids)))
    return len(ids)
