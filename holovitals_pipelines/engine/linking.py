"""Links made by people: which vendor resource a record is, where the program cannot or may not tell.

Law: a link is never guessed here; what both sides hold is compared when the link is next decided.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store import audit, decided
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.decided import LinkRow
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.documents import queue_for_documents
from holovitals_pipelines.store.link_states import link_states
from holovitals_pipelines.store.tables import link, record


def link_record(database: Database, record_id: str, connection: str, remote_id: str, *, actor: str) -> str:
    """Say that the record is this resource of the connection; returns the link's id.

    A create that waits at the connection is over then. Equal content is adopted, different content is compared as
    created on both sides. Raises StoreError (`record.unknown`, `link.taken`); nothing is changed then.
    """
    now = datetime.now(UTC)
    with database.write() as transaction:
        queue_for_documents(transaction)
        resource_type = _type_of(transaction, record_id)
        link_id = link_id_of(connection, resource_type, remote_id)
        known = link_states(transaction, [link_id]).get(link_id)
        if known is not None and known.record_id != record_id:
            raise StoreError(
                "the vendor's resource is linked to another record",
                code="link.taken",
                place=f"connection {connection}",
                remedy="compare the two records (holovitals records links); unlink the wrong one first",
            )
        row = LinkRow(link_id, connection, resource_type, remote_id, record_id, "active", actor[:64], now)
        waiting = _links_at(transaction, record_id, connection, "pending", "review")
        for pending in waiting:
            decided.bind_link(transaction, pending, row)
        if not waiting:
            decided.put_links(transaction, [row])
        mark_links(transaction, [(link_id, connection, resource_type, remote_id)], Reason.LOCAL, now)
        _log(transaction, "link", actor, record_id, link_id, connection, now)
    return link_id


def create_at(database: Database, record_id: str, connection: str, *, actor: str) -> str:
    """Have the record created at the connection, also again after a create whose outcome could not be found out.

    Returns the pending link's id. Raises StoreError (`record.unknown`, `link.exists`).
    """
    now = datetime.now(UTC)
    with database.write() as transaction:
        queue_for_documents(transaction)
        resource_type = _type_of(transaction, record_id)
        if _links_at(transaction, record_id, connection, "active", "pending"):
            raise StoreError(
                "the record is linked at the connection, or about to be",
                code="link.exists",
                place=f"connection {connection}",
                remedy="see holovitals records links",
            )
        for abandoned in _links_at(transaction, record_id, connection, "review"):
            decided.set_link_states(transaction, [(abandoned, "unlinked")])
        link_id = link_id_of(connection, resource_type, f"new:{record_id}:{now.isoformat()}")
        row = LinkRow(link_id, connection, resource_type, None, record_id, "pending", actor[:64], now)
        decided.put_links(transaction, [row])
        mark_links(transaction, [(link_id, connection, resource_type, None)], Reason.LOCAL, now)
        _log(transaction, "link", actor, record_id, link_id, connection, now)
    return link_id


def unlink(database: Database, record_id: str, connection: str, *, actor: str) -> int:
    """End the record's links at the connection; neither side is changed. Returns how many there were.

    Raises StoreError (`link.unknown`) when there is none.
    """
    now = datetime.now(UTC)
    with database.write() as transaction:
        queue_for_documents(transaction)
        found = _links_at(transaction, record_id, connection, "active", "pending", "review")
        if not found:
            raise StoreError(
                "the record has no link at the connection",
                code="link.unknown",
                place=f"connection {connection}",
                remedy="see holovitals records links",
            )
        decided.set_link_states(transaction, [(link_id, "unlinked") for link_id in found])
        decided.put_standing(transaction, found, [])
        for link_id in found:
            _log(transaction, "unlink", actor, record_id, link_id, connection, now)
    return len(found)


def _type_of(transaction: sa.Connection, record_id: str) -> str:
    found = transaction.execute(
        sa.select(record.c.resource_type).where(record.c.record_id == record_id)
    ).scalar_one_or_none()
    if found is None:
        raise StoreError("there is no record of this id", code="record.unknown", remedy="check the id")
    return str(found)


def _links_at(transaction: sa.Connection, record_id: str, connection: str, *states: str) -> list[str]:
    query = sa.select(link.c.link_id).where(
        link.c.record_id == record_id, link.c.connection == connection, link.c.state.in_(states)
    )
    return list(transaction.execute(query.order_by(link.c.link_id)).scalars())


def _log(
    transaction: sa.Connection, action: str, actor: str, record_id: str, link_id: str, connection: str, now: datetime
) -> None:
    entry = audit.Entry(action=action, actor=actor, record_id=record_id, link_id=link_id, connection=connection)
    audit.append(transaction, [entry], at=now)
