"""The patient index: every Patient record is put to a person, and joined with others by exact trusted identifiers.

Law: what is looked at follows from the records themselves, so whatever a killed or failed run left out, the next one
finds; records are read, never changed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from holovitals_pipelines.engine.identity.memberships import POLICY, Decision
from holovitals_pipelines.engine.identity.proposing import propose
from holovitals_pipelines.engine.identity.regroup import regroup
from holovitals_pipelines.engine.identity.told import told_by_vendors
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store import persons
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.person_rows import write_rows
from holovitals_pipelines.store.persons import Member, Unindexed
from holovitals_pipelines.sync.identity.demographics import NOBODY, Demographics, read_demographics
from holovitals_pipelines.sync.identity.grouping import WIDELY_SHARED
from holovitals_pipelines.sync.identity.trust import Trust, trust_in

BATCH = 2_000
Write = Callable[[], AbstractContextManager[sa.Connection]]


@dataclass(frozen=True, slots=True)
class Indexed:
    """What came of it, in records; `proposed` in pairs."""

    looked_at: int = 0
    joined: int = 0
    left: int = 0
    proposed: int = 0
    widely_shared: int = 0
    """Identifier values that more records have than one person can: they join nothing."""


def trust_of(settings: Settings) -> Trust:
    return trust_in(settings.identity_systems.split())


def index_patients(database: Database, trust: Trust, *, write: Write | None = None, again: bool = False) -> Indexed:
    """Look at every Patient record that changed since it was last looked at; `again`: at all of them.

    `write` opens the transactions, by default the database's own.
    """
    with database.read() as transaction:
        waiting = persons.all_patients(transaction) if again else persons.unindexed(transaction)
    total = Indexed()
    for start in range(0, len(waiting), BATCH):
        with (write or database.write)() as transaction:
            persons.lock_identity(transaction)
            total = _sum(total, _index(transaction, waiting[start : start + BATCH], trust))
    return total


def _index(transaction: sa.Connection, rows: Sequence[Unindexed], trust: Trust) -> Indexed:
    now = datetime.now(UTC)
    bodies = get_documents(transaction, {row.document_hash for row in rows})
    said = {
        row.record_id: read_demographics(bodies[row.document_hash]) if row.state == "active" else NOBODY for row in rows
    }
    before = persons.members(transaction, said)
    after = [_member(row, before.get(row.record_id), said[row.record_id], now) for row in rows]
    persons.put_members(transaction, after)
    keys_before = persons.identifiers_of(transaction, said)
    keys = {record_id: trust.keys(demographics) for record_id, demographics in said.items()}
    other_keys = [one for one in sorted(keys) if keys[one] != keys_before.get(one, frozenset())]
    persons.replace_identifiers(transaction, other_keys, [(one, *key) for one in other_keys for key in keys[one]])
    news = {one.record_id for one in after if _says_otherwise(before.get(one.record_id), one)} | set(other_keys)
    # Who shared an identifier with a record until now may be free of a dispute.
    dropped = {key[1] for one in other_keys for key in keys_before.get(one, ())}
    dropped -= persons.widely_shared(transaction, dropped, WIDELY_SHARED)
    write_rows(transaction, {one.patient_key for one in after if one.record_id in news})
    decision = Decision(str(uuid.uuid4()), "join", POLICY, now)
    seeds = news | persons.holders(transaction, dropped)
    found = regroup(transaction, seeds, decision, known=said, changed=frozenset(news))
    told = propose(transaction, told_by_vendors(transaction, {one: said[one] for one in news & said.keys()}), now)
    return Indexed(len(rows), found.joined, found.left, found.proposed + told, found.widely_shared)


def _member(row: Unindexed, before: Member | None, said: Demographics, now: datetime) -> Member:
    digest = said.digest()
    if before is not None:
        return before._replace(state=row.state, document_hash=row.document_hash, demographics_hash=digest)
    return Member(
        row.record_id, row.record_id, row.origin, "alone", None, POLICY, now, row.state, row.document_hash, digest
    )


def _says_otherwise(before: Member | None, after: Member) -> bool:
    return before is None or (before.demographics_hash, before.state) != (after.demographics_hash, after.state)


def _sum(one: Indexed, other: Indexed) -> Indexed:
    return Indexed(*(getattr(one, name) + getattr(other, name) for name in Indexed.__dataclass_fields__))
