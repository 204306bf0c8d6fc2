"""Records as people find them: by list, by id, and with where they are linked and what waits to be written.

Law: nothing here changes anything, and a list shows nothing of a record's content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.own_identifier import without_identifier
from holovitals_pipelines.fhir.exact import write_document
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.conflicts import OPEN
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.outbox import LIVE
from holovitals_pipelines.store.tables import (
    dirty_link,
    ehr_connection,
    link,
    outbox,
    record,
    shadow,
    standing_difference,
    sync_conflict,
)
from holovitals_pipelines.sync.sides import Side, same
from holovitals_pipelines.sync.unit_paths import members


@dataclass(frozen=True, slots=True)
class ListedRecord:
    """A record without its content."""

    record_id: str
    resource_type: str
    version: int
    state: str
    changed_by: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """An element in which local and vendor differ and stay so."""

    element: str
    severity: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class WaitingWrite:
    """A write that is not confirmed, or was refused; `error` is the code of what stopped the last attempt."""

    operation: str
    state: str
    attempts: int
    next_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class RecordLink:
    """One connection's side of a record."""

    link_id: str
    connection: str
    remote_id: str | None
    state: str
    agreed: bool | None
    """Whether both sides held the same at the last agreement; None: there was none yet, or it was agreed absent."""
    changed_here: bool
    """The record is not what it was at the last agreement."""
    marked: str | None
    """Why the link is to be looked at again, where it is."""
    conflict_id: str | None
    """The open conflict."""
    standing: tuple[Standing, ...]
    waiting: WaitingWrite | None


def list_records(
    database: Database,
    resource_type: str | None = None,
    *,
    connection: str | None = None,
    state: str | None = None,
    limit: int = 50,
) -> list[ListedRecord]:
    """The records changed last come first."""
    query = sa.select(*(record.c[name] for name in ListedRecord.__dataclass_fields__))
    for column, value in (("resource_type", resource_type), ("state", state)):
        if value is not None:
            query = query.where(record.c[column] == value)
    if connection is not None:
        query = query.where(record.c.record_id.in_(sa.select(link.c.record_id).where(link.c.connection == connection)))
    with database.read() as transaction:
        rows = transaction.execute(query.order_by(record.c.updated_at.desc(), record.c.record_id).limit(limit))
        return [ListedRecord(*row) for row in rows]


def find_record_id(database: Database, name: str) -> str:
    """The record meant by the beginning of its id, by `Type/` and that, or by `Type/` and the id a vendor gave it.

    Raises StoreError (`record.unknown`, `record.ambiguous`); vendors' ids are not repeated in it.
    """
    resource_type, slash, identity = name.rpartition("/")
    query = sa.select(record.c.record_id).where(record.c.record_id.startswith(identity, autoescape=True)).limit(2)
    if slash:
        query = query.where(record.c.resource_type == resource_type)
    with database.read() as transaction:
        found = set(transaction.execute(query).scalars()) if identity else set()
        if slash and identity:
            names = transaction.execute(sa.select(ehr_connection.c.name)).scalars()
            ids = [link_id_of(connection, resource_type, identity) for connection in names]
            found |= set(transaction.execute(sa.select(link.c.record_id).where(link.c.link_id.in_(ids))).scalars())
    if len(found) == 1:
        return str(found.pop())
    if found:
        remedy = "give more of the id, or name the connection: holovitals records find"
        raise StoreError("several records are meant by that", code="record.ambiguous", remedy=remedy)
    remedy = "see the ids: holovitals records list; by a vendor's id: holovitals records find"
    raise StoreError("no record is meant by that", code="record.unknown", remedy=remedy)


def links_of(database: Database, record_id: str) -> list[RecordLink]:
    """Every link a record has or had, by connection. Raises StoreError (`record.unknown`)."""
    with database.read() as transaction:
        query = sa.select(record.c.state, record.c.document_hash).where(record.c.record_id == record_id)
        now = transaction.execute(query).one_or_none()
        if now is None:
            raise StoreError(
                "there is no record of this id",
                code="record.unknown",
                place=f"record {record_id}",
                remedy="see the ids: holovitals records list",
            )
        rows = transaction.execute(
            sa.select(
                link.c.link_id, link.c.connection, link.c.remote_id, link.c.state,
                shadow.c.local_document, shadow.c.remote_document, dirty_link.c.reason, sync_conflict.c.conflict_id,
            )
            .outerjoin(shadow, shadow.c.link_id == link.c.link_id)
            .outerjoin(dirty_link, dirty_link.c.link_id == link.c.link_id)
            .outerjoin(
                sync_conflict,
                sa.and_(sync_conflict.c.link_id == link.c.link_id, sync_conflict.c.status.in_(OPEN)),
            )
            .where(link.c.record_id == record_id)
            .order_by(link.c.connection, link.c.linked_at, link.c.link_id)
        ).all()  # fmt: skip
        addresses = {row.local_document for row in rows} | {row.remote_document for row in rows} | {now.document_hash}
        bodies = get_documents(transaction, [bytes(address) for address in addresses if address is not None])
        links = [row.link_id for row in rows]
        standing, waiting = _standing(transaction, links), _waiting(transaction, links)

    def side(address: bytes | None) -> Side | None:
        return Side(without_identifier(bodies[bytes(address)])) if address is not None else None

    local = side(now.document_hash) if now.state == "active" else None
    found = []
    for row in rows:
        here, there = side(row.local_document), side(row.remote_document)
        agreed = None if here is None and there is None else _hold_the_same(here, there)
        changed = row.state not in ("unlinked", "ended") and not same(local, here)
        found.append(
            RecordLink(
                row.link_id, row.connection, row.remote_id, row.state, agreed, changed, row.reason, row.conflict_id,
                tuple(standing.get(row.link_id, ())), waiting.get(row.link_id),
            )
        )  # fmt: skip
    return found


def _hold_the_same(here: Side | None, there: Side | None) -> bool:
    """As far as content goes: each side has its own id."""
    if here is None or there is None:
        return False
    return same(*(Side(write_document({**side.document, "id": ""})) for side in (here, there)))


def _standing(transaction: sa.Connection, link_ids: Sequence[str]) -> dict[str, list[Standing]]:
    c = standing_difference.c
    query = sa.select(c.link_id, c.unit, c.severity, c.reason, c.since).where(c.link_id.in_(link_ids))
    found: dict[str, list[Standing]] = {}
    for link_id, unit, *rest in transaction.execute(query.order_by(c.link_id, c.unit)):
        # Items are named by their content, elements are not.
        found.setdefault(link_id, []).append(Standing(members(unit)[0][0], *rest))
    return found


def _waiting(transaction: sa.Connection, link_ids: Sequence[str]) -> dict[str, WaitingWrite]:
    """The newest intent of each link, where it is live or has failed."""
    c = outbox.c
    query = (
        sa.select(c.link_id, c.operation, c.state, c.attempts, c.next_at, c.error_code)
        .where(c.link_id.in_(link_ids))
        .order_by(c.created_at, c.intent_id)
    )
    newest = {link_id: WaitingWrite(*rest) for link_id, *rest in transaction.execute(query)}
    return {link_id: write for link_id, write in newest.items() if write.state in (*LIVE, "failed")}
