"""Links, shadows and records: what both sides held when they last agreed, and how a reading changes that.

One law: nothing is overwritten without its before-image: a replaced record version stays in `record_version`, and every
body stays in `document`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from holovitals_pipelines.store.bulk import fetch_by_keys, insert_rows, stream_arrow, stream_arrow_by_keys, update_rows
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.tables import (
    dirty_link,
    link,
    outbox,
    quarantine,
    record,
    record_version,
    shadow,
    sync_conflict,
)

HASH = pa.binary(16)


class Reading(NamedTuple):
    """One resource as read from the vendor, validated and hashed."""

    remote_id: str
    version: str | None
    last_updated: datetime | None
    content_hash: bytes
    hash: bytes


def link_id_of(connection: str, resource_type: str, remote_id: str) -> str:
    """32 hex digits: the identity of (connection, resource type, remote id), the same on every run."""
    return hashlib.sha256(f"{connection}\0{resource_type}\0{remote_id}".encode()).hexdigest()[:32]


READINGS = pa.schema(
    [("link_id", pa.string()), ("remote_id", pa.string()), ("seen_document", HASH), ("living", pa.bool_())]
)


def readings(transaction: sa.Connection, connection: str, resource_type: str) -> pa.RecordBatchReader:
    """(link_id, remote_id, seen_document, living) of every resource known at the connection: what tells equal bytes.

    A resource the vendor said it deleted has no seen document: should it appear again, that is news.
    """
    seen = sa.case((shadow.c.delete_evidence.is_(None), shadow.c.seen_document))
    query = (
        sa.select(link.c.link_id, link.c.remote_id, seen, link.c.state == "active")
        .join(shadow, shadow.c.link_id == link.c.link_id)
        .where(link.c.connection == connection, link.c.resource_type == resource_type, link.c.remote_id.is_not(None))
    )
    return stream_arrow(transaction, query, READINGS)


def remote_ids(transaction: sa.Connection, connection: str, resource_type: str) -> list[str]:
    """Ids of the vendor's living resources that are linked here."""
    query = sa.select(link.c.remote_id).where(
        link.c.connection == connection, link.c.resource_type == resource_type, link.c.state == "active"
    )
    return list(transaction.execute(query).scalars())


def unsent_links(transaction: sa.Connection, connection: str) -> list[tuple[str, str, str, str | None]]:
    """Links whose record is not what local held at the last agreement, although nothing waits to be done about it.

    (link id, connection, resource type, remote id), ready to be marked.
    """
    held = sa.select(sync_conflict.c.link_id).where(sync_conflict.c.status.in_(("DETECTED", "PENDING_REVIEW")))
    writing = sa.select(outbox.c.link_id).where(outbox.c.state.in_(("pending", "inflight")))
    marked = sa.select(dirty_link.c.link_id)
    refused = sa.exists().where(
        # The vendor has refused this very content: sending it again is not for a machine to decide.
        outbox.c.link_id == link.c.link_id,
        outbox.c.state == "failed",
        outbox.c.local_snapshot == record.c.document_hash,
    )
    changed = sa.or_(
        sa.and_(record.c.state == "active", record.c.hash.is_distinct_from(shadow.c.local_hash)),
        sa.and_(record.c.state == "deleted", shadow.c.local_hash.is_not(None)),
    )
    query = (
        sa.select(link.c.link_id, link.c.connection, link.c.resource_type, link.c.remote_id)
        .join(record, record.c.record_id == link.c.record_id)
        .outerjoin(shadow, shadow.c.link_id == link.c.link_id)
        .where(link.c.connection == connection, link.c.state.in_(("active", "pending")), changed, ~refused)
        .where(*(link.c.link_id.not_in(known) for known in (held, writing, marked)))
    )
    return [(row.link_id, row.connection, row.resource_type, row.remote_id) for row in transaction.execute(query)]


def count_living(transaction: sa.Connection, connection: str, resource_type: str) -> int:
    query = sa.select(sa.func.count()).where(
        link.c.connection == connection, link.c.resource_type == resource_type, link.c.state == "active"
    )
    return int(transaction.execute(query).scalar_one())


def busy_links(transaction: sa.Connection, connection: str, resource_type: str) -> list[str]:
    """Links with an open conflict or a write under way: what is read of them is for the decider."""
    held = sa.select(sync_conflict.c.link_id).where(
        sync_conflict.c.connection == connection,
        sync_conflict.c.resource_type == resource_type,
        sync_conflict.c.status.in_(("DETECTED", "PENDING_REVIEW")),
    )
    writing = sa.select(outbox.c.link_id).where(
        outbox.c.connection == connection,
        outbox.c.resource_type == resource_type,
        outbox.c.state.in_(("pending", "inflight")),
    )
    return list(transaction.execute(held.union(writing)).scalars())


STATE = pa.schema(
    [
        ("link_id", pa.string()),
        ("record_id", pa.string()),
        ("link_state", pa.string()),
        ("record_state", pa.string()),
        ("record_version", pa.int32()),
        ("record_hash", HASH),
        ("local_hash", HASH),
        ("remote_hash", HASH),
    ]
)
"""A link with its record and both shadows: everything detection needs, and no body."""


def states(transaction: sa.Connection, link_ids: Iterable[str]) -> pa.RecordBatchReader:
    query = (
        sa.select(
            link.c.link_id,
            link.c.record_id,
            link.c.state,
            record.c.state,
            record.c.version,
            record.c.hash,
            shadow.c.local_hash,
            shadow.c.remote_hash,
        )
        .join(shadow, shadow.c.link_id == link.c.link_id)
        .join(record, record.c.record_id == link.c.record_id)
    )
    return stream_arrow_by_keys(transaction, query, STATE, link.c.link_id, link_ids)


class Change(NamedTuple):
    """A reading that meets a known link: the reading, and the state it was compared with."""

    reading: Reading
    link_id: str
    record_id: str
    record_version: int
    record_document: bytes
    """What local holds now."""


def add_records(
    transaction: sa.Connection,
    connection: str,
    resource_type: str,
    new: Sequence[Reading],
    *,
    hash_version: int,
    seen_at: datetime,
) -> None:
    """New remote resources become records of their own, in agreement with the vendor from the first moment."""
    ids = [link_id_of(connection, resource_type, reading.remote_id) for reading in new]
    insert_rows(
        transaction,
        record,
        (
            "record_id",
            "resource_type",
            "origin",
            "version",
            "state",
            "document_hash",
            "hash",
            "hash_version",
            "changed_by",
            "updated_at",
        ),
        (
            (i, resource_type, connection, 1, "active", r.content_hash, r.hash, hash_version, connection, seen_at)
            for i, r in zip(ids, new, strict=True)
        ),
        on_conflict="error",
    )
    insert_rows(
        transaction,
        link,
        ("link_id", "connection", "resource_type", "remote_id", "record_id", "state", "linked_by", "linked_at"),
        (
            (i, connection, resource_type, r.remote_id, i, "active", "sync", seen_at)
            for i, r in zip(ids, new, strict=True)
        ),
        on_conflict="error",
    )
    insert_rows(
        transaction,
        shadow,
        (
            "link_id", "local_hash", "local_document", "remote_hash", "remote_document", "hash_version",
            "seen_document", "seen_version", "seen_updated", "seen_at",
        ),
        (
            (i, *(r.hash, r.content_hash) * 2, hash_version, r.content_hash, r.version, r.last_updated, seen_at)
            for i, r in zip(ids, new, strict=True)
        ),
        on_conflict="error",
    )  # fmt: skip


def take_changes(
    transaction: sa.Connection,
    connection: str,
    changes: Sequence[Change],
    *,
    hash_version: int,
    job_id: str,
    seen_at: datetime,
) -> None:
    """The vendor's change becomes the record's next version; the version it replaces is kept."""
    if not changes:
        return
    keep_versions(transaction, [change.record_id for change in changes], job_id=job_id)
    update_rows(
        transaction,
        record,
        ("record_id",),
        ("version", "state", "document_hash", "hash", "hash_version", "changed_by", "updated_at"),
        (
            (
                c.record_id,
                c.record_version + 1,
                "active",
                c.reading.content_hash,
                c.reading.hash,
                hash_version,
                connection,
                seen_at,
            )
            for c in changes
        ),
    )
    _agree(transaction, changes, hash_version=hash_version, seen_at=seen_at)


def agree_on_reading(
    transaction: sa.Connection, changes: Sequence[Change], *, hash_version: int, seen_at: datetime
) -> None:
    """Both sides hold the same content: both shadows advance to it, and the record takes its newest spelling."""
    update_rows(
        transaction,
        record,
        ("record_id",),
        ("document_hash",),
        ((c.record_id, c.reading.content_hash) for c in changes),
    )
    _agree(transaction, changes, hash_version=hash_version, seen_at=seen_at)


SEEN = ("seen_document", "seen_version", "seen_updated", "seen_at")


def _seen(change: Change, at: datetime) -> tuple[Any, ...]:
    reading = change.reading
    return (reading.content_hash, reading.version, reading.last_updated, at)


def _agree(transaction: sa.Connection, changes: Sequence[Change], *, hash_version: int, seen_at: datetime) -> None:
    update_rows(
        transaction,
        shadow,
        ("link_id",),
        ("local_hash", "local_document", "remote_hash", "remote_document", "hash_version", "delete_evidence", *SEEN),
        (
            (c.link_id, *(c.reading.hash, c.reading.content_hash) * 2, hash_version, None, *_seen(c, seen_at))
            for c in changes
        ),
    )


def note_spelling(transaction: sa.Connection, changes: Sequence[Change], *, seen_at: datetime) -> None:
    """The vendor's content is as agreed, only spelled otherwise (order, narrative, meta); local has moved on."""
    update_rows(
        transaction,
        shadow,
        ("link_id",),
        ("remote_document", "delete_evidence", *SEEN),
        ((c.link_id, c.reading.content_hash, None, *_seen(c, seen_at)) for c in changes),
    )


def note_deletions(transaction: sa.Connection, evidence: Sequence[tuple[str, str]], *, seen_at: datetime) -> None:
    """(link id, evidence) pairs: the vendor says it deleted these. Reading them again decides."""
    update_rows(
        transaction,
        shadow,
        ("link_id",),
        ("delete_evidence", "seen_at"),
        ((link_id, said, seen_at) for link_id, said in evidence),
    )


def mark_deletion_evidence(transaction: sa.Connection, connection: str, at: datetime) -> int:
    """Mark every living link that the vendor is said to have deleted. Returns how many."""
    query = (
        sa.select(link.c.link_id, link.c.connection, link.c.resource_type, link.c.remote_id)
        .join(shadow, shadow.c.link_id == link.c.link_id)
        .where(link.c.connection == connection, link.c.state == "active", shadow.c.delete_evidence.is_not(None))
    )
    return mark_links(transaction, [tuple(row) for row in transaction.execute(query)], Reason.DELETE_EVIDENCE, at)


def keep_versions(transaction: sa.Connection, record_ids: Sequence[str], *, job_id: str | None) -> None:
    """Copy the current version of each record into `record_version`, before it is replaced."""
    columns = ("record_id", "version", "state", "document_hash", "changed_by")
    for start in range(0, len(record_ids), 500):
        chosen = sa.select(
            *(record.c[name] for name in columns), sa.literal(job_id, sa.String).label("job_id"), record.c.updated_at
        ).where(record.c.record_id.in_(record_ids[start : start + 500]))
        transaction.execute(record_version.insert().from_select([*columns, "job_id", "at"], chosen))


def unmoved(transaction: sa.Connection, seen: Mapping[str, int]) -> dict[str, bytes]:
    """Of records and the versions they were compared in, those that still have it, with the document they hold.

    They cannot change before the transaction ends: PostgreSQL locks the rows, SQLite has one writer.
    """
    query = sa.select(record.c.record_id, record.c.version, record.c.document_hash).with_for_update()
    return {
        record_id: document
        for rows in fetch_by_keys(transaction, query, record.c.record_id, sorted(seen))
        for record_id, version, document in rows
        if version == seen[record_id]
    }


def supersede_quarantine(
    transaction: sa.Connection, connection: str, resource_type: str, remote_ids: Sequence[str]
) -> None:
    """A resource that now passes replaces its held predecessors in quarantine; they stay readable."""
    held = transaction.execute(sa.select(sa.exists().where(*_held(connection, resource_type)))).scalar_one()
    if not held:
        return
    for start in range(0, len(remote_ids), 500):
        transaction.execute(
            quarantine.update()
            .where(*_held(connection, resource_type), quarantine.c.remote_id.in_(remote_ids[start : start + 500]))
            .values(state="superseded")
        )


def held_ids(transaction: sa.Connection, connection: str, resource_type: str) -> list[str]:
    """Remote ids with something in quarantine; what is held without a readable id has none."""
    query = sa.select(quarantine.c.remote_id).distinct()
    query = query.where(*_held(connection, resource_type), quarantine.c.remote_id.is_not(None))
    return list(transaction.execute(query).scalars())


def _held(connection: str, resource_type: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        quarantine.c.connection == connection,
        quarantine.c.resource_type == resource_type,
        quarantine.c.state == "held",
    )
