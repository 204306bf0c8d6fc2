"""The types of columns that rules read and write, the same in both back ends.

Law: a value of a type has one spelling; whoever makes one makes it so (docs/rules.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pyarrow as pa


class ColumnType(StrEnum):
    """What a column holds. In Python, in Arrow and in DuckDB:"""

    STRING = "string"
    """str · string · VARCHAR"""
    INTEGER = "integer"
    """int of 64 bits · int64 · BIGINT"""
    DECIMAL = "decimal"
    """Decimal with 9 digits after the point · decimal128(28, 9) · DECIMAL(28, 9): what is computed with"""
    NUMBER = "number"
    """str · string · VARCHAR: a JSON number as it was written, so that 7.40 stays 7.40; computed with as decimal"""
    BOOLEAN = "boolean"
    """bool · bool · BOOLEAN"""
    DATE = "date"
    """datetime.date · date32 · DATE"""
    DATETIME = "dateTime"
    """str · string · VARCHAR: a FHIR dateTime or instant as it is written"""
    JSON = "json"
    """str · string · VARCHAR: any JSON value as text, handed through whole"""


PRECISION, SCALE = 28, 9
"""Of `decimal`: 19 digits before the point, 9 after."""

ARROW: Mapping[ColumnType, pa.DataType] = {
    ColumnType.STRING: pa.string(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.DECIMAL: pa.decimal128(PRECISION, SCALE),
    ColumnType.NUMBER: pa.string(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.DATE: pa.date32(),
    ColumnType.DATETIME: pa.string(),
    ColumnType.JSON: pa.string(),
}
SQL: Mapping[ColumnType, str] = {
    ColumnType.STRING: "VARCHAR",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.DECIMAL: f"DECIMAL({PRECISION},{SCALE})",
    ColumnType.NUMBER: "VARCHAR",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.DATE: "DATE",
    ColumnType.DATETIME: "VARCHAR",
    ColumnType.JSON: "VARCHAR",
}

Row = Mapping[str, Any]
"""One record's columns by name; None where there is no value."""
