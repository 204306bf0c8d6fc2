"""Values written as DuckDB SQL, and texts compared by their code points.

Law: every text made here stands by itself: it may be an operand of any operator without parentheses around it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from holovitals_pipelines.transform.columns import SQL, ColumnType


def literal(type_: ColumnType, value: Any) -> str:
    """A constant of the type, exactly."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    return cast("null" if value is None else _number(value), type_)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def cast(sql: str, type_: ColumnType) -> str:
    return f"cast({sql} as {SQL[type_]})"


def try_cast(sql: str, type_: ColumnType) -> str:
    """Null where it does not fit."""
    return f"try_cast({sql} as {SQL[type_]})"


def binary(sql: str) -> str:
    """A text that is compared by its code points, whatever the collation of its column or of the connection."""
    return f'({sql} collate "binary")'


def let(name: str, value: str, text: str) -> str:
    """`text`, in which bound(name) is the value: SQL's only way to mention a part twice and write it once."""
    return f"list_transform([{value}], lambda {bound(name)}: {text})[1]"


def bound(name: str) -> str:
    """Named as no column is: the column would be meant."""
    return f'"@{name}"'


def _number(value: int | Decimal) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
