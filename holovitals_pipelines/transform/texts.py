"""Values written as text, the same in both back ends."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from holovitals_pipelines.transform.columns import ColumnType

TEXTUAL = (
    ColumnType.STRING,
    ColumnType.NUMBER,
    ColumnType.DATETIME,
    ColumnType.DATE,
    ColumnType.INTEGER,
    ColumnType.DECIMAL,
    ColumnType.BOOLEAN,
)
"""What can be written as text: all but `json`."""

BLANKS = " \t\r\n"
"""What is trimmed around texts."""
_BLANKS_SQL = "' ' || chr(9) || chr(13) || chr(10)"


def to_text(kind: ColumnType) -> Callable[[Any], str]:
    """How a value of the type is written; never called for None."""
    if kind is ColumnType.DECIMAL:
        return decimal_text
    if kind is ColumnType.BOOLEAN:
        return lambda value: "true" if value else "false"
    if kind is ColumnType.DATE:
        return lambda value: str(value.isoformat())
    return str


def text_sql(kind: ColumnType, value: str) -> str:
    """The same in DuckDB."""
    if kind is ColumnType.DECIMAL:
        return f"rtrim(rtrim(cast({value} as varchar), '0'), '.')"
    if kind in (ColumnType.STRING, ColumnType.NUMBER, ColumnType.DATETIME):
        return value
    return f"cast({value} as varchar)"


def decimal_text(value: Decimal) -> str:
    """Without an exponent and without zeros at the end: 7.4, 100, 0."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("", "-0") else text


def trimmed(text: str) -> str:
    return text.strip(BLANKS)


def trimmed_sql(text: str) -> str:
    return f"trim({text}, {_BLANKS_SQL})"
