"""Patients of several connections put straight into the store, and what the index makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.identity.index import Indexed, index_patients
from holovitals_pipelines.fhir.canonical import HASH_VERSION, content_hash
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.connections import remember_connections
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.decided import LinkRow, RecordRow, add_records, put_links
from holovitals_pipelines.store.documents import put_documents
from holovitals_pipelines.store.person_rows import stored_rows
from holovitals_pipelines.store.tables import patient_member, patient_proposal, record
from holovitals_pipelines.sync.identity.trust import US_SSN, trust_in

TRUST = trust_in([US_SSN])
PROVIDERS = {
    "epic": Provider.EPIC, "cerner": Provider.CERNER, "athena": Provider.ATHENAHEALTH, "clinic": Provider.FHIR,
}  # fmt: skip


def ann(ssn: str | None = "219-44-1234", **more: Any) -> dict[str, Any]:
    """The same woman wherever she is met, unless told otherwise."""
    identifier = [{"system": US_SSN, "value": ssn}] if ssn else []
    return {
        "name": [{"use": "official", "family": "Okafor", "given": ["Ann"]}],
        "birthDate": "1961-04-09",
        "gender": "female",
        "identifier": identifier,
        **more,
    }


class Persons:
    """A store with connections, and short ways to fill it and to look into it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        configured = [
            ConnectionConfig(name=name, provider=provider, base_url="http://127.0.0.1:9/x")
            for name, provider in PROVIDERS.items()
        ]
        with database.write() as transaction:
            remember_connections(transaction, configured)

    def take_in(self, patients: Iterable[tuple[str, str, dict[str, Any]]]) -> list[str]:
        """(connection, remote id, content) as a sync would have brought them; their record ids."""
        now = datetime.now(UTC)
        ids = []
        with self.database.write() as transaction:
            for connection, remote_id, content in patients:
                body = json.dumps({"resourceType": "Patient", "id": remote_id, **content}).encode()
                address, record_id = content_hash(body), link_id_of(connection, "Patient", remote_id)
                put_documents(transaction, [(address, body)])
                row = RecordRow(record_id, 1, "active", address, address, HASH_VERSION, connection, now)
                add_records(transaction, [(row, "Patient", connection)])
                put_links(
                    transaction,
                    [LinkRow(record_id, connection, "Patient", remote_id, record_id, "active", "sync", now)],
                )
                ids.append(record_id)
        return ids

    def now(self, record_id: str, content: dict[str, Any] | None) -> None:
        """The record says something else, or (None) is deleted."""
        body = json.dumps({"resourceType": "Patient", **(content or {})}).encode()
        values = {"document_hash": content_hash(body), "state": "active"} if content else {"state": "deleted"}
        with self.database.write() as transaction:
            put_documents(transaction, [(content_hash(body), body)])
            transaction.execute(sa.update(record).where(record.c.record_id == record_id).values(values))

    def index(self, *, again: bool = False) -> Indexed:
        return index_patients(self.database, TRUST, again=again)

    def memberships(self) -> dict[str, tuple[str, str, str | None]]:
        """By record: person, how, identifier system."""
        c = patient_member.c
        with self.database.read() as transaction:
            rows = transaction.execute(sa.select(c.record_id, c.patient_key, c.how, c.identifier_system))
            return {row[0]: (row[1], row[2], row[3]) for row in rows}

    def person(self, record_id: str) -> str:
        return self.memberships()[record_id][0]

    def groups(self) -> set[frozenset[str]]:
        found: dict[str, set[str]] = {}
        for record_id, (key, _, _) in self.memberships().items():
            found.setdefault(key, set()).add(record_id)
        return {frozenset(ids) for ids in found.values()}

    def proposals(self, state: str = "open") -> dict[frozenset[str], Any]:
        """By the two records, the open proposals."""
        query = sa.select(patient_proposal).where(patient_proposal.c.state == state)
        with self.database.read() as transaction:
            return {frozenset((row.record_id, row.other_id)): row for row in transaction.execute(query)}

    def rows(self) -> list[tuple[Any, ...]]:
        with self.database.read() as transaction:
            return list(stored_rows(transaction))
