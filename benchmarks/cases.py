"""The measured cases, each run as `python -m benchmarks.cases NAME '{"argument": …}'`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.agreement import conflict_tables, detection
from benchmarks.audit_chain import audit_chain
from benchmarks.field_merge import field_merge
from benchmarks.hl7v2 import hl7v2_hl7apy, hl7v2_intake, hl7v2_split
from benchmarks.measure import Stopwatch
from benchmarks.rules import rules_by_record, rules_differences, rules_in_sql
from benchmarks.webhooks import webhooks_baseline, webhooks_received, webhooks_served
from benchmarks.workbench import workbench_frames
from holovitals_pipelines.model.connection import ConnectionConfig, ReadSettings
from holovitals_pipelines.model.vocabulary import JobType, Provider


def read_lines(file: str) -> None:
    with Stopwatch() as watch, Path(file).open("rb") as lines:
        count = sum(1 for _ in lines)
    watch.report(count)


def parse(file: str) -> None:
    import orjson

    with Stopwatch() as watch, Path(file).open("rb") as lines:
        count = 0
        for line in lines:
            orjson.loads(line)
            count += 1
    watch.report(count)


def canonical(file: str) -> None:
    from holovitals_pipelines.fhir.canonical import canonical_hash

    with Stopwatch() as watch, Path(file).open("rb") as lines:
        count = 0
        for line in lines:
            canonical_hash(line)
            count += 1
    watch.report(count)


def check(file: str) -> None:
    from holovitals_pipelines.fhir.validation import check_structure

    types: dict[bytes, str] = {}
    with Stopwatch() as watch, Path(file).open("rb") as lines:
        count = 0
        for line in lines:
            head = line[:60]
            name = types.get(head) or types.setdefault(head, json.loads(line)["resourceType"])
            check_structure(line.rstrip(b"\n"), name)
            count += 1
    watch.report(count)


def duckdb_parquet(file: str, target: str) -> None:
    import duckdb

    with Stopwatch() as watch, duckdb.connect() as connection:
        connection.execute(
            f"""copy (select json_extract_string(json, '$.resourceType') as type,
                     json_extract_string(json, '$.id') as id, md5(json::varchar) as hash, json as body
                from read_ndjson_objects('{file}', maximum_object_size = 33554432))
                to '{target}' (format parquet, compression zstd)"""
        )
        row = connection.execute(f"select count(*) from '{target}'").fetchone()
    watch.report(row[0] if row else 0)


def pipeline(home: str, base_url: str) -> None:
    """The main job through HTTP (Bulk Data) into the stores, statistics published: what `run_sync` does, by stage."""
    import httpx  # noqa: F401
    import pandas  # noqa: F401  pyarrow imports it at its first array; start-up is not what is measured here

    from holovitals_pipelines.engine.extract import extract
    from holovitals_pipelines.engine.home import open_home
    from holovitals_pipelines.engine.jobs import end_job, open_session
    from holovitals_pipelines.engine.reconcile import reconcile
    from holovitals_pipelines.engine.sync import publish_statistics
    from holovitals_pipelines.engine.transform import transform
    from holovitals_pipelines.engine.vendors import vendor_adapter
    from holovitals_pipelines.engine.worker import worker_name
    from holovitals_pipelines.model.job import SyncRequest
    from holovitals_pipelines.settings import Settings, save_connections

    folder = Path(home)
    folder.mkdir(parents=True, exist_ok=True)
    connection = ConnectionConfig(
        name="bench", provider=Provider.FHIR, base_url=base_url, read=ReadSettings(mode="bulk", max_poll_seconds=1)
    )
    save_connections(folder / "connections.yaml", [connection])
    with open_home(Settings(home=folder)) as opened, Stopwatch() as watch:
        with open_session(opened, SyncRequest("bench", JobType.FULL_SYNC), owner=worker_name()) as session:
            extract(session, vendor_adapter(session.connection))
            watch.lap("extract")
            for resource_type in session.landed_types():
                transform(session, resource_type)
            watch.lap("transform")
            for resource_type in session.landed_types():
                reconcile(session, resource_type)
            watch.lap("reconcile")
            report = end_job(session)
        publish_statistics(opened)
        watch.lap("statistics")
    assert report.succeeded, report.errors
    assert report.total.unaccounted == 0
    watch.report(report.total.extracted)


CASES = {
    case.__name__: case
    for case in (
        read_lines,
        parse,
        canonical,
        check,
        duckdb_parquet,
        pipeline,
        detection,
        conflict_tables,
        field_merge,
        audit_chain,
        rules_in_sql,
        rules_by_record,
        rules_differences,
        hl7v2_split,
        hl7v2_hl7apy,
        hl7v2_intake,
        webhooks_baseline,
        webhooks_received,
        webhooks_served,
        workbench_frames,
    )
}

if __name__ == "__main__":
    CASES[sys.argv[1]](**json.loads(sys.argv[2]))
