"""Appending to the audit log, and reading it.

Law: entries of concurrent transactions form one chain; their numbers have no gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain as chained
from typing import Any

import orjson
import sqlalchemy as sa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.audit.chain import COLUMNS, Entry, LoggedEntry, hash_entry, plain_detail
from holovitals_pipelines.store.bulk import Row, insert_rows, stream_rows
from holovitals_pipelines.store.prepared import Prepared
from holovitals_pipelines.store.tables import audit_log

_AUDIT_LOCK = 0x41554449  # "AUDI"


def append(transaction: sa.Connection, entries: Iterable[Entry], *, at: datetime) -> int:
    """Append `entries` in their order; returns the number of the last one, 0 when there are none.

    Until the transaction ends, other writers of the log wait: make it the last thing the transaction does. One that
    afterwards waited for a lock could be waiting for a transaction that waits here.
    """
    waiting = iter(entries)
    first = next(waiting, None)
    if first is None:
        return 0
    if transaction.dialect.name == "postgresql":
        # SQLite has one writer at a time; here two would read the same last entry.
        transaction.execute(sa.select(sa.func.pg_advisory_xact_lock(_AUDIT_LOCK)))
    newest = last(transaction)
    seq, previous = (newest.seq, newest.entry_hash) if newest is not None else (0, None)
    written = insert_rows(
        transaction, audit_log, COLUMNS, _linked(chained([first], waiting), at.astimezone(UTC), seq, previous)
    )
    return seq + written


def _linked(entries: Iterable[Entry], at: datetime, seq: int, previous: bytes | None) -> Iterator[Row]:
    for entry in entries:
        seq += 1
        cells = (
            seq,
            at,
            entry.actor,
            entry.action,
            entry.link_id,
            entry.record_id,
            entry.connection,
            entry.conflict_id,
            entry.before_document,
            entry.after_document,
            entry.before_version,
            entry.after_version,
            entry.cause,
            entry.job_id,
            entry.policy_version,
            plain_detail(entry.detail),
            previous,
        )
        previous = hash_entry(cells)
        yield (*cells, previous)


_NEWEST = Prepared(sa.select(*(audit_log.c[name] for name in COLUMNS)).order_by(audit_log.c.seq.desc()).limit(1))


def last(transaction: sa.Connection) -> LoggedEntry | None:
    """The newest entry; None when there is none."""
    rows = _NEWEST.rows(transaction)
    return LoggedEntry(*rows[0]) if rows else None


def entry(transaction: sa.Connection, seq: int) -> LoggedEntry:
    """The entry of this number. Raises StoreError when there is none."""
    rows = _read(transaction, _all_columns().where(audit_log.c.seq == seq))
    if not rows:
        raise StoreError(
            f"the audit log has no entry {seq}",
            code="audit.entry_unknown",
            remedy="see the numbers: holovitals audit list",
        )
    return rows[0]


def entries(
    transaction: sa.Connection,
    *,
    record_id: str | None = None,
    link_id: str | None = None,
    connection: str | None = None,
    conflict_id: str | None = None,
    job_id: str | None = None,
    since_seq: int = 0,
    limit: int = 100,
    newest_first: bool = False,
) -> list[LoggedEntry]:
    """Up to `limit` entries after number `since_seq` that meet every given condition, in the order they were made."""
    wanted = {
        "record_id": record_id,
        "link_id": link_id,
        "connection": connection,
        "conflict_id": conflict_id,
        "job_id": job_id,
    }
    query = _all_columns().where(audit_log.c.seq > since_seq)
    for column, value in wanted.items():
        if value is not None:
            query = query.where(audit_log.c[column] == value)
    seq = audit_log.c.seq
    return _read(transaction, query.order_by(seq.desc() if newest_first else seq).limit(limit))


def entries_before(
    transaction: sa.Connection, wanted: Mapping[str, str | None], *, before: int | None, limit: int
) -> list[LoggedEntry]:
    """Up to `limit` entries before number `before` whose columns hold what is wanted of them, the newest first."""
    query = _all_columns()
    for column, value in wanted.items():
        if value is not None:
            query = query.where(audit_log.c[column] == value)
    if before is not None:
        query = query.where(audit_log.c.seq < before)
    return _read(transaction, query.order_by(audit_log.c.seq.desc()).limit(limit))


def stream_entries(transaction: sa.Connection, *, since_seq: int = 0) -> Iterator[list[Row]]:
    """The cells of `COLUMNS` of every entry after `since_seq`, in order, some thousands at a time."""
    query = _all_columns().where(audit_log.c.seq > since_seq).order_by(audit_log.c.seq)
    yield from stream_rows(transaction, query)


def stream_stored(transaction: sa.Connection) -> Iterator[list[Row]]:
    """As `stream_entries` from the first on, for verification: what is no value of its column comes as it is stored.

    SQLite keeps text in a number's column or half a JSON document; whoever edits the file must not stop the reader.
    """
    if transaction.dialect.name != "sqlite":
        yield from stream_entries(transaction)
        return
    plain = (sa.type_coerce(audit_log.c[name], sa.types.NullType()) for name in COLUMNS)
    for rows in stream_rows(transaction, sa.select(*plain).order_by(audit_log.c.seq)):
        yield [(c[0], _instant(c[1]), *c[2:_DETAIL], _detail(c[_DETAIL]), *c[_DETAIL + 1 :]) for c in rows]


_DETAIL = COLUMNS.index("detail")


@lru_cache(maxsize=1024)
def _instant(stored: Any) -> Any:
    """Entries of a transaction have one instant."""
    try:
        instant = datetime.fromisoformat(stored)
    except (TypeError, ValueError):
        return stored
    return instant.replace(tzinfo=UTC) if instant.isoformat(" ", "microseconds") == stored else stored


def _detail(stored: Any) -> Any:
    if stored is None:
        return None
    try:
        return orjson.loads(stored)  # refuses numbers beyond all bounds, which json reads
    except ValueError:
        return stored


def count_entries(transaction: sa.Connection, *, since_seq: int = 0) -> int:
    """How many entries there are after `since_seq`; reads no more than their keys."""
    query = sa.select(sa.func.count()).select_from(audit_log).where(audit_log.c.seq > since_seq)
    return int(transaction.execute(query).scalar_one())


def _all_columns() -> sa.Select[Row]:
    return sa.select(*(audit_log.c[name] for name in COLUMNS))


def _read(transaction: sa.Connection, query: sa.Select[Row]) -> list[LoggedEntry]:
    return [LoggedEntry(*cells) for rows in stream_rows(transaction, query) for cells in rows]
