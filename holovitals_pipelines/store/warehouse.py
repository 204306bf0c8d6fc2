"""The warehouse: DuckDB snapshots that notebooks open read-only while pipelines publish the next one.

Law: a published snapshot never changes. It is built beside, made durable, and then named in the pointer file; whoever
has an older one open keeps it and blocks nobody.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.bulk import stream_arrow
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.landing import sync_folder
from holovitals_pipelines.store.warehouse_columns import WarehouseTable
from holovitals_pipelines.store.warehouse_schema import schema_version, warehouse_tables

POINTER = "current"
KEPT_SNAPSHOTS = 3
KEPT_FOR = timedelta(hours=1)
SETTLED_AFTER = timedelta(days=1)
"""Rows that changed longer than this before the previous snapshot are copied from it instead of read again: longer
than any write transaction and any clock step we know of."""
WAIT_SECONDS = 300.0
_SNAPSHOT = re.compile(r"warehouse-(\d{8}T\d{6}\.\d{6}Z)-(\d+)\.duckdb")
_STAMP = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, slots=True, order=True)
class Snapshot:
    """A published snapshot; the number grows by one with every build."""

    number: int
    as_of: datetime
    path: Path


def publish(
    database: Database, folder: Path, *, full: bool = False, memory_limit: str = "512MB", wait: float = WAIT_SECONDS
) -> Path:
    """Publish what the operational store holds now; returns the snapshot that shows it.

    Publishers take turns. One that waited while another published everything it came for takes that snapshot. `full`
    reads everything again instead of building on the previous snapshot (needed after old rows were deleted).
    Raises StoreError when the turn does not come within `wait` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    begun_before = _builds_begun(folder)
    with _turn(folder, wait):
        current = _pointed_at(folder)
        if current is not None and current.number > begun_before and not full:
            return current.path
        _remove_unfinished(folder)
        number = max(_builds_begun(folder), max((s.number for s in _snapshots(folder)), default=0)) + 1
        # Durable before the first read: whoever sees a greater number published knows its reads began later.
        _write_whole(folder / "builds", str(number))
        as_of = datetime.now(UTC)
        building = folder / f"building-{number}.duckdb"
        _build(database, building, None if full else current, as_of, number, memory_limit)
        path = folder / f"warehouse-{as_of.strftime(_STAMP)}-{number}.duckdb"
        _sync_file(building)
        building.rename(path)
        sync_folder(folder)
        _write_whole(folder / POINTER, path.name)
        _prune(folder, as_of)
    return path


def open_current(folder: Path, *, read_only: Literal[True] = True) -> duckdb.DuckDBPyConnection:
    """The newest published snapshot, read-only, in UTC. Raises StoreError when nothing was published yet."""
    for _ in range(3):  # between reading the pointer and opening, a newer one may have replaced what it names
        snapshot = current_snapshot(folder)
        try:
            connection = duckdb.connect(str(snapshot.path), read_only=read_only)
        except duckdb.IOException:
            continue
        connection.execute("SET TimeZone = 'UTC'")
        return connection
    raise StoreError(
        "the snapshot that the pointer names cannot be opened",
        code="warehouse.damaged",
        place=str(folder),
        remedy="publish again: the warehouse is rebuilt from the operational store",
    )


def current_snapshot(folder: Path) -> Snapshot:
    """Which snapshot is current. Raises StoreError when nothing was published yet."""
    snapshot = _pointed_at(folder)
    if snapshot is None:
        raise StoreError(
            "no warehouse was published yet",
            code="warehouse.missing",
            place=str(folder),
            remedy="run a sync first: every sync publishes the warehouse at its end",
        )
    return snapshot


def row_counts(folder: Path) -> dict[str, int]:
    """Rows by table of the current snapshot. Raises StoreError when there is none."""
    with open_current(folder) as warehouse:
        names = [name for (name,) in warehouse.execute("select table_name from duckdb_tables() order by 1").fetchall()]
        counts = {}
        for name in names:
            [(rows,)] = warehouse.execute(f'select count(*) from "{name}"').fetchall()  # noqa: S608 names from the catalogue
            counts[name] = int(rows)
    return counts


# building


def _build(
    database: Database, path: Path, previous: Snapshot | None, as_of: datetime, number: int, memory_limit: str
) -> None:
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "temp_directory": str(path.with_suffix(".tmp")),
    }
    path.write_bytes(_empty(schema_version()))
    with duckdb.connect(str(path), config=config) as warehouse:
        warehouse.execute("SET TimeZone = 'UTC'")
        warehouse.execute("SET VARIABLE as_of = ?::TIMESTAMPTZ", [as_of])
        settled = _attach(warehouse, previous)
        warehouse.execute("BEGIN")
        with database.read() as transaction:
            for table in warehouse_tables():
                _fill(warehouse, transaction, table, settled)
        warehouse.execute("INSERT INTO snapshot_info VALUES (?, getvariable('as_of'), ?)", [number, schema_version()])
        warehouse.execute("COMMIT")
        if settled is not None:
            warehouse.execute("DETACH previous")
        warehouse.execute("CHECKPOINT")


@lru_cache(maxsize=1)
def _empty(version: str) -> bytes:
    """A snapshot's file before anything is in it: its hundreds of comments take longer than most syncs' rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{version}.duckdb"
        with duckdb.connect(str(path)) as warehouse:
            warehouse.execute("BEGIN")  # one commit, not one a comment
            for table in warehouse_tables():
                for statement in table.create_sql():
                    warehouse.execute(statement)
            warehouse.execute("CREATE TABLE snapshot_info (number BIGINT, as_of TIMESTAMPTZ, schema_version VARCHAR)")
            warehouse.execute(
                "COMMENT ON TABLE snapshot_info IS 'One row: which snapshot this is and when it was read.'"
            )
            warehouse.execute("COMMIT")
        return path.read_bytes()


def _attach(warehouse: duckdb.DuckDBPyConnection, previous: Snapshot | None) -> datetime | None:
    """Attach the previous snapshot and return the instant before which its rows are settled; None to start afresh."""
    if previous is None:
        return None
    try:
        warehouse.execute(f"ATTACH '{str(previous.path).replace(chr(39), chr(39) * 2)}' AS previous (READ_ONLY)")
        row = warehouse.execute("SELECT as_of, schema_version FROM previous.snapshot_info").fetchone()
    except duckdb.Error:
        return None  # missing or damaged: the operational store has everything
    if row is None or row[1] != schema_version():
        return None
    return previous.as_of - SETTLED_AFTER


def _fill(
    warehouse: duckdb.DuckDBPyConnection, transaction: sa.Connection, table: WarehouseTable, settled: datetime | None
) -> None:
    query = table.select()
    copied = settled is not None and table.changes_at is not None
    if copied:
        changed = next(column.source for column in table.columns if column.name == table.changes_at)
        assert changed is not None
        query = query.where(sa.or_(changed >= settled, changed.is_(None)))
    schema = table.arrow_schema()
    batches = iter(stream_arrow(transaction, query, schema))
    if (first := next(batches, None)) is not None:
        incoming = pa.RecordBatchReader.from_batches(schema, chain([first], batches))
        warehouse.register("incoming", incoming)
        warehouse.execute(table.insert_sql("incoming"))
        warehouse.unregister("incoming")
    if copied:
        warehouse.execute(table.copy_sql("previous"), [settled])


# the folder


@contextmanager
def _turn(folder: Path, wait: float) -> Iterator[None]:
    """One publisher at a time; the lock goes with the process that holds it, however it ends."""
    handle = os.open(folder / "publish.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreError(
                        f"another process has been publishing for more than {wait:.0f} s",
                        code="warehouse.busy",
                        place=str(folder),
                        remedy="find the process that holds publish.lock (lsof) and end it, then publish again",
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _snapshots(folder: Path) -> list[Snapshot]:
    found = []
    for path in folder.iterdir():
        match = _SNAPSHOT.fullmatch(path.name)
        if match:
            as_of = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
            found.append(Snapshot(int(match[2]), as_of, path))
    return sorted(found)


def _pointed_at(folder: Path) -> Snapshot | None:
    try:
        name = (folder / POINTER).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    return next((snapshot for snapshot in _snapshots(folder) if snapshot.path.name == name), None)


def _builds_begun(folder: Path) -> int:
    try:
        return int((folder / "builds").read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0


def _prune(folder: Path, now: datetime) -> None:
    """Keep the newest few and what is younger than an hour. Whoever has an older one open keeps reading it."""
    current = _pointed_at(folder)
    for snapshot in _snapshots(folder)[:-KEPT_SNAPSHOTS]:
        if snapshot != current and now - snapshot.as_of > KEPT_FOR:
            snapshot.path.unlink()


def _remove_unfinished(folder: Path) -> None:
    """What a killed publisher left; only the holder of the turn may call this."""
    for path in folder.glob("building-*"):
        if path.is_dir():
            for spilled in path.iterdir():
                spilled.unlink()
            path.rmdir()
        else:
            path.unlink()


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_whole(path: Path, text: str) -> None:
    """Replace a small file at once: readers see the old text or the new."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)
