"""Set-wise writes of what was decided: records, links, shadows, standing differences.

Law: a record's version is kept in `record_version` before it is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from holovitals_pipelines.store.agreements import keep_versions
from holovitals_pipelines.store.bulk import insert_rows, update_rows
from holovitals_pipelines.store.prepared import KEYS, Prepared
from holovitals_pipelines.store.tables import (
    dirty_link,
    link,
    outbox,
    record,
    shadow,
    standing_difference,
    sync_conflict,
)


class RecordRow(NamedTuple):
    """What a record is to hold from now on."""

    record_id: str
    version: int
    state: str
    document_hash: bytes
    hash: bytes
    hash_version: int
    changed_by: str
    updated_at: datetime


def change_records(transaction: sa.Connection, rows: Sequence[RecordRow], *, job_id: str | None) -> None:
    """Each row becomes its record's next version."""
    if not rows:
        return
    keep_versions(transaction, [row.record_id for row in rows], job_id=job_id)
    update_rows(transaction, record, ("record_id",), RecordRow._fields[1:], rows)


def add_records(transaction: sa.Connection, rows: Iterable[tuple[RecordRow, str, str]]) -> None:
    """New records: (row, resource type, origin)."""
    insert_rows(
        transaction,
        record,
        (*RecordRow._fields, "resource_type", "origin"),
        ((*row, resource_type, origin) for row, resource_type, origin in rows),
    )


class LinkRow(NamedTuple):
    link_id: str
    connection: str
    resource_type: str
    remote_id: str | None
    record_id: str
    state: str
    linked_by: str
    linked_at: datetime


def put_links(transaction: sa.Connection, rows: Iterable[LinkRow]) -> None:
    """New links; one that is known takes the record and the state given."""
    insert_rows(transaction, link, LinkRow._fields, rows, on_conflict="update")


def set_link_states(transaction: sa.Connection, states: Iterable[tuple[str, str]]) -> None:
    """(link id, state) pairs."""
    update_rows(transaction, link, ("link_id",), ("state",), states)


class ShadowRow(NamedTuple):
    """Both shadows after a decision, and the reading it was made on. Documents of None are agreed absent."""

    link_id: str
    local_hash: bytes | None
    local_document: bytes | None
    remote_hash: bytes | None
    remote_document: bytes | None
    hash_version: int
    seen_document: bytes | None
    seen_version: str | None
    seen_updated: datetime | None
    seen_at: datetime
    delete_evidence: str | None


def put_shadows(transaction: sa.Connection, rows: Iterable[ShadowRow]) -> None:
    insert_rows(transaction, shadow, ShadowRow._fields, rows, on_conflict="update")


READING = ("seen_document", "seen_version", "seen_updated", "seen_at", "delete_evidence")


def note_readings(transaction: sa.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """(link id, then READING): what was read, where the agreement stays as it is."""
    update_rows(transaction, shadow, ("link_id",), READING, rows)


class StandingRow(NamedTuple):
    link_id: str
    unit: str
    connection: str
    resource_type: str
    record_id: str
    severity: str
    reason: str
    since: datetime


_STANDING = Prepared(
    sa.select(standing_difference.c.link_id, standing_difference.c.unit, standing_difference.c.since).where(
        standing_difference.c.link_id.in_(KEYS)
    )
)


def put_standing(transaction: sa.Connection, link_ids: Sequence[str], rows: Sequence[StandingRow]) -> None:
    """The standing differences of these links are exactly `rows`; those that stood before keep their date."""
    if not link_ids:
        return
    found = _STANDING.by_keys(transaction, sorted(link_ids))
    stood: dict[tuple[str, str], datetime] = {(link_id, unit): since for link_id, unit, since in found}
    if not stood and not rows:
        return
    wanted = {(row.link_id, row.unit) for row in rows}
    for link_id, unit in stood.keys() - wanted:
        transaction.execute(
            standing_difference.delete().where(
                standing_difference.c.link_id == link_id, standing_difference.c.unit == unit
            )
        )
    insert_rows(
        transaction,
        standing_difference,
        StandingRow._fields,
        [row._replace(since=stood.get((row.link_id, row.unit), row.since)) for row in rows],
        on_conflict="update",
    )


def bind_link(transaction: sa.Connection, pending: str, bound: LinkRow) -> None:
    """A create is confirmed: what hangs on the pending link moves to the one that has a remote id."""
    transaction.execute(link.delete().where(link.c.link_id == pending))
    put_links(transaction, [bound])
    transaction.execute(dirty_link.delete().where(dirty_link.c.link_id == pending))
    transaction.execute(shadow.delete().where(shadow.c.link_id == pending))
    for table in (outbox, sync_conflict, standing_difference):
        transaction.execute(sa.update(table).where(table.c.link_id == pending).values(link_id=bound.link_id))
