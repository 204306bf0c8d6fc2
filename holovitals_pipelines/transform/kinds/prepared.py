"""What a rule is made into: its types, its failures, and the same meaning twice, for a row and for a batch.

Law: `record` and `sql` of one rule say the same; the differential test holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.columns import ColumnType, Row
from holovitals_pipelines.transform.functions import Functions
from holovitals_pipelines.transform.tables import Tables

Made = tuple[Sequence[Any], str | None]
"""A rule's values, one for each of its outputs, and its failure's code or None."""


class RuleMistake(Exception):
    """A rule that cannot mean anything; `part` is the member of the rule that is wrong."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part
        self.message = message


@dataclass(frozen=True)
class Names:
    """What a rule may read, and where: source fields, and the values of rules before it."""

    types: Mapping[str, ColumnType]
    functions: Functions
    tables: Tables

    def type_of(self, name: str, part: str = "source") -> ColumnType:
        if name not in self.types:
            raise RuleMistake(part, f"{name!r} is neither a source field nor an earlier rule")
        return self.types[name]

    def need(self, name: str, allowed: Sequence[ColumnType], part: str = "source") -> ColumnType:
        """The column's type, which has to be one of `allowed`."""
        found = self.type_of(name, part)
        if found not in allowed:
            raise RuleMistake(part, f"{name!r} is a {found}; this takes {' or '.join(allowed)}")
        return found


@dataclass(frozen=True)
class Join:
    """A lookup table beside the rows: the columns of the row whose key is the column's value, or nulls."""

    name: str
    table: str
    columns: tuple[str, ...]
    """The table's columns that are wanted, its key first."""
    column: str

    def column_of(self, column: str) -> str:
        """What a column of the table is called beside the rows, whatever they call theirs."""
        return f"#{self.name}.{column}"


@dataclass(frozen=True)
class Batch:
    """A step that SQL cannot say: columns in, values and failure codes out, in the rows' order."""

    reads: tuple[str, ...]
    run: Callable[[Sequence[Sequence[Any]]], tuple[list[Any], list[str | None]]]


@dataclass(frozen=True)
class Sql:
    """DuckDB texts over quoted columns. `failure` gets the names of the made columns and answers a code or null."""

    values: tuple[str, ...]
    failure: Callable[[Sequence[str]], str] | None = None
    joins: tuple[Join, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A rule ready for both back ends."""

    types: tuple[ColumnType, ...]
    """Of its outputs."""
    record: Callable[[Row], Made]
    batch: Sql | Batch
    reads: frozenset[str]
    codes: tuple[str, ...] = ()
    """Every failure it can have."""
    tables: Mapping[str, str] = field(default_factory=dict)


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | None) -> str:
    """A text in SQL."""
    return "null" if text is None else "'" + text.replace("'", "''") + "'"


def mistake(part: str, error: ConfigurationError) -> RuleMistake:
    """What is wrong with a part that is read elsewhere: an expression, a path, a name."""
    return RuleMistake(part, error.message)
