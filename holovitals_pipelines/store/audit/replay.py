"""Rebuilding the records' states from the audit log alone, and comparing them with the records (sync-protocol.md §4.5).

Law: an entry is believed only where its before-image is the state the entries before it led to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

import sqlalchemy as sa

from holovitals_pipelines.store.bulk import Row, stream_rows
from holovitals_pipelines.store.tables import audit_log, record

Kind = Literal["differs", "missing", "untrue_before", "unlogged", "before_the_log"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A record's state after its last entry; `document` is None where it is absent."""

    record_id: str
    document: bytes | None
    version: int | None
    untrue: tuple[int, ...] = ()
    """Entries whose before-image was not the record's state then."""


@dataclass(frozen=True, slots=True)
class RecordFinding:
    """A record that is not what the log says.

    differs: other body or version. missing: there is no such record. untrue_before: entry `seq` claims another state
    before it than there was. unlogged: it has no entry, though it changed while there was a log.
    before_the_log: it has no entry because it is older than the log, which is no damage.
    """

    record_id: str
    kind: Kind
    seq: int | None = None


def replay(transaction: sa.Connection) -> Iterator[Replayed]:
    """The state of every record that the log tells of, by record id; memory does not grow with the log.

    Entries with a version tell of records. A record whose first entry has a before-image is older than the log, and
    starts from that image.
    """
    query = (
        sa.select(
            audit_log.c.record_id,
            audit_log.c.seq,
            audit_log.c.before_document,
            audit_log.c.before_version,
            audit_log.c.after_document,
            audit_log.c.after_version,
        )
        .where(
            audit_log.c.record_id.is_not(None),
            sa.or_(audit_log.c.before_version.is_not(None), audit_log.c.after_version.is_not(None)),
        )
        .order_by(_bytewise(transaction, audit_log.c.record_id), audit_log.c.seq)
    )
    for record_id, rows in groupby(_flat(transaction, query), key=itemgetter(0)):
        yield _replayed(record_id, rows)


def _replayed(record_id: str, rows: Iterator[Row]) -> Replayed:
    _, _, _, _, document, version = next(rows)
    untrue = []
    for _, seq, before_document, before_version, after_document, after_version in rows:
        # A deletion may leave no version; nothing can then be said of the version before the next entry.
        if before_document != document or (version is not None and before_version not in (None, version)):
            untrue.append(seq)
        document, version = after_document, after_version
    return Replayed(record_id, document, version, tuple(untrue))


def check_against_store(transaction: sa.Connection) -> Iterator[RecordFinding]:
    """Every record that is not what the log says, by record id. A deleted record counts as absent."""
    began = transaction.execute(sa.select(audit_log.c.at).order_by(audit_log.c.seq).limit(1)).scalar()
    query = sa.select(
        record.c.record_id, record.c.state, record.c.document_hash, record.c.version, record.c.updated_at
    ).order_by(_bytewise(transaction, record.c.record_id))
    stored = _flat(transaction, query)
    row = next(stored, None)
    for told in replay(transaction):
        while row is not None and row[0] < told.record_id:
            yield _without_entry(row, began)
            row = next(stored, None)
        for seq in told.untrue:
            yield RecordFinding(told.record_id, "untrue_before", seq)
        if row is None or row[0] != told.record_id:
            if told.document is not None:
                yield RecordFinding(told.record_id, "missing")
            continue
        if not _agree(told, row):
            yield RecordFinding(told.record_id, "differs")
        row = next(stored, None)
    while row is not None:
        yield _without_entry(row, began)
        row = next(stored, None)


def _agree(told: Replayed, row: Row) -> bool:
    _, state, document, version, _ = row
    present = document if state != "deleted" else None
    return told.document == present and told.version in (None, version)


def _without_entry(row: Row, began: datetime | None) -> RecordFinding:
    record_id, *_, updated_at = row
    older = began is None or updated_at <= began
    return RecordFinding(record_id, "before_the_log" if older else "unlogged")


def _bytewise(transaction: sa.Connection, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The order Python compares text in; PostgreSQL's own depends on the database's locale."""
    return column.collate("C") if transaction.dialect.name == "postgresql" else column


def _flat(transaction: sa.Connection, query: sa.Select[Any]) -> Iterator[Row]:
    for rows in stream_rows(transaction, query):
        yield from rows
