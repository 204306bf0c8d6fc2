"""Detection alone, and reconcile end to end into the conflict tables, over snapshots of both sides."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import Stopwatch

ONE_IN = 100
"""One resource in so many is in conflict; as many again have changed on one side only."""


def detection(folder: str, rows: int) -> None:
    """Classify `rows` readings against the record and both shadows of as many links, from hashed Parquet."""
    from holovitals_pipelines.engine.analysis import AnalysisPool
    from holovitals_pipelines.engine.queries import load_query

    place = Path(folder)
    _hashed_snapshots(place, rows)
    pool = AnalysisPool("256MB", place / "scratch")
    with pool.open() as analysis, Stopwatch() as watch:
        analysis.run(f"create temp table state as select * from '{place / 'state.parquet'}'")
        analysis.run(f"create temp table incoming as select * from '{place / 'incoming.parquet'}'")
        analysis.run("create temp table known as select link_id, remote_id, seen_document from state")
        analysis.run("create temp table busy (link_id varchar)")
        analysis.run("create temp table overruled (remote_id varchar)")
        analysis.run(load_query("classify"))
        outcomes = dict(
            zip(
                *analysis.table("select outcome, count(*) from classified group by 1").to_pydict().values(), strict=True
            )
        )
    pool.close()
    assert outcomes["decide"] == outcomes["updated"] == rows // ONE_IN, outcomes
    assert outcomes["agreed"] == rows - 2 * (rows // ONE_IN), outcomes
    watch.report(rows)


def _hashed_snapshots(place: Path, rows: int) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"""
            copy (
                select
                    md5('l' || i) as link_id, 'r' || i as remote_id, 'rec' || i as record_id,
                    'active' as link_state, 'active' as record_state, 1::integer as record_version,
                    unhex(md5(case when i % {ONE_IN} = 0 then 'local' || i else 'agreed' || i end)) as record_hash,
                    unhex(md5('agreed' || i)) as local_hash, unhex(md5('agreed' || i)) as remote_hash,
                    unhex(md5('seen' || i)) as seen_document
                from range({rows}) t(i)
            ) to '{place / "state.parquet"}' (format parquet);
            copy (
                select
                    0::integer as part, i::integer as row, 'r' || i as remote_id, unhex(md5('b' || i)) as content_hash,
                    unhex(md5(case when i % {ONE_IN} in (0, 1) then 'remote' || i else 'agreed' || i end)) as hash,
                    null::varchar as evidence, null::timestamptz as last_updated
                from range({rows}) t(i)
            ) to '{place / "incoming.parquet"}' (format parquet);
        """)


def conflict_tables(folder: str, rows: int) -> None:
    """Reconcile a snapshot of `rows` resources, one in a hundred of them changed on both sides, with a store that has
    them all: load the state, classify, open the minority's documents, merge, grade, decide, write."""
    from holovitals_pipelines.engine.home import open_home
    from holovitals_pipelines.engine.jobs import open_session
    from holovitals_pipelines.engine.reconcile import reconcile
    from holovitals_pipelines.engine.worker import worker_name
    from holovitals_pipelines.model.connection import ConnectionConfig
    from holovitals_pipelines.model.job import SyncRequest
    from holovitals_pipelines.model.vocabulary import JobType, Provider
    from holovitals_pipelines.settings import Settings, save_connections
    from holovitals_pipelines.store.stages import stages_of

    home = Path(folder) / "home"
    home.mkdir()
    config = ConnectionConfig(name="bench", provider=Provider.FHIR, base_url="http://127.0.0.1:9/fhir")
    save_connections(home / "connections.yaml", [config])
    with (
        open_home(Settings(home=home)) as opened,
        open_session(opened, SyncRequest("bench", JobType.FULL_SYNC), owner=worker_name()) as session,
    ):
        _fill(session, rows)
        with Stopwatch() as watch:
            reconcile(session, "Observation")
        with opened.database.read() as transaction:
            counts = next(row.counts for row in stages_of(transaction, session.job_id) if row.stage == "reconcile")
    assert counts["conflicts"] == rows // ONE_IN, counts
    assert counts["updated"] == rows // ONE_IN, counts
    watch.report(rows)


def _body(number: int, value: str, note: str) -> bytes:
    return (
        f'{{"resourceType":"Observation","id":"o{number}","status":"preliminary",'
        f'"category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category",'
        f'"code":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"2345-7"}}],'
        f'"text":"Glucose"}},"subject":{{"reference":"Patient/p{number // 50}"}},'
        f'"effectiveDateTime":"2026-01-{number % 28 + 1:02d}","note":[{{"text":"{note}"}}],'
        f'"valueQuantity":{{"value":{value},"unit":"mmol/L"}}}}'
    ).encode()


def _fill(session, rows: int) -> None:  # type: ignore[no-untyped-def]
    """A store in agreement, local edits of one in a hundred, and the vendor's snapshot landed as a records part."""
    import pyarrow as pa

    from holovitals_pipelines.engine.batches import RECORDS
    from holovitals_pipelines.fhir.canonical import HASH_VERSION, canonical_hash, content_hash
    from holovitals_pipelines.model.vocabulary import Dataset, Stage
    from holovitals_pipelines.store import agreements, decided
    from holovitals_pipelines.store.agreements import Reading, link_id_of
    from holovitals_pipelines.store.decided import RecordRow
    from holovitals_pipelines.store.documents import put_documents

    now = datetime.now(UTC)
    session.begin_stage(Stage.EXTRACT, ["Observation"])
    session.begin_stage(Stage.TRANSFORM, ["Observation"])
    for start in range(0, rows, 20_000):
        numbers = range(start, min(start + 20_000, rows))
        agreed = [_body(n, "5.40", "agreed") for n in numbers]
        readings = [
            Reading(f"o{n}", "1", now, content_hash(body), canonical_hash(body))
            for n, body in zip(numbers, agreed, strict=True)
        ]
        edited = [(n, _body(n, "5.40", f"here {n}")) for n in numbers if n % ONE_IN == 0]
        with session.transaction() as transaction:
            put_documents(transaction, ((r.content_hash, b) for r, b in zip(readings, agreed, strict=True)))
            put_documents(transaction, ((content_hash(body), body) for _, body in edited))
            agreements.add_records(
                transaction, "bench", "Observation", readings, hash_version=HASH_VERSION, seen_at=now
            )
            changed = [
                RecordRow(
                    link_id_of("bench", "Observation", f"o{n}"), 2, "active", content_hash(body),
                    canonical_hash(body), HASH_VERSION, "dr", now,
                )
                for n, body in edited
            ]  # fmt: skip
            decided.change_records(transaction, changed, job_id=None)
        part = session.write_part(
            Dataset.RECORDS, "Observation", pa.Table.from_pylist(list(_snapshot(numbers, agreed, now)), schema=RECORDS)
        )
        with session.transaction() as transaction:
            session.register(transaction, [part])
    with session.transaction() as transaction:
        session.end_stage(transaction, "Observation", Stage.EXTRACT)
        session.end_stage(transaction, "Observation", Stage.TRANSFORM)


def _snapshot(numbers: range, agreed: list[bytes], now: datetime) -> Iterator[dict[str, object]]:
    from holovitals_pipelines.engine.batches import RECORDS
    from holovitals_pipelines.fhir.canonical import canonical_hash, content_hash

    for number, same in zip(numbers, agreed, strict=True):
        body = same
        if number % ONE_IN == 0:
            body = _body(number, "5.40", f"there {number}")
        elif number % ONE_IN == 1:
            body = _body(number, "6.10", "agreed")
        row = {
            "remote_id": f"o{number}", "version": "2", "last_updated": now, "body": body,
            "content_hash": content_hash(body), "hash": canonical_hash(body),
        }  # fmt: skip
        yield {name: row.get(name) for name in RECORDS.names}
