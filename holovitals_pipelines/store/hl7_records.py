"""What a vendor that sends HL7 v2 holds, as far as its messages told: one merged record a resource.

Law: a record changes only together with the state of the message that told it; nothing is taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.store.bulk import Row, insert_rows
from holovitals_pipelines.store.documents import pack, unpack
from holovitals_pipelines.store.prepared import KEYS, Prepared
from holovitals_pipelines.store.tables import hl7_record

_COLUMNS = (
    "connection", "resource_type", "remote_id", "body", "body_hash", "patient_id", "told_at", "message_id",
    "changed_at",
)  # fmt: skip
_READ = (
    hl7_record.c.resource_type, hl7_record.c.remote_id, hl7_record.c.body, hl7_record.c.patient_id,
    hl7_record.c.told_at, hl7_record.c.message_id, hl7_record.c.changed_at,
)  # fmt: skip
_of_type = sa.and_(
    hl7_record.c.connection == sa.bindparam("at"), hl7_record.c.resource_type == sa.bindparam("resource_type")
)
_BY_ID = Prepared(sa.select(*_READ).where(_of_type, hl7_record.c.remote_id.in_(KEYS)))
_BY_PATIENT = Prepared(
    sa.select(*_READ)
    .where(_of_type, hl7_record.c.patient_id.in_(KEYS))
    .order_by(hl7_record.c.remote_id)
)  # fmt: skip
_PAGE = Prepared(
    sa.select(*_READ)
    .where(
        _of_type,
        hl7_record.c.changed_at >= sa.bindparam("since"),
        hl7_record.c.changed_at <= sa.bindparam("until"),
        sa.or_(
            hl7_record.c.changed_at > sa.bindparam("since"), hl7_record.c.remote_id > sa.bindparam("after")
        ),
    )
    .order_by(hl7_record.c.changed_at, hl7_record.c.remote_id)
    .limit(sa.bindparam("most"))
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A merged record: its JSON, and what told it last."""

    resource_type: str
    remote_id: str
    body: bytes
    patient_id: str | None
    told_at: str | None
    """MSH-7 of the newest message that told of it, as written."""
    message_id: int
    """The last message that changed it."""
    changed_at: datetime


def put_records(transaction: sa.Connection, connection: str, records: Iterable[StoredRecord]) -> None:
    """Store records as they are now."""
    rows = (
        (
            connection, one.resource_type, one.remote_id, pack(one.body), content_hash(one.body), one.patient_id,
            one.told_at, one.message_id, one.changed_at,
        )
        for one in records
    )  # fmt: skip
    insert_rows(transaction, hl7_record, _COLUMNS, rows, on_conflict="update")


def records_by_id(
    transaction: sa.Connection, connection: str, resource_type: str, remote_ids: Iterable[str]
) -> Mapping[str, StoredRecord]:
    rows = _BY_ID.by_keys(transaction, remote_ids, at=connection, resource_type=resource_type)
    return {row[1]: _stored(row) for row in rows}


def records_of_patients(
    transaction: sa.Connection, connection: str, resource_type: str, patient_ids: Iterable[str]
) -> list[StoredRecord]:
    rows = _BY_PATIENT.by_keys(transaction, patient_ids, at=connection, resource_type=resource_type)
    return [_stored(row) for row in rows]


def records_changed(
    transaction: sa.Connection,
    connection: str,
    resource_type: str,
    *,
    since: datetime,
    until: datetime,
    after: str = "",
    most: int,
) -> list[StoredRecord]:
    """Up to `most` records in the order of their changes: of those changed at `since`, only ids after `after`."""
    rows = _PAGE.rows(
        transaction,
        at=connection,
        resource_type=resource_type,
        since=since,
        until=until,
        after=after,
        most=most,
    )
    return [_stored(row) for row in rows]


def _stored(row: Row) -> StoredRecord:
    resource_type, remote_id, body, *rest = row
    return StoredRecord(resource_type, remote_id, unpack(bytes(body)), *rest)
