"""Persons and proposals as people find them: lists without content, and one of them side by side.

Law: nothing here changes anything; only `show_person` and `show_proposal` open bodies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.identity.decisions import code_of
from holovitals_pipelines.engine.identity.proposing import (
    COLUMNS,
    OPEN,
    Proposal,
    get_proposal,
    proposal_of_row,
)
from holovitals_pipelines.engine.record_view import find_record_id
from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store import persons
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.person_rows import VendorId, several_ids, vendor_ids
from holovitals_pipelines.store.persons import HistoryRow, Member
from holovitals_pipelines.store.tables import patient, patient_member, patient_proposal

SHOWN_ELEMENTS = (
    "name",
    "birthDate",
    "gender",
    "identifier",
    "telecom",
    "address",
    "deceasedDateTime",
    "active",
    "link",
)


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """A person without content: how many records, of which connections, and on what they were joined."""

    patient_key: str
    records: int
    connections: tuple[str, ...]
    how: tuple[str, ...]
    last_synced_at: datetime | None


@dataclass(frozen=True, slots=True)
class ShownPerson:
    """**Holds health data**: the elements by which people tell who somebody is, of every record."""

    patient_key: str
    members: tuple[Member, ...]
    ids: tuple[VendorId, ...]
    elements: Mapping[str, Mapping[str, Any]]
    """By record id."""
    history: tuple[HistoryRow, ...]


@dataclass(frozen=True, slots=True)
class ShownProposal:
    proposal: Proposal
    persons: tuple[ShownPerson, ShownPerson]

    @property
    def revision(self) -> str:
        return code_of(self.proposal.revision)


def list_persons(
    database: Database, *, connection: str | None = None, several: bool = False, limit: int = 50
) -> list[ListedPerson]:
    """Persons with the most records first; `several`: only those whom a vendor knows by several ids."""
    count = sa.func.count().label("records")
    query = sa.select(patient_member.c.patient_key, count).where(patient_member.c.state == "active")
    if connection is not None:
        at = sa.select(patient_member.c.patient_key).where(patient_member.c.connection == connection)
        query = query.where(patient_member.c.patient_key.in_(at))
    query = query.group_by(patient_member.c.patient_key).order_by(count.desc(), patient_member.c.patient_key)
    with database.read() as transaction:
        if several:
            keys = sorted({key for key, _, _ in several_ids(transaction, limit)})
            query = query.where(patient_member.c.patient_key.in_(keys))
        found = [row[0] for row in transaction.execute(query.limit(limit))]
        members = persons.members_of(transaction, found)
        synced: dict[str, datetime | None] = dict(
            tuple(row)
            for row in transaction.execute(
                sa.select(patient.c.patient_key, patient.c.last_synced_at).where(patient.c.patient_key.in_(found))
            )
        )
    return [_listed(key, members[key], synced.get(key)) for key in found]


def _listed(key: str, members: Sequence[Member], synced: datetime | None) -> ListedPerson:
    living = [member for member in members if member.state == "active"]
    connections = sorted({member.connection for member in living})
    return ListedPerson(key, len(living), tuple(connections), tuple(sorted({one.how for one in living})), synced)


def find_person(database: Database, name: str) -> str:
    """The key of the person meant: the beginning of a key, or a record by any of its names.

    Raises StoreError (`person.unknown`, `person.ambiguous`).
    """
    query = (
        sa.select(patient_member.c.patient_key)
        .where(patient_member.c.patient_key.startswith(name, autoescape=True))
        .distinct()
        .limit(2)
    )
    with database.read() as transaction:
        found = list(transaction.execute(query).scalars()) if name and "/" not in name else []
    if len(found) == 1:
        return str(found[0])
    if found:
        raise StoreError("several persons are meant by that", code="person.ambiguous", remedy="give more of the key")
    try:
        record_id = find_record_id(database, name)
        with database.read() as transaction:
            return persons.members(transaction, [record_id])[record_id].patient_key
    except (StoreError, KeyError):
        raise StoreError(
            "no person is meant by that",
            code="person.unknown",
            remedy="see the keys: holovitals patients list; a record of type Patient names its person too",
        ) from None


def show_person(database: Database, patient_key: str) -> ShownPerson:
    """**Health data.** Raises StoreError (`person.unknown`)."""
    with database.read() as transaction:
        return _shown(transaction, patient_key)


def show_proposal(database: Database, proposal_id: str) -> ShownProposal:
    """**Health data.** Both persons as they are now. Raises StoreError (`proposal.unknown`)."""
    with database.read() as transaction:
        proposal = get_proposal(transaction, proposal_id)
        members = persons.members(transaction, [proposal.record_id, proposal.other_id])
        one, other = (
            _shown(transaction, members[name].patient_key) for name in (proposal.record_id, proposal.other_id)
        )
    return ShownProposal(proposal, (one, other))


def list_proposals(
    database: Database, *, state: str = OPEN, grounds: str | None = None, limit: int = 50
) -> list[Proposal]:
    """The best founded first: what vendors and identifiers say, then by score."""
    c = patient_proposal.c
    query = sa.select(*COLUMNS).where(c.state == state)
    if grounds is not None:
        query = query.where(c.grounds == grounds)
    query = query.order_by(c.score.is_not(None), c.score.desc(), c.proposed_at, c.proposal_id).limit(limit)
    with database.read() as transaction:
        return [proposal_of_row(row) for row in transaction.execute(query)]


def find_proposal(database: Database, beginning: str) -> str:
    """The id of the one proposal whose id begins so. Raises StoreError (`proposal.unknown`, `proposal.ambiguous`)."""
    c = patient_proposal.c.proposal_id
    with database.read() as transaction:
        found = list(
            transaction.execute(sa.select(c).where(c.startswith(beginning, autoescape=True)).limit(2)).scalars()
        )
    if len(found) == 1:
        return str(found[0])
    said = "several proposals have ids that begin so" if found else "there is no such proposal"
    raise StoreError(
        said,
        code="proposal.ambiguous" if found else "proposal.unknown",
        remedy="see the ids: holovitals patients proposals",
    )


def _shown(transaction: sa.Connection, patient_key: str) -> ShownPerson:
    members = persons.members_of(transaction, [patient_key]).get(patient_key)
    if not members:
        raise StoreError(
            "there is no such person", code="person.unknown", remedy="see who there is: holovitals patients list"
        )
    bodies = get_documents(transaction, {member.document_hash for member in members})
    ids = vendor_ids(transaction, [patient_key]).get(patient_key, [])
    history = persons.history_of(transaction, [member.record_id for member in members])
    elements = {member.record_id: _elements(bodies[member.document_hash]) for member in members}
    return ShownPerson(patient_key, tuple(members), tuple(ids), elements, tuple(history))


def _elements(body: bytes) -> dict[str, Any]:
    try:
        document = read_document(body)
    except MalformedResource:
        return {}
    return {name: document[name] for name in SHOWN_ELEMENTS if name in document}
