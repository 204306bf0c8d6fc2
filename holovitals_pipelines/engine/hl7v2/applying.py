"""What received messages tell, merged into the records of their connection in the order in which they arrived.

Law: a message's state and the records it changes are one transaction: killed anywhere, none is lost or applied twice.
A message that cannot be applied is a dead letter; those behind it go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson
import sqlalchemy as sa

from holovitals_pipelines.engine.failure import failure_of
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.hl7_messages import APPLIED, DEAD, Ended, end_messages, lock_received, oldest_received
from holovitals_pipelines.store.hl7_records import StoredRecord, put_records, records_by_id
from holovitals_pipelines.transform.hl7v2_document import encoding_of, read_message
from holovitals_pipelines.transform.hl7v2_merging import (
    content_of,
    is_late,
    merge,
    newest,
    only_repeats,
    retirement,
    revived,
    told_of,
)
from holovitals_pipelines.transform.hl7v2_records import records_of, retired_patient

BATCH = 100
"""Messages of one transaction: other writers wait as long as it takes to merge them. Five times as many in memory at
once made Python's garbage collector cost as much as reading them."""
LATE = "hl7.late"
MERGED_PATIENTS = "hl7.patients_merged"
RETIRED_PATIENT = "hl7.patient_retired"
_REMARKS = {
    LATE: (
        "it was sent before a message that came earlier; it filled what was not known",
        "nothing needs to be done, unless the sender's order of messages is wrong for good",
    ),
    MERGED_PATIENTS: (
        "the sender made two patients one; the old one is inactive and names the one that replaces it",
        "look at both records here: holovitals links decides whether they are one person",
    ),
    RETIRED_PATIENT: (
        "it tells of a patient who was merged into another; the record stays inactive",
        "ask the sender whether the two were parted again, or why the old number is still used",
    ),
}  # fmt: skip


@dataclass(slots=True)
class Applied:
    """How many messages were applied, and how many are dead letters by code."""

    applied: int = 0
    dead: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Told:
    """A message read: its records, or why there are none."""

    message_id: int
    records: Sequence[tuple[str, Document]] = ()
    told_at: str | None = None
    merges: bool = False
    dead: Ended | None = None


def apply_received(database: Database, connection: ConnectionConfig) -> Applied:
    """Apply all that is received. Several processes may do so at once: each batch is applied by one of them."""
    done = Applied()
    while True:
        with database.read() as transaction:
            waiting = oldest_received(transaction, connection.name, BATCH)
        if not waiting:
            return done
        told = [read_told(message_id, body, connection.hl7v2.encoding) for message_id, body in waiting]
        with database.write() as transaction:
            if not lock_received(transaction, connection.name, [one.message_id for one in told]):
                continue  # another process was faster
            now = datetime.now(UTC)
            ended = merge_told(transaction, connection.name, told, now)
            end_messages(transaction, ended, now)
        done.applied += sum(one.state == APPLIED for one in ended)
        done.dead.update(one.code or "" for one in ended if one.state == DEAD)


def read_told(message_id: int, body: bytes, encoding: str) -> _Told:
    """The records of a message; one that cannot be read is dead."""
    try:
        document = read_message(body, encoding_of(body, encoding))
        records = records_of(document)
        header = document["segments"][0]
        at = header.get("7", [{}])[0].get("1")
        pairs = list(told_of(records))
        merged = _merges_in(records.get("Patient", ()))
        pairs += [("Patient", retired) for retired in merged.values()]
        if merged:
            pairs = [(kind, _surviving(record, merged) if kind == "Patient" else record) for kind, record in pairs]
        return _Told(message_id, pairs, at[:32] if at else None, bool(merged))
    except MalformedResource as error:
        return _Told(message_id, dead=Ended(message_id, DEAD, error.code, error.message, error.remedy))
    except Exception as error:  # noqa: BLE001 one message must not hold up the feed, whatever is wrong with our reading
        failure = failure_of(error)
        return _Told(message_id, dead=Ended(message_id, DEAD, failure.code, failure.message, failure.remedy))


def _merges_in(patients: Sequence[Document]) -> dict[str, Document]:
    """What a merge tells of each retired patient, by the survivor's id."""
    found: dict[str, Document] = {}
    for patient in patients:
        retired = retired_patient(patient)
        if retired is not None:
            found[patient["id"]] = retirement(patient, retired)
    return found


def _surviving(patient: Document, merged: dict[str, Document]) -> Document:
    retired = merged.get(patient["id"])
    return patient if retired is None else {**patient, "replaced": [{"id": retired["id"]}]}


def merge_told(transaction: sa.Connection, connection: str, told: Sequence[_Told], now: datetime) -> list[Ended]:
    """Merge the records of messages into those that are known, and say what became of each message."""
    known = _known(transaction, connection, told)
    changed: dict[tuple[str, str], StoredRecord] = {}
    ended: list[Ended] = []
    for one in told:
        if one.dead is not None:
            ended.append(one.dead)
            continue
        remark = MERGED_PATIENTS if one.merges else None
        for resource_type, record in one.records:
            key = resource_type, record["id"]
            held = known.get(key)
            late = held is not None and is_late(held.stored.told_at, one.told_at)
            if late:
                remark = remark or LATE
            if held is not None and "replacedBy" in held.record and not one.merges:
                remark = remark or RETIRED_PATIENT
            after = _after(held, one, resource_type, record, late=late, now=now)
            if after is not held:
                known[key] = after
                changed[key] = after.stored
        ended.append(_ended(one.message_id, remark))
    put_records(transaction, connection, (known[key].packed() for key in changed))
    return ended


@dataclass(frozen=True, slots=True)
class _Known:
    record: Document
    stored: StoredRecord

    def packed(self) -> StoredRecord:
        return replace(self.stored, body=orjson.dumps(self.record))


def _known(transaction: sa.Connection, connection: str, told: Sequence[_Told]) -> dict[tuple[str, str], _Known]:
    wanted: dict[str, set[str]] = {}
    for one in told:
        for resource_type, record in one.records:
            wanted.setdefault(resource_type, set()).add(record["id"])
    found: dict[tuple[str, str], _Known] = {}
    for resource_type, ids in wanted.items():
        for remote_id, stored in records_by_id(transaction, connection, resource_type, sorted(ids)).items():
            found[resource_type, remote_id] = _Known(orjson.loads(stored.body), stored)
    return found


def _after(held: _Known | None, one: _Told, resource_type: str, told: Document, *, late: bool, now: datetime) -> _Known:
    """The record after a message; the same object where the message changed nothing."""
    if held is None:
        first = StoredRecord(
            resource_type, told["id"], b"", _patient_of(resource_type, told), one.told_at, one.message_id, now
        )
        return _Known(merge(None, told), first)
    known = held.record
    if "replaced" in told and "replacedBy" in known and not late:
        known = revived(known)
    retired = "replacedBy" in told
    record = merge(known, told, fill_only=late or retired or only_repeats(resource_type, known, told))
    if retired and not late:
        record = {**record, "replacedBy": told["replacedBy"]}
    at = newest(held.stored.told_at, one.told_at)
    if content_of(record) != content_of(held.record):
        patient = _patient_of(resource_type, record)
        stored = replace(
            held.stored, patient_id=patient, told_at=at, message_id=one.message_id, changed_at=now
        )  # fmt: skip
        return _Known(record, stored)
    return held if at == held.stored.told_at else _Known(held.record, replace(held.stored, told_at=at))


def _patient_of(resource_type: str, record: Document) -> str | None:
    found: str | None = record["id"] if resource_type == "Patient" else record.get("patient", {}).get("id")
    return found


def _ended(message_id: int, remark: str | None) -> Ended:
    return Ended(message_id, APPLIED) if remark is None else Ended(message_id, APPLIED, remark, *_REMARKS[remark])
