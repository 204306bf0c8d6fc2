"""From a records batch to the few narrow columns a suite judges, in DuckDB; bodies stay there, and no row is skipped.

A batch is Arrow data with at least `remote_id` (string) and `body` (the resource's JSON, as binary or string). Batches
are read one slice at a time, so memory is bounded by the slice, not by the batch. A body that is not JSON, or not
UTF-8, yields missing values in every column: the structural claim `bodies_are_of_the_type` is what reports it. Rows
with `evidence` are deletions: they have no body to judge, may share an id with a living row, and count nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import duckdb
import pyarrow as pa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.quality.expectations import Column

Batches: TypeAlias = "pa.Table | pa.RecordBatchReader | Iterable[pa.RecordBatch]"

SLICE_ROWS = 50_000
_PATH = re.compile(r"^\$(\.[A-Za-z]\w*(\[\d+\])?)+$")

_PIECE = """
    WITH bodies AS (
        SELECT {text} AS body FROM piece
    ),
    read AS (
        SELECT
            try(json_extract_string(body, [{texts}])) AS text,
            try(json_exists(body, [{existences}])) AS found
        FROM bodies
    )
    SELECT {columns} FROM read
"""

_EPOCH_DAY = (
    "CAST(date_diff('day', DATE '1970-01-01', CAST(try_strptime(left({value}, 10), {formats}) AS DATE)) AS DOUBLE)"
)


def connect() -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills nowhere: what it holds may be health data."""
    return duckdb.connect(":memory:", config={"temp_directory": "", "autoinstall_known_extensions": "false"})


def slices(batches: Batches, rows: int = SLICE_ROWS) -> Iterator[pa.RecordBatch]:
    """The batches in slices of at most `rows` rows, sharing memory with what came in.

    Raises StoreError (`quality.columns_missing`) when `remote_id` or `body` is not there.
    """
    if isinstance(batches, pa.Table):
        batches = batches.to_batches()
    for batch in batches:
        missing = sorted({"remote_id", "body"} - set(batch.schema.names))
        if missing:
            raise StoreError(
                f"a records batch has no column {', '.join(missing)}",
                code="quality.columns_missing",
                remedy="hand over the batch as the landing zone holds it",
            )
        living = _living(batch)
        for start in range(0, living.num_rows, rows):
            yield living.slice(start, rows)


def _living(batch: pa.RecordBatch) -> pa.RecordBatch:
    if "evidence" not in batch.schema.names or batch["evidence"].null_count == batch.num_rows:
        return batch
    return batch.filter(batch["evidence"].is_null())


def body_as_text(batch: pa.RecordBatch) -> str:
    """The SQL that reads `body` as text whatever its Arrow type; bytes that are not UTF-8 read as missing."""
    kind = batch.schema.field("body").type
    return "body" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "try(decode(body))"


def projection_sql(columns: Sequence[Column], text: str) -> str:
    """The query that projects `columns` from the relation `piece`, each body parsed twice however many columns."""
    texts = _Paths()
    existences = _Paths()
    selected = [f"{_expression(column, texts, existences)} AS {column.name}" for column in columns]
    return _PIECE.format(
        text=text, texts=texts.sql(), existences=existences.sql(), columns=",\n        ".join(selected)
    )


class _Paths:
    """The distinct paths one JSON function call looks up, and where each answer lies."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def at(self, path: str) -> int:
        assert _PATH.match(path), path
        if path not in self.paths:
            self.paths.append(path)
        return self.paths.index(path) + 1

    def sql(self) -> str:
        return ", ".join(f"'{path}'" for path in self.paths or ["$.resourceType"])


def _expression(column: Column, texts: _Paths, existences: _Paths) -> str:
    if column.kind in ("present", "together"):
        found = " OR ".join(f"found[{existences.at(path)}]" for path in column.paths)
        if column.kind == "present":
            return f"CASE WHEN {found} THEN 'yes' END"
        given = " OR ".join(f"found[{existences.at(path)}]" for path in column.given)
        return f"CASE WHEN {given} THEN CASE WHEN {found} THEN 'yes' ELSE 'no' END END"
    values = [f"text[{texts.at(path)}]" for path in column.paths]
    value = values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"
    if column.kind == "first_day":
        return _EPOCH_DAY.format(value=value, formats="['%Y-%m-%d', '%Y-%m', '%Y']")
    if column.kind == "day":
        return _EPOCH_DAY.format(value=value, formats="['%Y-%m-%d']")
    if column.kind == "instant":
        exact = f"CASE WHEN regexp_matches({value}, 'T.*(Z|[+-]\\d\\d:\\d\\d)$') THEN {value} END"
        return f"epoch(try_cast({exact} AS TIMESTAMPTZ))"
    return value


def project(connection: duckdb.DuckDBPyConnection, piece: pa.RecordBatch, columns: Sequence[Column]) -> pa.Table:
    """One row a record, one column each of `columns`, by name; strings and float64 only."""
    connection.register("piece", piece)
    try:
        return connection.sql(projection_sql(columns, body_as_text(piece))).to_arrow_table()
    finally:
        connection.unregister("piece")
