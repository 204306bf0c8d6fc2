"""What records point to: which addresses there are, how far each has come, and under which hash its content is kept.

Law: content is kept in `document` exactly as it was received; a new address forgets what was held for the old one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.attachment import AttachmentState
from holovitals_pipelines.store.bulk import fetch_by_keys, insert_rows
from holovitals_pipelines.store.tables import attachment, link, shadow

_COLUMNS = (
    "link_id", "place", "connection", "resource_type", "address_hash", "state", "document_hash", "content_type", "size",
    "code", "attempts", "fetched_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """One place of one link's record. `code` says why it is refused without being asked for."""

    link_id: str
    place: str
    address_hash: bytes
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `attachment`, with the vendor's id of the record it is of."""

    link_id: str
    place: str
    connection: str
    resource_type: str
    remote_id: str | None
    address_hash: bytes
    state: AttachmentState
    document_hash: bytes | None
    content_type: str | None
    size: int | None
    code: str | None
    attempts: int
    fetched_at: datetime | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one wanted attachment; it counts only while the address is still the same."""

    row: Row
    state: AttachmentState
    document_hash: bytes | None = None
    content_type: str | None = None
    size: int | None = None
    code: str | None = None


def read_since(
    transaction: sa.Connection, connection: str, resource_type: str, since: datetime, batch: int = 500
) -> Iterator[list[tuple[str, bytes]]]:
    """(link id, hash of what the vendor held) of the links that were read since then, in batches."""
    query = (
        sa.select(shadow.c.link_id, shadow.c.remote_document)
        .join(link, link.c.link_id == shadow.c.link_id)
        .where(
            link.c.connection == connection,
            link.c.resource_type == resource_type,
            shadow.c.seen_at >= since,
            shadow.c.remote_document.is_not(None),
        )
        .order_by(shadow.c.link_id)
        .limit(batch)
    )
    after = ""
    while True:
        rows = transaction.execute(query.where(shadow.c.link_id > after)).all()
        if not rows:
            return
        yield [(row.link_id, bytes(row.remote_document)) for row in rows]
        after = rows[-1].link_id


def note_addresses(
    transaction: sa.Connection,
    connection: str,
    resource_type: str,
    link_ids: Sequence[str],
    addresses: Sequence[Address],
) -> None:
    """Make the rows of these links those of `addresses`: new and changed ones wanted, vanished ones forgotten."""
    query = sa.select(attachment.c.link_id, attachment.c.place, attachment.c.address_hash)
    known = {
        (link_id, place): bytes(address_hash)
        for rows in fetch_by_keys(transaction, query, attachment.c.link_id, link_ids)
        for link_id, place, address_hash in rows
    }
    now = {(one.link_id, one.place): one for one in addresses}
    for link_id, place in known.keys() - now.keys():
        transaction.execute(attachment.delete().where(attachment.c.link_id == link_id, attachment.c.place == place))
    news = [_new(connection, resource_type, one) for key, one in now.items() if known.get(key) != one.address_hash]
    if news:
        insert_rows(transaction, attachment, _COLUMNS, news, on_conflict="update")


def _new(connection: str, resource_type: str, one: Address) -> tuple[object, ...]:
    state = AttachmentState.REFUSED if one.code else AttachmentState.WANTED
    place = (one.link_id, one.place, connection, resource_type, one.address_hash)
    return (*place, state.value, None, None, None, one.code, 0, None)


_ROWS = sa.select(
    attachment.c.link_id, attachment.c.place, attachment.c.connection, attachment.c.resource_type, link.c.remote_id,
    attachment.c.address_hash, attachment.c.state, attachment.c.document_hash, attachment.c.content_type,
    attachment.c.size, attachment.c.code, attachment.c.attempts, attachment.c.fetched_at,
).join(link, link.c.link_id == attachment.c.link_id)  # fmt: skip


def wanted_rows(
    transaction: sa.Connection,
    connection: str,
    *,
    limit: int,
    after: tuple[str, str] = ("", ""),
    resource_types: Sequence[str] = (),
    read_since: datetime | None = None,
) -> list[tuple[Row, bytes]]:
    """Attachments to fetch, with the hash of the vendor's document that names them; by link, then by place."""
    query = (
        _ROWS.add_columns(shadow.c.remote_document)
        .join(shadow, shadow.c.link_id == attachment.c.link_id)
        .where(
            attachment.c.connection == connection,
            attachment.c.state == AttachmentState.WANTED.value,
            shadow.c.remote_document.is_not(None),
            sa.tuple_(attachment.c.link_id, attachment.c.place) > sa.tuple_(*map(sa.literal, after)),
        )
        .order_by(attachment.c.link_id, attachment.c.place)
        .limit(limit)
    )
    if resource_types:
        query = query.where(attachment.c.resource_type.in_(resource_types))
    if read_since is not None:
        query = query.where(shadow.c.seen_at >= read_since)
    return [(_row(row[:-1]), bytes(row.remote_document)) for row in transaction.execute(query)]


def rows_of_record(transaction: sa.Connection, record_id: str) -> list[Row]:
    """The attachments of a record at every connection it is linked at."""
    query = _ROWS.where(link.c.record_id == record_id).order_by(attachment.c.connection, attachment.c.place)
    return [_row(row) for row in transaction.execute(query)]


def note_fetched(transaction: sa.Connection, fetched: Sequence[Fetched], at: datetime) -> None:
    """Keep what became of attachments, unless their address has changed meanwhile. Documents are stored before."""
    for one in fetched:
        transaction.execute(
            attachment.update()
            .where(
                attachment.c.link_id == one.row.link_id,
                attachment.c.place == one.row.place,
                attachment.c.address_hash == one.row.address_hash,
            )
            .values(
                state=one.state.value,
                document_hash=one.document_hash,
                content_type=one.content_type[:200] if one.content_type else None,
                size=one.size,
                code=one.code,
                attempts=one.row.attempts + 1,
                fetched_at=at if one.state is AttachmentState.HELD else None,
            )
        )


def _row(row: Sequence[object]) -> Row:
    values = dict(zip(Row.__dataclass_fields__, row, strict=True))
    for name in ("address_hash", "document_hash"):
        held = values[name]
        values[name] = None if held is None else bytes(held)  # type: ignore[call-overload]
    values["state"] = AttachmentState(str(values["state"]))
    return Row(**values)  # type: ignore[arg-type]
