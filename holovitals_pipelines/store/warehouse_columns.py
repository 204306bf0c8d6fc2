"""What a warehouse table is made of: columns with a comment, a source and an expression, and the SQL that follows.

Law: names in the SQL are our own; values are bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa

Kind = Literal["VARCHAR", "VARCHAR[]", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMPTZ"]

_ARROW: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True, slots=True, eq=False)
class WarehouseColumn:
    name: str
    kind: Kind
    comment: str
    source: sa.ColumnElement[Any] | None
    """In the operational store; None for a column made of others."""
    expression: str
    """DuckDB SQL over the incoming columns."""


@dataclass(frozen=True, slots=True, eq=False)
class WarehouseTable:
    name: str
    comment: str
    columns: Sequence[WarehouseColumn]
    where: sa.ColumnElement[bool] | None = None
    group_by: Sequence[sa.ColumnElement[Any]] = ()
    changes_at: str | None = None
    """The column that takes a new instant (or null) whenever a row changes: older rows can be copied from the previous
    snapshot. None: the table is built anew each time."""
    replaced_by: Sequence[str] = ()
    """A row read anew takes the place of the copied rows that equal it here. Empty: rows are only ever added."""

    @property
    def incoming(self) -> list[WarehouseColumn]:
        return [column for column in self.columns if column.source is not None]

    def select(self) -> sa.Select[Any]:
        query = sa.select(*(column.source.label(column.name) for column in self.incoming if column.source is not None))
        if self.where is not None:
            query = query.where(self.where)
        return query.group_by(*self.group_by)

    def arrow_schema(self) -> pa.Schema:
        return pa.schema([(column.name, _ARROW[column.kind]) for column in self.incoming])

    def insert_sql(self, relation: str) -> str:
        expressions = ", ".join(f'{column.expression} AS "{column.name}"' for column in self.columns)
        return f'INSERT INTO "{self.name}" SELECT {expressions} FROM {relation}'  # noqa: S608 our own names

    def copy_sql(self, database: str) -> str:
        """Takes over the settled rows of `database`, changed before the one parameter, that were not read anew."""
        kept = f'SELECT * FROM {database}."{self.name}" old WHERE old."{self.changes_at}" < ?'  # noqa: S608
        if self.replaced_by:
            same = " AND ".join(f'new."{name}" = old."{name}"' for name in self.replaced_by)
            kept += f' AND NOT EXISTS (SELECT 1 FROM "{self.name}" new WHERE {same})'  # noqa: S608 our own names
        return f'INSERT INTO "{self.name}" {kept}'

    def create_sql(self) -> list[str]:
        columns = ", ".join(f'"{column.name}" {column.kind}' for column in self.columns)
        return [
            f'CREATE TABLE "{self.name}" ({columns})',
            f'COMMENT ON TABLE "{self.name}" IS {_literal(self.comment)}',
            *(
                f'COMMENT ON COLUMN "{self.name}"."{column.name}" IS {_literal(column.comment)}'
                for column in self.columns
            ),
        ]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def take(source: sa.ColumnElement[Any], comment: str = "", expression: str | None = None) -> WarehouseColumn:
    """A column taken over under its own name; its comment is the operational column's unless given."""
    assert isinstance(source, sa.Column)
    return make(source.name, source, comment or source.comment or "", expression)


def make(
    name: str, source: sa.ColumnElement[Any], comment: str, expression: str | None = None, kind: Kind | None = None
) -> WarehouseColumn:
    return WarehouseColumn(name, kind or _kind(source.type), comment, source, expression or f'"{name}"')


def derive(name: str, kind: Kind, comment: str, expression: str) -> WarehouseColumn:
    return WarehouseColumn(name, kind, comment, None, expression)


def _kind(source: sa.types.TypeEngine[Any]) -> Kind:
    if isinstance(source, sa.types.TypeDecorator):
        return "TIMESTAMPTZ"
    if isinstance(source, sa.Boolean):
        return "BOOLEAN"
    if isinstance(source, sa.Integer):
        return "BIGINT"
    if isinstance(source, sa.Float):
        return "DOUBLE"
    return "VARCHAR"
