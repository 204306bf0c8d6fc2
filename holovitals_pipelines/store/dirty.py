"""Links to be looked at again: marked by whoever learns that something may have changed, cleared by who has decided.

Law: a mark is cleared in the transaction that commits the decision, and never one set since the facts were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa

from holovitals_pipelines.store.bulk import Row, insert_rows
from holovitals_pipelines.store.events import complete_events
from holovitals_pipelines.store.prepared import KEYS, Prepared
from holovitals_pipelines.store.tables import dirty_link, link


class Reason(StrEnum):
    """Why a link is to be looked at again."""

    LOCAL = "local"
    EVENT = "event"
    DELETE_EVIDENCE = "delete_evidence"
    ABSENT = "absent"
    DECIDED = "decided"
    OUTCOME = "outcome"
    STALE = "stale"
    ANTI_ENTROPY = "anti_entropy"


@dataclass(frozen=True, slots=True)
class Mark:
    """One link to be looked at again; `remote_id` is None for a create that is not confirmed."""

    link_id: str
    connection: str
    resource_type: str
    remote_id: str | None
    reason: str
    mark: int


_COLUMNS = (
    dirty_link.c.link_id, dirty_link.c.connection, dirty_link.c.resource_type, dirty_link.c.remote_id,
    dirty_link.c.reason, dirty_link.c.mark,
)  # fmt: skip


_MARKS = Prepared(
    sa.select(dirty_link.c.link_id, dirty_link.c.mark).where(dirty_link.c.link_id.in_(KEYS)).with_for_update()
)
_CLEAR = dirty_link.delete().where(
    dirty_link.c.link_id == sa.bindparam("link"), dirty_link.c.mark == sa.bindparam("as_read")
)


def mark_links(
    transaction: sa.Connection,
    links: Iterable[tuple[str, str, str, str | None]],
    reason: Reason,
    at: datetime,
) -> int:
    """Mark (link id, connection, resource type, remote id); a marked one gets the new reason. Returns how many."""
    wanted = {row[0]: row for row in links}
    if not wanted:
        return 0
    marks: dict[str, int] = dict(_MARKS.by_keys(transaction, sorted(wanted)))
    rows_to_write: list[Row] = [(*row, reason.value, at, marks.get(row[0], 0) + 1) for row in wanted.values()]
    return insert_rows(
        transaction,
        dirty_link,
        ("link_id", "connection", "resource_type", "remote_id", "reason", "since", "mark"),
        rows_to_write,
        on_conflict="update",
    )


def mark_links_of_record(
    transaction: sa.Connection, record_id: str, reason: Reason, at: datetime, *, revived: bool = False
) -> int:
    """Mark every living link of a record: a change here is news for all its vendors. A record that was deleted and
    comes back (`revived`) is news for those too with whom its end was agreed."""
    living = ("active", "pending", "review", *(("tombstone",) if revived else ()))
    query = sa.select(link.c.link_id, link.c.connection, link.c.resource_type, link.c.remote_id).where(
        link.c.record_id == record_id, link.c.state.in_(living)
    )
    found = [tuple(row) for row in transaction.execute(query)]
    return mark_links(transaction, found, reason, at)


def marked_links(
    transaction: sa.Connection,
    connection: str,
    resource_types: Sequence[str] | None = None,
    *,
    limit: int | None = None,
    skip: Sequence[str] = (),
) -> list[Mark]:
    """The oldest marks of a connection first; without those whose link id is in `skip`."""
    query = sa.select(*_COLUMNS).where(dirty_link.c.connection == connection)
    if resource_types is not None:
        query = query.where(dirty_link.c.resource_type.in_(resource_types))
    if skip:
        query = query.where(dirty_link.c.link_id.not_in(skip))
    query = query.order_by(dirty_link.c.since, dirty_link.c.link_id)
    return [Mark(*row) for row in transaction.execute(query.limit(limit) if limit else query)]


def count_marks(transaction: sa.Connection, connection: str) -> dict[tuple[str, str], int]:
    """Marks by (resource type, reason)."""
    query = (
        sa.select(dirty_link.c.resource_type, dirty_link.c.reason, sa.func.count())
        .where(dirty_link.c.connection == connection)
        .group_by(dirty_link.c.resource_type, dirty_link.c.reason)
    )
    return {(kind, reason): count for kind, reason, count in transaction.execute(query)}


def clear_marks(transaction: sa.Connection, marks: Sequence[Mark]) -> None:
    """Clear marks as they were read; one that was set again since stays. Events of cleared links are completed."""
    if not marks:
        return
    transaction.execute(_CLEAR, [{"link": mark.link_id, "as_read": mark.mark} for mark in marks])
    complete_events(transaction, [mark.link_id for mark in marks])
