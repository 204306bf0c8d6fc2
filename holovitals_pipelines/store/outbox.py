"""The outbox: writes waiting for a vendor, and what became of them.

Law: a link has at most one live intent; an intent is marked in flight, and committed so, before anything is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.store.prepared import KEYS, Prepared
from holovitals_pipelines.store.tables import outbox

LIVE = ("pending", "inflight")
DECIDED_ANEW = "write.decided_anew"
"""Error code of a superseded write that was in flight: nobody knows whether, or when, it takes effect."""


@dataclass(frozen=True, slots=True)
class StoredIntent:
    """One row of the outbox."""

    intent_id: str
    link_id: str
    connection: str
    resource_type: str
    record_id: str
    operation: str
    document_hash: bytes | None
    local_snapshot: bytes | None
    expected_hash: bytes | None
    expected_version: str | None
    state: str
    attempts: int


_COLUMNS = [outbox.c[name] for name in StoredIntent.__dataclass_fields__]
_LIVE_OF = Prepared(sa.select(*_COLUMNS).where(outbox.c.link_id.in_(KEYS), outbox.c.state.in_(LIVE)))
_IN_DOUBT = Prepared(
    sa.select(*_COLUMNS)
    .where(outbox.c.link_id.in_(KEYS), outbox.c.error_code == DECIDED_ANEW)
    .order_by(outbox.c.created_at, outbox.c.intent_id)
)
_DUE_SELECT = (
    sa.select(*_COLUMNS)
    .where(
        outbox.c.connection == sa.bindparam("at"),
        outbox.c.state == "pending",
        sa.or_(outbox.c.next_at.is_(None), outbox.c.next_at <= sa.bindparam("now")),
    )
    .order_by(outbox.c.created_at, outbox.c.intent_id)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_DUE = Prepared(_DUE_SELECT)
_DUE_OF_TYPE = Prepared(_DUE_SELECT.where(outbox.c.resource_type == sa.bindparam("of_type")))
_IN_FLIGHT = Prepared(
    sa.select(*_COLUMNS).where(outbox.c.connection == sa.bindparam("at"), outbox.c.state == "inflight")
)


def add_intent(
    transaction: sa.Connection,
    intent_id: str,
    *,
    link_id: str,
    connection: str,
    resource_type: str,
    record_id: str,
    operation: str,
    document_hash: bytes | None,
    local_snapshot: bytes | None,
    expected_hash: bytes | None,
    expected_version: str | None,
    job_id: str | None,
    at: datetime,
) -> None:
    """A new pending intent. The link's live one must have been superseded before."""
    transaction.execute(
        outbox.insert().values(
            intent_id=intent_id,
            link_id=link_id,
            connection=connection,
            resource_type=resource_type,
            record_id=record_id,
            operation=operation,
            document_hash=document_hash,
            local_snapshot=local_snapshot,
            expected_hash=expected_hash,
            expected_version=expected_version,
            state="pending",
            attempts=0,
            job_id=job_id,
            created_at=at,
        )
    )


def live_intents(transaction: sa.Connection, link_ids: list[str]) -> dict[str, StoredIntent]:
    """The live intent of each link that has one."""
    intents = (StoredIntent(*row) for row in _LIVE_OF.by_keys(transaction, link_ids))
    return {intent.link_id: intent for intent in intents}


def unknown_outcomes(transaction: sa.Connection, link_ids: list[str]) -> dict[str, list[StoredIntent]]:
    """By link, writes that were decided anew while in flight, and may yet show at the vendor; oldest first."""
    found: dict[str, list[StoredIntent]] = {}
    for row in _IN_DOUBT.by_keys(transaction, link_ids):
        intent = StoredIntent(*row)
        found.setdefault(intent.link_id, []).append(intent)
    return found


def forget_unknown_outcomes(transaction: sa.Connection, link_id: str) -> None:
    """A later write of the link is confirmed: what the vendor holds now is known."""
    transaction.execute(
        outbox.update().where(outbox.c.link_id == link_id, outbox.c.error_code == DECIDED_ANEW).values(error_code=None)
    )


def types_with_live_intents(transaction: sa.Connection, connection: str) -> set[str]:
    query = sa.select(outbox.c.resource_type).distinct()
    return set(transaction.execute(query.where(outbox.c.connection == connection, outbox.c.state.in_(LIVE))).scalars())


def due_intents(
    transaction: sa.Connection, connection: str, now: datetime, limit: int, resource_type: str | None = None
) -> list[StoredIntent]:
    """Pending intents whose time has come, oldest first."""
    due = _DUE if resource_type is None else _DUE_OF_TYPE
    named = {} if resource_type is None else {"of_type": resource_type}
    return [StoredIntent(*row) for row in due.rows(transaction, at=connection, now=now, most=limit, **named)]


def in_flight(transaction: sa.Connection, connection: str) -> list[StoredIntent]:
    """Intents whose outcome nobody knows: sent, or about to be, by a worker that did not come back."""
    return [StoredIntent(*row) for row in _IN_FLIGHT.rows(transaction, at=connection)]


def begin_sending(transaction: sa.Connection, intent: StoredIntent, *, guarded: bool) -> bool:
    """Mark it in flight; False when it is no longer pending (superseded meanwhile)."""
    changed = transaction.execute(
        outbox.update()
        .where(outbox.c.intent_id == intent.intent_id, outbox.c.state == "pending")
        .values(state="inflight", attempts=outbox.c.attempts + 1, guarded=guarded)
    )
    return changed.rowcount == 1


def finish(
    transaction: sa.Connection, intent: StoredIntent, state: str, at: datetime, error: HoloVitalsError | None = None
) -> bool:
    """Close a live intent as done, superseded or failed; False when it was not live any more."""
    changed = transaction.execute(
        outbox.update()
        .where(outbox.c.intent_id == intent.intent_id, outbox.c.state.in_(LIVE))
        .values(
            state=state,
            finished_at=at,
            error_code=error.code if error else None,
            error_message=error.message if error else None,
        )
    )
    return changed.rowcount == 1


def supersede(transaction: sa.Connection, intent: StoredIntent, at: datetime) -> bool:
    """What is to be written is decided anew; a write that is in flight may take effect all the same."""
    in_doubt = DECIDED_ANEW if intent.state == "inflight" else None
    changed = transaction.execute(
        outbox.update()
        .where(outbox.c.intent_id == intent.intent_id, outbox.c.state.in_(LIVE))
        .values(state="superseded", finished_at=at, error_code=in_doubt, error_message=None)
    )
    return changed.rowcount == 1


def put_off(transaction: sa.Connection, intent: StoredIntent, until: datetime, error: HoloVitalsError) -> None:
    """Back to pending, to be sent again later: it was certainly not carried out."""
    transaction.execute(
        outbox.update()
        .where(outbox.c.intent_id == intent.intent_id, outbox.c.state == "inflight")
        .values(state="pending", next_at=until, error_code=error.code, error_message=error.message)
    )
