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
from holovitals_pipelines.store.prepared import KEYS, Prepared
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


_STATES = Prepared(
    sa.select(*_COLUMNS)
    .join(record, record.c.record_id == link.c.record_id)
    .outerjoin(shadow, shadow.c.link_id == link.c.link_id)
    .where(link.c.link_id.in_(KEYS))
)


def link_states(transaction: sa.Connection, link_ids: Sequence[str], *, lock: bool = True) -> dict[str, LinkState]:
    """The state of each link that exists. Records are locked in the order of their ids, so two deciders never wait
    for each other."""
    if lock and transaction.dialect.name == "postgresql":
        queue_for_documents(transaction)
        _lock_records(transaction, link_ids)
    return {row[0]: LinkState(*row) for row in _STATES.by_keys(transaction, sorted(link_ids))}


def _lock_records(transaction: sa.Connection, link_ids: Sequence[str]) -> None:
    wanted = sa.select(link.c.record_id)
    ids = sorted({row[0] for rows in fetch_by_keys(transaction, wanted, link.c.link_id, link_ids) for row in rows})
    locked = sa.select(record.c.record_id).order_by(record.c.record_id).with_for_update()
    for _ in fetch_by_keys(transaction, locked, record.c.record_id, ids):
        continue


Named = tuple[str, str, str, str | None]
"""(link id, connection, resource type, remote id)."""


_LIVING = Prepared(
    sa.select(link.c.record_id, link.c.link_id, link.c.connection, link.c.resource_type, link.c.remote_id).where(
        link.c.state.in_(("active", "pending", "review")), link.c.record_id.in_(KEYS)
    )
)


def living_links(
    transaction: sa.Connection, record_ids: Sequence[str], *, but: str | None = None
) -> dict[str, list[Named]]:
    """By record id, the links that are active or about to be, at connections other than `but`."""
    found: dict[str, list[Named]] = {}
    for record_id, *named in _LIVING.by_keys(transaction, sorted(set(record_ids))):
        if named[1] != but:
            found.setdefault(record_id, []).append(tuple(named))
    return found


def links_of_record(transaction: sa.Connection, record_id: str) -> list[sa.Row[tuple[str, str, str | None, str]]]:
    """(link id, connection, remote id, state) of every link a record has or had."""
    query = sa.select(link.c.link_id, link.c.connection, link.c.remote_id, link.c.state).where(
        link.c.record_id == record_id
    )
    return list(transaction.execute(query.order_by(link.c.connection, link.c.link_id)))
