"""The inbox's rows: change events as they came, and which of them have had their effect.

Law: an event is kept once under its source and id; it is completed only where its link bears no mark any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.tables import dirty_link, webhook_log

RECEIVED, COMPLETED = "RECEIVED", "COMPLETED"
_COLUMNS = (
    "source", "event_id", "event_type", "link_id", "status", "attempts", "body_hash", "body", "received_at",
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
    row = (source, event_id, event_type, link_id, RECEIVED, 0, content_hash(body), body, at)
    return insert_rows(transaction, webhook_log, _COLUMNS, [row], on_conflict="ignore") == 1


def has_body(transaction: sa.Connection, source: str, event_id: str, body: bytes) -> bool:
    """Whether the event that is kept under this id has exactly this body."""
    query = sa.select(webhook_log.c.body_hash).where(webhook_log.c.source == source, webhook_log.c.event_id == event_id)
    return bool(transaction.execute(query).scalar_one() == content_hash(body))


def complete_events(transaction: sa.Connection, link_ids: Sequence[str], *, keys_a_statement: int = 500) -> None:
    """Events of these links have had their effect, where nothing has marked the link since."""
    for start in range(0, len(link_ids), keys_a_statement):
        transaction.execute(_COMPLETE, {"links": link_ids[start : start + keys_a_statement]})
