"""What is held in quarantine, for people to look at, to understand and to close; the bodies stay in the store.

Law: nobody lets in what breaks a rule. Released is only what the rules of today take, and it is read again; what is
dismissed never comes in. The bytes stay in either case, and the audit log tells who closed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.held_bytes import Judged, judge_held
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import submit_within
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.paging import Page, page_of, place_of
from holovitals_pipelines.model.vocabulary import JobType
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.tables import quarantine

_LIST = "quarantine"


def held_resources(home: Home, connection: str | None, limit: int, *, closed: bool = False) -> list[dict[str, Any]]:
    """Newest first, in the HTTP API's spelling; without ids and contents. `closed`: those that are held no more."""
    return list(held_page(home, connection, cursor=None, limit=limit, closed=closed).items)


def held_page(
    home: Home, connection: str | None, *, cursor: str | None, limit: int, closed: bool = False
) -> Page[dict[str, Any]]:
    """As `held_resources`, page by page. Raises StoreError (`page.cursor_invalid`)."""
    query = (
        sa.select(quarantine)
        .where(quarantine.c.state != "held" if closed else quarantine.c.state == "held")
        .order_by(quarantine.c.quarantine_id.desc())
        .limit(limit + 1)
    )
    if connection is not None:
        home.connection(connection)
        query = query.where(quarantine.c.connection == connection)
    if cursor is not None:
        query = query.where(quarantine.c.quarantine_id < place_of(cursor, _LIST, int)[0])
    with home.database.read() as transaction:
        found = [_as_json(row) for row in transaction.execute(query)]
    return page_of(found, limit, _LIST, lambda row: (row["quarantineId"],))


def _as_json(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "quarantineId": row.quarantine_id,
        "connection": row.connection,
        "resourceType": row.resource_type,
        "stage": row.stage,
        "rule": row.rule,
        "path": row.path,
        "message": row.message,
        "remedy": row.remedy,
        "source": row.source,
        "line": row.line,
        "at": row.at.isoformat(),
        "state": row.state,
        "closedBy": row.closed_by,
        "closedAt": row.closed_at.isoformat() if row.closed_at else None,
    }


@dataclass(frozen=True, slots=True)
class Explained:
    """Everything that is wrong with an entry today; who closed it and why, where somebody has."""

    judged: Judged
    state: str
    closed_by: str | None
    closed_at: datetime | None
    closed_reason: str | None


def explain_held(home: Home, quarantine_id: int) -> Explained:
    """Everything that today's rules find in a held resource. Raises StoreError for an unknown id."""
    with home.database.read() as transaction:
        entry = _entry(transaction, quarantine_id)
        judged = judge_held(home, transaction, entry)
    return Explained(judged, entry.state, entry.closed_by, entry.closed_at, entry.closed_reason)


@dataclass(frozen=True, slots=True)
class Closed:
    """`job_id`: the job that reads the resource again; None where it is read by no name, or not at all."""

    quarantine_id: int
    state: str
    job_id: str | None


def release_held(home: Home, quarantine_id: int, *, actor: str) -> Closed:
    """Let go what the rules of today take, and have it read again from its vendor by a job of its own.

    What was refused without a readable id comes with the next full sync. Raises StoreError for an unknown id, for one
    that is not held (`quarantine.not_held`), and for one that still breaks a rule (`quarantine.still_broken`).
    """
    now = datetime.now(UTC)
    with home.database.read() as transaction:
        takes = judge_held(home, transaction, _held_entry(transaction, quarantine_id)).sound
    with home.database.write() as transaction:
        entry = _held_entry(transaction, quarantine_id)
        if not takes:
            raise StoreError(
                "it still breaks a rule",
                code="quarantine.still_broken",
                place=f"quarantine {quarantine_id}",
                remedy=f"see all of it: holovitals quarantine --explain {quarantine_id}; mend it at the vendor or by a"
                " transformation rule; if it is to come in never: --dismiss",
            )
        job_id = None
        if entry.remote_id:
            request = SyncRequest(
                connection=entry.connection,
                type=JobType.RESOURCE_SYNC,
                resource_types=(entry.resource_type,),
                ids=((entry.resource_type, entry.remote_id),),
            )
            job_id = submit_within(home, transaction, request, requested_by=actor).job_id
        _close(transaction, entry, "released", actor, None, now)
    return Closed(quarantine_id, "released", job_id)


def dismiss_held(home: Home, quarantine_id: int, *, reason: str, actor: str) -> Closed:
    """Close an entry whose resource shall not come in, or has come in by another reading; the bytes stay.

    Raises ConfigurationError without a reason, StoreError for an id that is unknown or not held.
    """
    if not reason.strip():
        raise ConfigurationError(
            "the reason is empty", code="quarantine.reason_missing", remedy="say why it is closed: --reason …"
        )
    with home.database.write() as transaction:
        entry = _held_entry(transaction, quarantine_id)
        _close(transaction, entry, "dismissed", actor, reason.strip(), datetime.now(UTC))
    return Closed(quarantine_id, "dismissed", None)


def _entry(transaction: sa.Connection, quarantine_id: int) -> sa.Row[Any]:
    row = transaction.execute(sa.select(quarantine).where(quarantine.c.quarantine_id == quarantine_id)).one_or_none()
    if row is None:
        raise StoreError(
            "there is no such entry", code="quarantine.unknown", remedy="see the ids: holovitals quarantine --json"
        )
    return row


def _held_entry(transaction: sa.Connection, quarantine_id: int) -> sa.Row[Any]:
    entry = _entry(transaction, quarantine_id)
    if entry.state != "held":
        raise StoreError(
            f"the entry is not held: it is {entry.state}",
            code="quarantine.not_held",
            place=f"quarantine {quarantine_id}",
            remedy="see what is held: holovitals quarantine",
        )
    return entry


def _close(
    transaction: sa.Connection, entry: sa.Row[Any], state: str, actor: str, reason: str | None, at: datetime
) -> None:
    transaction.execute(
        quarantine.update()
        .where(quarantine.c.quarantine_id == entry.quarantine_id)
        .values(state=state, closed_by=actor[:64], closed_at=at, closed_reason=reason)
    )
    detail = {"quarantine": entry.quarantine_id, "resourceType": entry.resource_type, "rule": entry.rule}
    logged = audit.Entry(
        action=f"quarantine.{state}", actor=actor, connection=entry.connection, job_id=entry.job_id, detail=detail
    )
    audit.append(transaction, [logged], at=at)
