"""Persons and the Patient records that are theirs: set-wise reading and writing of memberships and what they rest on.

Law: whoever changes memberships holds `lock_identity` until the transaction ends, and adds to the history what changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from holovitals_pipelines.store.bulk import KEYS_A_QUERY, fetch_by_keys, insert_rows, stream_rows
from holovitals_pipelines.store.prepared import KEYS, Prepared
from holovitals_pipelines.store.tables import (
    link,
    patient_apart,
    patient_history,
    patient_identifier,
    patient_member,
    record,
)

IdentifierKey = tuple[str, bytes]
Pair = tuple[str, str]
_IDENTITY_LOCK = 0x49444E54  # "IDNT"


class Member(NamedTuple):
    """A row of patient_member."""

    record_id: str
    patient_key: str
    connection: str
    how: str
    identifier_system: str | None
    decided_by: str
    at: datetime
    state: str
    document_hash: bytes
    demographics_hash: bytes


class Unindexed(NamedTuple):
    """A Patient record whose body or state is not the one last looked at."""

    record_id: str
    origin: str
    state: str
    document_hash: bytes


class HistoryRow(NamedTuple):
    decision_id: str
    at: datetime
    action: str
    actor: str
    reason: str | None
    record_id: str
    patient_key: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    proposal_id: str | None


def lock_identity(transaction: sa.Connection) -> None:
    """Wait for one's turn to change memberships: two at once could join what only both together would not."""
    if transaction.dialect.name == "postgresql":
        transaction.execute(sa.select(sa.func.pg_advisory_xact_lock(_IDENTITY_LOCK)))


_STATE = sa.case((record.c.state == "active", "active"), else_="gone")


_NEWS = sa.or_(
    patient_member.c.record_id.is_(None),
    patient_member.c.document_hash != record.c.document_hash,
    patient_member.c.state != _STATE,
)


def unindexed(transaction: sa.Connection) -> list[Unindexed]:
    """Every Patient record that is new, changed, deleted or back since it was last looked at, by id."""
    return _patients(transaction, _NEWS)


def changed_since(transaction: sa.Connection, record_ids: Iterable[str]) -> bool:
    """Whether one of a few records is not as it was last looked at."""
    return bool(_patients(transaction, sa.and_(record.c.record_id.in_(sorted(set(record_ids))), _NEWS)))


def all_patients(transaction: sa.Connection) -> list[Unindexed]:
    """Every Patient record, by id."""
    return _patients(transaction, sa.true())


def _patients(transaction: sa.Connection, where: sa.ColumnElement[bool]) -> list[Unindexed]:
    query = (
        sa.select(record.c.record_id, record.c.origin, _STATE, record.c.document_hash)
        .outerjoin(patient_member, patient_member.c.record_id == record.c.record_id)
        .where(record.c.resource_type == "Patient", where)
    )
    found = (row for rows in stream_rows(transaction, query) for row in rows)
    return sorted(Unindexed(row[0], row[1], row[2], bytes(row[3])) for row in found)


_MEMBERS = sa.select(*(patient_member.c[name] for name in Member._fields))
_BY_RECORD = Prepared(_MEMBERS.where(patient_member.c.record_id.in_(KEYS)))
_BY_PERSON = Prepared(_MEMBERS.where(patient_member.c.patient_key.in_(KEYS)))


def members(transaction: sa.Connection, record_ids: Iterable[str]) -> dict[str, Member]:
    """By record id, the memberships there are."""
    return {row[0]: _member(row) for row in _BY_RECORD.by_keys(transaction, sorted(set(record_ids)))}


def members_of(transaction: sa.Connection, patient_keys: Iterable[str]) -> dict[str, list[Member]]:
    """By person, all memberships, by record id."""
    found: dict[str, list[Member]] = defaultdict(list)
    for row in sorted(_BY_PERSON.by_keys(transaction, sorted(set(patient_keys)))):
        found[row[1]].append(_member(row))
    return found


def _member(row: Sequence[Any]) -> Member:
    return Member._make((*row[:8], bytes(row[8]), bytes(row[9])))


def put_members(transaction: sa.Connection, rows: Sequence[Member]) -> None:
    """New memberships; a record that has one gets this instead."""
    insert_rows(transaction, patient_member, Member._fields, rows, on_conflict="update")


# identifiers


_KEYS_OF = Prepared(
    sa.select(patient_identifier.c.record_id, patient_identifier.c.system, patient_identifier.c.value_hash).where(
        patient_identifier.c.record_id.in_(KEYS)
    )
)
_HOLDERS = Prepared(
    sa.select(patient_identifier.c.value_hash, patient_identifier.c.record_id).where(
        patient_identifier.c.value_hash.in_(KEYS)
    )
)
_SHARED_BY = Prepared(
    sa.select(patient_identifier.c.value_hash, sa.func.count())
    .where(patient_identifier.c.value_hash.in_(KEYS))
    .group_by(patient_identifier.c.value_hash)
    .having(sa.func.count() > sa.bindparam("more_than"))
)


def identifiers_of(transaction: sa.Connection, record_ids: Iterable[str]) -> dict[str, frozenset[IdentifierKey]]:
    """By record id, its trusted identifiers; records without any are left out."""
    found: dict[str, set[IdentifierKey]] = defaultdict(set)
    for record_id, system, value_hash in _KEYS_OF.by_keys(transaction, sorted(set(record_ids))):
        found[record_id].add((system, bytes(value_hash)))
    return {record_id: frozenset(keys) for record_id, keys in found.items()}


def widely_shared(transaction: sa.Connection, hashes: Iterable[bytes], more_than: int) -> set[bytes]:
    """Those of the values that more than so many records have."""
    return {bytes(row[0]) for row in _SHARED_BY.by_keys(transaction, sorted(set(hashes)), more_than=more_than)}


def holders(transaction: sa.Connection, hashes: Iterable[bytes]) -> set[str]:
    """Ids of the records that have one of the values."""
    return {row[1] for row in _HOLDERS.by_keys(transaction, sorted(set(hashes)))}


def replace_identifiers(
    transaction: sa.Connection, record_ids: Sequence[str], rows: Sequence[tuple[str, str, bytes]]
) -> None:
    """The identifiers of these records are exactly `rows` (record id, system, hash) from now on."""
    for start in range(0, len(record_ids), KEYS_A_QUERY):
        chunk = record_ids[start : start + KEYS_A_QUERY]
        transaction.execute(patient_identifier.delete().where(patient_identifier.c.record_id.in_(chunk)))
    insert_rows(transaction, patient_identifier, ("record_id", "system", "value_hash"), rows)


# what people said, and where records are linked


_APART = Prepared(
    sa.select(patient_apart.c.record_id, patient_apart.c.other_id).where(patient_apart.c.record_id.in_(KEYS))
)
_CONNECTIONS = Prepared(
    sa.select(link.c.record_id, link.c.connection).where(link.c.record_id.in_(KEYS), link.c.state == "active")
)


def apart_among(transaction: sa.Connection, record_ids: Iterable[str]) -> frozenset[Pair]:
    """Pairs that a person set apart, both of them among the records."""
    wanted = set(record_ids)
    rows = _APART.by_keys(transaction, sorted(wanted))
    return frozenset((one, other) for one, other in rows if other in wanted)


def set_apart(transaction: sa.Connection, pairs: Iterable[Pair], decision_id: str, actor: str, at: datetime) -> None:
    """Pairs that are set apart already keep the decision that did it first."""
    rows = [(*pair, decision_id, actor, at) for pair in sorted(pairs)]
    columns = ("record_id", "other_id", "decision_id", "decided_by", "at")
    insert_rows(transaction, patient_apart, columns, rows, on_conflict="ignore")


def allow_together(transaction: sa.Connection, pairs: Iterable[Pair]) -> None:
    for one, other in sorted(pairs):
        transaction.execute(
            patient_apart.delete().where(patient_apart.c.record_id == one, patient_apart.c.other_id == other)
        )


def connections_of(transaction: sa.Connection, record_ids: Iterable[str]) -> dict[str, set[str]]:
    """By record id, the connections it is linked at now."""
    found: dict[str, set[str]] = defaultdict(set)
    for record_id, connection in _CONNECTIONS.by_keys(transaction, sorted(set(record_ids))):
        found[record_id].add(connection)
    return found


_LINKED = Prepared(sa.select(link.c.link_id, link.c.record_id).where(link.c.link_id.in_(KEYS)))


def records_linked(transaction: sa.Connection, link_ids: Iterable[str]) -> dict[str, str]:
    """By link, the record."""
    return dict(_LINKED.by_keys(transaction, sorted(set(link_ids))))


# history


def add_history(transaction: sa.Connection, rows: Sequence[HistoryRow]) -> None:
    insert_rows(transaction, patient_history, HistoryRow._fields, rows)


def history_of(transaction: sa.Connection, record_ids: Iterable[str]) -> list[HistoryRow]:
    """Everything that happened to the records' memberships, in order."""
    columns = [patient_history.c[name] for name in ("history_id", *HistoryRow._fields)]
    found = fetch_by_keys(transaction, sa.select(*columns), patient_history.c.record_id, sorted(set(record_ids)))
    return [HistoryRow(*row[1:]) for row in sorted((row for rows in found for row in rows), key=lambda row: row[0])]


def history_of_decision(transaction: sa.Connection, decision_id: str) -> list[HistoryRow]:
    columns = [patient_history.c[name] for name in HistoryRow._fields]
    query = sa.select(*columns).where(patient_history.c.decision_id == decision_id)
    return [HistoryRow(*row) for row in transaction.execute(query.order_by(patient_history.c.history_id))]
