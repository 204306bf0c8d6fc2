"""What received messages tell, merged into the records of their connection in the order in which they arrived.

Law: a message's state and the records it changes are one transaction: killed anywhere, none is lost or applied twice.
A message that cannot be applied is a dead letter; those behind it go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson
import sqlalchemy as sa

from holovitals_pipelines.engine.failure import failure_of
from holovitals_pipelines.engine.hl7v2.charts import Charts, Key, Known
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
    renamed,
    retirement,
    revived,
    told_of,
)
from holovitals_pipelines.transform.hl7v2_records import RENAMES, records_of, retired_patient

BATCH = 100
"""Messages of one transaction: other writers wait as long as it takes to merge them. Five times as many in memory at
once made Python's garbage collector cost as much as reading them."""
LATE = "hl7.late"
MERGED_PATIENTS = "hl7.patients_merged"
OVERTAKEN_MERGE = "hl7.merge_overtaken"
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
    OVERTAKEN_MERGE: (
        "it is a merge of a patient of whom a newer merge was told before; it was not carried out",
        "ask the sender which number the patient has now",
    ),
    RETIRED_PATIENT: (
        "it tells of a patient who was merged into another; the patient stays inactive, the rest is the other's",
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
    renames: bool = False
    """A merge by which a patient's number became another one."""
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
            pairs = [(kind, _of_merge(record, merged, at) if kind == "Patient" else record) for kind, record in pairs]
        event = header.get("9", [{}])[0].get("2")
        return _Told(message_id, pairs, at[:32] if at else None, bool(merged), event in RENAMES)
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


def _of_merge(patient: Document, merged: Mapping[str, Document], at: str | None) -> Document:
    """One of the two, with when it was told; others whom the message names stay as they are."""
    retired = merged.get(patient["id"])
    if retired is None and "replacedBy" not in patient:
        return patient
    replaced = {} if retired is None else {"replaced": [{"id": retired["id"]}]}
    return {**patient, **replaced, **({"mergedAt": at[:32]} if at else {})}


def merge_told(transaction: sa.Connection, connection: str, told: Sequence[_Told], now: datetime) -> list[Ended]:
    """Merge the records of messages into those that are known, and say what became of each message."""
    known = _known(transaction, connection, told)
    charts = Charts(transaction, connection, known)
    changed: dict[Key, None] = {}
    ended: list[Ended] = []
    for one in told:
        if one.dead is not None:
            ended.append(one.dead)
            continue
        records, remark = _carried_out(one, known) if one.merges else (one.records, None)
        unsettled: list[str] = []
        for resource_type, record in records:
            key = resource_type, record["id"]
            held = known.get(key)
            late = held is not None and is_late(held.stored.told_at, one.told_at)
            if late:
                remark = remark or LATE
            if held is not None and "replacedBy" in held.record and not one.merges:
                remark = remark or RETIRED_PATIENT
            if resource_type != "Patient":
                record = charts.with_survivor(record)
            elif one.merges:
                unsettled += [record["id"], charts.survivor_of(record["id"])]
            after = _after(held, one, resource_type, record, late=late, now=now)
            if after is not held:
                known[key] = after
                changed[key] = None
        for patient_id in dict.fromkeys(unsettled):
            changed |= dict.fromkeys(charts.settle(patient_id, one.message_id, now))
        ended.append(_ended(one.message_id, remark))
    put_records(transaction, connection, (known[key].packed() for key in changed))
    return ended


def _carried_out(one: _Told, known: Mapping[Key, Known]) -> tuple[Sequence[tuple[str, Document]], str]:
    """What a merge tells, without such as newer merges of the same patients have overtaken, and what to remark.

    When it was sent counts against other merges only: that something else was told of a number since, as laboratories
    do for days, does not make the patient two again.
    """
    overtaken = set()
    for resource_type, record in one.records:
        held = known.get((resource_type, record["id"]))
        if held is not None and "replacedBy" in record and is_late(held.record.get("mergedAt"), record.get("mergedAt")):
            overtaken.add(record["id"])
    records = []
    for resource_type, record in one.records:
        retired = {named["id"] for named in record.get("replaced", ())}
        if "replacedBy" in record and record["id"] in overtaken:
            continue
        if retired & overtaken:
            record = {name: value for name, value in record.items() if name not in ("replaced", "mrg", "mergedAt")}
        elif retired and one.renames and (resource_type, record["id"]) not in known:
            held = known.get((resource_type, min(retired)))
            record = record if held is None else renamed(held.record, record)
        records.append((resource_type, record))
    return records, OVERTAKEN_MERGE if overtaken else MERGED_PATIENTS


def _known(transaction: sa.Connection, connection: str, told: Sequence[_Told]) -> dict[Key, Known]:
    wanted: dict[str, set[str]] = {}
    for one in told:
        for resource_type, record in one.records:
            wanted.setdefault(resource_type, set()).add(record["id"])
    found: dict[Key, Known] = {}
    for resource_type, ids in wanted.items():
        for remote_id, stored in records_by_id(transaction, connection, resource_type, sorted(ids)).items():
            found[resource_type, remote_id] = Known(orjson.loads(stored.body), stored)
    return found


def _after(held: Known | None, one: _Told, resource_type: str, told: Document, *, late: bool, now: datetime) -> Known:
    """The record after a message; the same object where the message changed nothing."""
    if held is None:
        first = StoredRecord(
            resource_type, told["id"], b"", _patient_of(resource_type, told), one.told_at, one.message_id, now
        )
        return Known(merge(None, told), first)
    known = held.record
    if "replaced" in told and "replacedBy" in known and not is_late(known.get("mergedAt"), told.get("mergedAt")):
        known = revived(known)
    retired = "replacedBy" in told
    record = merge(known, told, fill_only=late or retired or only_repeats(resource_type, known, told))
    if retired:
        record = {**record, "replacedBy": told["replacedBy"]}
    if "mergedAt" in told:
        record = {**record, "mergedAt": newest(known.get("mergedAt"), told["mergedAt"])}
    at = newest(held.stored.told_at, one.told_at)
    if content_of(record) != content_of(held.record):
        patient = _patient_of(resource_type, record)
        stored = replace(
            held.stored, patient_id=patient, told_at=at, message_id=one.message_id, changed_at=now
        )  # fmt: skip
        return Known(record, stored)
    if at == held.stored.told_at:
        return held
    same = {**held.record, "mergedAt": record["mergedAt"]} if "mergedAt" in record else held.record
    return Known(same, replace(held.stored, told_at=at))


def _patient_of(resource_type: str, record: Document) -> str | None:
    found: str | None = record["id"] if resource_type == "Patient" else record.get("patient", {}).get("id")
    return found


def _ended(message_id: int, remark: str | None) -> Ended:
    return Ended(message_id, APPLIED) if remark is None else Ended(message_id, APPLIED, remark, *_REMARKS[remark])
