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
from holovitals_pipelines.quality.expectations import Column, ValueRange

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
    if column.kind == "in_range":
        return _in_range(column, texts)
    if column.kind == "known_system":
        return _known_system(column, texts)
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


CODINGS = 3
"""So many codings of a code are looked at."""
_LOINC = "http://loinc.org"


def _in_range(column: Column, texts: _Paths) -> str:
    """'no' before 'yes': one impossible component makes the observation impossible."""
    if not column.ranges:
        return "CAST(NULL AS VARCHAR)"
    found = [_within(path, column.ranges, texts) for path in column.paths]
    return (
        f"CASE WHEN list_contains([{', '.join(found)}], false) THEN 'no'"
        f" WHEN list_contains([{', '.join(found)}], true) THEN 'yes' END"
    )


def _within(path: str, ranges: Sequence[ValueRange], texts: _Paths) -> str:
    """Whether the Quantity at `path` lies in the range of its code and unit; NULL where there is none."""
    beside = path.rpartition(".")[0]
    codings = [f"{beside}.code.coding[{index}]" for index in range(CODINGS)]
    loinc = ", ".join(
        f"CASE WHEN text[{texts.at(coding + '.system')}] = '{_LOINC}' THEN text[{texts.at(coding + '.code')}] END"
        for coding in codings
    )
    unit = f"coalesce(text[{texts.at(path + '.code')}], text[{texts.at(path + '.unit')}])"
    limits = ", ".join(
        f"'{_quoted(one.loinc)} {_quoted(one.unit)}': [{float(one.low)!r}::DOUBLE, {float(one.high)!r}::DOUBLE]"
        for one in ranges
    )
    number = f"try_cast(text[{texts.at(path + '.value')}] AS DOUBLE)"
    limit = f"map_extract_value(MAP {{{limits}}}, coalesce({loinc}) || ' ' || {unit})"
    return f"({number} >= {limit}[1] AND {number} <= {limit}[2])"


def _known_system(column: Column, texts: _Paths) -> str:
    codings = [f"{path}.coding[{index}]" for path in column.paths for index in range(CODINGS)]
    named = ", ".join(f"text[{texts.at(coding + '.system')}]" for coding in codings)
    coded = ", ".join(f"text[{texts.at(coding + '.code')}]" for coding in codings)
    whole = ", ".join(f"'{_quoted(one)}'" for one in column.systems if not one.endswith("*"))
    begun = "".join(
        f" OR starts_with(named, '{_quoted(one.removesuffix('*'))}')" for one in column.systems if one.endswith("*")
    )
    known = f"coalesce(list_contains([{whole}]::VARCHAR[], named), false){begun}"
    return (
        f"CASE WHEN list_bool_or(list_transform([{named}], lambda named: {known})) THEN 'yes'"
        f" WHEN coalesce({named}, {coded}) IS NOT NULL THEN 'no' END"
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def project(connection: duckdb.DuckDBPyConnection, piece: pa.RecordBatch, columns: Sequence[Column]) -> pa.Table:
    """One row a record, one column each of `columns`, by name; strings and float64 only."""
    connection.register("piece", piece)
    try:
        return connection.sql(projection_sql(columns, body_as_text(piece))).to_arrow_table()
    finally:
        connection.unregister("piece")
