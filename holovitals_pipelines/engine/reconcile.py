"""Reconcile: each reading against what both sides held when they last agreed; what follows is committed in batches.

One law: a batch of decisions, the documents they need and the counts that report them commit in one transaction, so a
killed reconcile continues where it stopped and reports the same numbers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.facts import Seen
from holovitals_pipelines.engine.agreement.of_job import (
    ask_what_may_be_written,
    creates_among,
    decide_seen,
    desk_without_vendor,
)
from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.engine.attachments import note_attachments
from holovitals_pipelines.engine.batches import numbered
from holovitals_pipelines.engine.delete_breaker import suspect_deletes
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.identity.index import index_patients, trust_of
from holovitals_pipelines.engine.queries import load_query
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.fhir.canonical import HASH_VERSION
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Dataset, JobType, Stage
from holovitals_pipelines.model.writing import Present
from holovitals_pipelines.store import agreements, audit
from holovitals_pipelines.store.agreements import Change, Reading, link_id_of
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.documents import put_documents, queue_for_documents
from holovitals_pipelines.store.link_states import living_links
from holovitals_pipelines.store.parts import Part, newer_extracts, parts_of
from holovitals_pipelines.store.watermarks import advance_watermark, watermarks_of
from holovitals_pipelines.sync.facts import Outcome

COMPARED = ("updated", "agreed", "respelled")
"""Outcomes that rest on what the record held when it was compared. The decider looks for itself."""

KEYS = ["remote_id", "content_hash", "hash", "evidence", "last_updated"]


def reconcile(session: JobSession, resource_type: str) -> None:
    """Decide and commit the session's records batch of `resource_type`; goes on where it was interrupted.

    A batch whose transform failed as a whole is none: nothing is decided, and the watermark stays.
    """
    transformed = session.stage_row(resource_type, Stage.TRANSFORM)
    if resource_type in session.finished_types(Stage.RECONCILE) or (transformed and transformed.state == "failed"):
        return
    started = time.monotonic()
    source_job = session.source_job(Dataset.RECORDS, resource_type)
    session.begin_stage(Stage.RECONCILE, [resource_type])
    with session.home.database.read() as transaction:
        parts = parts_of(transaction, source_job, Dataset.RECORDS, resource_type)
    if parts:
        again = False
        while _decide_all(session, source_job, resource_type, parts, again=again):
            again = True  # some records were edited here meanwhile: compare those once more
    with session.transaction() as transaction:
        _advance(session, transaction, resource_type)
        session.end_stage(transaction, resource_type, Stage.RECONCILE, busy_seconds=time.monotonic() - started)
    if resource_type == "Patient":
        index_patients(session.home.database, trust_of(session.home.settings), write=session.transaction)
    session.progress.ended(session.connection.name, Stage.RECONCILE, resource_type)


def _suspect_deletes(session: JobSession, analysis: Analysis, resource_type: str) -> None:
    """What the vendor says it deleted is read again before anything is deleted here; too many are held."""
    found = analysis.table("select distinct remote_id from classified where outcome = 'deletion'")
    remote_ids: list[str] = found.column("remote_id").to_pylist()
    if remote_ids:
        with session.transaction() as transaction:
            suspect_deletes(session, transaction, resource_type, remote_ids, Reason.DELETE_EVIDENCE)


def _count_missed(session: JobSession, analysis: Analysis, resource_type: str) -> None:
    """Changes older than any incremental read would ask for again: incremental missed them (§2.4)."""
    with session.home.database.read() as transaction:
        mark = watermarks_of(transaction, session.connection.name).get(resource_type)
    if session.request.type is not JobType.FULL_SYNC or mark is None:
        return
    asked_from = mark - timedelta(seconds=session.connection.read.overlap_seconds)
    missed = analysis.table(load_query("count_missed"), [asked_from]).column(0)[0].as_py()
    with session.transaction() as transaction:
        session.count(transaction, resource_type, Stage.RECONCILE, missed=missed)


def _decide_all(session: JobSession, source_job: str, resource_type: str, parts: list[Part], *, again: bool) -> int:
    """Compare everything that is not committed yet, and commit it; returns how many rows had to be put off."""
    put_off = 0
    with session.home.analysis() as analysis:
        _classify(session, analysis, source_job, resource_type, parts)
        if not again:
            _suspect_deletes(session, analysis, resource_type)
            _count_missed(session, analysis, resource_type)
        if analysis.table("select 1 from classified where outcome = 'decide' limit 1").num_rows:
            ask_what_may_be_written(session, [resource_type])
        commit_rows = session.home.settings.commit_rows
        undecided = _together(_undecided(session.home, analysis, parts), min(2_000, commit_rows))
        for group in _in_groups(undecided, commit_rows):
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
        " (part integer, row integer, remote_id varchar, content_hash blob, hash blob, evidence varchar,"
        " last_updated timestamptz)"
    )
    for number, part in enumerate(parts):
        analysis.insert(
            "insert into incoming select ?, row, remote_id, content_hash, hash, evidence, last_updated from arrow",
            numbered(home.landing.open_parts([part.path], columns=KEYS)),
            [number],
        )
    with home.database.read() as transaction:
        newer = newer_extracts(transaction, source_job, connection, resource_type)
        known = agreements.readings(transaction, connection, resource_type)
        analysis.insert("create temp table known as select link_id, remote_id, seen_document from arrow", known)
        news = analysis.table(load_query("links_with_news")).column("link_id")
        # Three columns of every link, the rest of those with news: a snapshot is mostly what was read before.
        states = agreements.states(transaction, (link_id for chunk in news.chunks for link_id in chunk.to_pylist()))
        analysis.insert("create temp table state as select * from arrow", states)
        busy = pa.table(
            {"link_id": pa.array(agreements.busy_links(transaction, connection, resource_type), pa.string())}
        )
    analysis.insert("create temp table busy as select * from arrow", busy)
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


def _together(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Small tables joined: where few rows of each row group are left, every table would cost its statements."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(member.num_rows for member in waiting) >= rows:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries()


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

    A record may have been edited here since it was compared: taking the vendor's change would overwrite what nobody
    looked at. Such rows are left undecided; returns how many.
    """
    connection = session.connection.name
    now = session.now()
    known = batch.filter(pc.not_equal(batch.column("outcome"), "created"))
    new = batch.filter(pc.equal(batch.column("outcome"), "created")).to_pylist()
    by_outcome: dict[str, list[dict[str, Any]]] = {}
    rows = known.to_pylist()
    compared = [row for row in rows if row["outcome"] in COMPARED]
    queue_for_documents(transaction)
    held = agreements.unmoved(transaction, {row["record_id"]: row["record_version"] for row in compared})
    for row in rows:
        if row["outcome"] not in COMPARED or row["record_id"] in held:
            by_outcome.setdefault(row["outcome"], []).append(row)
    created, ours = _told_apart(session, transaction, resource_type, new)
    updated = [_change(row, held) for row in by_outcome.get("updated", ())]
    put_documents(transaction, _documents(created, by_outcome))
    agreements.add_records(
        transaction, connection, resource_type, list(map(_reading, created)), hash_version=HASH_VERSION, seen_at=now
    )
    agreements.take_changes(
        transaction, connection, updated, hash_version=HASH_VERSION, job_id=session.job_id, seen_at=now
    )
    agreements.agree_on_reading(
        transaction,
        [_change(row, held) for row in by_outcome.get("agreed", ())],
        hash_version=HASH_VERSION,
        seen_at=now,
    )
    agreements.note_spelling(transaction, [_change(row, held) for row in by_outcome.get("respelled", ())], seen_at=now)
    agreements.note_deletions(
        transaction, [(row["link_id"], row["evidence"]) for row in by_outcome.get("deletion", ())], seen_at=now
    )
    _tell_other_vendors(session, transaction, updated)
    sound = [row["remote_id"] for outcome in (*COMPARED, "decide") for row in by_outcome.get(outcome, ())]
    sound += [row["remote_id"] for row in new]
    agreements.supersede_quarantine(transaction, connection, resource_type, sound)
    _log(session, transaction, resource_type, created, updated)
    shown = [*new, *(row for outcome in (*COMPARED, "decide") for row in by_outcome.get(outcome, ()))]
    note_attachments(session, transaction, resource_type, ((row["remote_id"], row["body"]) for row in shown))
    counts = Counter({name: len(decided) for name, decided in by_outcome.items()})
    decided = _let_decide(session, transaction, resource_type, by_outcome.get("decide", ()))
    session.count(
        transaction,
        resource_type,
        Stage.RECONCILE,
        created=len(created),
        updated=counts["updated"] + decided["pulled"],
        same_content=counts["agreed"] + counts["respelled"] + counts["unlinked"] + decided["same"] + ours,
        conflicts=decided["conflicts"],
        resolved=decided["resolved"],
        held=decided["held"],
        superseded=counts["superseded"],
        deletions=counts["deletion"],
    )
    return len(compared) - sum(len(by_outcome.get(outcome, ())) for outcome in COMPARED)


def _documents(created: list[dict[str, Any]], by_outcome: dict[str, list[dict[str, Any]]]) -> list[tuple[bytes, bytes]]:
    documents = [(row["content_hash"], row["body"]) for row in created]
    for outcome in COMPARED:
        documents += [(row["content_hash"], row["body"]) for row in by_outcome.get(outcome, ())]
    return documents


def _told_apart(
    session: JobSession, transaction: sa.Connection, resource_type: str, new: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], int]:
    """Resources nobody knew, less those that a create of ours may have made: these are looked at one by one."""
    ours = creates_among(transaction, session.connection.name, resource_type, new)
    if not ours:
        return new, 0
    links = [
        (
            link_id_of(session.connection.name, resource_type, remote_id),
            session.connection.name,
            resource_type,
            remote_id,
        )
        for remote_id in ours
    ]
    mark_links(transaction, links, Reason.OUTCOME, session.now())
    return [row for row in new if row["remote_id"] not in ours], len(ours)


def _tell_other_vendors(session: JobSession, transaction: sa.Connection, updated: list[Change]) -> None:
    """A change taken from one vendor is a local change for every other one the record is linked at (§2.5)."""
    living = living_links(transaction, [change.record_id for change in updated], but=session.connection.name)
    mark_links(transaction, [named for links in living.values() for named in links], Reason.LOCAL, session.now())


def _log(
    session: JobSession,
    transaction: sa.Connection,
    resource_type: str,
    created: list[dict[str, Any]],
    updated: list[Change],
) -> None:
    """Every record that changed, with its image before."""
    name = session.connection.name
    entries = [
        audit.Entry(
            action="create_here",
            actor=name,
            record_id=(link_id := link_id_of(name, resource_type, row["remote_id"])),
            link_id=link_id,
            connection=name,
            after_document=row["content_hash"],
            before_version=0,
            after_version=1,
            job_id=session.job_id,
        )
        for row in created
    ]
    entries += [
        audit.Entry(
            action="pull",
            actor=name,
            record_id=change.record_id,
            link_id=change.link_id,
            connection=name,
            before_document=change.record_document,
            after_document=change.reading.content_hash,
            before_version=change.record_version,
            after_version=change.record_version + 1,
            job_id=session.job_id,
        )
        for change in updated
    ]
    audit.append(transaction, entries, at=session.now())


def _let_decide(
    session: JobSession, transaction: sa.Connection, resource_type: str, rows: Sequence[dict[str, Any]]
) -> Counter[str]:
    """The minority in which both sides changed, or differ already: decided by the kernel, documents in hand.

    What may be written has to be known for that. Where the vendor cannot be asked, the links are marked and decided
    when it can.
    """
    found: Counter[str] = Counter()
    if not rows:
        return found
    desk = desk_without_vendor(session)
    if desk is None:
        named = [(row["link_id"], session.connection.name, resource_type, row["remote_id"]) for row in rows]
        mark_links(transaction, named, Reason.EVENT, session.now())
        found["same"] = len(rows)
        return found
    seen = [
        Seen(
            row["link_id"],
            resource_type,
            row["remote_id"],
            Present(row["remote_id"], row["body"], row["version"], row["last_updated"]),
        )
        for row in rows
    ]
    outcomes = decide_seen(desk, transaction, seen)
    found["conflicts"] = outcomes["conflicts"]
    found["held"] = outcomes[Outcome.HOLD.value]
    found["resolved"] = found["conflicts"] - found["held"]
    found["pulled"] = outcomes["taken"]
    found["same"] = len(rows) - found["conflicts"] - found["pulled"]
    return found


def _reading(row: dict[str, Any]) -> Reading:
    return Reading(row["remote_id"], row["version"], row["last_updated"], row["content_hash"], row["hash"])


def _change(row: dict[str, Any], held: Mapping[str, bytes]) -> Change:
    return Change(
        reading=_reading(row),
        link_id=row["link_id"],
        record_id=row["record_id"],
        record_version=row["record_version"],
        record_document=held[row["record_id"]],
    )


def _advance(session: JobSession, transaction: sa.Connection, resource_type: str) -> None:
    """Move the watermark, but only for a complete read of the whole type."""
    extracted = session.stage_row(resource_type, Stage.EXTRACT)
    partial = session.request.is_named or session.request.window
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
