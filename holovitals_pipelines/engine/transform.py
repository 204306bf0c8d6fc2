"""Transform and validate: readings whose bytes are new become canonical, hashed records; invalid ones are quarantined.

One law: in = out + unchanged + duplicates + quarantined, for every resource type of every job.

Where rules or an older FHIR version make the records, equal bytes say nothing: the rules may have changed. Such
readings are all converted, and reconcile sees which have become what they were.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from holovitals_pipelines.engine import batches
from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.engine.conversion import Conversion, Converted, count_found
from holovitals_pipelines.engine.delete_breaker import suspect_deletes
from holovitals_pipelines.engine.readings import (
    SortedOut,
    absent,
    chosen_rows,
    is_snapshot,
    sort_out,
    sound_again_ids,
)
from holovitals_pipelines.engine.replay import landed_parts
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.fhir.canonical import canonical_hash, content_hash
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.fhir.wire import MalformedResource
from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.vocabulary import Dataset, ErrorSeverity, Stage
from holovitals_pipelines.store.agreements import supersede_quarantine
from holovitals_pipelines.store.dirty import Reason
from holovitals_pipelines.store.documents import put_documents
from holovitals_pipelines.store.landing import WrittenPart
from holovitals_pipelines.store.parts import parts_of, unlist_parts
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
    replay = session.request.replay
    source_job = None if replay else session.source_job(Dataset.EXTRACT, resource_type)
    session.begin_stage(Stage.TRANSFORM, [resource_type], restart=True)
    with session.transaction() as transaction:
        for dataset in (Dataset.RECORDS, Dataset.FINDINGS):
            unlist_parts(transaction, session.job_id, dataset, resource_type)
        drop_refusals_of(transaction, session.job_id, resource_type, Stage.TRANSFORM)
    with session.home.database.read() as transaction:
        parts = (
            landed_parts(session, transaction, resource_type)
            if source_job is None
            else parts_of(transaction, source_job, Dataset.EXTRACT, resource_type)
        )
    sorted_out = SortedOut()
    sound_again: list[str] = []
    suspects: list[str] = []
    conversion = session.conversions.inbound(resource_type)
    batch = _Batch()
    if parts or is_snapshot(session, resource_type):
        with session.home.analysis() as analysis:
            sorted_out = sort_out(session, analysis, resource_type, parts, conversion)
            for rows in chosen_rows(session.home, analysis, parts):
                batch.add(_validate(session, analysis, resource_type, rows, conversion))
            sound_again = sound_again_ids(session, analysis, resource_type, batch.sound)
            suspects = absent(session, analysis, resource_type)
    if conversion is not None and batch.is_beyond(conversion.error_threshold):
        _give_up(session, resource_type, conversion, batch)
        return
    with session.transaction() as transaction:
        suspect_deletes(session, transaction, resource_type, suspects, Reason.ABSENT)
        supersede_quarantine(transaction, session.connection.name, resource_type, sound_again)
        session.count(
            transaction,
            resource_type,
            Stage.TRANSFORM,
            same_bytes=sorted_out.same_bytes + batch.unchanged,
            duplicates=sorted_out.duplicates,
            replayed=batch.records if replay else 0,
            # Absence is no delete, not even from a complete read: a suspicion, to be confirmed by reading.
            absent=sorted_out.absent if is_snapshot(session, resource_type) else 0,
        )
        session.end_stage(transaction, resource_type, Stage.TRANSFORM, busy_seconds=time.monotonic() - started)
    session.progress.ended(session.connection.name, Stage.TRANSFORM, resource_type)


@dataclass(slots=True)
class _Batch:
    """All that a job transforms of one type; it is what an error threshold speaks of."""

    passed: int = 0
    refused: int = 0
    unchanged: int = 0
    """Became, byte for byte, what is agreed on."""
    sound: list[str] = field(default_factory=list)
    """Ids of the readings that could be converted; empty where nothing is converted."""

    def add(self, other: _Batch) -> None:
        self.passed += other.passed
        self.refused += other.refused
        self.unchanged += other.unchanged
        self.sound += other.sound

    def is_beyond(self, threshold: float | None) -> bool:
        return threshold is not None and self.refused > threshold * self.records

    @property
    def records(self) -> int:
        return self.passed + self.unchanged + self.refused


def _give_up(session: JobSession, resource_type: str, conversion: Conversion, batch: _Batch) -> None:
    """Nothing of the batch goes on: what passed is transformed again by the next job, what was refused stays held."""
    with session.transaction() as transaction:
        unlist_parts(transaction, session.job_id, Dataset.RECORDS, resource_type)
    error = JobError(
        f"{batch.refused:,} of {batch.records:,} records were rejected, more than rule set {conversion.name} lets "
        "through; none of them was taken",
        code="transform.threshold",
        place=f"{session.place}, {resource_type}",
        remedy="see what the rules found (holovitals jobs show), correct them, and sync again",
    )
    session.fail_type(resource_type, Stage.TRANSFORM, error)


def _validate(
    session: JobSession, analysis: Analysis, resource_type: str, rows: pa.Table, conversion: Conversion | None
) -> _Batch:
    """Convert, hash and check a batch of readings; write what passes as a records part, quarantine the rest."""
    sources = rows.column("body").to_pylist()
    ambiguous = rows.column("ambiguous").to_pylist()
    hashes: list[bytes | None] = [None] * len(sources)
    passed: list[int] = []
    refusals: list[Refusal] = []
    warnings = 0

    def refuse(index: int, rule: str, path: str | None, message: str, remedy: str) -> None:
        row = {name: rows.column(name)[index].as_py() for name in ("remote_id", "source", "line")}
        refusals.append(Refusal(body=sources[index], rule=rule, path=path, message=message, remedy=remedy, **row))

    again = conversion is not None or session.request.replay
    converted = _converted(conversion, sources, ambiguous)
    known = _agreed(analysis, rows, converted) if again else set()
    for index, source in enumerate(sources):
        if source is None:
            passed.append(index)
            continue
        if index in known:
            continue
        if ambiguous[index]:
            rule, message, remedy = AMBIGUOUS
            refuse(index, rule, None, message, remedy)
            continue
        refused = converted[index].refused
        if refused is not None:
            refuse(index, refused.code, None, refused.message, refused.remedy)
            continue
        body = converted[index].body
        assert body is not None
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
    if len(passed) + len(refusals) + len(known) != len(sources):
        raise JobError(
            "the batch is not accounted for: in = out + unchanged + quarantined does not hold; nothing of it was kept",
            code="transform.uneven",
            place=f"{session.place}, {resource_type}",
            remedy="report this: it is a defect; the extract is untouched in the landing zone",
        )
    written = _parts(session, resource_type, rows, converted, hashes, passed, conversion)
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
        problems = [refusal.as_error(resource_type) for refusal in refusals]
        if conversion is not None:
            problems += _as_problems(conversion, resource_type, [converted[index] for index in passed])
        session.add_errors(transaction, Stage.TRANSFORM, problems)
        session.count(
            transaction,
            resource_type,
            Stage.TRANSFORM,
            passed=sum(1 for index in passed if sources[index] is not None),
            refused=len(refusals),
            warned=warnings,
        )
    session.progress.advanced(session.connection.name, Stage.TRANSFORM, resource_type, len(sources))
    session.check_cancelled()
    living = [index for index in passed if sources[index] is not None]
    sound = [*living, *known] if again else []
    ids = rows.column("remote_id").take(pa.array(sound, pa.int32())).to_pylist()
    return _Batch(len(living), len(refusals), len(known), ids)


def _agreed(analysis: Analysis, rows: pa.Table, converted: Sequence[Converted]) -> set[int]:
    """Places of the readings that have become, byte for byte, what is agreed on: equal bytes are equal content."""
    addresses = [None if one.body is None else content_hash(one.body) for one in converted]
    places = pa.array(range(len(addresses)), pa.int32())
    columns = [places, rows.column("remote_id"), pa.array(addresses, batches.HASH), rows.column("ambiguous")]
    found = analysis.query(
        "select m.place from made_now m join agreed a using (remote_id)"
        " where a.seen_document = m.address and not m.ambiguous",
        "made_now",
        pa.Table.from_arrays(columns, names=["place", "remote_id", "address", "ambiguous"]),
    )
    return set(found.column("place").to_pylist())


def _converted(
    conversion: Conversion | None, sources: Sequence[bytes | None], ambiguous: Sequence[bool]
) -> list[Converted]:
    """Each reading in FHIR R4; as it came where it is that, and where it goes no further (deletions, disputes)."""
    if conversion is None:
        return [Converted(source) for source in sources]
    return [
        Converted(source) if source is None or disputed else conversion.convert(source)
        for source, disputed in zip(sources, ambiguous, strict=True)
    ]


def _parts(
    session: JobSession,
    resource_type: str,
    rows: pa.Table,
    converted: Sequence[Converted],
    hashes: Sequence[bytes | None],
    passed: Sequence[int],
    conversion: Conversion | None,
) -> list[WrittenPart]:
    """The records that passed, and what the rules found in any of the readings."""
    written: list[WrittenPart] = []
    if passed:
        kept = rows.take(pa.array(passed, pa.int32()))
        columns: dict[str, pa.Array] = {
            "hash": pa.array([hashes[index] for index in passed], batches.HASH),
            "rule_set": pa.array([conversion.rule_set_hash if conversion else None] * len(passed), pa.string()),
        }
        if conversion is not None:
            bodies = [converted[index].body for index in passed]
            columns["body"] = pa.array(bodies, pa.binary())
            addresses = [None if body is None else content_hash(body) for body in bodies]
            columns["content_hash"] = pa.array(addresses, batches.HASH)
        columns["rule_set"] = columns["rule_set"].dictionary_encode()
        table = pa.Table.from_arrays(
            [columns[name] if name in columns else kept.column(name) for name in batches.RECORDS.names],
            schema=batches.RECORDS,
        )
        written.append(session.write_part(Dataset.RECORDS, resource_type, table))
    found = [
        (remote_id, conversion.rule_set_hash, place, code, severity.value)
        for remote_id, one in zip(rows.column("remote_id").to_pylist(), converted, strict=True)
        if conversion is not None
        for place, code, severity in one.found
    ]
    if found:
        columns_found = [pa.array(cells, pa.string()) for cells in zip(*found, strict=True)]
        findings = pa.Table.from_arrays(columns_found, schema=batches.FINDINGS)
        written.append(session.write_part(Dataset.FINDINGS, resource_type, findings))
    return written


def _as_problems(conversion: Conversion, resource_type: str, passed: Sequence[Converted]) -> list[Problem]:
    """What the rules found in records that go on, for the job's error list: one line for each kind."""
    return [
        Problem(
            code=f"transform.{code}",
            message=f"{place}: {code} in {records:,} records, which go on without that value",
            remedy="see which: holovitals rules preview --connection; their sources are kept in the landing zone",
            source=conversion.name,
            resource_type=resource_type,
            severity=ErrorSeverity.WARNING,
        )
        for (place, code, _), records in count_found(passed)
    ]
