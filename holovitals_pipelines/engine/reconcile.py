"""Reconcile: each reading against what both sides held when they last agreed; what follows is committed in batches.

One law: a batch of decisions, the documents they need and the counts that report them commit in one transaction, so a
killed reconcile continues where it stopped and reports the same numbers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.engine.batches import numbered
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.queries import load_query
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.fhir.canonical import HASH_VERSION
from holovitals_pipelines.model.vocabulary import ChangeMechanism, ConflictType, Dataset, JobType, Stage
from holovitals_pipelines.store import agreements
from holovitals_pipelines.store.agreements import Change, Reading
from holovitals_pipelines.store.documents import put_documents
from holovitals_pipelines.store.parts import Part, newer_extracts, parts_of
from holovitals_pipelines.store.watermarks import advance_watermark

COMPARED = ("updated", "agreed", "respelled", "update_update", "delete_update")
"""Outcomes that rest on what the record held when it was compared."""

KEYS = ["remote_id", "content_hash", "hash", "evidence"]


def reconcile(session: JobSession, resource_type: str) -> None:
    """Decide and commit the session's records batch of `resource_type`; goes on where it was interrupted."""
    if resource_type in session.finished_types(Stage.RECONCILE):
        return
    started = time.monotonic()
    source_job = session.source_job(Dataset.RECORDS, resource_type)
    session.begin_stage(Stage.RECONCILE, [resource_type])
    with session.home.database.read() as transaction:
        parts = parts_of(transaction, source_job, Dataset.RECORDS, resource_type)
    if parts:
        while _decide_all(session, source_job, resource_type, parts):
            continue  # some records were edited here meanwhile: compare those again
    with session.transaction() as transaction:
        _advance(session, transaction, resource_type)
        session.end_stage(transaction, resource_type, Stage.RECONCILE, busy_seconds=time.monotonic() - started)
    session.progress.ended(session.connection.name, Stage.RECONCILE, resource_type)


def _decide_all(session: JobSession, source_job: str, resource_type: str, parts: list[Part]) -> int:
    """Compare everything that is not committed yet, and commit it; returns how many rows had to be put off."""
    put_off = 0
    with session.home.analysis() as analysis:
        _classify(session, analysis, source_job, resource_type, parts)
        undecided = _undecided(session.home, analysis, parts)
        for group in _in_groups(undecided, session.home.settings.commit_rows):
            late = 0
            with session.transaction() as transaction:
                for batch in group:
                    late += _decide(session, transaction, resource_type, batch)
            put_off += late
            rows = sum(batch.num_rows for batch in group) - late
            session.progress.advanced(session.connection.name, Stage.RECONCILE, resource_type, rows)
            session.check_cancelled()
    return put_off


def _classify(session: JobSession, analysis: Analysis, source_job: str, resource_type: str, parts: list[Part]) -> None:
    """Leaves table `classified` (see sql/classify.sql), whose column `part` numbers `parts`."""
    home, connection = session.home, session.connection.name
    analysis.run(
        "create temp table incoming"
        " (part integer, row integer, remote_id varchar, content_hash blob, hash blob, evidence varchar)"
    )
    with home.database.read() as transaction:
        newer = newer_extracts(transaction, source_job, connection, resource_type)
        known = agreements.states(transaction, connection, resource_type)
        analysis.insert("create temp table state as select * from arrow", known)
    for number, part in enumerate(parts):
        analysis.insert(
            "insert into incoming select ?, row, remote_id, content_hash, hash, evidence from arrow",
            numbered(home.landing.open_parts([part.path], columns=KEYS)),
            [number],
        )
    # A batch that is replayed after a newer one must not undo it: ids the newer one has read are overruled.
    analysis.run("create temp table overruled (remote_id varchar)")
    for part in newer:
        read = home.landing.open_parts([part.path], columns=["remote_id"])
        analysis.insert("insert into overruled select remote_id from arrow", read)
    analysis.run("create or replace temp table overruled as select distinct remote_id from overruled")
    analysis.run(load_query("classify"))


def _undecided(home: Home, analysis: Analysis, parts: list[Part]) -> Iterator[pa.Table]:
    """Rows of the records parts beside their classification; those that were committed before are left out."""
    for number, part in enumerate(parts):
        query = "select * from classified where part = ? and outcome <> 'committed' order by row"
        rows = analysis.table(query, [number])
        if rows.num_rows:
            yield from home.landing.take_rows(part.path, rows)


def _in_groups(tables: Iterable[pa.Table], rows: int) -> Iterator[list[pa.Table]]:
    """Tables gathered until they hold `rows`. Keys are hashes, so a commit touches pages all over the store's trees:
    few large commits write a fraction of what many small ones do."""
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        if sum(member.num_rows for member in group) >= rows:
            yield group
            group = []
    if group:
        yield group


def _decide(session: JobSession, transaction: sa.Connection, resource_type: str, batch: pa.Table) -> int:
    """Carry out what the classification says of each row, and count it.

    A record may have been edited here since it was compared: the decision would overwrite what nobody looked at. Such
    rows are left undecided; returns how many.
    """
    connection = session.connection.name
    now = session.now()
    known = batch.filter(pc.not_equal(batch.column("outcome"), "created"))
    new = batch.filter(pc.equal(batch.column("outcome"), "created"))
    by_outcome: dict[str, list[dict[str, Any]]] = {}
    rows = known.to_pylist()
    compared = [row for row in rows if row["outcome"] in COMPARED]
    moved = agreements.moved_on(transaction, {row["record_id"]: row["record_version"] for row in compared})
    for row in rows:
        if row["outcome"] not in COMPARED or row["record_id"] not in moved:
            by_outcome.setdefault(row["outcome"], []).append(row)
    created = list(map(Reading, *(new.column(name).to_pylist() for name in Reading._fields)))
    documents = list(zip(new.column("content_hash").to_pylist(), new.column("body").to_pylist(), strict=True))
    documents += [
        (row["content_hash"], row["body"])
        for outcome, decided in by_outcome.items()
        for row in decided
        if row["body"] is not None and outcome != "superseded"
    ]
    conflicts = [
        (kind.value, _change(row))
        for kind, name in ((ConflictType.UPDATE_UPDATE, "update_update"), (ConflictType.DELETE_UPDATE, "delete_update"))
        for row in by_outcome.get(name, ())
    ]
    updated = [_change(row) for row in by_outcome.get("updated", ())]
    counts = Counter({name: len(decided) for name, decided in by_outcome.items()})
    put_documents(transaction, documents)
    agreements.add_records(transaction, connection, resource_type, created, hash_version=HASH_VERSION, seen_at=now)
    agreements.take_changes(
        transaction, connection, updated, hash_version=HASH_VERSION, job_id=session.job_id, seen_at=now
    )
    agreements.agree_on_reading(
        transaction, [_change(row) for row in by_outcome.get("agreed", ())], hash_version=HASH_VERSION, seen_at=now
    )
    agreements.note_spelling(transaction, [_change(row) for row in by_outcome.get("respelled", ())], seen_at=now)
    agreements.record_conflicts(
        transaction,
        connection,
        resource_type,
        conflicts,
        job_id=session.job_id,
        seen_at=now,
        new_id=(str(uuid4()) for _ in conflicts),
    )
    agreements.note_deletions(
        transaction, [(row["link_id"], row["evidence"]) for row in by_outcome.get("deletion", ())], seen_at=now
    )
    sound = [row["remote_id"] for outcome in COMPARED for row in by_outcome.get(outcome, ())]
    sound += [reading.remote_id for reading in created]
    agreements.supersede_quarantine(transaction, connection, resource_type, sound)
    session.count(
        transaction,
        resource_type,
        Stage.RECONCILE,
        created=len(created),
        updated=counts["updated"],
        same_content=counts["agreed"] + counts["respelled"],
        conflicts=len(conflicts),
        superseded=counts["superseded"],
        deletions=counts["deletion"],
    )
    return len(compared) - sum(len(by_outcome.get(outcome, ())) for outcome in COMPARED)


def _reading(row: dict[str, Any]) -> Reading:
    return Reading(row["remote_id"], row["version"], row["last_updated"], row["content_hash"], row["hash"])


def _change(row: dict[str, Any]) -> Change:
    return Change(
        reading=_reading(row),
        link_id=row["link_id"],
        record_id=row["record_id"],
        record_version=row["record_version"],
        local_document=row["local_document"],
        remote_document=row["remote_document"],
        record_document=row["record_document"],
    )


def _advance(session: JobSession, transaction: sa.Connection, resource_type: str) -> None:
    """Move the watermark, but only for a complete read of the whole type."""
    extracted = session.stage_row(resource_type, Stage.EXTRACT)
    partial = session.request.patients or session.request.window or session.request.type is JobType.PATIENT_SYNC
    if extracted is None or extracted.state != "done" or extracted.watermark is None or partial:
        return
    advance_watermark(
        transaction,
        session.connection.name,
        resource_type,
        extracted.watermark,
        mechanism=ChangeMechanism(extracted.mechanism or ChangeMechanism.FULL_RESCAN),
        job_id=session.job_id,
        at=session.now(),
    )
