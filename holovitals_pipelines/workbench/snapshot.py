"""An open snapshot of the warehouse; before the first sync an empty one with the same tables, so no question fails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.warehouse import open_current
from holovitals_pipelines.store.warehouse_schema import warehouse_tables


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """A DuckDB connection in UTC, and when its data was read; None where nothing was published yet."""

    connection: duckdb.DuckDBPyConnection
    as_of: datetime | None

    def close(self) -> None:
        self.connection.close()


def open_newest(folder: Path) -> OpenSnapshot:
    """The newest published snapshot of `folder`, read-only. Raises StoreError when it is damaged."""
    try:
        connection = open_current(folder)
    except StoreError as error:
        if error.code != "warehouse.missing":
            raise
        return OpenSnapshot(_empty(), None)
    ((as_of,),) = connection.execute("select as_of from snapshot_info").fetchall()
    return OpenSnapshot(connection, as_of)


def _empty() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    for table in warehouse_tables():
        for statement in table.create_sql():
            connection.execute(statement)
    return connection
