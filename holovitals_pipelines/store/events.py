"""The inbox's rows: change events as they came, and which of them have had their effect.

Law: an event is kept once under its source and id; it is completed only where its link bears no mark any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.model.vocabulary import WebhookStatus
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.prepared import KEYS, Prepared
from holovitals_pipelines.store.tables import dirty_link, webhook_log, webhook_log_event

RECEIVED, COMPLETED = WebhookStatus.RECEIVED.value, WebhookStatus.COMPLETED.value
PROCESSING = WebhookStatus.PROCESSING.value
_COLUMNS = (
    "source", "event_id", "log_id", "event_type", "link_id", "status", "attempts", "times_received", "altered",
    "body_hash", "body", "received_at",
)  # fmt: skip
_COMPLETE = (
    webhook_log.update()
    .where(
        webhook_log.c.link_id.in_(sa.bindparam("links", expanding=True)),
        webhook_log.c.status == RECEIVED,
        ~sa.exists().where(dirty_link.c.link_id == webhook_log.c.link_id),
    )
    .values(status=COMPLETED)
)


def log_id_of(source: str, event_id: str) -> str:
    """The one name of an event: 32 hexadecimal digits."""
    return hashlib.sha256(f"{source}\n{event_id}".encode()).hexdigest()[:32]


def put_event(
    transaction: sa.Connection,
    *,
    source: str,
    event_id: str,
    event_type: str,
    link_id: str,
    body: bytes,
    at: datetime,
) -> bool:
    """Keep an event; False when its source has sent one of this id before, which stays as it is."""
    row = (
        source,
        event_id,
        log_id_of(source, event_id),
        event_type,
        link_id,
        RECEIVED,
        0,
        1,
        0,
        content_hash(body),
        body,
        at,
    )
    return insert_rows(transaction, webhook_log, _COLUMNS, [row], on_conflict="ignore") == 1


def has_body(transaction: sa.Connection, source: str, event_id: str, body: bytes) -> bool:
    """Whether the event that is kept under this id has exactly this body."""
    query = sa.select(webhook_log.c.body_hash).where(webhook_log.c.source == source, webhook_log.c.event_id == event_id)
    return bool(transaction.execute(query).scalar_one() == content_hash(body))


def complete_events(transaction: sa.Connection, link_ids: Sequence[str], *, keys_a_statement: int = 500) -> None:
    """Events of these links have had their effect, where nothing has marked the link since."""
    for start in range(0, len(link_ids), keys_a_statement):
        transaction.execute(_COMPLETE, {"links": link_ids[start : start + keys_a_statement]})


@dataclass(frozen=True, slots=True)
class Arrived:
    """A verified event as it goes into the inbox."""

    source: str
    event_id: str
    webhook_id: str
    key_id: str
    body: bytes
    body_hash: bytes
    resource_type: str | None
    remote_id: str | None
    comes_again: bool
    """Known by its body alone: once its read may have begun, the same bytes are news."""
    at: datetime

    @property
    def log_id(self) -> str:
        return log_id_of(self.source, self.event_id)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of an event's history."""

    log_id: str
    at: datetime
    kind: str
    status: str | None = None
    detail: Mapping[str, Any] | None = None


_ARRIVED = (
    "source", "event_id", "log_id", "webhook_id", "event_type", "resource_type", "remote_id", "status", "attempts",
    "key_id", "times_received", "altered", "body_hash", "body", "received_at",
)  # fmt: skip
_HISTORY = ("log_id", "at", "kind", "status", "detail")
_KNOWN = Prepared(
    sa.select(webhook_log.c.log_id, webhook_log.c.body_hash, webhook_log.c.status, webhook_log.c.times_received)
    .where(webhook_log.c.log_id.in_(KEYS))
    .with_for_update()
)
_TOLD_REPEATS = 20
"""Of one event; how often it came in all, its row counts."""
_ENDED = (COMPLETED, WebhookStatus.IGNORED.value, WebhookStatus.FAILED.value)


def put_events(transaction: sa.Connection, arrived: Iterable[Arrived]) -> int:
    """Keep events, each once; of those that were here before, that they came again. Returns how many are new.

    Another body under a known id is kept as an event of its own: `id~hash`.
    """
    first: dict[str, Arrived] = {}
    repeats: list[Arrived] = []
    for one in arrived:
        if one.log_id in first:
            repeats.append(one)
        else:
            first[one.log_id] = one
    known = {str(row[0]): row[1:] for row in _KNOWN.by_keys(transaction, sorted(first))}
    new = [one for log_id, one in first.items() if log_id not in known]
    repeats += [one for log_id, one in first.items() if log_id in known]
    _insert(transaction, new)
    known |= {one.log_id: (one.body_hash, RECEIVED, 1) for one in new}
    altered = []
    for one in repeats:
        body_hash, status, times = known[one.log_id]
        if bytes(body_hash) == one.body_hash:
            _came_again(transaction, one, status, times)
        else:
            altered.append(_as_altered(transaction, one))
    return len(new) + (put_events(transaction, altered) if altered else 0)


def _insert(transaction: sa.Connection, new: Sequence[Arrived]) -> None:
    rows = [
        (
            one.source, one.event_id, one.log_id, one.webhook_id, "CUSTOM", one.resource_type, one.remote_id, RECEIVED,
            0, one.key_id, 1, 0, one.body_hash, one.body, one.at,
        )
        for one in new
    ]  # fmt: skip
    insert_rows(transaction, webhook_log, _ARRIVED, rows, on_conflict="ignore")
    tell(transaction, [LogEntry(one.log_id, one.at, "received", RECEIVED, {"key": one.key_id}) for one in new])


def _came_again(transaction: sa.Connection, one: Arrived, status: str, times: int) -> None:
    values: dict[str, Any] = {"times_received": webhook_log.c.times_received + 1}
    news = one.comes_again and status in (*_ENDED, PROCESSING)
    if news and status == PROCESSING:  # its read may have begun before what is told now
        values |= {"status": RECEIVED, "job_id": None, "next_at": None}
    elif news:
        values |= taken_up_again()
    transaction.execute(webhook_log.update().where(webhook_log.c.log_id == one.log_id).values(**values))
    if news or times < _TOLD_REPEATS:
        tell(transaction, [LogEntry(one.log_id, one.at, "repeated", RECEIVED if news else None)])


def _as_altered(transaction: sa.Connection, one: Arrived) -> Arrived:
    transaction.execute(
        webhook_log.update().where(webhook_log.c.log_id == one.log_id).values(altered=webhook_log.c.altered + 1)
    )
    tell(transaction, [LogEntry(one.log_id, one.at, "altered")])
    return Arrived(
        one.source, f"{one.event_id}~{one.body_hash.hex()}", one.webhook_id, one.key_id, one.body, one.body_hash,
        one.resource_type, one.remote_id, one.comes_again, one.at,
    )  # fmt: skip


def taken_up_again() -> dict[str, Any]:
    """The columns of an event that is to be processed as if it had just come."""
    return {
        "status": RECEIVED,
        "attempts": 0,
        "next_at": None,
        "link_id": None,
        "job_id": None,
        "error_code": None,
        "error_message": None,
        "completed_at": None,
    }


def tell(transaction: sa.Connection, entries: Iterable[LogEntry]) -> None:
    """Append to events' histories."""
    rows = [(one.log_id, one.at, one.kind, one.status, one.detail) for one in entries]
    insert_rows(transaction, webhook_log_event, _HISTORY, rows)
