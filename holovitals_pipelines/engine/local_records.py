"""The local side of a record: read it, create it, change it against the version that was seen, delete it, put it back.

Law: every change here is logged with its before-image and marks the record's links, so that it flows out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.people import person_named
from holovitals_pipelines.fhir.canonical import HASH_VERSION, canonical_hash, content_hash
from holovitals_pipelines.fhir.exact import read_document
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
from holovitals_pipelines.store.prepared import Prepared
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
    query = sa.select(link.c.record_id).where(link.c.link_id == link_id_of(connection, resource_type, remote_id))
    with home.database.read() as transaction:
        found = transaction.execute(query).scalar_one_or_none()
        if found is None:
            raise StoreError(
                f"no record is linked to this {resource_type}",
                code="record.unknown",
                place=f"connection {connection}",
                remedy="sync the connection first",
            )
        return read_in(transaction, found)


def read_record(database: Database, record_id: str, *, version: int | None = None) -> LocalRecord:
    """A record as it is, or as it was in `version`. Raises StoreError (`record.unknown`)."""
    with database.read() as transaction:
        current = read_in(transaction, record_id)
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
                place=f"record {record_id}",
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


def edit_record(database: Database, record_id: str, body: bytes, *, seen_version: int, actor: str) -> LocalRecord:
    """Make `body` the record's next version, if it still has the version its editor saw. A deleted one comes back.

    Raises StoreError (`record.changed`, `record.invalid`, `record.unknown`, `actor.invalid`); nothing is changed then.
    """
    current = read_record(database, record_id)
    _refuse_unseen(current, seen_version)
    refuse_invalid(body, current.resource_type)
    _refuse_another_id(body, current)
    with database.write() as transaction:
        current = lock_record(transaction, record_id)
        person = person_named(transaction, actor)
        _refuse_unseen(current, seen_version)
        if current.state == "active" and current.body == body:
            return current
        return change_record(transaction, current, body, person, "edit")[0]


def restore_record(
    database: Database, record_id: str, *, to_version: int, actor: str, seen_version: int | None = None
) -> LocalRecord:
    """Make what the record was in `to_version` its next version; a version that was a deletion deletes it.

    Raises StoreError (`record.unknown`, `record.unknown_version`, `record.changed`, `record.invalid`, `actor.invalid`).
    """
    old = read_record(database, record_id, version=to_version)
    body = old.body if old.state == "active" else None
    if body is not None:
        refuse_invalid(body, old.resource_type)
    with database.write() as transaction:
        current = lock_record(transaction, record_id)
        person = person_named(transaction, actor)
        if seen_version is not None:
            _refuse_unseen(current, seen_version)
        if current.state == old.state and (body is None or current.body == body):
            return current
        return change_record(transaction, current, body, person, "restore", cause=f"version {to_version}")[0]


def delete_record(database: Database, record_id: str, *, seen_version: int, actor: str) -> LocalRecord:
    """Delete the record here, if it still has the version that was seen; its versions stay readable.

    Raises StoreError (`record.changed`, `record.unknown`, `actor.invalid`); nothing is changed then.
    """
    with database.write() as transaction:
        current = lock_record(transaction, record_id)
        person = person_named(transaction, actor)
        _refuse_unseen(current, seen_version)
        if current.state == "deleted":
            return current
        return change_record(transaction, current, None, person, "delete")[0]


def create_record(
    database: Database, resource_type: str, body: bytes, *, connections: Sequence[str], actor: str
) -> LocalRecord:
    """A new record of local origin, to be created at each of `connections`.

    Raises StoreError (`record.invalid`, `actor.invalid`); nothing is stored then.
    """
    if resource_type not in RESOURCE_TYPES:
        raise StoreError(
            "the resource is of no type of FHIR R4", code="record.invalid", remedy="check the spelling of resourceType"
        )
    refuse_invalid(body, resource_type)
    now = datetime.now(UTC)
    record_id = uuid4().hex
    with database.write() as transaction:
        queue_for_documents(transaction)
        person = person_named(transaction, actor)
        row = RecordRow(record_id, 1, "active", content_hash(body), canonical_hash(body), HASH_VERSION, person, now)
        links = [
            LinkRow(link_id_of(name, resource_type, f"new:{record_id}"), name, resource_type, None, record_id,
                    "pending", person, now)
            for name in dict.fromkeys(connections)
        ]  # fmt: skip
        put_documents(transaction, [(row.document_hash, body)])
        decided.add_records(transaction, [(row, resource_type, "local")])
        decided.put_links(transaction, links)
        mark_links(transaction, [(r.link_id, r.connection, resource_type, None) for r in links], Reason.LOCAL, now)
        entry = audit.Entry(
            action="create", actor=person, record_id=record_id, after_document=row.document_hash,
            before_version=0, after_version=1,
        )  # fmt: skip
        audit.append(transaction, [entry], at=now)
        return read_in(transaction, record_id)


# what every change of a record here is made of


def lock_record(transaction: sa.Connection, record_id: str) -> LocalRecord:
    """The record as it is until the transaction ends. Raises StoreError (`record.unknown`)."""
    queue_for_documents(transaction)
    return read_in(transaction, record_id, lock=True)


def change_record(
    transaction: sa.Connection,
    current: LocalRecord,
    body: bytes | None,
    actor: str,
    action: str,
    *,
    cause: str | None = None,
    conflict_id: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> tuple[LocalRecord, int]:
    """The locked record's next version (a body of None deletes it), and the number of the entry that tells of it."""
    now = datetime.now(UTC)
    kept = current.body if body is None else body
    address = content_hash(kept)
    put_documents(transaction, [(address, kept)])
    row = RecordRow(
        current.record_id,
        current.version + 1,
        "deleted" if body is None else "active",
        address,
        canonical_hash(kept),
        HASH_VERSION,
        actor,
        now,
    )
    decided.change_records(transaction, [row], job_id=None)
    mark_links_of_record(transaction, current.record_id, Reason.LOCAL, now, revived=current.state == "deleted")
    entry = audit.Entry(
        action=action,
        actor=actor,
        record_id=current.record_id,
        conflict_id=conflict_id,
        before_document=content_hash(current.body) if current.state == "active" else None,
        after_document=address if body is not None else None,
        before_version=current.version,
        after_version=row.version,
        cause=cause,
        detail=detail,
    )
    seq = audit.append(transaction, [entry], at=now)
    return LocalRecord(current.record_id, current.resource_type, row.version, row.state, kept), seq


def refuse_invalid(body: bytes, resource_type: str) -> None:
    """What is made here is meant for the vendor: it passes both tiers. Slow, so not within a transaction.

    Raises StoreError (`record.invalid`) that names the element.
    """
    issues = [i for i in explain(body, resource_type) if i.severity is ErrorSeverity.ERROR]
    if issues:
        raise StoreError(
            issues[0].message,
            code="record.invalid",
            place=issues[0].path,
            remedy="correct the element; what is held here is meant for the vendors",
        )


def _refuse_unseen(current: LocalRecord, seen_version: int) -> None:
    if current.version != seen_version:
        raise StoreError(
            f"the record has version {current.version}, the change was made on {seen_version}",
            code="record.changed",
            place=f"record {current.record_id}",
            remedy="read it again and repeat the change",
        )


def _refuse_another_id(body: bytes, current: LocalRecord) -> None:
    """References of other records name it by its id."""
    if read_document(body).get("id") != read_document(current.body).get("id"):
        raise StoreError(
            "an edit cannot give the resource another id, nor take it away",
            code="record.invalid",
            place=f"{current.resource_type}.id",
            remedy="leave the id as it is; for another resource, create another record",
        )


def read_in(transaction: sa.Connection, record_id: str, *, lock: bool = False) -> LocalRecord:
    """The record as the transaction sees it. Raises StoreError (`record.unknown`)."""
    row = _row(transaction, record_id, lock=lock)
    body = get_document(transaction, bytes(row.document_hash))
    return LocalRecord(row.record_id, row.resource_type, row.version, row.state, body)


class _Row(NamedTuple):
    record_id: str
    resource_type: str
    version: int
    state: str
    changed_by: str
    updated_at: datetime
    document_hash: bytes


_ROW_SELECT = sa.select(*(record.c[name] for name in _Row._fields)).where(record.c.record_id == sa.bindparam("of"))
_ROW = Prepared(_ROW_SELECT)
_ROW_TO_CHANGE = Prepared(_ROW_SELECT.with_for_update())


def _row(transaction: sa.Connection, record_id: str, *, lock: bool = False) -> _Row:
    rows = (_ROW_TO_CHANGE if lock else _ROW).rows(transaction, of=record_id)
    if not rows:
        raise StoreError(
            "there is no record of this id",
            code="record.unknown",
            place=f"record {record_id}",
            remedy="see the ids: holovitals records list",
        )
    return _Row(*rows[0])
