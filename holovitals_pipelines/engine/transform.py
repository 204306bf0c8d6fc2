"""Transform and validate: readings whose bytes are new become canonical, hashed records; invalid ones are quarantined.

One law: in = out + unchanged + duplicates + quarantined, for every resource type of every job.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from holovitals_pipelines.engine import batches
from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.engine.batches import numbered
from holovitals_pipelines.engine.delete_breaker import suspect_deletes
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.queries import load_query
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.fhir.canonical import canonical_hash, content_hash
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.fhir.wire import MalformedResource
from holovitals_pipelines.model.vocabulary import Dataset, ErrorSeverity, Stage
from holovitals_pipelines.store.agreements import held_ids, readings, supersede_quarantine
from holovitals_pipelines.store.dirty import Reason
from holovitals_pipelines.store.documents import put_documents
from holovitals_pipelines.store.parts import Part, parts_of, unlist_parts
from holovitals_pipelines.store.quarantine import Refusal, drop_refusals_of, quarantine_resources

AMBIGUOUS = (
    "extract.duplicate_id",
    "one delivery holds different contents under this id, and nothing says which is newer",
    "ask the vendor which is right; the record keeps what it had",
)


def transform(session: JobSession, resource_type: str) -> None:
    """Turn the session's extract of `resource_type` into records parts. Starts over when it was interrupted."""
    if resource_type in session.finished_types(Stage.TRANSFORM):
        return
    started = time.monotonic()
    source_job = session.source_job(Dataset.EXTRACT, resource_type)
    session.begin_stage(Stage.TRANSFORM, [resource_type], restart=True)
    with session.transaction() as transaction:
        unlist_parts(transaction, session.job_id, Dataset.RECORDS, resource_type)
        drop_refusals_of(transaction, session.job_id, resource_type, Stage.TRANSFORM)
    with session.home.database.read() as transaction:
        parts = parts_of(transaction, source_job, Dataset.EXTRACT, resource_type)
    sorted_out = _SortedOut()
    sound_again: list[str] = []
    suspects: list[str] = []
    if parts or _is_snapshot(session, resource_type):
        with session.home.analysis() as analysis:
            sorted_out = _sort_out(session.home, analysis, session.connection.name, resource_type, parts)
            for rows in _chosen_rows(session.home, analysis, parts):
                _validate(session, resource_type, rows)
            sound_again = _sound_again(session, analysis, resource_type)
            suspects = _absent(session, analysis, resource_type)
    with session.transaction() as transaction:
        suspect_deletes(session, transaction, resource_type, suspects, Reason.ABSENT)
        supersede_quarantine(transaction, session.connection.name, resource_type, sound_again)
        session.count(
            transaction,
            resource_type,
            Stage.TRANSFORM,
            same_bytes=sorted_out.same_bytes,
            duplicates=sorted_out.duplicates,
            # Absence is no delete, not even from a complete read: a suspicion, to be confirmed by reading.
            absent=sorted_out.absent if _is_snapshot(session, resource_type) else 0,
        )
        session.end_stage(transaction, resource_type, Stage.TRANSFORM, busy_seconds=time.monotonic() - started)
    session.progress.ended(session.connection.name, Stage.TRANSFORM, resource_type)


@dataclass(frozen=True, slots=True)
class _SortedOut:
    same_bytes: int = 0
    duplicates: int = 0
    absent: int = 0


def _is_snapshot(session: JobSession, resource_type: str) -> bool:
    """Whether this job read everything the connection can see of the type."""
    extracted = session.stage_row(resource_type, Stage.EXTRACT)
    return extracted is not None and extracted.snapshot and extracted.state == "done"


def _sort_out(home: Home, analysis: Analysis, connection: str, resource_type: str, parts: list[Part]) -> _SortedOut:
    """Choose, in sets, one reading an id, and leave out those whose bytes are known already.

    Leaves table `chosen(part, row, ambiguous)`.
    """
    analysis.run(
        "create temp table extract_key (part integer, row integer, remote_id varchar, content_hash blob,"
        " delivery bigint, last_updated timestamptz, evidence varchar)"
    )
    for number, part in enumerate(parts):
        analysis.insert(
            "insert into extract_key"
            " select ?, row, remote_id, content_hash, delivery, last_updated, evidence from arrow",
            numbered(home.landing.open_parts([part.path], columns=batches.EXTRACT_KEYS)),
            [number],
        )
    with home.database.read() as transaction:
        analysis.insert(
            "create temp table known as select * from arrow", readings(transaction, connection, resource_type)
        )
    analysis.run(load_query("find_disputes"))
    _settle_disputes(home, analysis, parts)
    analysis.run(load_query("choose_readings"))
    return _SortedOut(*analysis.row(load_query("count_readings")))


def _settle_disputes(home: Home, analysis: Analysis, parts: list[Part]) -> None:
    """Readings that differ only in spelling (order, narrative, meta) are one content: there is nothing to dispute."""
    contents: dict[str, set[bytes | None]] = {}
    for number, part in enumerate(parts):
        rows = analysis.table(
            "select row from disputed_reading semi join dispute using (remote_id) where part = ? order by row", [number]
        )
        if rows.num_rows:
            for table in home.landing.take_rows(part.path, rows, ["remote_id", "body"]):
                for remote_id, body in zip(
                    *(table.column(name).to_pylist() for name in table.schema.names), strict=True
                ):
                    contents.setdefault(remote_id, set()).add(_content(body))
    settled = [remote_id for remote_id, found in contents.items() if len(found) == 1 and None not in found]
    if settled:
        ids = pa.table({"remote_id": pa.array(settled, pa.string())})
        analysis.insert("insert into settled select remote_id from arrow", ids)


def _content(body: bytes) -> bytes | None:
    try:
        return canonical_hash(body)
    except MalformedResource:
        return None


def _chosen_rows(home: Home, analysis: Analysis, parts: list[Part]) -> Iterator[pa.Table]:
    """The chosen rows, whole, in batches; row groups without any are never opened. Adds column `ambiguous`."""
    for number, part in enumerate(parts):
        chosen = analysis.table("select row, ambiguous from chosen where part = ? order by row", [number])
        if chosen.num_rows:
            yield from home.landing.take_rows(part.path, chosen)


def _absent(session: JobSession, analysis: Analysis, resource_type: str) -> list[str]:
    """Living resources that a complete read did not show."""
    if not _is_snapshot(session, resource_type):
        return []
    found = analysis.table(
        "select k.remote_id from known k anti join extract_key e on e.remote_id = k.remote_id where k.living"
    )
    ids: list[str] = found.column("remote_id").to_pylist()
    return ids


def _sound_again(session: JobSession, analysis: Analysis, resource_type: str) -> list[str]:
    """Ids in quarantine of which this read brought the very bytes agreed on before; reconcile never sees those."""
    with session.home.database.read() as transaction:
        held = held_ids(transaction, session.connection.name, resource_type)
    if not held:
        return []
    table = pa.table({"remote_id": pa.array(held, pa.string())})
    analysis.insert("create temp table held as select * from arrow", table)
    found = analysis.table(
        "select distinct e.remote_id from extract_key e semi join held h on h.remote_id = e.remote_id"
        " semi join (select part, row from winner where same_bytes) w on w.part = e.part and w.row = e.row"
    )
    ids: list[str] = found.column("remote_id").to_pylist()
    return ids


def _validate(session: JobSession, resource_type: str, rows: pa.Table) -> None:
    """Hash and check a batch of readings; write what passes as a records part, quarantine the rest."""
    bodies = rows.column("body").to_pylist()
    ambiguous = rows.column("ambiguous").to_pylist()
    hashes: list[bytes | None] = [None] * len(bodies)
    passed: list[int] = []
    refusals: list[Refusal] = []
    warnings = 0

    def refuse(index: int, rule: str, path: str | None, message: str, remedy: str) -> None:
        row = {name: rows.column(name)[index].as_py() for name in ("remote_id", "source", "line")}
        refusals.append(Refusal(body=bodies[index], rule=rule, path=path, message=message, remedy=remedy, **row))

    for index, body in enumerate(bodies):
        if body is None:
            passed.append(index)
            continue
        if ambiguous[index]:
            rule, message, remedy = AMBIGUOUS
            refuse(index, rule, None, message, remedy)
            continue
        try:
            hashes[index] = canonical_hash(body)
        except MalformedResource as error:
            refuse(index, error.code, None, error.message, error.remedy)
            continue
        issues = check_structure(body, resource_type)
        if issues:
            worst = next((issue for issue in issues if issue.severity is ErrorSeverity.ERROR), None)
            if worst is not None:
                refuse(index, worst.rule, worst.path, worst.message, worst.remedy)
                continue
            warnings += 1
        passed.append(index)
    kept = rows.take(pa.array(passed, pa.int32()))
    table = pa.Table.from_arrays(
        [
            pa.array([hashes[i] for i in passed], batches.HASH) if name == "hash" else kept.column(name)
            for name in batches.RECORDS.names
        ],
        schema=batches.RECORDS,
    )
    written = [session.write_part(Dataset.RECORDS, resource_type, table)] if passed else []
    with session.transaction() as transaction:
        session.register(transaction, written)
        put_documents(transaction, [(content_hash(refusal.body), refusal.body) for refusal in refusals])
        quarantine_resources(
            transaction,
            session.job_id,
            session.connection.name,
            resource_type,
            Stage.TRANSFORM,
            refusals,
            session.now(),
        )
        session.add_errors(transaction, Stage.TRANSFORM, [refusal.as_error(resource_type) for refusal in refusals])
        session.count(
            transaction,
            resource_type,
            Stage.TRANSFORM,
            passed=sum(1 for index in passed if bodies[index] is not None),
            refused=len(refusals),
            warned=warnings,
        )
    session.progress.advanced(session.connection.name, Stage.TRANSFORM, resource_type, len(bodies))
    session.check_cancelled()
