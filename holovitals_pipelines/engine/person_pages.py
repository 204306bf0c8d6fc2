"""Persons page by page, and one with every record of theirs: who somebody is across connections, without content.

Law: nothing here opens a body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.paging import Page, page_of, place_of
from holovitals_pipelines.store import persons
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.person_rows import VendorId, vendor_ids
from holovitals_pipelines.store.persons import Member
from holovitals_pipelines.store.tables import ehr_connection, link, patient, patient_member

_KIND = "patients"


@dataclass(frozen=True, slots=True)
class Person:
    """A row of the patient table, with what it is made of."""

    patient_key: str
    last_synced_at: datetime | None
    members: tuple[Member, ...]
    """Records of type Patient, those that are gone among them."""
    ids: tuple[VendorId, ...]


def person_page(
    database: Database, *, connection: str | None = None, remote_id: str | None = None, cursor: str | None, limit: int
) -> Page[Person]:
    """Persons in the order of their keys: of one connection, or whom a vendor knows by this id, or all.

    Raises StoreError (`page.cursor_invalid`).
    """
    c = patient_member.c
    query = sa.select(c.patient_key).where(c.state == "active")
    at = sa.select(link.c.link_id).where(link.c.record_id == c.record_id)
    if connection is not None:
        at = at.where(link.c.connection == connection)
    if remote_id is not None:  # a link is found by the hash of what it joins, without looking through all of them
        names = sa.select(ehr_connection.c.name)
        with database.read() as transaction:
            known: list[str] = list(transaction.execute(names).scalars())
        at = at.where(link.c.link_id.in_([link_id_of(name, "Patient", remote_id) for name in known]))
    if connection is not None or remote_id is not None:
        query = query.where(at.exists())
    if cursor is not None:
        query = query.where(c.patient_key > place_of(cursor, _KIND, str)[0])
    query = query.distinct().order_by(c.patient_key).limit(limit + 1)
    with database.read() as transaction:
        found = _persons(transaction, list(transaction.execute(query).scalars()))
    return page_of(found, limit, _KIND, lambda one: (one.patient_key,))


def person_of(database: Database, patient_key: str) -> Person:
    """Raises StoreError (`person.unknown`)."""
    with database.read() as transaction:
        found = _persons(transaction, [patient_key])
    if not found[0].members:
        raise StoreError("there is no such person", code="person.unknown", remedy="GET /api/patients lists the keys")
    return found[0]


def _persons(transaction: sa.Connection, keys: Sequence[str]) -> list[Person]:
    members = persons.members_of(transaction, keys)
    ids = vendor_ids(transaction, keys)
    query = sa.select(patient.c.patient_key, patient.c.last_synced_at).where(patient.c.patient_key.in_(keys))
    synced: dict[str, datetime | None] = {row.patient_key: row.last_synced_at for row in transaction.execute(query)}
    return [Person(key, synced.get(key), tuple(members.get(key, ())), tuple(ids.get(key, ()))) for key in keys]
