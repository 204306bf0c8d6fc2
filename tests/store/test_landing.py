from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta
from pathlib import Path
from time import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from pyarrow import fs

from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.model.vocabulary import Dataset
from holovitals_pipelines.store import parts
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.landing import ROW_GROUP_ROWS, LandingZone, WrittenPart
from holovitals_pipelines.store.tables import landing_part

HOUR = timedelta(hours=1)


@pytest.fixture
def zone(home: Path) -> LandingZone:
    return LandingZone(str(home / "landing"))


def rows(count: int, start: int = 0) -> pa.Table:
    numbers = range(start, start + count)
    return pa.table(
        {
            "remote_id": [f"p{n}" for n in numbers],
            "body": pa.array([b'{"n":%d}' % n for n in numbers], pa.binary()),
            "number": pa.array(numbers, pa.int32()),
        }
    )


def write(zone: LandingZone, table: pa.Table, resource_type: str = "Patient") -> WrittenPart:
    return zone.write_part("epic", "job-1", Dataset.EXTRACT, resource_type, table)


def age(home: Path, path: str, hours: float) -> None:
    moment = time() - hours * 3600
    os.utime(home / "landing" / path, (moment, moment))


def test_a_part_holds_what_was_written_under_a_name_of_its_own(zone: LandingZone, home: Path) -> None:
    first, second = write(zone, rows(3)), write(zone, rows(3))
    assert first.path != second.path
    assert first.path.startswith("epic/job-1/extract/Patient/part-")
    assert (first.rows, first.bytes) == (3, (home / "landing" / first.path).stat().st_size)
    zone.verify(first.path, first.sha256)
    assert zone.open_parts([first.path]).read_all() == rows(3)
    assert pq.read_table(zone.locate(first.path)) == rows(3)


def test_parts_are_read_in_order_a_row_group_at_a_time(zone: LandingZone) -> None:
    written = [write(zone, rows(ROW_GROUP_ROWS + 10, start)) for start in (0, 100_000)]
    batches = list(zone.open_parts([part.path for part in written], columns=["number"]))
    assert [batch.num_rows for batch in batches] == [ROW_GROUP_ROWS, 10] * 2
    assert batches[0].schema.names == ["number"]
    assert pa.Table.from_batches(batches)["number"].to_pylist() == [
        *range(ROW_GROUP_ROWS + 10),
        *range(100_000, 100_000 + ROW_GROUP_ROWS + 10),
    ]


def test_no_parts_are_an_empty_stream_of_the_shape_asked_for(zone: LandingZone) -> None:
    schema = pa.schema([("remote_id", pa.string())])
    assert zone.open_parts([], schema=schema).read_all() == schema.empty_table()


def test_an_empty_part_is_a_part(zone: LandingZone) -> None:
    part = write(zone, rows(0))
    assert zone.open_parts([part.path]).read_all() == rows(0)


def test_a_row_that_is_not_there_is_an_error(zone: LandingZone) -> None:
    part = write(zone, rows(3))
    for row in (3, -1):
        with pytest.raises(IndexError):
            list(zone.take_rows(part.path, pa.table({"row": [row]})))


def test_chosen_rows_come_with_what_was_decided_about_them(zone: LandingZone) -> None:
    part = write(zone, rows(12_000))
    chosen = pa.table({"row": [1, 11_000, 11_001], "outcome": ["a", "b", "c"], "number": [0, 0, 0]})
    tables = list(zone.take_rows(part.path, chosen))
    assert [table.num_rows for table in tables] == [1, 2]  # the row group between is never opened
    whole = pa.concat_tables(tables)
    assert whole.column_names == ["remote_id", "body", "number", "outcome"]
    assert whole.select(["number", "outcome"]).to_pylist() == [
        {"number": 1, "outcome": "a"},
        {"number": 11_000, "outcome": "b"},
        {"number": 11_001, "outcome": "c"},
    ]


def test_a_missing_part_is_named_with_a_remedy(zone: LandingZone) -> None:
    for attempt in (
        lambda: zone.open_parts(["epic/job-1/extract/Patient/part-0.parquet"]),
        lambda: zone.verify("epic/job-1/extract/Patient/part-0.parquet", ""),
    ):
        with pytest.raises(StoreError) as raised:
            attempt()
        assert raised.value.code == "landing.part_missing"
        assert raised.value.place.endswith("epic/job-1/extract/Patient/part-0.parquet")


def test_a_damaged_part_is_detected(zone: LandingZone, home: Path) -> None:
    part = write(zone, rows(100))
    path = home / "landing" / part.path
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(StoreError) as raised:
        zone.verify(part.path, part.sha256)
    assert raised.value.code == "landing.part_damaged"
    path.write_bytes(content[:50])
    with pytest.raises(StoreError) as raised:
        zone.open_parts([part.path])
    assert raised.value.code == "landing.part_damaged"


def test_names_that_would_leave_the_folder_are_refused(zone: LandingZone) -> None:
    for connection in ("..", "a/b", "", ".hidden", "a\0b"):
        with pytest.raises(ValueError, match="plain names"):
            zone.write_part(connection, "job", Dataset.EXTRACT, "Patient", rows(1))


def test_a_volume_that_refuses_is_an_error_with_a_remedy(home: Path) -> None:
    (home / "landing").write_text("a file where the folder belongs")
    with pytest.raises(StoreError) as raised:
        write(LandingZone(str(home / "landing")), rows(1))
    assert raised.value.code == "landing.write_failed"


def test_a_zone_can_be_named_by_url(home: Path) -> None:
    part = write(LandingZone(f"file://{home}/landing"), rows(2))
    assert LandingZone(str(home / "landing")).open_parts([part.path]).read_all() == rows(2)
    with pytest.raises(ConfigurationError):
        LandingZone("gopher://hole")


def test_an_object_store_takes_and_gives_parts(home: Path) -> None:
    """Through the branch for file systems that are not a local folder."""
    (home / "bucket").mkdir()
    zone = LandingZone(f"file://{home}/bucket")
    zone._files = fs.SubTreeFileSystem(str(home), fs.LocalFileSystem())
    zone._root, zone._local = "bucket", False
    (home / "bucket/epic/job-1/extract/Patient").mkdir(parents=True)
    part = write(zone, rows(7))
    zone.verify(part.path, part.sha256)
    [taken] = zone.take_rows(part.path, pa.table({"row": [0, 6]}))
    assert taken["number"].to_pylist() == [0, 6]
    assert zone.sweep([], timedelta(hours=-1)) == [part.path]


def test_only_unlisted_parts_older_than_an_hour_are_swept(zone: LandingZone, home: Path) -> None:
    listed, old, young = (write(zone, rows(1)).path for _ in range(3))
    half_written = old.replace("part-", ".part-").replace(".parquet", ".tmp")
    (home / "landing" / half_written).write_bytes(b"half")
    foreign = ["notes.txt", "epic/job-1/extract/Patient/report.parquet", "part-" + "0" * 32 + ".parquet"]
    for name in foreign:
        (home / "landing" / name).write_bytes(b"not ours")
    for path in (listed, old, half_written, *foreign):
        age(home, path, 1.1)
    assert zone.sweep([listed]) == sorted([old, half_written])
    assert zone.open_parts([listed, young]).read_all().num_rows == 2
    assert all((home / "landing" / name).exists() for name in foreign)
    assert zone.sweep([listed, young]) == []


def test_sweeping_a_zone_that_does_not_exist_yet_finds_nothing(zone: LandingZone) -> None:
    assert zone.sweep([]) == []


def test_a_part_whose_writer_was_killed_before_listing_it_is_invisible_and_swept_later(
    database: Database, zone: LandingZone, home: Path, start: Any
) -> None:
    process = start("land_and_die", str(home / "landing"))
    out, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    orphan = out.strip()
    assert (home / "landing" / orphan).exists()
    with database.read() as transaction:
        assert parts.parts_of(transaction, "job", Dataset.EXTRACT) == []
        known = parts.known_paths(transaction)
    assert zone.sweep(known) == []  # its writer might still be about to list it
    age(home, orphan, 1.1)
    assert zone.sweep(known) == [orphan]


def test_parts_and_cursor_become_visible_together(
    database: Database, zone: LandingZone, now: datetime, new_job: Any
) -> None:
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        assert parts.load_progress(transaction, job_id) is None
    written = [write(zone, rows(2)), write(zone, rows(3), "Observation")]
    with pytest.raises(RuntimeError), database.write() as transaction:
        parts.register_parts(transaction, "epic", job_id, written, now)
        parts.save_progress(transaction, job_id, {"page": 2}, now)
        raise RuntimeError
    with database.read() as transaction:
        assert parts.parts_of(transaction, job_id, Dataset.EXTRACT) == []
        assert parts.load_progress(transaction, job_id) is None
    for page in (1, 2):
        with database.write() as transaction:
            parts.register_parts(transaction, "epic", job_id, [written[page - 1]], now)
            parts.save_progress(transaction, job_id, {"page": page, "next": None}, now)
    with database.read() as transaction:
        assert parts.load_progress(transaction, job_id) == {"page": 2, "next": None}
        listed = parts.parts_of(transaction, job_id, Dataset.EXTRACT)
        assert [(part.path, part.rows, part.sha256) for part in listed] == [
            (part.path, part.rows, part.sha256) for part in written
        ]
        assert [part.resource_type for part in listed] == ["Patient", "Observation"]
        assert parts.parts_of(transaction, job_id, Dataset.RECORDS) == []
        assert parts.parts_of(transaction, job_id, Dataset.EXTRACT, "Patient") == listed[:1]
        assert parts.known_paths(transaction) == {part.path for part in written}
    with database.write() as transaction:
        assert parts.unlist_parts(transaction, job_id, Dataset.EXTRACT, "Patient") == 1
        assert transaction.execute(sa.select(landing_part.c.resource_type)).scalars().all() == ["Observation"]


def test_extracts_that_others_landed_later_are_found(
    database: Database, zone: LandingZone, now: datetime, new_job: Any
) -> None:
    with database.write() as transaction:
        older, mine, newer = (new_job(transaction).job_id for _ in range(3))
        for job_id in (older, mine, newer):
            parts.register_parts(transaction, "epic", job_id, [write(zone, rows(1))], now)
        parts.register_parts(transaction, "lab", newer, [write(zone, rows(1))], now)
    with database.read() as transaction:
        found = parts.newer_extracts(transaction, mine, "epic", "Patient")
        assert [(part.job_id, part.connection) for part in found] == [(newer, "epic")]
        assert parts.newer_extracts(transaction, newer, "epic", "Patient") == []
