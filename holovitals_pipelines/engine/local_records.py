"""The local side of a record: read it, create it, change it against the version that was seen, delete it, put it back.

Law: every change here is logged with its before-image and marks the record's links, so that it flows out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.fhir.canonical import HASH_VERSION, canonical_hash, content_hash
from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.fhir.validation import explain
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.store import audit, decided
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.decided import LinkRow, RecordRow
from holovitals_pipelines.store.dirty import Reason, mark_links, mark_links_of_record
from holovitals_pipelines.store.documents import get_document, put_documents, queue_for_documents
from holovitals_pipelines.store.tables import link, record, record_version


@dataclass(frozen=True, slots=True)
class LocalRecord:
    """A record as it stands here; `body` is the exact JSON, of a deleted one its last."""

    record_id: str
    resource_type: str
    version: int
    state: str
    body: bytes


@dataclass(frozen=True, slots=True)
class RecordVersion:
    """One version of a record, newest first in a history."""

    version: int
    state: str
    changed_by: str
    at: datetime
    document_hash: bytes


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


def read_record(database: Database, record_id: str, *, version: int | None = None) -> LocalRecord:
    """A record as it is, or as it was in `version`. Raises StoreError (`record.unknown`)."""
    with database.read() as transaction:
        current = _read(transaction, record_id)
        if version is None or version == current.version:
            return current
        query = sa.select(record_version).where(
            record_version.c.record_id == record_id, record_version.c.version == version
        )
        row = transaction.execute(query).one_or_none()
        if row is None:
            raise StoreError(
                f"the record has no version {version}",
                code="record.unknown_version",
                remedy="see the versions: holovitals records history",
            )
        body = get_document(transaction, bytes(row.document_hash))
        return LocalRecord(record_id, current.resource_type, row.version, row.state, body)


def history_of(database: Database, record_id: str) -> list[RecordVersion]:
    """Every version, newest first. Raises StoreError for an unknown record."""
    with database.read() as transaction:
        row = _row(transaction, record_id)
        now = RecordVersion(row.version, row.state, row.changed_by, row.updated_at, bytes(row.document_hash))
        query = (
            sa.select(record_version)
            .where(record_version.c.record_id == record_id)
            .order_by(record_version.c.version.desc())
        )
        return [now] + [
            RecordVersion(r.version, r.state, r.changed_by, r.at, bytes(r.document_hash))
            for r in transaction.execute(query)
        ]


def edit_record(
    database: Database, record_id: str, body: bytes, *, seen_version: int, actor: str, action: str = "edit"
) -> LocalRecord:
    """Make `body` the record's next version, if it still has the version its editor saw. A deleted one comes back.

    Raises StoreError (`record.changed`, `record.invalid`, `record.unknown`); nothing is changed then.
    """
    with database.write() as transaction:
        queue_for_documents(transaction)
        current = _read(transaction, record_id, lock=True)
        _refuse_unseen(current, seen_version)
        # What is edited here is meant for the vendor: it passes both tiers.
        _refuse_invalid(body, current.resource_type)
        if current.state == "active" and current.body == body:
            return current
        return _change(transaction, current, body, "active", actor, action)


def delete_record(database: Database, record_id: str, *, seen_version: int, actor: str) -> LocalRecord:
    """Delete the record here, if it still has the version that was seen; its versions stay readable.

    Raises StoreError (`record.changed`, `record.unknown`); nothing is changed then.
    """
    with database.write() as transaction:
        queue_for_documents(transaction)
        current = _read(transaction, record_id, lock=True)
        _refuse_unseen(current, seen_version)
        if current.state == "deleted":
            return current
        return _change(transaction, current, current.body, "deleted", actor, "delete")


def create_record(
    database: Database, resource_type: str, body: bytes, *, connections: Sequence[str], actor: str
) -> LocalRecord:
    """A new record of local origin, to be created at each of `connections`.

    Raises StoreError (`record.invalid`); nothing is stored then.
    """
    if resource_type not in RESOURCE_TYPES:
        raise StoreError(
            f"{resource_type} is no resource type of FHIR R4", code="record.invalid", remedy="check the spelling"
        )
    _refuse_invalid(body, resource_type)
    now = datetime.now(UTC)
    record_id = uuid4().hex
    row = RecordRow(record_id, 1, "active", content_hash(body), canonical_hash(body), HASH_VERSION, actor, now)
    links = [
        LinkRow(link_id_of(name, resource_type, f"new:{record_id}"), name, resource_type, None, record_id,
                "pending", actor, now)
        for name in connections
    ]  # fmt: skip
    with database.write() as transaction:
        put_documents(transaction, [(row.document_hash, body)])
        decided.add_records(transaction, [(row, resource_type, "local")])
        decided.put_links(transaction, links)
        mark_links(transaction, [(r.link_id, r.connection, resource_type, None) for r in links], Reason.LOCAL, now)
        entry = audit.Entry(
            action="create", actor=actor, record_id=record_id, after_document=row.document_hash,
            before_version=0, after_version=1,
        )  # fmt: skip
        audit.append(transaction, [entry], at=now)
        return _read(transaction, record_id)


def _change(
    transaction: sa.Connection, current: LocalRecord, body: bytes, state: str, actor: str, action: str
) -> LocalRecord:
    now = datetime.now(UTC)
    before, after = content_hash(current.body), content_hash(body)
    put_documents(transaction, [(after, body)])
    row = RecordRow(
        current.record_id, current.version + 1, state, after, canonical_hash(body), HASH_VERSION, actor, now
    )
    decided.change_records(transaction, [row], job_id=None)
    mark_links_of_record(transaction, current.record_id, Reason.LOCAL, now, revived=current.state == "deleted")
    entry = audit.Entry(
        action=action,
        actor=actor,
        record_id=current.record_id,
        before_document=before if current.state == "active" else None,
        after_document=after if state == "active" else None,
        before_version=current.version,
        after_version=current.version + 1,
    )
    audit.append(transaction, [entry], at=now)
    return _read(transaction, current.record_id)


def _refuse_unseen(current: LocalRecord, seen_version: int) -> None:
    if current.version != seen_version:
        raise StoreError(
            f"the record has version {current.version}, the change was made on {seen_version}",
            code="record.changed",
            remedy="read it again and repeat the change",
        )


def _refuse_invalid(body: bytes, resource_type: str) -> None:
    issues = [i for i in explain(body, resource_type) if i.severity is ErrorSeverity.ERROR]
    if issues:
        raise StoreError(f"{issues[0].path}: {issues[0].message}", code="record.invalid", remedy=issues[0].remedy)


def _row(transaction: sa.Connection, record_id: str, *, lock: bool = False) -> sa.Row[tuple[object, ...]]:
    query = sa.select(record).where(record.c.record_id == record_id)
    row = transaction.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise StoreError("there is no record of this id", code="record.unknown", remedy="check the id")
    return row


def _read(transaction: sa.Connection, record_id: str, *, lock: bool = False) -> LocalRecord:
    row = _row(transaction, record_id, lock=lock)
    body = get_document(transaction, bytes(row.document_hash))
    return LocalRecord(row.record_id, row.resource_type, row.version, row.state, body)
