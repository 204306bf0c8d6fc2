"""What becomes of events when their job has ended: done, tried again, or given up and shown.

Law: a job that failed is no verdict on each of its events: what could be any one's fault is tried by itself before it
is given up. An event is completed after the job that decided its link has committed, never before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.retrying import LONGEST_DELAY, TYPES_FAILED
from holovitals_pipelines.model.vocabulary import JobStatus, WebhookStatus
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.store import jobs, stages, webhook_queue
from holovitals_pipelines.store.events import LogEntry, tell
from holovitals_pipelines.store.jobs import Job
from holovitals_pipelines.store.webhook_queue import QueuedEvent
from holovitals_pipelines.store.webhooks import webhooks_by_id

ALONE = "webhook.to_be_read_alone"
"""Of an event that failed together with others: its next attempt is a job of its own."""
POISON_AFTER = 5
"""The same failure of the same event, alone, so many times in a row: it will not pass."""
_MAY_BE_ONE_EVENTS = frozenset({TYPES_FAILED, "engine.unexpected"})
_TOGETHER = 2
"""So many attempts are made together, where a failure may pass; then each event by itself."""


@dataclass(slots=True)
class Settled:
    completed: int = 0
    retrying: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _Ended:
    """A job that has ended, and what of it failed."""

    job: Job
    failed_types: frozenset[str]
    passing: bool
    alone: bool


def settle(home: Home, *, clock: Clock = SYSTEM_CLOCK) -> Settled:
    """Bring the events of ended jobs to their end, or to their next attempt. Several processes may do it at once."""
    settled = Settled()
    with home.database.read() as transaction:
        ended = webhook_queue.ended_jobs(transaction)
    for job_id in ended:
        with home.database.write() as transaction:
            _settle_job(transaction, job_id, clock, settled)
    return settled


def _settle_job(transaction: sa.Connection, job_id: str, clock: Clock, settled: Settled) -> None:
    job, now = jobs.get_job(transaction, job_id), clock.now()
    events = webhook_queue.events_of_job(transaction, job_id)
    if not events or job.status not in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED):
        return
    ended = _ended(transaction, job, events)
    configs = webhooks_by_id(transaction, sorted({one.webhook_id for one in events}))
    for event in events:
        values = _verdict(ended, event, configs[event.webhook_id].config, now, clock.chance())
        webhook_queue.settle_event(transaction, event.log_id, values)
        detail = {"job": job_id, "code": values.get("error_code"), "attempt": values.get("attempts")}
        told = {name: value for name, value in detail.items() if value is not None}
        tell(transaction, [LogEntry(event.log_id, now, "moved", values["status"], told)])
        settled.completed += values["status"] == WebhookStatus.COMPLETED.value
        settled.retrying += values["status"] == WebhookStatus.RETRYING.value
        settled.failed += values["status"] == WebhookStatus.FAILED.value


def _ended(transaction: sa.Connection, job: Job, events: Sequence[QueuedEvent]) -> _Ended:
    rows = stages.stages_of(transaction, job.job_id)
    failed = frozenset(row.resource_type for row in rows if row.state == "failed")
    passing = bool(failed) and failed <= stages.failed_in_passing(transaction, job.job_id)
    # Events without a link asked for nothing by name: they shared the whole job, and alone they would get the same one.
    return _Ended(job, failed, passing, len({one.link_id for one in events}) == 1)


def _verdict(
    ended: _Ended, event: QueuedEvent, config: Mapping[str, Any], now: datetime, chance: float
) -> dict[str, Any]:
    job = ended.job
    if job.status is JobStatus.COMPLETED or not _is_hit(ended, event):
        return {
            "status": WebhookStatus.COMPLETED.value,
            "completed_at": now,
            "next_at": None,
            "error_code": None,
            "error_message": None,
        }
    if job.status is JobStatus.CANCELLED:
        return _failed(event.attempts, "job.cancelled", "the job that read for it was cancelled", now)
    code, attempts, most = job.error_code or "job.failed", event.attempts + 1, int(config["retryAttempts"])
    if code in _MAY_BE_ONE_EVENTS and not ended.alone:
        if ended.passing and attempts <= min(_TOGETHER, most):
            return _retrying(attempts, code, config, now, chance)
        return _retrying(event.attempts, ALONE, config, now, chance)
    hopeless = code == TYPES_FAILED and not ended.passing
    if hopeless or attempts > most or (code in _MAY_BE_ONE_EVENTS and attempts >= POISON_AFTER):
        return _failed(attempts, code, job.error_message or "the job that read for it failed", now)
    return _retrying(attempts, ALONE if ended.alone and code in _MAY_BE_ONE_EVENTS else code, config, now, chance)


def _is_hit(ended: _Ended, event: QueuedEvent) -> bool:
    """Whether the job's failure is the event's: what it asked for by id was read if its type went through."""
    if ended.job.error_code != TYPES_FAILED or event.resource_type is None:
        return True
    by_id = [event.resource_type, event.remote_id] in [list(one) for one in ended.job.request.get("ids", ())]
    return event.resource_type in ended.failed_types if by_id else True


def _failed(attempts: int, code: str, message: str, now: datetime) -> dict[str, Any]:
    return {
        "status": WebhookStatus.FAILED.value,
        "attempts": attempts,
        "error_code": code,
        "error_message": message,
        "next_at": None,
        "completed_at": now,
    }


def _retrying(attempts: int, code: str, config: Mapping[str, Any], now: datetime, chance: float) -> dict[str, Any]:
    return {
        "status": WebhookStatus.RETRYING.value,
        "attempts": attempts,
        "error_code": code,
        "error_message": None,
        "next_at": now + chance * delay_after(attempts, int(config["retryDelay"])),
    }


def delay_after(attempts: int, retry_delay_ms: int) -> timedelta:
    """The longest wait after so many attempts: doubled with each, 15 minutes at the most; any part of it by chance."""
    return min(timedelta(milliseconds=retry_delay_ms * (1 << min(max(attempts - 1, 0), 30))), LONGEST_DELAY)
