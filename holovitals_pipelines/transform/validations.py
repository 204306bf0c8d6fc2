"""What must hold of what came out: presence, range, set, pattern, existence; in the same pass as the rules.

Law: a check says no more than that a value fails it; what becomes of the value is the mode's to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.expressions import check_pattern
from holovitals_pipelines.transform.kinds.prepared import RuleMistake, literal, quoted
from holovitals_pipelines.transform.rule_set import Scalar, Validation
from holovitals_pipelines.transform.tables import Tables

NUMBERS = (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.NUMBER)
TEXTS = (ColumnType.STRING, ColumnType.NUMBER, ColumnType.DATETIME)
_FINE = Decimal(1).scaleb(-18)
_WIDE = Context(prec=80)
_GREATEST = Decimal(10) ** 20


@dataclass(frozen=True)
class Check:
    """One check of one target; both say whether a value fails it. Only `required` fails a missing value."""

    code: str
    fails: Callable[[Any], bool]
    sql: Callable[[str], str]
    """Of a quoted column."""
    table: str | None = None
    """A lookup table that the SQL reads, as a relation of this name."""


def prepare_checks(validation: Validation, kind: ColumnType, tables: Tables) -> Iterator[Check]:
    """The checks of a validation. Raises RuleMistake where a check makes no sense for the type."""
    if validation.required:
        yield Check("missing", lambda value: value is None, lambda column: f"{column} is null")
    if validation.range is not None:
        yield _range(validation, kind)
    if validation.among is not None:
        yield _among(validation, kind)
    if validation.pattern is not None:
        yield _pattern(validation, kind)
    if validation.exists is not None:
        yield _exists(validation.exists, kind, tables)


def _range(validation: Validation, kind: ColumnType) -> Check:
    assert validation.range is not None
    if kind is ColumnType.DATE:
        bounds = [_day(bound) for bound in validation.range]
        texts = [f"date {literal(bound.isoformat())}" if bound else None for bound in bounds]
        return _between(bounds, texts, lambda value: value, lambda column: column)
    if kind not in NUMBERS:
        raise RuleMistake("range", f"a {kind} has no range")
    limits = [_number(bound) for bound in validation.range]
    texts = [f"cast({literal(format(limit, 'f'))} as decimal(38, 18))" if limit is not None else None
             for limit in limits]  # fmt: skip
    return _between(limits, texts, _as_decimal, lambda column: f"try_cast({column} as decimal(38, 18))")


def _between(
    bounds: list[Any], texts: list[str | None], read: Callable[[Any], Any], read_sql: Callable[[str], str]
) -> Check:
    least, greatest = bounds
    if least is not None and greatest is not None and least > greatest:
        raise RuleMistake("range", "the least is greater than the greatest")

    def fails(value: Any) -> bool:
        if value is None:
            return False
        found = read(value)
        return found is None or (least is not None and found < least) or (greatest is not None and found > greatest)

    def sql(column: str) -> str:
        value = read_sql(column)
        inside = [f"{value} {sign} {text}" for sign, text in zip((">=", "<="), texts, strict=True) if text is not None]
        return f"({column} is not null and not coalesce({' and '.join([f'{value} is not null', *inside])}, false))"

    return Check("out_of_range", fails, sql)


def _as_decimal(value: Any) -> Decimal | None:
    """As a DECIMAL(38, 18) holds it, or None where it cannot."""
    try:
        number = Decimal(value)
        fine = number.quantize(_FINE, ROUND_HALF_UP, _WIDE) if number.is_finite() else None
    except InvalidOperation:
        return None
    return fine if fine is not None and abs(fine) < _GREATEST else None


def _day(bound: Any) -> date | None:
    try:
        return None if bound is None else date.fromisoformat(str(bound))
    except ValueError:
        raise RuleMistake("range", "a date's bounds are dates, as in 1900-01-01") from None


def _number(bound: Any) -> Decimal | None:
    if isinstance(bound, str | bool):
        raise RuleMistake("range", "a number's bounds are numbers")
    limit = None if bound is None else Decimal(str(bound))
    if limit is not None and _as_decimal(limit) != limit:
        raise RuleMistake("range", "a bound has at most 20 digits before the point and 18 after it")
    return limit


def _among(validation: Validation, kind: ColumnType) -> Check:
    python = {ColumnType.STRING: str, ColumnType.INTEGER: int, ColumnType.BOOLEAN: bool}.get(kind)
    allowed = validation.among or ()
    if python is None:
        raise RuleMistake("in", f"a {kind} is not compared with a list")
    if not allowed or any(type(value) is not python or not _is_long(value) for value in allowed):
        raise RuleMistake("in", f"a list of {kind} values is wanted")
    values = frozenset(allowed)
    listed = ", ".join(literal(v) if isinstance(v, str) else str(v).lower() for v in allowed)
    return Check(
        "not_allowed",
        lambda value: value is not None and value not in values,
        lambda column: f"({column} is not null and {column} not in ({listed}))",
    )


def _is_long(value: Scalar) -> bool:
    """Not an integer of more than 64 bits."""
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _pattern(validation: Validation, kind: ColumnType) -> Check:
    if kind not in TEXTS:
        raise RuleMistake("pattern", f"a {kind} is no text")
    assert validation.pattern is not None
    pattern = check_pattern(validation.pattern)
    matches, text = re.compile(pattern, re.ASCII).fullmatch, literal(pattern)
    return Check(
        "pattern",
        lambda value: value is not None and matches(value) is None,
        lambda column: f"({column} is not null and not regexp_full_match({column}, {text}))",
    )


def _exists(name: str, kind: ColumnType, tables: Tables) -> Check:
    if kind is not ColumnType.STRING:
        raise RuleMistake("exists", f"a {kind} is no key")
    table = tables.get(name)
    keys = frozenset(row[table.key] for row in table.rows)
    known = f"select {quoted(table.key)} from {quoted(name)}"
    return Check(
        "unknown_reference",
        lambda value: value is not None and value not in keys,
        lambda column: f"({column} is not null and {column} not in ({known}))",
        name,
    )
