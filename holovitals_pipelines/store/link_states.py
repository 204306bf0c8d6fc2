"""What the stores hold of a link: the link, its record and both shadows, locked while somebody decides on it.

Law: whoever reads a state to decide on it holds the record until the decision is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.store.bulk import fetch_by_keys
from holovitals_pipelines.store.documents import queue_for_documents
from holovitals_pipelines.store.tables import link, record, shadow


@dataclass(frozen=True, slots=True)
class LinkState:
    """Hashes and ids only; documents are fetched where they are needed."""

    link_id: str
    connection: str
    resource_type: str
    remote_id: str | None
    link_state: str
    record_id: str
    record_version: int
    record_state: str
    record_document: bytes
    record_changed_by: str
    record_updated_at: datetime
    local_document: bytes | None
    remote_document: bytes | None
    seen_document: bytes | None
    delete_evidence: str | None


_COLUMNS = (
    link.c.link_id, link.c.connection, link.c.resource_type, link.c.remote_id, link.c.state, link.c.record_id,
    record.c.version, record.c.state, record.c.document_hash, record.c.changed_by, record.c.updated_at,
    shadow.c.local_document, shadow.c.remote_document, shadow.c.seen_document, shadow.c.delete_evidence,
)  # fmt: skip


def link_states(transaction: sa.Connection, link_ids: Sequence[str], *, lock: bool = True) -> dict[str, LinkState]:
    """The state of each link that exists. Records are locked in the order of their ids, so two deciders never wait
    for each other."""
    query = (
        sa.select(*_COLUMNS)
        .join(record, record.c.record_id == link.c.record_id)
        .outerjoin(shadow, shadow.c.link_id == link.c.link_id)
    )
    if lock and transaction.dialect.name == "postgresql":
        queue_for_documents(transaction)
        _lock_records(transaction, link_ids)
    found: dict[str, LinkState] = {}
    for rows in fetch_by_keys(transaction, query, link.c.link_id, sorted(link_ids)):
        found |= {row[0]: LinkState(*row) for row in rows}
    return found


def _lock_records(transaction: sa.Connection, link_ids: Sequence[str]) -> None:
    wanted = sa.select(link.c.record_id)
    ids = sorted({row[0] for rows in fetch_by_keys(transaction, wanted, link.c.link_id, link_ids) for row in rows})
    locked = sa.select(record.c.record_id).order_by(record.c.record_id).with_for_update()
    for _ in fetch_by_keys(transaction, locked, record.c.record_id, ids):
        continue


Named = tuple[str, str, str, str | None]
"""(link id, connection, resource type, remote id)."""


def living_links(
    transaction: sa.Connection, record_ids: Sequence[str], *, but: str | None = None
) -> dict[str, list[Named]]:
    """By record id, the links that are active or about to be, at connections other than `but`."""
    query = sa.select(
        link.c.record_id, link.c.link_id, link.c.connection, link.c.resource_type, link.c.remote_id
    ).where(link.c.state.in_(("active", "pending", "review")))
    if but is not None:
        query = query.where(link.c.connection != but)
    found: dict[str, list[Named]] = {}
    for rows in fetch_by_keys(transaction, query, link.c.record_id, sorted(set(record_ids))):
        for record_id, *named in rows:
            found.setdefault(record_id, []).append(tuple(named))
    return found


def links_of_record(transaction: sa.Connection, record_id: str) -> list[sa.Row[tuple[str, str, str | None, str]]]:
    """(link id, connection, remote id, state) of every link a record has or had."""
    query = sa.select(link.c.link_id, link.c.connection, link.c.remote_id, link.c.state).where(
        link.c.record_id == record_id
    )
    return list(transaction.execute(query.order_by(link.c.connection, link.c.link_id)))
