"""HL7 v2 messages as they arrived: each kept once with its exact bytes, and whether what it tells is applied.

Law: a message that was acknowledged is here; a row is never taken away, and changes only in its state and its count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.store.bulk import insert_rows, update_rows
from holovitals_pipelines.store.prepared import KEYS, Prepared
from holovitals_pipelines.store.tables import hl7_message

RECEIVED, APPLIED, DEAD = "received", "applied", "dead"
CONTROL_ID_REUSED: Final = "hl7.control_id_reused"
_REUSED = "the sender used this message's control id before, for another message"

_COLUMNS = (
    "connection", "feed", "sender", "control_id", "message_type", "body_hash", "body", "times_received", "answer",
    "state", "code", "problem", "remedy", "received_at",
)  # fmt: skip
_SAME_NUMBER = Prepared(
    sa.select(
        hl7_message.c.message_id, hl7_message.c.control_id, hl7_message.c.body_hash, hl7_message.c.answer
    ).where(
        hl7_message.c.connection == sa.bindparam("at"),
        hl7_message.c.sender == sa.bindparam("sender"),
        hl7_message.c.control_id.in_(KEYS),
    )
)  # fmt: skip
_WITHOUT_NUMBER = Prepared(
    sa.select(
        hl7_message.c.message_id, hl7_message.c.control_id, hl7_message.c.body_hash, hl7_message.c.answer
    ).where(
        hl7_message.c.connection == sa.bindparam("at"),
        hl7_message.c.sender == sa.bindparam("sender"),
        hl7_message.c.control_id == "",
        hl7_message.c.body_hash.in_(KEYS),
    )
)  # fmt: skip
_OLDEST = Prepared(
    sa.select(hl7_message.c.message_id, hl7_message.c.body)
    .where(hl7_message.c.connection == sa.bindparam("at"), hl7_message.c.state == RECEIVED)
    .order_by(hl7_message.c.message_id)
    .limit(sa.bindparam("most"))
)
_AGAIN = (
    hl7_message.update()
    .where(hl7_message.c.message_id == sa.bindparam("id"))
    .values(times_received=hl7_message.c.times_received + sa.bindparam("times"))
)
_LISTED = (
    hl7_message.c.message_id, hl7_message.c.connection, hl7_message.c.feed, hl7_message.c.message_type,
    hl7_message.c.times_received, hl7_message.c.answer, hl7_message.c.state, hl7_message.c.code, hl7_message.c.problem,
    hl7_message.c.remedy, hl7_message.c.received_at, hl7_message.c.applied_at,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArrivedMessage:
    """A message to be kept, and how it is to be answered."""

    feed: str
    sender: str
    control_id: str
    message_type: str
    body: bytes
    answer: str
    state: str = RECEIVED
    code: str | None = None
    problem: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """How a message is to be answered: as it was the first time, where it had been here before."""

    answer: str
    repeated: bool
    reused: bool = False
    """Another message has the control id."""


@dataclass(frozen=True, slots=True)
class ListedMessage:
    """What is known of a message without looking into it."""

    message_id: int
    connection: str
    feed: str
    message_type: str
    times_received: int
    answer: str
    state: str
    code: str | None
    problem: str | None
    remedy: str | None
    received_at: datetime
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a message."""

    message_id: int
    state: str
    code: str | None = None
    problem: str | None = None
    remedy: str | None = None


def put_messages(
    transaction: sa.Connection, connection: str, arrived: Sequence[ArrivedMessage], at: datetime
) -> list[Kept]:
    """Keep messages in their order. One that is here already counts up, and is answered as before."""
    hashes = [content_hash(one.body) for one in arrived]
    known = _known(transaction, connection, arrived, hashes)
    numbers = {(sender, number) for sender, number, _ in known if number}
    again: dict[int, int] = {}
    fresh: dict[tuple[str, str, bytes], list[Any]] = {}
    kept: list[Kept] = []
    for one, body_hash in zip(arrived, hashes, strict=True):
        key = (one.sender, one.control_id, body_hash)
        if key in known:
            message_id, answer = known[key]
            again[message_id] = again.get(message_id, 0) + 1
            kept.append(Kept(answer, repeated=True))
        elif key in fresh:
            fresh[key][_COLUMNS.index("times_received")] += 1
            kept.append(Kept(fresh[key][_COLUMNS.index("answer")], repeated=True))
        else:
            reused = (one.sender, one.control_id) in numbers
            numbers |= {(one.sender, one.control_id)} if one.control_id else set()
            code, problem = (CONTROL_ID_REUSED, _REUSED) if reused and one.code is None else (one.code, one.problem)
            fresh[key] = [
                connection, one.feed, *key[:2], one.message_type, body_hash, one.body, 1, one.answer, one.state, code,
                problem, one.remedy, at,
            ]  # fmt: skip
            kept.append(Kept(one.answer, repeated=False, reused=reused))
    insert_rows(transaction, hl7_message, _COLUMNS, map(tuple, fresh.values()))
    if again:
        transaction.execute(_AGAIN, [{"id": one, "times": times} for one, times in sorted(again.items())])
    return kept


def _known(
    transaction: sa.Connection, connection: str, arrived: Sequence[ArrivedMessage], hashes: Sequence[bytes]
) -> dict[tuple[str, str, bytes], tuple[int, str]]:
    """Messages that are here and have the control id of one that arrived, or its bytes where it has none."""
    numbered: dict[str, set[Any]] = {}
    unnumbered: dict[str, set[Any]] = {}
    for one, body_hash in zip(arrived, hashes, strict=True):
        if one.control_id:
            numbered.setdefault(one.sender, set()).add(one.control_id)
        else:
            unnumbered.setdefault(one.sender, set()).add(body_hash)
    found: dict[tuple[str, str, bytes], tuple[int, str]] = {}
    wanted = [(_SAME_NUMBER, sender, sorted(numbers)) for sender, numbers in numbered.items()]
    wanted += [(_WITHOUT_NUMBER, sender, sorted(these)) for sender, these in unnumbered.items()]
    for query, sender, keys in wanted:
        for row in query.by_keys(transaction, keys, at=connection, sender=sender):
            found[sender, row[1], bytes(row[2])] = (row[0], row[3])
    return found


def oldest_received(transaction: sa.Connection, connection: str, most: int) -> list[tuple[int, bytes]]:
    """(message id, exact bytes) of the oldest messages that are not applied yet, in order of arrival."""
    return [(message_id, bytes(body)) for message_id, body in _OLDEST.rows(transaction, at=connection, most=most)]


def lock_received(transaction: sa.Connection, connection: str, message_ids: Sequence[int]) -> bool:
    """Whether these are still the oldest messages that are not applied, held so until the transaction's end."""
    query = (
        sa.select(hl7_message.c.message_id)
        .where(hl7_message.c.connection == connection, hl7_message.c.state == RECEIVED)
        .order_by(hl7_message.c.message_id)
        .limit(len(message_ids))
        .with_for_update()
    )
    return list(transaction.execute(query).scalars()) == list(message_ids)


def end_messages(transaction: sa.Connection, ended: Iterable[Ended], at: datetime) -> None:
    """Say what became of messages. What was remarkable of one at its arrival stays where nothing newer is said."""
    plain, told = [], []
    for one in ended:
        if one.code is None:
            plain.append((one.message_id, one.state, at))
        else:
            told.append((one.message_id, one.state, one.code, one.problem, one.remedy, at))
    update_rows(transaction, hl7_message, ["message_id"], ["state", "applied_at"], plain)
    update_rows(
        transaction, hl7_message, ["message_id"], ["state", "code", "problem", "remedy", "applied_at"], told
    )  # fmt: skip


def replay_messages(
    transaction: sa.Connection, connection: str | None = None, message_ids: Sequence[int] | None = None
) -> int:
    """Dead messages are applied once more: with the ids, or all of the connection. Returns how many."""
    change = hl7_message.update().where(hl7_message.c.state == DEAD)
    if connection is not None:
        change = change.where(hl7_message.c.connection == connection)
    if message_ids is not None:
        change = change.where(hl7_message.c.message_id.in_(message_ids))
    again = change.values(state=RECEIVED, code=None, problem=None, remedy=None, applied_at=None)
    return int(transaction.execute(again).rowcount)


def list_messages(
    transaction: sa.Connection, connection: str | None = None, state: str | None = None, limit: int = 50
) -> list[ListedMessage]:
    """The newest first."""
    query = sa.select(*_LISTED).order_by(hl7_message.c.message_id.desc()).limit(limit)
    if connection is not None:
        query = query.where(hl7_message.c.connection == connection)
    if state is not None:
        query = query.where(hl7_message.c.state == state)
    return [ListedMessage(*row) for row in transaction.execute(query)]


def read_stored(transaction: sa.Connection, message_id: int) -> tuple[ListedMessage, bytes] | None:
    """A message and its exact bytes."""
    query = sa.select(*_LISTED, hl7_message.c.body).where(hl7_message.c.message_id == message_id)
    row = transaction.execute(query).first()
    return None if row is None else (ListedMessage(*row[:-1]), bytes(row.body))


def count_messages(transaction: sa.Connection, connection: str) -> dict[str, int]:
    """Messages of a connection by state."""
    query = (
        sa.select(hl7_message.c.state, sa.func.count())
        .where(hl7_message.c.connection == connection)
        .group_by(hl7_message.c.state)
    )
    return {row[0]: row[1] for row in transaction.execute(query)}
