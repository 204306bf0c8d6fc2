"""Telling the address of HOLOVITALS_NOTIFY_URL that a job has ended, until it has taken it.

Law: what is told are ids, statuses and counts; a notification is tried ten times within about three days, then kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.model.connection import SecretRef
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.job import Outcome, request_from
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.settings import resolve_secret
from holovitals_pipelines.store import notifications
from holovitals_pipelines.store.jobs import Job
from holovitals_pipelines.store.notifications import Notification

if TYPE_CHECKING:
    from holovitals_pipelines.providers.notifier import Delivery

SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""The longest wait before each attempt (sync-protocol.md §5); what is waited is a share of it, by chance."""
_SECONDS_A_TICK = 20.0
_TAKEN_FOR = timedelta(minutes=2)


@dataclass(slots=True)
class Deliveries:
    delivered: int = 0
    waiting: int = 0
    """To be tried again."""
    failed: int = 0


def note_end(home: Home, transaction: sa.Connection, job: Job, outcomes: Mapping[str, Outcome]) -> None:
    """Put down that the job has ended, where it asked for that and an address is set."""
    url = home.settings.notify_url
    if url is None or job.finished_at is None or not request_from(job.request).options.notify_on_complete:
        return
    notifications.put_notification(transaction, job.job_id, url, _payload(job, outcomes), job.finished_at)


def _payload(job: Job, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    total = Outcome()
    for outcome in outcomes.values():
        total = total.plus(outcome)
    assert job.finished_at is not None
    return {
        "type": f"job.{job.status.value.lower()}",
        "timestamp": job.finished_at.isoformat(),
        "data": {
            "jobId": job.job_id,
            "status": job.status.value,
            "ehrConnectionId": job.connection,
            "ehrProvider": job.provider.value,
            "attempt": job.attempt,
            "errorCode": job.error_code,
            "counts": {
                "extracted": total.extracted,
                "created": total.created,
                "updated": total.updated,
                "deleted": total.removed,
                "written": total.pushed,
                "conflicts": total.conflicts,
                "quarantined": total.quarantined,
            },
        },
    }


def deliver_due(home: Home, clock: Clock = SYSTEM_CLOCK) -> Deliveries:
    """Send what is due, once each, for as long as a sensor's tick may take; safe in several processes at once.

    Raises ConfigurationError for a missing or bad secret; then nothing was tried.
    """
    done = Deliveries()
    with home.database.read() as transaction:
        if not notifications.any_due(transaction, clock.now()):
            return done
    from holovitals_pipelines.providers.notifier import notify, secret_of  # httpx, for which most have no use

    secret = secret_of(_secret_text(home))
    until = clock.monotonic() + _SECONDS_A_TICK
    while clock.monotonic() < until and (one := _take(home, clock)) is not None:
        body = json.dumps(one.payload, separators=(",", ":")).encode()
        allowed = home.settings.notify_allow_private
        delivery = notify(one.endpoint, secret, one.notification_id, body, clock.now(), allow_private=allowed)
        _note(home, one, delivery, clock, done)
    return done


def _take(home: Home, clock: Clock) -> Notification | None:
    with home.database.write() as transaction:
        return notifications.take_due(transaction, clock.now(), clock.now() + _TAKEN_FOR)


def _note(home: Home, one: Notification, delivery: Delivery, clock: Clock, done: Deliveries) -> None:
    with home.database.write() as transaction:
        if delivery.code is None:
            notifications.mark_delivered(transaction, one.notification_id, clock.now())
            done.delivered += 1
        elif delivery.gone or one.attempts >= len(SCHEDULE):
            notifications.mark_failed(transaction, one.notification_id, delivery.code)
            if delivery.gone:
                notifications.fail_all_to(transaction, one.endpoint)
            done.failed += 1
        else:
            wait = max(clock.chance() * SCHEDULE[one.attempts], timedelta(seconds=delivery.wait_seconds))
            notifications.mark_waiting(transaction, one.notification_id, clock.now() + wait, delivery.code)
            done.waiting += 1


def _secret_text(home: Home) -> str:
    file = home.settings.notify_secret_file
    if file is None:
        raise ConfigurationError(
            "notifications wait, and there is no secret to sign them with",
            code="notify.secret",
            place="HOLOVITALS_NOTIFY_SECRET_FILE",
            remedy="name a file there that holds whsec_ and the base64 of 24 to 64 random bytes",
        )
    return resolve_secret(SecretRef(file=str(file)))
