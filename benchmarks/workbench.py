"""Every frame of the workbench over a warehouse of many statistics rows: a thousand jobs a day, ten types a job.

The snapshot is made in DuckDB itself, with the tables that `publish` makes; what is measured is a notebook's question,
from the call to the pandas frame: of the last 30 days, and of everything.
"""

from __future__ import annotations

import inspect
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb

from benchmarks.measure import Stopwatch

TYPES_A_JOB = 10
JOBS_A_DAY = 1_000
CONNECTIONS = 12


def workbench_frames(rows: int) -> None:
    from holovitals_pipelines.settings import Settings
    from holovitals_pipelines.workbench import Workbench
    from holovitals_pipelines.workbench.queries import load_query

    frames = sorted(path.stem for path in (Path(inspect.getfile(Workbench)).parent / "sql").glob("*.sql"))
    with tempfile.TemporaryDirectory(prefix="holovitals-bench-") as folder:
        settings = Settings(home=Path(folder))
        _snapshot(settings.warehouse_folder, rows)
        told: list[tuple[str, float]] = []
        with Workbench(settings) as bench, Stopwatch() as watch:
            assert len(bench.overview()) == 1  # opens the file and loads what a notebook loads once
            for name in frames:
                ask = getattr(bench, name)
                told.append((name, _usual(ask)))
                if "$since" in load_query(name) and "days" in inspect.signature(ask).parameters:
                    told.append((f"{name}, everything", _usual(partial(ask, days=None))))
        for name, seconds in told:
            watch.told(name, seconds)
        watch.report(rows)


def _usual(ask: Callable[[], object]) -> float:
    """The median of three."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - started)
    return sorted(taken)[1]


def _snapshot(folder: Path, rows: int) -> None:
    from holovitals_pipelines.store.warehouse_schema import schema_version, warehouse_tables

    folder.mkdir(parents=True)
    as_of = datetime.now(UTC)
    path = folder / f"warehouse-{as_of:%Y%m%dT%H%M%S.%fZ}-1.duckdb"
    with duckdb.connect(str(path)) as warehouse:
        warehouse.execute("SET TimeZone = 'UTC'")
        warehouse.execute("SET VARIABLE as_of = ?::TIMESTAMPTZ", [as_of])
        warehouse.execute("SET VARIABLE jobs = ?", [max(rows // TYPES_A_JOB, 1)])
        for table in warehouse_tables():
            for statement in table.create_sql():
                warehouse.execute(statement)
        for statement in _FILLED:
            warehouse.execute(statement)
        warehouse.execute("CREATE TABLE snapshot_info (number BIGINT, as_of TIMESTAMPTZ, schema_version VARCHAR)")
        warehouse.execute("INSERT INTO snapshot_info VALUES (1, ?, ?)", [as_of, schema_version()])
        [(made,)] = warehouse.execute("SELECT count(*) FROM sync_statistics").fetchall()
    assert made == max(rows // TYPES_A_JOB, 1) * TYPES_A_JOB
    (folder / "current").write_text(path.name + "\n", encoding="ascii")


_JOBS = f"""
    SELECT j, md5(j::varchar) AS job_id, 'connection_' || j % {CONNECTIONS} AS connection,
           'vendor_' || j % 7 AS provider,
           CASE WHEN j % 50 = 0 THEN 'FULL_SYNC' ELSE 'INCREMENTAL_SYNC' END AS type,
           getvariable('as_of') - to_seconds((getvariable('jobs') - j) * {86_400 / JOBS_A_DAY}) AS ended
    FROM range(getvariable('jobs')) AS jobs(j)"""
_TYPES = f"range({TYPES_A_JOB}) AS types(t)"
_FILLED = (
    f"""INSERT INTO sync_jobs BY NAME
        SELECT job_id, connection, provider, type, 'BIDIRECTIONAL' AS direction, 3 AS priority,
               CASE WHEN j >= getvariable('jobs') - 40 THEN 'PENDING' WHEN j % 97 = 0 THEN 'FAILED' ELSE 'COMPLETED' END
                   AS status,
               1 + (j % 61 = 0)::bigint AS attempt, ended - interval 30 second AS created_at,
               ended - interval 30 second AS queued_at, ended - interval 25 second AS dispatched_at,
               CASE WHEN j < getvariable('jobs') - 40 THEN ended - interval 24 second END AS started_at,
               CASE WHEN j < getvariable('jobs') - 40 THEN ended END AS finished_at,
               6 + j % 5 AS wait_seconds, 24 AS duration_seconds,
               CASE WHEN j % 97 = 0 THEN 'http.503' END AS error_code
        FROM ({_JOBS})""",
    f"""INSERT INTO sync_statistics BY NAME
        SELECT job_id, 'Type' || t AS resource_type, connection, provider, type AS job_type,
               ended - interval 24 second AS started_at, ended AS finished_at, 100 + j % 7 AS extracted, 3 AS created,
               2 AS updated, 94 AS unchanged, 1 AS conflicts, j % 7 AS quarantined, 0 AS duplicates, 0 AS deletions,
               0 AS superseded, 0 AS absent, 100000 AS bytes, 1 AS resolved, 0 AS held, 1 AS pushed, 0 AS removed,
               0 AS refused_writes, 0 AS missed, 0.5 + t AS extract_seconds, 0.25 AS transform_seconds,
               0.125 AS reconcile_seconds, 0.125 AS write_back_seconds, 1 + t AS total_seconds
        FROM ({_JOBS}), {_TYPES}""",
    f"""INSERT INTO provider_latency BY NAME
        SELECT job_id, 'GET Type' || t || '?patient={{id}}' AS operation, connection,
               ended AS "at", 20 AS requests, 0 AS failures,
               j % 3 AS retries, 0.5 AS waited_seconds, 100000 AS received_bytes, 20.0 + t AS p50_ms, 90.0 AS p95_ms,
               250.0 AS max_ms
        FROM ({_JOBS}), {_TYPES} WHERE t < 5""",
    f"""INSERT INTO quality_results BY NAME
        SELECT job_id, connection, 'Type' || t AS resource_type, 'check_' || k AS check_name,
               'Expectation' AS expectation,
               'WARNING' AS severity, j % 40 > 0 AS passed, 106 AS "rows", (j % 40 = 0)::bigint AS unexpected,
               ended AS "at"
        FROM ({_JOBS}), {_TYPES}, range(3) AS checks(k) WHERE t < 4 AND j % 4 = 0""",
    f"""INSERT INTO sync_errors BY NAME
        SELECT job_id, connection, 'Type1' AS resource_type, 'extract' AS stage, 'WARNING' AS severity,
               'code.' || j % 30 AS code, 'what happened' AS message, ended AS "at"
        FROM ({_JOBS}) WHERE j % 10 = 0""",
    f"""INSERT INTO conflicts BY NAME
        SELECT job_id AS conflict_id, job_id, connection, 'Type' || j % 10 AS resource_type, 'UPDATE_UPDATE' AS type,
               'LOW' AS severity, 'RESOLVED' AS status, 'MERGE' AS strategy, 1 AS units, 1 AS revision,
               ended AS detected_at,
               ended AS decided_at, 'automatic' AS decided_how, 1.0 AS resolve_seconds, ended AS settled_at
        FROM ({_JOBS})""",
    """INSERT INTO conflict_fields BY NAME
        SELECT conflict_id, 1 AS revision, true AS newest, connection, resource_type, 'note' AS element,
               'conflict' AS kind, 'LOW' AS severity, 'remote' AS chosen_side, settled_at FROM conflicts""",
    f"""INSERT INTO writes BY NAME
        SELECT job_id AS intent_id, connection, 'Type' || j % 10 AS resource_type, 'update' AS operation,
               'done' AS state, 1 AS attempts, true AS guarded, ended AS created_at, ended AS finished_at,
               2.0 AS seconds
        FROM ({_JOBS})""",
    f"""INSERT INTO webhook_events BY NAME
        SELECT job_id AS log_id, connection AS source, 'PATIENT_UPDATED' AS event_type,
               CASE WHEN j % 200 = 0 THEN 'FAILED' ELSE 'COMPLETED' END AS status, 1 AS attempts, 1 AS times_received,
               0 AS altered, ended AS received_at, ended AS completed_at, 1.5 AS seconds
        FROM ({_JOBS})""",
)
"""A conflict, a write and a webhook event a job, five kinds of requests, a check result or so for every type."""
