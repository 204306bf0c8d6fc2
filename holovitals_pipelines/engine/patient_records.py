"""Everything the store holds of one person, whichever vendor told it, and every version of it.

Law: nothing here changes anything. Who is one person is what identity decided; nothing is guessed from names here.

Vendors' records name a patient by the vendor's id, so they are found by reading what is linked at the person's
connections: a hundredth of a millisecond a record.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store import persons
from holovitals_pipelines.store.bulk import fetch_by_keys
from holovitals_pipelines.store.conflicts import OPEN
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.tables import link, patient_member, record, record_version, sync_conflict

NOT_OF_ONE_PATIENT = ("Group", "HealthcareService", "Location", "Medication", "Organization", "Patient", "Practitioner",
                      "PractitionerRole")  # fmt: skip
LOCAL = "local"
"""Where a record is from that no connection knows."""
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A person without content."""

    patient_key: str
    records: int
    """Patient records."""
    connections: int
    versions: int
    """Of these records, all together: more than records where something has changed."""
    open_conflicts: int


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """One version of a record; `body` is exact JSON, of a deleted record its last."""

    record_id: str
    resource_type: str
    connection: str
    version: int
    state: str
    changed_by: str
    at: datetime
    """When it became so here; it was so until the next version."""
    body: bytes


def known_persons(transaction: sa.Connection, limit: int) -> list[KnownPerson]:
    """Those known at the most connections first; among these, those with conflicts and changes."""
    c = patient_member.c
    waiting = (
        sa.select(sync_conflict.c.record_id, sa.func.count().label("conflicts"))
        .where(sync_conflict.c.status.in_(OPEN), sync_conflict.c.resource_type == "Patient")
        .group_by(sync_conflict.c.record_id)
        .subquery()
    )
    counts = (
        sa.func.count().label("records"),
        sa.func.count(c.connection.distinct()).label("connections"),
        sa.func.sum(record.c.version).label("versions"),
        sa.func.coalesce(sa.func.sum(waiting.c.conflicts), 0).label("open_conflicts"),
    )
    query = (
        sa.select(c.patient_key, *counts)
        .join(record, record.c.record_id == c.record_id)
        .outerjoin(waiting, waiting.c.record_id == c.record_id)
        .where(c.state == "active")
        .group_by(c.patient_key)
        .order_by(*(sa.desc(name) for name in ("connections", "open_conflicts", "versions")), c.patient_key)
        .limit(limit)
    )
    return [KnownPerson(row[0], row[1], row[2], int(row[3]), int(row[4])) for row in transaction.execute(query)]


def person_key(transaction: sa.Connection, beginning: str) -> str:
    """The key that begins so. Raises StoreError (`person.unknown`, `person.ambiguous`)."""
    c = patient_member.c
    query = sa.select(c.patient_key).where(c.patient_key.startswith(beginning, autoescape=True)).distinct().limit(2)
    found = [str(key) for key in transaction.execute(query).scalars()] if beginning else []
    if len(found) == 1:
        return found[0]
    code, said = ("ambiguous", "several persons' keys begin so") if found else ("unknown", "there is no such person")
    raise StoreError(said, code=f"person.{code}", remedy="see the keys: desk.patients() in a notebook")


def versions_of_person(transaction: sa.Connection, patient_key: str) -> list[HeldVersion]:
    """Every version of every record of the person, Patient records first, then by type, record and version."""
    members = persons.members_of(transaction, [patient_key]).get(patient_key, [])
    origins = {one.record_id: one.connection for one in members}
    origins |= _records_naming(transaction, list(origins))
    return sorted(
        versions_of(transaction, origins),
        key=lambda one: (one.resource_type != "Patient", one.resource_type, one.record_id, one.version),
    )


def versions_of(transaction: sa.Connection, origins: dict[str, str]) -> list[HeldVersion]:
    """Every version of these records; `origins` says of each which connection it is from."""
    ids = sorted(origins)
    c, v = record.c, record_version.c
    now = sa.select(c.record_id, c.version, c.state, c.changed_by, c.updated_at, c.document_hash, c.resource_type)
    rows = [row for part in fetch_by_keys(transaction, now, c.record_id, ids) for row in part]
    types = {row[0]: row[6] for row in rows}
    before = sa.select(v.record_id, v.version, v.state, v.changed_by, v.at, v.document_hash)
    rows += [row for part in fetch_by_keys(transaction, before, v.record_id, ids) for row in part]
    bodies = get_documents(transaction, list({bytes(row[5]) for row in rows}))
    return [
        HeldVersion(record_id, types[record_id], origins[record_id], version, state, by, at, bodies[bytes(address)])
        for record_id, version, state, by, at, address, *_ in rows
    ]


def _records_naming(transaction: sa.Connection, patients: list[str]) -> dict[str, str]:
    """The records that name one of these Patient records, with the connection each is from."""
    named: dict[str, list[bytes]] = defaultdict(list)
    query = sa.select(link.c.connection, link.c.remote_id).where(
        link.c.record_id.in_(patients), link.c.remote_id.is_not(None)
    )
    for connection, remote_id in transaction.execute(query):
        named[connection].append(f'Patient/{remote_id}"'.encode())
    found: dict[str, str] = {}
    for connection, references in named.items():
        for candidates in _linked(transaction, connection):
            found |= dict.fromkeys(_naming(transaction, candidates, references), connection)
    own = [f'Patient/{record_id}"'.encode() for record_id in patients]
    return dict.fromkeys(_naming(transaction, _unlinked(transaction), own), LOCAL) | found


Candidates = list[tuple[str, bytes]]


def _linked(transaction: sa.Connection, connection: str) -> Iterator[Candidates]:
    c = link.c
    kinds = sa.select(c.resource_type).where(c.connection == connection, c.resource_type.not_in(NOT_OF_ONE_PATIENT))
    for resource_type in transaction.execute(kinds.distinct()).scalars().all():
        after = ""
        while True:
            query = (
                sa.select(c.link_id, record.c.record_id, record.c.document_hash)
                .join(record, record.c.record_id == c.record_id)
                .where(c.connection == connection, c.resource_type == resource_type, c.link_id > after)
                .order_by(c.link_id)
                .limit(_CHUNK)
            )
            rows = transaction.execute(query).all()
            yield [(row.record_id, bytes(row.document_hash)) for row in rows]
            if len(rows) < _CHUNK:
                break
            after = rows[-1].link_id


def _unlinked(transaction: sa.Connection) -> Candidates:
    linked = sa.select(link.c.link_id).where(link.c.record_id == record.c.record_id).exists()
    query = sa.select(record.c.record_id, record.c.document_hash).where(
        ~linked, record.c.resource_type.not_in(NOT_OF_ONE_PATIENT)
    )
    return [(row.record_id, bytes(row.document_hash)) for row in transaction.execute(query)]


def _naming(transaction: sa.Connection, candidates: Candidates, references: Iterable[bytes]) -> list[str]:
    bodies = get_documents(transaction, [address for _, address in candidates]) if candidates else {}
    wanted = tuple(references)
    return [record_id for record_id, address in candidates if any(one in bodies[address] for one in wanted)]
