"""Column values as a document holds them, ready for `fhir.exact.write_document`.

Law: a number's text stays as it is; a computed one is written with every digit that counts and no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from holovitals_pipelines.fhir.exact import Number, read_value
from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.texts import decimal_text


def as_json(kind: ColumnType) -> Callable[[Any], Any] | None:
    """How a column's values, None apart, become JSON; None where they are taken as they are."""
    return _WRITTEN.get(kind)


def _exact_number(text: str) -> int | Number:
    """As `read_document` would read it: integers of 64 bits as int."""
    match = _NUMBER.fullmatch(text)
    assert match is not None, "a column of numbers holds JSON numbers"
    if not match["rest"] and len(text) <= 20 and text != "-0" and _SMALLEST <= (value := int(text)) <= _LARGEST:
        return value
    return Number(text)


def _decimal(value: Decimal) -> int | Number:
    return _exact_number(decimal_text(value))


def _date(value: date) -> str:
    return value.isoformat()


def _json(text: str) -> Any:
    value = read_value(text)
    return None if value == {} or value == [] else value


_WRITTEN: dict[ColumnType, Callable[[Any], Any]] = {
    ColumnType.NUMBER: _exact_number,
    ColumnType.DECIMAL: _decimal,
    ColumnType.DATE: _date,
    ColumnType.JSON: _json,
}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<rest>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
