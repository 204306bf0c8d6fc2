from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.bulk import fetch_by_keys, insert_rows, stream_arrow, stream_rows, update_rows
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.tables import (
    ehr_connection,
    landing_part,
    link,
    quality_result,
    record_version,
    shadow,
    sync_conflict,
    sync_conflict_field,
    sync_statistics,
)

AWKWARD = 'tab\t backslash\\ newline\n return\r \\N \\x00 "quoted" {brace} ünïcödé 漢字 \u2028'
OTHER_ZONE = datetime(2026, 3, 1, 23, 59, 59, 7, tzinfo=timezone(timedelta(hours=-5, minutes=-30)))
ON_THE_SECOND = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SHADOW = ("link_id", "local_hash", "hash_version", "seen_version", "seen_updated", "seen_at")


def all_of(database: Database, table: sa.Table) -> list[tuple[Any, ...]]:
    with database.read() as transaction:
        order = list(table.primary_key.columns)
        return [tuple(row) for row in transaction.execute(sa.select(table).order_by(*order))]


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        (
            shadow,
            [
                {"link_id": "a", "local_hash": bytes(range(16)), "hash_version": 1, "seen_version": AWKWARD,
                 "seen_updated": None, "seen_at": OTHER_ZONE},
                {"link_id": "b", "local_hash": None, "hash_version": 2, "seen_version": None,
                 "seen_updated": ON_THE_SECOND, "seen_at": ON_THE_SECOND},
                {"link_id": "c", "local_hash": b"\x00\n\t\\\xff" * 3, "hash_version": 3, "seen_version": "",
                 "seen_updated": OTHER_ZONE, "seen_at": OTHER_ZONE},
            ],
        ),
        (
            ehr_connection,
            [
                {"name": "epic", "provider": "epic", "base_url": AWKWARD, "enabled": True, "created_at": OTHER_ZONE,
                 "updated_at": ON_THE_SECOND, "config": {"text": AWKWARD, "list": [1, None, 1.5, {"deep": []}]}},
                {"name": "lab", "provider": "fhir", "base_url": "x", "enabled": False, "created_at": OTHER_ZONE,
                 "updated_at": ON_THE_SECOND, "config": []},
            ],
        ),
        (
            quality_result,
            [
                {"job_id": "j", "connection": "epic", "resource_type": "Patient", "check_name": "c",
                 "expectation": AWKWARD, "severity": "ERROR", "passed": passed, "rows": 2**40, "unexpected": 0,
                 "at": OTHER_ZONE}
                for passed in (True, False)
            ],
        ),
    ],
    ids=["bytes and instants", "json and booleans", "numbered rows and big integers"],
)  # fmt: skip
def test_the_fast_path_stores_exactly_what_sqlalchemy_stores(
    database: Database, table: sa.Table, rows: list[dict[str, Any]]
) -> None:
    """Compared as the database itself sees it, byte for byte, not through our own reading."""
    columns = list(rows[0])
    raw = sa.select(*(sa.cast(table.c[name], sa.Text) for name in columns)).order_by(table.primary_key.columns[0])
    if database.dialect == "sqlite":
        names = ", ".join(f"typeof({name}), {name}" for name in columns)
        raw = sa.text(f"select {names} from {table.name} order by {table.primary_key.columns[0].name}")  # type: ignore[assignment]
    with database.write() as transaction:
        transaction.execute(table.insert(), rows)
        expected = [tuple(row) for row in transaction.execute(raw)]
        transaction.execute(table.delete())
        assert insert_rows(transaction, table, columns, (tuple(row.values()) for row in rows)) == len(rows)
        assert [tuple(row) for row in transaction.execute(raw)] == expected
    assert len(expected) == len(rows)


def test_streamed_rows_have_the_values_sqlalchemy_gives(database: Database) -> None:
    with database.write() as transaction:
        rows = [
            (f"link-{n:04}", b"%016d" % n, n, AWKWARD, None if n % 3 else OTHER_ZONE, ON_THE_SECOND)
            for n in range(1000)
        ]
        insert_rows(transaction, shadow, SHADOW, reversed(rows))
    query = sa.select(*(shadow.c[name] for name in SHADOW)).order_by(shadow.c.link_id)
    with database.read() as transaction:
        expected = [tuple(row) for row in transaction.execute(query)]
        batches = list(stream_rows(transaction, query, batch=300))
    assert [len(batch) for batch in batches] == [300, 300, 300, 100]
    assert [row for batch in batches for row in batch] == expected == rows
    assert type(batches[0][0]) is tuple and type(batches[0][0][1]) is bytes


def test_json_and_booleans_stream_as_python_values(database: Database) -> None:
    config = {"text": AWKWARD, "number": 1.5, "none": None}
    columns = ("name", "provider", "base_url", "config", "enabled", "created_at", "updated_at")
    with database.write() as transaction:
        insert_rows(
            transaction, ehr_connection, columns, [("a", "epic", "u", config, True, ON_THE_SECOND, ON_THE_SECOND)]
        )
        query = sa.select(ehr_connection.c.config, ehr_connection.c.enabled)
        assert list(stream_rows(transaction, query)) == [[(config, True)]]


def test_arrow_streams_carry_every_kind_of_value(database: Database) -> None:
    with database.write() as transaction:
        rows = [("a", b"h" * 16, 7, AWKWARD, OTHER_ZONE, ON_THE_SECOND), ("b", None, 8, None, None, ON_THE_SECOND)]
        insert_rows(transaction, shadow, SHADOW, rows)
    schema = pa.schema(
        [
            ("link", pa.string()),
            ("hash", pa.binary(16)),
            ("version", pa.int32()),
            ("known", pa.bool_()),
            ("updated", pa.timestamp("us", "UTC")),
            ("seen", pa.timestamp("us")),
        ]
    )
    query = sa.select(
        shadow.c.link_id,
        shadow.c.local_hash,
        shadow.c.hash_version,
        shadow.c.seen_version.is_not(None),
        shadow.c.seen_updated,
        shadow.c.seen_at,
    ).order_by(shadow.c.link_id)
    with database.read() as transaction:
        reader = stream_arrow(transaction, query, schema, batch=1)
        batches = list(reader)
    assert [batch.num_rows for batch in batches] == [1, 1]
    table = pa.Table.from_batches(batches)
    assert table.schema == schema
    naive = ON_THE_SECOND.replace(tzinfo=None)
    assert table.to_pylist() == [
        {"link": "a", "hash": b"h" * 16, "version": 7, "known": True, "updated": OTHER_ZONE, "seen": naive},
        {"link": "b", "hash": None, "version": 8, "known": False, "updated": None, "seen": naive},
    ]


def test_an_empty_result_is_an_empty_stream(database: Database) -> None:
    schema = pa.schema([("link_id", pa.string())])
    with database.read() as transaction:
        assert list(stream_rows(transaction, sa.select(shadow.c.link_id))) == []
        assert stream_arrow(transaction, sa.select(shadow.c.link_id), schema).read_all() == schema.empty_table()


def test_streaming_does_not_hold_the_result_in_memory(database: Database) -> None:
    with database.write() as transaction:
        rows = ((f"link-{n:06}", b"h" * 16, 1, "v" * 100, None, ON_THE_SECOND) for n in range(40_000))
        insert_rows(transaction, shadow, SHADOW, rows)
    with database.read() as transaction:
        tracemalloc.start()
        seen = sum(len(rows) for rows in stream_rows(transaction, sa.select(shadow), batch=1_000))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seen == 40_000
    assert peak < 4_000_000  # the whole result is more than 20 MB


VERSION = ("record_id", "version", "state", "document_hash", "changed_by", "job_id", "at")


def version(record_id: str, number: int, by: str) -> tuple[Any, ...]:
    return (record_id, number, "active", b"h" * 16, by, None, ON_THE_SECOND)


def by_key(database: Database) -> dict[tuple[str, int], str]:
    return {(row[0], row[1]): row[4] for row in all_of(database, record_version)}


def test_ignore_keeps_the_row_that_was_there(database: Database) -> None:
    with database.write() as transaction:
        insert_rows(transaction, record_version, VERSION, [version("a", 1, "first")])
        taken = insert_rows(
            transaction,
            record_version,
            VERSION,
            [version("a", 1, "second"), version("a", 2, "second"), version("a", 2, "third")],
            "ignore",
        )
    assert taken == 1
    assert by_key(database) == {("a", 1): "first", ("a", 2): "second"}


def test_update_takes_the_last_of_several_rows_with_one_key(database: Database) -> None:
    with database.write() as transaction:
        insert_rows(transaction, record_version, VERSION, [version("a", 1, "first"), version("b", 1, "kept")])
        rows = [version("c", 1, "new"), version("a", 1, "second"), version("a", 1, "third")]
        insert_rows(transaction, record_version, VERSION, rows, "update")
    assert by_key(database) == {("a", 1): "third", ("b", 1): "kept", ("c", 1): "new"}


def test_update_of_a_table_that_is_all_key_changes_nothing(database: Database) -> None:
    columns = ("conflict_id", "revision", "unit")
    with database.write() as transaction:
        values = dict.fromkeys(
            ("conflict_id", "link_id", "job_id", "connection", "resource_type", "record_id", "type"), "c"
        )
        transaction.execute(
            sync_conflict.insert().values(**values, status="DETECTED", revision=1, detected_at=ON_THE_SECOND)
        )
        for _ in range(2):
            insert_rows(transaction, sync_conflict_field, columns, [("c", 1, "name")], "update")
    assert [row[:3] for row in all_of(database, sync_conflict_field)] == [("c", 1, "name")]


def test_a_repeated_key_is_an_error_unless_said_otherwise(database: Database) -> None:
    with pytest.raises(StoreError) as raised, database.write() as transaction:
        insert_rows(transaction, record_version, VERSION, [version("secret-marker", 1, "a")] * 2)
    assert raised.value.code == "store.constraint"
    assert "secret-marker" not in str(raised.value)
    assert by_key(database) == {}


def test_several_writes_of_one_transaction_do_not_disturb_each_other(database: Database) -> None:
    with database.write() as transaction:
        for number in range(3):
            insert_rows(transaction, record_version, VERSION, [version("a", number, "x")], "ignore")
            insert_rows(transaction, shadow, SHADOW, [(f"l{number}", None, 1, None, None, ON_THE_SECOND)], "update")
    assert len(by_key(database)) == len(all_of(database, shadow)) == 3


def test_numbered_rows_keep_their_order_of_arrival(sqlite_database: Database) -> None:
    columns = [column.name for column in quality_result.c if column.name != "result_id"]
    with sqlite_database.write() as transaction:
        rows = ((f"job-{9 - n}", "e", "P", "c", "x", "ERROR", True, 1, 0, ON_THE_SECOND) for n in range(10))
        insert_rows(transaction, quality_result, columns, rows)
    assert [row[1] for row in all_of(sqlite_database, quality_result)] == [f"job-{9 - n}" for n in range(10)]


def test_a_required_column_left_out_is_refused_before_anything_is_written(sqlite_database: Database) -> None:
    with pytest.raises(ValueError, match="link_id, resource_type"), sqlite_database.write() as transaction:
        columns = ("connection", "remote_id", "record_id", "state", "linked_by", "linked_at")
        insert_rows(transaction, link, columns, [("e", "r", "k", "active", "me", ON_THE_SECOND)])


def test_an_instant_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="without time zone"), database.write() as transaction:
        insert_rows(transaction, shadow, SHADOW, [("a", None, 1, None, None, ON_THE_SECOND.replace(tzinfo=None))])


def test_update_rows_changes_the_named_columns_of_the_named_rows(database: Database) -> None:
    with database.write() as transaction:
        rows = [(f"l{n}", b"h" * 16, 1, AWKWARD, None, ON_THE_SECOND) for n in range(5)]
        insert_rows(transaction, shadow, SHADOW, rows)
        changes = [("l3", OTHER_ZONE, "v3"), ("l1", ON_THE_SECOND, None), ("absent", OTHER_ZONE, "x")]
        assert update_rows(transaction, shadow, ["link_id"], ["seen_updated", "seen_version"], changes) == 2
    found = {row[0]: (row[8], row[7], row[1]) for row in all_of(database, shadow)}
    assert found == {
        "l0": (None, AWKWARD, b"h" * 16),
        "l1": (ON_THE_SECOND, None, b"h" * 16),
        "l2": (None, AWKWARD, b"h" * 16),
        "l3": (OTHER_ZONE, "v3", b"h" * 16),
        "l4": (None, AWKWARD, b"h" * 16),
    }


def test_rows_are_fetched_by_many_keys_and_by_composite_ones(database: Database) -> None:
    with database.write() as transaction:
        rows = (version(f"r{n:05}", m, f"{n}-{m}") for n in range(3_000) for m in (1, 2))
        insert_rows(transaction, record_version, VERSION, rows)
    query = sa.select(record_version.c.record_id, record_version.c.version, record_version.c.changed_by)
    wanted = [f"r{n:05}" for n in range(0, 5_000, 2)]
    with database.read() as transaction:
        by_id = [row for rows in fetch_by_keys(transaction, query, record_version.c.record_id, wanted) for row in rows]
        keys = [("r00001", 2), ("r00002", 1), ("r00002", 3)]
        both = (record_version.c.record_id, record_version.c.version)
        by_both = [row for rows in fetch_by_keys(transaction, query, both, keys) for row in rows]
        assert list(fetch_by_keys(transaction, query, record_version.c.record_id, [])) == []
    assert len(by_id) == 3_000  # 1,500 records of two versions
    assert sorted(by_both) == [("r00001", 2, "1-2"), ("r00002", 1, "2-1")]


def test_columns_with_sql_words_for_names_are_written(database: Database) -> None:
    """`rows`, `bytes` and `at` mean something to one database or the other."""
    columns = [column.name for column in sync_statistics.c]
    counts = sum(isinstance(column.type, sa.BigInteger) for column in sync_statistics.c)
    seconds = (0.5, 1.25, 1e-9, 3.0)
    row = ("j", "Patient", "epic", "epic", "FULL_SYNC", ON_THE_SECOND, ON_THE_SECOND, *range(counts), *seconds)
    with database.write() as transaction:
        insert_rows(transaction, sync_statistics, columns, [row], "update")
    assert all_of(database, sync_statistics) == [row]
    assert {"rows", "bytes"} <= {column.name for column in landing_part.c}
