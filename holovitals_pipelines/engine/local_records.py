"""The local side of a record: read it, and change it against the version that was seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.fhir.canonical import HASH_VERSION, canonical_hash, content_hash
from holovitals_pipelines.fhir.validation import explain
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.store.agreements import keep_versions
from holovitals_pipelines.store.documents import get_document, put_documents
from holovitals_pipelines.store.tables import link, record


@dataclass(frozen=True, slots=True)
class LocalRecord:
    """A record as it stands here; `body` is the exact JSON."""

    record_id: str
    resource_type: str
    version: int
    state: str
    body: bytes


def record_of(home: Home, connection: str, resource_type: str, remote_id: str) -> LocalRecord:
    """The record linked to a vendor's resource. Raises StoreError when there is none."""
    query = sa.select(link.c.record_id).where(
        link.c.connection == connection, link.c.resource_type == resource_type, link.c.remote_id == remote_id
    )
    with home.database.read() as transaction:
        found = transaction.execute(query).scalar_one_or_none()
        if found is None:
            raise StoreError(
                f"no record is linked to this {resource_type}",
                code="record.unknown",
                place=f"connection {connection}",
                remedy="sync the connection first",
            )
        return _read(transaction, found)


def edit_record(home: Home, record_id: str, body: bytes, *, seen_version: int, actor: str) -> LocalRecord:
    """Make `body` the record's next version, if it still has the version its editor saw; the version before is kept.

    Raises StoreError (`record.changed`, `record.invalid`, `record.unknown`); nothing is changed then.
    """
    with home.database.write() as transaction:
        current = _read(transaction, record_id, lock=True)
        if current.version != seen_version:
            raise StoreError(
                f"the record has version {current.version}, the edit was made on {seen_version}",
                code="record.changed",
                remedy="read it again and repeat the edit",
            )
        # What is edited here is meant for the vendor: it passes both tiers.
        issues = [i for i in explain(body, current.resource_type) if i.severity is ErrorSeverity.ERROR]
        if issues:
            raise StoreError(f"{issues[0].path}: {issues[0].message}", code="record.invalid", remedy=issues[0].remedy)
        keep_versions(transaction, [record_id], job_id=None)
        put_documents(transaction, [(content_hash(body), body)])
        transaction.execute(
            record.update()
            .where(record.c.record_id == record_id)
            .values(
                version=seen_version + 1,
                document_hash=content_hash(body),
                hash=canonical_hash(body),
                hash_version=HASH_VERSION,
                changed_by=actor,
                updated_at=datetime.now(UTC),
            )
        )
        return _read(transaction, record_id)


def _read(transaction: sa.Connection, record_id: str, *, lock: bool = False) -> LocalRecord:
    query = sa.select(record).where(record.c.record_id == record_id)
    row = transaction.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise StoreError("there is no record of this id", code="record.unknown", remedy="check the id")
    return LocalRecord(
        row.record_id, row.resource_type, row.version, row.state, get_document(transaction, bytes(row.document_hash))
    )
