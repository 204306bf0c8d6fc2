"""Selects that are compiled once: for the small questions that every decision asks of the store.

Law: the same rows, with the same Python values, as SQLAlchemy itself would give.

On SQLite, building and looking up one of these statements takes SQLAlchemy 150 to 250 µs, and running it 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from holovitals_pipelines.store.bulk import KEYS_A_QUERY, Row

KEYS: sa.BindParameter[Any] = sa.bindparam("keys", expanding=True)
"""Where a select is to take its keys: `column.in_(KEYS)`."""


class Prepared:
    """A select with bind parameters, of which `keys` may be a list."""

    def __init__(self, select: sa.Select[Any]) -> None:
        self._select = select

    def rows(self, connection: sa.Connection, **values: Any) -> list[Row]:
        """All rows; only for selects that cannot give many."""
        if connection.dialect.name != "sqlite":
            return [tuple(row) for row in connection.execute(self._select, values)]
        sql, parameters = self._bound(values)
        cells = connection.connection.cursor().execute(sql, parameters).fetchall()
        return [self._processed(row) for row in cells] if self._processors else cells

    def by_keys(self, connection: sa.Connection, keys: Iterable[Any], **values: Any) -> Iterator[Row]:
        """The rows for `keys`, however many these are."""
        waiting = iter(keys)
        while batch := list(islice(waiting, KEYS_A_QUERY)):
            yield from self.rows(connection, keys=batch, **values)

    def _bound(self, values: dict[str, Any]) -> tuple[str, list[Any]]:
        sql, parameters = self._sql, []
        for name in self._names:
            value = values[name] if name in values else self._compiled.params[name]
            convert = self._binders.get(name)
            if f"__[POSTCOMPILE_{name}]" in sql:
                sql = sql.replace(f"__[POSTCOMPILE_{name}]", ", ".join("?" * len(value)) or "NULL")
                parameters += [convert(one) if convert else one for one in value]
            else:
                parameters.append(convert(value) if convert else value)
        return sql, parameters

    def _processed(self, row: Row) -> Row:
        cells = list(row)
        for place, process in self._processors:
            cells[place] = process(cells[place])
        return tuple(cells)

    @cached_property
    def _compiled(self) -> Any:
        return self._select.compile(dialect=sqlite.dialect())

    @cached_property
    def _sql(self) -> str:
        return str(self._compiled)

    @cached_property
    def _names(self) -> list[str]:
        return list(self._compiled.positiontup or ())

    @cached_property
    def _binders(self) -> dict[str, Callable[[Any], Any]]:
        return {
            name: processor
            for name, parameter in self._compiled.binds.items()
            if (processor := parameter.type.dialect_impl(self._compiled.dialect).bind_processor(self._compiled.dialect))
        }

    @cached_property
    def _processors(self) -> list[tuple[int, Callable[[Any], Any]]]:
        dialect = self._compiled.dialect
        found = (
            column.type.dialect_impl(dialect).result_processor(dialect, None)
            for column in self._select.selected_columns
        )
        return [(place, process) for place, process in enumerate(found) if process is not None]
