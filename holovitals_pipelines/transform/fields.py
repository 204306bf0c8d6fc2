"""Typed columns read from nested documents: one value for each declared field, or None and a reason.

Law: a value is taken exactly or not at all; nothing is rounded, guessed or cut, and a problem names the field, never
what stood there (docs/rule-paths.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from typing import Any

import pyarrow as pa

from holovitals_pipelines.fhir.exact import Number, write_value
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.transform.columns import ARROW, PRECISION, SCALE, ColumnType, Row
from holovitals_pipelines.transform.paths import Place, SourcePath, compile_path, never_below
from holovitals_pipelines.transform.rule_set import SourceField

SEVERAL, OVERFLOW = "several_values", "overflow"
ROW = "_row"
"""The first column of a fields table: the row's number, from 0."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    field: str
    code: str
    """`several_values`, `overflow`, or `not_a_` and the column type."""


class _Refused:
    """What a conversion returns for a value that is not of its type."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code


_OVERFLOW, _SEVERAL = _Refused(OVERFLOW), _Refused(SEVERAL)
_NOT_A = {kind: _Refused(f"not_a_{kind}") for kind in ColumnType}


def codes_of(kind: ColumnType) -> tuple[str, ...]:
    """Every code with which reading a field of the type can fail."""
    overflow = (OVERFLOW,) if kind in (ColumnType.INTEGER, ColumnType.DECIMAL) else ()
    return (SEVERAL, _NOT_A[kind].code, *overflow)


def conversion_of(kind: ColumnType) -> Callable[[Any], Any]:
    """How one value becomes a field of the type; None for what is blank or cannot be one."""
    convert = _CONVERSIONS[kind]

    def converted(value: Any) -> Any:
        made = convert(value)
        return None if type(made) is _Refused else made

    return converted


_Field = tuple[str, bool, Callable[[Any], list[Any]], Callable[[Any], Any]]
"""Name, whether it is of the whole record, how its values are read, and how one is converted."""


class FieldReader:
    """Reads the fields of one relation: of a record, or of an item of one of its lists. Raises PathError."""

    def __init__(self, fields: Mapping[str, SourceField]) -> None:
        self.paths: Mapping[str, SourcePath] = {name: compile_path(field.path) for name, field in fields.items()}
        self._nothing: Row = dict.fromkeys(self.paths)
        groups: dict[tuple[str, ...], list[_Field]] = {}
        for name, path in self.paths.items():
            values = path.whole if fields[name].type is ColumnType.JSON else path.all
            one = (name, path.of_record, values, _CONVERSIONS[fields[name].type])
            groups.setdefault(never_below(fields[name].path), []).append(one)
        self._groups = list(groups.items())
        self.of_record = any(path.of_record for path in self.paths.values())
        """Whether what is read of an item depends on more than the item."""

    def read(
        self, document: Any, record: Any = None, *, standing: list[str] | None = None
    ) -> tuple[Row, list[FieldProblem]]:
        """The row of a document, or of an item of `record`; every field is a column of it.

        `standing` takes the names of the fields for which anything stands there, be it blank: only they have places.
        """
        row: dict[str, Any] = dict(self._nothing)
        problems: list[FieldProblem] = []
        for below, members in self._groups:
            if _lacks(document, below):
                continue
            for name, of_record, values, convert in members:
                found = values(record if of_record and record is not None else document)
                if standing is not None and found:
                    standing.append(name)
                if len(found) > 1:
                    found = [value for value in found if not _is_blank(value)]
                if not found:
                    continue
                value = convert(found[0]) if len(found) == 1 else _SEVERAL
                if type(value) is _Refused:
                    problems.append(FieldProblem(name, value.code))
                    value = None
                row[name] = value
        return row, problems

    def places(self, document: Any, fields: Collection[str], *, record: Any = None, at: Place = ()) -> list[Place]:
        """Where in the record the values of `fields` stand, for `unmapped`; `at` is where the document stands."""
        taken: list[Place] = []
        for name in fields:
            path = self.paths[name]
            of_record = path.of_record and record is not None
            taken += path.places(record) if of_record else path.places(document, at)
        return taken


def _lacks(document: Any, below: tuple[str, ...]) -> bool:
    """Whether a document certainly has nothing there: lists on the way are looked into by the paths themselves."""
    value = document
    for name in below:
        if type(value) is not dict:
            return False
        value = value.get(name)
        if value is None:
            return True
    return False


def fields_table(rows: Sequence[Row], fields: Mapping[str, SourceField]) -> pa.Table:
    """The rows in columns, each numbered in `_row`."""
    columns = {ROW: pa.array(range(len(rows)), pa.int64())}
    for name, field in fields.items():
        columns[name] = pa.array([row[name] for row in rows], ARROW[field.type])
    return pa.table(columns)


def _is_blank(value: Any) -> bool:
    """Vendors send "" for what is absent; FHIR knows no empty strings."""
    return isinstance(value, str) and (not value or value.isspace())


def _string(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return None if not value or value.isspace() else value
    if kind is bool:
        return "true" if value else "false"
    return str(value) if kind is Number or kind is int else _NOT_A[ColumnType.STRING]


def _integer(value: Any) -> Any:
    if type(value) is Number and _INTEGER.fullmatch(value):
        value = int(value) if len(value) <= 20 else _BEYOND
    if type(value) is int:
        return value if -_BEYOND <= value < _BEYOND else _OVERFLOW
    return _otherwise(value, ColumnType.INTEGER)


def _decimal(value: Any) -> Any:
    if type(value) is not int and type(value) is not Number:
        return _otherwise(value, ColumnType.DECIMAL)
    try:
        # No minus zero: a value has one spelling.
        return Decimal(value).quantize(_UNIT, context=_EXACT) or _ZERO
    except DecimalException:
        return _OVERFLOW


def _number(value: Any) -> Any:
    if type(value) is int or type(value) is Number:
        return str(value)
    return _otherwise(value, ColumnType.NUMBER)


def _boolean(value: Any) -> Any:
    return value if type(value) is bool else _otherwise(value, ColumnType.BOOLEAN)


def _date(value: Any) -> Any:
    if type(value) is str and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    return _otherwise(value, ColumnType.DATE)


def _date_time(value: Any) -> Any:
    if type(value) is str and _DATE_TIME.fullmatch(value) and _is_a_day(value[:10]):
        return value
    return _otherwise(value, ColumnType.DATETIME)


def _is_a_day(text: str) -> bool:
    if text[8:] <= "28":  # every month has it, and a partial date has no day
        return True
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _json(value: Any) -> Any:
    try:
        return write_value(value)
    except MalformedResource:
        return _NOT_A[ColumnType.JSON]


def _otherwise(value: Any, wanted: ColumnType) -> _Refused | None:
    return None if _is_blank(value) else _NOT_A[wanted]


_CONVERSIONS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.STRING: _string,
    ColumnType.INTEGER: _integer,
    ColumnType.DECIMAL: _decimal,
    ColumnType.NUMBER: _number,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.DATE: _date,
    ColumnType.DATETIME: _date_time,
    ColumnType.JSON: _json,
}
_BEYOND = 2**63
_INTEGER = re.compile(r"-?[0-9]+")
_UNIT, _ZERO = Decimal(1).scaleb(-SCALE), Decimal(0).scaleb(-SCALE)
_EXACT = Context(prec=PRECISION, traps=[InvalidOperation, Inexact])
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(
    r"(?!0000)[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01])"
    r"(T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
    r"(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00)))?)?)?"
)
"""FHIR's own expression for dateTime; the instants are among them."""
