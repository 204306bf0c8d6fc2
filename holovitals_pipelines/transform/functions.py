"""Functions that rules may call by `name@version`: typed, with a null policy and a limit of time.

Law: a rule names a function, it never contains one; whatever goes wrong in a call is a code of that row, never a value
of another type and never an exception's text, which could hold health data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final, Literal

import pyarrow as pa

from holovitals_pipelines.fhir.exact import read_value
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.columns import ARROW, PRECISION, SCALE, ColumnType
from holovitals_pipelines.transform.registry import Registry
from holovitals_pipelines.transform.time_box import FAILED, TIMED_OUT, Answer, TimeBox

WRONG_TYPE: Final = "wrong_type"
CODES: Final = (FAILED, WRONG_TYPE, TIMED_OUT)
"""What may come of any function's call; a function may declare codes of its own."""

SqlText = str | Callable[[Sequence[str]], str]
"""DuckDB SQL with {0}, {1} for the arguments' SQL (braces are doubled, as for str.format), or what writes it."""

_SLICE: Final = 1000
"""Rows in one call of a vectorised function."""


class Refused(Exception):
    """Raised by a function for a value that it cannot take, with one of the codes it declares; never with the value."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Function:
    """One version of one function. Pure: the same answer for the same arguments, no clock, no state, no I/O."""

    name: str
    version: int
    arguments: tuple[ColumnType, ...]
    returns: ColumnType
    null_policy: Literal["null_in_null_out", "sees_null"] = "null_in_null_out"
    """Whether it is called for rows where an argument is null."""
    scalar: Callable[..., Any] | None = None
    """From one row's arguments to a value, or None."""
    vectorised: Callable[..., pa.Array] | None = None
    """From an Arrow array for each argument to one of results; where it fails, each of its rows is tried alone."""
    sql: SqlText | None = None
    """The same in DuckDB's SQL, for batches: the fast twin. The two must agree on every row."""
    sql_code: SqlText | None = None
    """The twin's failure: one of `codes`, or NULL."""
    codes: tuple[str, ...] = ()
    """What it may raise `Refused` with."""
    variadic: bool = False
    """The last argument may be given again and again."""
    seconds: float | None = 1.0
    """The limit for one call: of a row, or of a thousand where vectorised. None: not boxed, for functions of ours."""
    _box: TimeBox | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for wrong, why in _mistakes(self):
            if wrong:
                raise ConfigurationError(f"function {self.full_name!r} {why}", code="functions.declaration")
        object.__setattr__(self, "_box", None if self.seconds is None else TimeBox(self.seconds))

    @property
    def full_name(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def failures(self) -> tuple[str, ...]:
        """Every code that a call may have."""
        return (*self.codes, *CODES)

    def argument_types(self, count: int) -> tuple[ColumnType, ...] | None:
        """The types of so many arguments; None where it does not take so many."""
        missing = count - len(self.arguments)
        if missing < 0 or (missing and not self.variadic):
            return None
        return self.arguments + self.arguments[-1:] * missing

    def value_sql(self, arguments: Sequence[str]) -> str | None:
        """The twin over the arguments' SQL; None where there is none."""
        return None if self.sql is None else self._in_sql(self.sql, arguments)

    def code_sql(self, arguments: Sequence[str]) -> str | None:
        """The twin's failure code, as SQL; None where it has none."""
        return None if self.sql_code is None else self._in_sql(self.sql_code, arguments)

    def over_rows(self, columns: Sequence[Sequence[Any]]) -> tuple[list[Any], list[str | None]]:
        """Values and failure codes for rows given as a column for each argument. Raises nothing."""
        rows = list(zip(*columns, strict=True))
        values: list[Any] = [None] * len(rows)
        codes: list[str | None] = [None] * len(rows)
        sees_null = self.null_policy == "sees_null"
        called = [place for place, row in enumerate(rows) if sees_null or None not in row]
        answers = self._answers([rows[place] for place in called])
        for place, (value, code) in zip(called, answers, strict=True):
            values[place], codes[place] = value, code
        return values, codes

    def _answers(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[Answer]:
        if self.vectorised is None:
            return self._boxed(self._one, rows)
        answers: list[Answer] = []
        slices = [rows[start : start + _SLICE] for start in range(0, len(rows), _SLICE)]
        for part, (made, code) in zip(slices, self._boxed(self._slice, slices), strict=True):
            answers += made if code is None else self._boxed(self._one, part)
        return answers

    def _boxed(self, call: Callable[[Any], Answer], rows: Sequence[Any]) -> Sequence[Answer]:
        return [call(row) for row in rows] if self._box is None else self._box.answers(call, rows)

    def _one(self, row: tuple[Any, ...]) -> Answer:
        scalar = self.scalar
        if scalar is not None:
            return self._guarded(lambda: fitting(scalar(*row), self.returns))
        made, code = self._slice([row])
        return made[0] if code is None else (None, code)

    def _slice(self, rows: Sequence[tuple[Any, ...]]) -> Answer:
        """The rows' answers, or a code where they cannot be had together."""
        return self._guarded(lambda: self._together(rows))

    def _together(self, rows: Sequence[tuple[Any, ...]]) -> Answer:
        types = self.argument_types(len(rows[0]))
        assert self.vectorised is not None and types is not None
        columns = zip(*rows, strict=True)
        made = self.vectorised(*(pa.array(column, ARROW[kind]) for column, kind in zip(columns, types, strict=True)))
        right = isinstance(made, pa.Array) and made.type == ARROW[self.returns] and len(made) == len(rows)
        return ([fitting(value, self.returns) for value in made.to_pylist()], None) if right else (None, WRONG_TYPE)

    def _guarded(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except Refused as refused:
            return None, refused.code if refused.code in self.codes else FAILED
        except Exception:  # noqa: BLE001  a function may raise anything, and none of it may be shown
            return None, FAILED

    def _in_sql(self, text: SqlText, arguments: Sequence[str]) -> str:
        written = text.format(*arguments) if isinstance(text, str) else text(arguments)
        if self.null_policy == "sees_null":
            return written
        return f"CASE WHEN {' AND '.join(f'{argument} IS NOT NULL' for argument in arguments)} THEN {written} END"


class Functions(Registry[Function]):
    """Registered functions by `name@version`."""

    def __init__(self) -> None:
        super().__init__("function")


def fitting(value: Any, kind: ColumnType) -> Answer:
    """The value as columns of the type hold it, or wrong_type. Decimals are rounded to their 9 digits."""
    if value is None:
        return None, None
    held = _FITTING[kind](value)
    return (None, WRONG_TYPE) if held is None else (held, None)


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    text = str(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair: no column can hold it
            return None
    return text


def _like(pattern: str) -> Callable[[Any], str | None]:
    shape = re.compile(pattern)
    return lambda value: str(value) if isinstance(value, str) and shape.fullmatch(value) else None


def _integer(value: Any) -> int | None:
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def _decimal(value: Any) -> Decimal | None:
    if not isinstance(value, Decimal) or not value.is_finite() or value.adjusted() >= PRECISION - SCALE:
        return None
    held = _EXACT.quantize(value, _STEP)
    return None if held.adjusted() >= PRECISION - SCALE else held if held else abs(held)


_STEP: Final = Decimal(1).scaleb(-SCALE)
_EXACT: Final = Context(prec=2 * PRECISION, rounding=ROUND_HALF_UP)


def _json(value: Any) -> str | None:
    text = _text(value)
    if text is None:
        return None
    try:
        read_value(text)
    except MalformedResource:
        return None
    return text


_OFFSET = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_TIME = rf"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?{_OFFSET}"
_FITTING: Final[Mapping[ColumnType, Callable[[Any], Any]]] = {
    ColumnType.STRING: _text,
    ColumnType.INTEGER: _integer,
    ColumnType.DECIMAL: _decimal,
    ColumnType.NUMBER: _like(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"),
    ColumnType.BOOLEAN: lambda value: value if type(value) is bool else None,
    ColumnType.DATE: lambda value: value if type(value) is date else None,
    ColumnType.DATETIME: _like(rf"[0-9]{{4}}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01])(?:{_TIME})?)?)?"),
    ColumnType.JSON: _json,
}


def _mistakes(function: Function) -> list[tuple[bool, str]]:
    twin, own = function.sql is not None, set(function.codes)
    return [
        (
            not re.fullmatch(r"[a-z][a-z0-9_]{0,40}@[1-9][0-9]{0,8}", function.full_name),
            "is no name and version: lower case letters, digits and underscores; versions count from 1",
        ),
        (not function.arguments, "takes no arguments: what it answers would be a default value"),
        (function.scalar is None and function.vectorised is None, "has nothing to call: give a scalar or vectorised"),
        (function.seconds is not None and function.seconds <= 0, "has no time"),
        (not all(re.fullmatch("[a-z][a-z0-9_]{0,40}", code) for code in own), "has a code that is none"),
        (bool(own & set(CODES)), f"cannot have {', '.join(CODES)} as codes of its own"),
        (twin and bool(own) != (function.sql_code is not None), "and its twin in SQL must fail alike: codes, sql_code"),
        (not twin and function.sql_code is not None, "has a failure in SQL without a value"),
    ]
