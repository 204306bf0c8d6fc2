"""Set operations in a private in-memory DuckDB, which spills to the scratch folder beyond its memory limit.

Tables are temporary: they belong to one user of the pool and end with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    Arrow: TypeAlias = pa.Table | pa.RecordBatchReader


class Analysis:
    """A connection that finishes every statement before the next (DuckDB 2 refuses work on an unfinished result)."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute one or more statements for their effect."""
        self._connection.execute(sql, list(parameters)).fetchall()

    def row(self, sql: str) -> tuple[Any, ...]:
        """The one row of a query."""
        [row] = self._connection.execute(sql).fetchall()
        return tuple(row)

    def table(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        return self._connection.sql(sql, params=list(parameters)).to_arrow_table()

    def query(self, sql: str, name: str, source: Arrow) -> pa.Table:
        """The rows of a query over `source`, which it sees as the relation `name`."""
        self._connection.register(name, source)
        try:
            return self._connection.sql(sql).to_arrow_table()
        finally:
            self._connection.unregister(name)

    def insert(self, sql: str, source: Arrow, parameters: Sequence[Any] = ()) -> None:
        """Run `sql` with `source` visible as the table `arrow`."""
        self._connection.register("arrow", source)
        try:
            self.run(sql, parameters)
        finally:
            self._connection.unregister("arrow")


class AnalysisPool:
    """One in-memory DuckDB a home (opening one costs 30 ms); each user gets temporary tables of its own."""

    def __init__(self, memory_limit: str, scratch: Path) -> None:
        self._memory_limit, self._scratch = memory_limit, scratch
        self._database: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def open(self) -> Iterator[Analysis]:
        if self._database is None:
            import duckdb

            self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
            config: dict[str, str | bool | int | float | list[str]] = {
                "memory_limit": self._memory_limit,
                "temp_directory": str(self._scratch),
                "preserve_insertion_order": "false",
            }
            self._database = duckdb.connect(":memory:", config=config)
        cursor = self._database.cursor()
        try:
            yield Analysis(cursor)
        finally:
            cursor.close()

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
