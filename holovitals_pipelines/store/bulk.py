"""Set-wise writing and reading of the operational store: tuples in, tuples or Arrow out, no object a row.

Law: what goes in here is stored exactly as SQLAlchemy itself would store it. Defaults of columns are not applied.

Measured (2 cores, rows of document, record, link and shadow): SQLite `executemany` on sorted tuples 4-6 µs a row with
its indexes; PostgreSQL COPY 2-3 µs of client CPU a row, against 8-10 for `execute_values` and 5-6 for `unnest`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from operator import itemgetter
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from holovitals_pipelines.store.tables.columns import UtcTimestamp

Row = tuple[Any, ...]
OnConflict = Literal["error", "ignore", "update"]

WRITE_ROWS = 20_000
READ_ROWS = 5_000
"""Small enough that a batch of tuples stays in the processor's cache: 1.8 µs a row, against 2.5 with 50,000."""

KEYS_A_QUERY = 1_000
_SQLITE = sqlite.dialect()


def insert_rows(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    rows: Iterable[Row],
    on_conflict: OnConflict = "error",
) -> int:
    """Insert `rows` (tuples in the order of `columns`) and return how many rows the database took.

    `ignore` leaves existing rows as they are; `update` sets the other given columns where the primary key exists, and
    of several rows with one key the last counts. Raises ValueError when a required column is missing; a row that
    breaks a constraint makes the surrounding `Database.write()` raise StoreError.
    """
    _require_columns(table, tuple(columns))
    keys = [column.name for column in table.primary_key.columns]
    order = _sort_key(columns, keys)
    # PostgreSQL refuses to update one row twice in a statement.
    last_only = on_conflict == "update" and connection.dialect.name == "postgresql"
    write = _insert_sqlite if connection.dialect.name == "sqlite" else _copy_postgres
    taken = 0
    for batch in _batches(rows, WRITE_ROWS):
        if order is not None:
            if last_only:
                batch = list({order(row): row for row in batch}.values())
            # In key order the pages of an index are visited once, and PostgreSQL writers lock in one order.
            batch.sort(key=order)
        taken += write(connection, table, columns, keys, batch, on_conflict)
    return taken


def update_rows(
    connection: sa.Connection, table: sa.Table, keys: Sequence[str], columns: Sequence[str], rows: Iterable[Row]
) -> int:
    """Set `columns` where `keys` match; `rows` are tuples of keys, then values. Returns how many rows changed.

    A key without a row is passed over. Keys must not repeat within one call.
    """
    changed = 0
    for batch in _batches(rows, WRITE_ROWS):
        batch.sort(key=itemgetter(*range(len(keys))))
        if connection.dialect.name == "sqlite":
            sql, converters = _sqlite_update(table, tuple(keys), tuple(columns))
            width = len(keys)
            cells = [row[width:] + row[:width] for row in batch]
            changed += _cursor(connection).executemany(sql, _converted(converters, cells)).rowcount
        else:
            changed += _update_postgres(connection, table, keys, columns, batch)
    return changed


def stream_rows(connection: sa.Connection, select: sa.Select[Any], batch: int = READ_ROWS) -> Iterator[list[Row]]:
    """The rows of `select` in lists of up to `batch` tuples, with the Python values SQLAlchemy would give."""
    if connection.dialect.name == "postgresql":
        for partition in _partitions(connection, select, batch):
            yield [tuple(row) for row in partition]
        return
    processors = [
        column.type.dialect_impl(connection.dialect).result_processor(connection.dialect, None)
        for column in select.selected_columns
    ]
    changed = [(place, process) for place, process in enumerate(processors) if process is not None]
    for rows in _driver_rows(connection, select, batch):
        if changed:
            cells: list[Any] = list(zip(*rows, strict=True))
            for place, process in changed:
                cells[place] = [process(value) for value in cells[place]]
            yield list(zip(*cells, strict=True))
        else:
            yield rows


def stream_arrow(
    connection: sa.Connection, select: sa.Select[Any], schema: pa.Schema, batch: int = READ_ROWS
) -> pa.RecordBatchReader:
    """The rows of `select`, column by position as `schema` says, a batch at a time.

    Read it to its end inside the transaction it was made in. Instants are `timestamp("us", "UTC")` or naive UTC.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        read = _driver_rows if connection.dialect.name == "sqlite" else _partitions
        for rows in read(connection, select, batch):
            columns = [_arrow(cells, field.type) for cells, field in zip(zip(*rows, strict=True), schema, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def stream_arrow_by_keys(
    connection: sa.Connection,
    select: sa.Select[Any],
    schema: pa.Schema,
    key: sa.ColumnElement[Any],
    keys: Iterable[Any],
) -> pa.RecordBatchReader:
    """As `stream_arrow`, of the rows whose `key` is among `keys`."""

    def batches() -> Iterator[pa.RecordBatch]:
        for chunk in _batches(keys, KEYS_A_QUERY):
            yield from stream_arrow(connection, select.where(key.in_(chunk)), schema, KEYS_A_QUERY)

    return pa.RecordBatchReader.from_batches(schema, batches())


def fetch_by_keys(
    connection: sa.Connection,
    select: sa.Select[Any],
    key: sa.ColumnElement[Any] | Sequence[sa.ColumnElement[Any]],
    keys: Iterable[Any],
) -> Iterator[list[Row]]:
    """The rows of `select` whose `key` (a column, or several for tuples) is among `keys`, in no particular order."""
    wanted = key if isinstance(key, sa.ColumnElement) else sa.tuple_(*key)
    for chunk in _batches(keys, KEYS_A_QUERY):
        yield from stream_rows(connection, select.where(wanted.in_(chunk)))


# reading


def _driver_rows(connection: sa.Connection, select: sa.Select[Any], batch: int) -> Iterator[list[Row]]:
    """SQLite: rows as the driver gives them. SQLAlchemy compiles and binds; its per-row objects are left out."""
    result = connection.execute(select)
    cursor = result.cursor
    assert cursor is not None
    try:
        while rows := cursor.fetchmany(batch):
            yield list(rows)
    finally:
        result.close()


def _partitions(connection: sa.Connection, select: sa.Select[Any], batch: int) -> Iterator[Sequence[sa.Row[Any]]]:
    """PostgreSQL: rows of a server-side cursor (by itself the driver would fetch the whole result)."""
    return connection.execute(select, execution_options={"yield_per": batch}).partitions()


def _arrow(cells: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    present = next((cell for cell in cells if cell is not None), None)
    if pa.types.is_timestamp(kind) and isinstance(present, str):  # SQLite: UTC text
        return pa.array(cells, pa.string()).cast(pa.timestamp("us")).cast(pa.int64()).cast(kind)
    if pa.types.is_boolean(kind) and type(present) is int:  # SQLite
        return pa.array(cells, pa.int8()).cast(kind)
    if pa.types.is_string(kind) and isinstance(present, list | dict):  # PostgreSQL parses JSON by itself
        return pa.array([None if cell is None else json.dumps(cell) for cell in cells], kind)
    return pa.array(cells, kind)


# writing


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@cache
def _require_columns(table: sa.Table, columns: tuple[str, ...]) -> None:
    absent = [
        column.name
        for column in table.columns
        if not column.nullable and column.name not in columns and column is not table.autoincrement_column
    ]
    if absent:
        raise ValueError(f"{table.name} needs values for {', '.join(absent)}: bulk writing applies no defaults")


def _sort_key(columns: Sequence[str], keys: Sequence[str]) -> Callable[[Row], Any] | None:
    """The primary key of a row; None where the database numbers rows, whose order of arrival is kept."""
    return itemgetter(*(columns.index(key) for key in keys)) if set(keys) <= set(columns) else None


class _Names(dict[str, str]):
    """Quoted column names, and the table's."""

    table: str


def _quoted(dialect: sa.Dialect, table: sa.Table, columns: Iterable[str]) -> _Names:
    quote = dialect.identifier_preparer.quote
    names = _Names({column: quote(column) for column in columns})
    names.table = quote(table.name)
    return names


def _cursor(connection: sa.Connection) -> Any:
    """A driver cursor inside the connection's transaction."""
    return connection.connection.cursor()


def _conflict_clause(names: _Names, keys: Sequence[str], on_conflict: OnConflict) -> str:
    if on_conflict == "error":
        return ""
    rest = [column for column in names if column not in keys]
    if on_conflict == "ignore" or not rest:
        return " ON CONFLICT DO NOTHING"
    target = ", ".join(names[key] for key in keys)
    return f" ON CONFLICT ({target}) DO UPDATE SET " + ", ".join(f"{names[c]} = excluded.{names[c]}" for c in rest)


def _insert_sqlite(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    keys: Sequence[str],
    rows: list[Row],
    on_conflict: OnConflict,
) -> int:
    sql, converters = _sqlite_insert(table, tuple(columns), tuple(keys), on_conflict)
    taken: int = _cursor(connection).executemany(sql, _converted(converters, rows)).rowcount
    return taken


@cache
def _sqlite_insert(
    table: sa.Table, columns: tuple[str, ...], keys: tuple[str, ...], on_conflict: OnConflict
) -> tuple[str, _Converters]:
    names = _quoted(_SQLITE, table, columns)
    sql = (
        f"INSERT INTO {names.table} ({', '.join(names.values())}) "  # noqa: S608 names only
        f"VALUES ({', '.join('?' * len(columns))}){_conflict_clause(names, keys, on_conflict)}"
    )
    return sql, _converters(table, columns)


@cache
def _sqlite_update(table: sa.Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, _Converters]:
    name = _quoted(_SQLITE, table, [*columns, *keys])
    sql = (
        f"UPDATE {name.table} SET {', '.join(f'{name[c]} = ?' for c in columns)} "  # noqa: S608 names only
        f"WHERE {' AND '.join(f'{name[k]} = ?' for k in keys)}"
    )
    return sql, _converters(table, (*columns, *keys))


_Converters = dict[int, Callable[[Iterable[Any]], Iterable[Any]]]


def _converters(table: sa.Table, columns: Sequence[str]) -> _Converters:
    return {
        place: convert
        for place, name in enumerate(columns)
        if (convert := _sqlite_converter(table.c[name].type)) is not None
    }


def _converted(converters: _Converters, rows: list[Row]) -> Iterable[Row]:
    if not converters:
        return rows
    cells: list[Iterable[Any]] = list(zip(*rows, strict=True))
    for place, convert in converters.items():
        cells[place] = convert(cells[place])
    return zip(*cells, strict=True)


def _sqlite_converter(kind: sa.types.TypeEngine[Any]) -> Callable[[Iterable[Any]], Iterable[Any]] | None:
    if isinstance(kind, UtcTimestamp):
        return lambda cells: _memoised(cells, _sqlite_instant)
    if isinstance(kind, sa.JSON):
        return lambda cells: (None if cell is None else json.dumps(cell) for cell in cells)
    return None


def _memoised(cells: Iterable[Any], convert: Callable[[Any], str]) -> list[str | None]:
    """Most instants of a batch are one and the same object."""
    known: dict[Any, str | None] = {None: None}
    found: list[str | None] = []
    for cell in cells:
        if cell not in known:
            known[cell] = convert(cell)
        found.append(known[cell])
    return found


def _sqlite_instant(value: datetime) -> str:
    return _utc(value).replace(tzinfo=None).isoformat(" ", "microseconds")


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a timestamp without time zone cannot be stored")
    return value.astimezone(UTC)


def _copy_postgres(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    keys: Sequence[str],
    rows: list[Row],
    on_conflict: OnConflict,
) -> int:
    names = _quoted(connection.dialect, table, columns)
    listed = ", ".join(names.values())
    cursor = _cursor(connection)
    text = _copy_text([table.c[c] for c in columns], rows)
    if on_conflict == "error":
        cursor.copy_expert(f"COPY {names.table} ({listed}) FROM STDIN", text)
        return len(rows)
    cursor.execute(f"CREATE TEMP TABLE bulk_rows ON COMMIT DROP AS SELECT {listed} FROM {names.table} WITH NO DATA")  # noqa: S608
    cursor.copy_expert(f"COPY bulk_rows ({listed}) FROM STDIN", text)
    cursor.execute(
        f"INSERT INTO {names.table} ({listed}) SELECT {listed} FROM bulk_rows"  # noqa: S608 names only
        f"{_conflict_clause(names, keys, on_conflict)}"
    )
    taken: int = cursor.rowcount
    cursor.execute("DROP TABLE bulk_rows")
    return taken


def _update_postgres(
    connection: sa.Connection, table: sa.Table, keys: Sequence[str], columns: Sequence[str], rows: list[Row]
) -> int:
    names = _quoted(connection.dialect, table, [*keys, *columns])
    listed = ", ".join(names.values())
    cursor = _cursor(connection)
    cursor.execute(f"CREATE TEMP TABLE bulk_rows ON COMMIT DROP AS SELECT {listed} FROM {names.table} WITH NO DATA")  # noqa: S608
    cursor.copy_expert(f"COPY bulk_rows ({listed}) FROM STDIN", _copy_text([table.c[c] for c in names], rows))
    cursor.execute(
        f"UPDATE {names.table} t SET {', '.join(f'{names[c]} = b.{names[c]}' for c in columns)} FROM bulk_rows b "  # noqa: S608
        f"WHERE {' AND '.join(f't.{names[k]} = b.{names[k]}' for k in keys)}"
    )
    changed: int = cursor.rowcount
    cursor.execute("DROP TABLE bulk_rows")
    return changed


def _copy_text(columns: Sequence[sa.Column[Any]], rows: list[Row]) -> io.StringIO:
    """The text format of COPY: a line a row, tabs between, `\\N` for null."""
    cells = [
        _copy_column(column.type, column_cells)
        for column, column_cells in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    return io.StringIO("\n".join(map("\t".join, zip(*cells, strict=True))) + "\n")


def _copy_column(kind: sa.types.TypeEngine[Any], cells: tuple[Any, ...]) -> Iterable[str]:
    if isinstance(kind, UtcTimestamp):
        texts: Iterable[str | None] = _memoised(cells, lambda value: _utc(value).isoformat())
    elif isinstance(kind, sa.LargeBinary):
        texts = (None if cell is None else "\\\\x" + cell.hex() for cell in cells)
    elif isinstance(kind, sa.Boolean):
        texts = (None if cell is None else "t" if cell else "f" for cell in cells)
    elif isinstance(kind, sa.JSON):
        texts = _escaped([None if cell is None else json.dumps(cell) for cell in cells])
    elif isinstance(kind, sa.String):
        texts = _escaped(cells)
    else:
        texts = (None if cell is None else str(cell) for cell in cells)
    return ("\\N" if text is None else text for text in texts)


def _escaped(cells: Sequence[str | None]) -> Iterable[str | None]:
    """Backslash, tab and line ends escaped, in a few passes over the joined column instead of several a value."""
    joined = "\0".join(["" if cell is None else cell for cell in cells])
    if joined.count("\0") != len(cells) - 1:
        raise ValueError("a text with a NUL character cannot be stored in PostgreSQL")
    for plain, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        joined = joined.replace(plain, written)
    return (None if cell is None else text for cell, text in zip(cells, joined.split("\0"), strict=True))
