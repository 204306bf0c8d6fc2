"""What is computed, each operation once for both back ends, side by side.

Law: the SQL of an operation mentions each operand once, so that texts grow with the expression and not with its powers;
neither back end ever raises.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.expressions import decimals, text_functions
from holovitals_pipelines.transform.expressions.decimals import Failure
from holovitals_pipelines.transform.expressions.patterns import compile_pattern
from holovitals_pipelines.transform.expressions.sql_text import binary, bound, cast, let, literal, quoted, try_cast
from holovitals_pipelines.transform.texts import decimal_text, text_sql, to_text, trimmed, trimmed_sql

INTEGER, DECIMAL = ColumnType.INTEGER, ColumnType.DECIMAL
TEXTS = (ColumnType.STRING, ColumnType.DATETIME, ColumnType.JSON)


@dataclass(frozen=True, slots=True)
class Operation:
    """Called with operands that are there; decimals come and go as integers of 10⁻⁹ (decimals.py)."""

    record: Callable[..., Any]
    """The value, None, or a Failure."""
    sql: Callable[..., str]
    """The value, of the operands' texts."""
    failure: Callable[..., str] | None = None
    """The code of why there is no value though no operand is null, of the operands' texts."""


def _overflow(*_: str) -> str:
    return f"'{Failure.OVERFLOW}'"


def _wide(operand: str) -> str:
    return f"cast({operand} as hugeint)"


ADD = {
    INTEGER: Operation(
        lambda a, b: decimals.fitting_integer(a + b), lambda a, b: try_cast(f"{_wide(a)} + {b}", INTEGER), _overflow
    ),
    DECIMAL: Operation(decimals.add, lambda a, b: try_cast(f"{a} + {b}", DECIMAL), _overflow),
}
SUBTRACT = {
    INTEGER: Operation(
        lambda a, b: decimals.fitting_integer(a - b), lambda a, b: try_cast(f"{_wide(a)} - {b}", INTEGER), _overflow
    ),
    DECIMAL: Operation(decimals.subtract, lambda a, b: try_cast(f"{a} - {b}", DECIMAL), _overflow),
}


def _product(a: str, b: str) -> str:
    return try_cast(f"round(try_cast({a} as decimal(19,9)) * try_cast({b} as decimal(19,9)), 9)", DECIMAL)


MULTIPLY = {
    INTEGER: Operation(
        lambda a, b: decimals.fitting_integer(a * b), lambda a, b: try_cast(f"{_wide(a)} * {b}", INTEGER), _overflow
    ),
    DECIMAL: Operation(decimals.multiply, _product, _overflow),
}


def _digits(decimal: str) -> str:
    """A decimal as an integer of 10⁻⁹. Its text without the point takes a third of the time that a cast takes."""
    return f"cast(replace(cast({decimal} as varchar), '.', '') as hugeint)"


def _quotient(a: str, b: str) -> str:
    """Cut off after ten digits, then rounded to nine: what was cut off never changes to which side a half goes."""
    tenths = f"{_digits(a)} * 10000000000 // {_digits(b)}"
    return try_cast(f"round(try_cast(try({tenths}) as decimal(29,0)) * 0.0000000001, 9)", DECIMAL)


def _division_failure(_: str, divisor: str) -> str:
    return f"case when {divisor} = 0 then '{Failure.DIVISION_BY_ZERO}' else '{Failure.OVERFLOW}' end"


DIVIDE = Operation(decimals.divide, _quotient, _division_failure)
NEGATE = {
    INTEGER: Operation(lambda a: decimals.fitting_integer(-a), lambda a: try_cast(f"-{_wide(a)}", INTEGER), _overflow),
    DECIMAL: Operation(operator.neg, lambda a: f"(-{a})"),
}
ABSOLUTE = {
    INTEGER: Operation(
        lambda a: decimals.fitting_integer(abs(a)), lambda a: try_cast(f"abs({_wide(a)})", INTEGER), _overflow
    ),
    DECIMAL: Operation(abs, lambda a: f"abs({a})"),
}
FLOOR = Operation(
    lambda a: decimals.fitting_integer(a // decimals.ONE), lambda a: try_cast(f"floor({a})", INTEGER), _overflow
)
CEILING = Operation(
    lambda a: decimals.fitting_integer(-(-a // decimals.ONE)), lambda a: try_cast(f"ceil({a})", INTEGER), _overflow
)


def rounded(digits: int) -> Operation:
    step = 10 ** (9 - digits)
    return Operation(
        lambda a: decimals.round_to(a, step), lambda a: try_cast(f"round({a}, {digits})", DECIMAL), _overflow
    )


def _least(*operands: str) -> str:
    return f"list_sort([{', '.join(operands)}], 'ASC', 'NULLS FIRST')[1]"


def _greatest(*operands: str) -> str:
    return f"list_sort([{', '.join(operands)}], 'DESC', 'NULLS FIRST')[1]"


LEAST = Operation(min, _least)
GREATEST = Operation(max, _greatest)


def _number_read(text: str) -> str:
    """A text's decimal. DuckDB reads what has no exponent exactly; of the rest the point is moved first."""
    written, padding = bound("text"), f"(length({bound('text')}) + 40)"
    whole = f"regexp_extract({written}, '[0-9]+')"
    exponent = f"cast(regexp_extract({written}, '[eE](.+)', 1) as bigint)"
    point = f"{padding} + length({whole}) + greatest(-{padding}, least({padding}, {exponent}))"
    zeros = f"repeat('0', {padding})"
    digits = f"{zeros} || {whole} || regexp_extract({written}, '[.]([0-9]+)', 1) || {zeros}"
    sign = f"if({written}[1] = '-', '-', '')"
    moved = f"{sign} || substring({digits}, 1, {point}) || '.' || substring({digits}, 1 + {point})"
    read = (
        f"case when not regexp_full_match({written}, {quoted(decimals.NUMBER_TEXT)}) then null "
        f"when regexp_matches({written}, '[eE]') then {try_cast(moved, DECIMAL)} else {try_cast(written, DECIMAL)} end"
    )
    return let("text", text, read)


def _reading_failure(text: str) -> str:
    is_number = f"regexp_full_match({text}, {quoted(decimals.NUMBER_TEXT)})"
    return f"case when {is_number} then '{Failure.OVERFLOW}' else '{Failure.NOT_A_NUMBER}' end"


NUMBER_OF_TEXT = Operation(decimals.read_number, _number_read, _reading_failure)
DECIMAL_OF_INTEGER = Operation(lambda a: a * decimals.ONE, lambda a: cast(a, DECIMAL))

NOT = Operation(operator.not_, lambda a: f"(not {a})")


def comparison(symbol: str, type_: ColumnType) -> Operation:
    """`symbol` as Python writes it; both operands are of the type."""
    sql = {"==": "=", "!=": "<>"}.get(symbol, symbol)
    side = binary if type_ in TEXTS else str
    return Operation(_COMPARE[symbol], lambda a, b: f"({side(a)} {sql} {side(b)})")


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def membership(type_: ColumnType, values: Sequence[Any], *, negated: bool) -> Operation:
    listed = ", ".join(literal(type_, value) for value in values)
    known = frozenset(decimals.scaled(value) if type_ is DECIMAL else value for value in values)
    word = "not in" if negated else "in"
    side = binary if type_ in TEXTS else str
    return Operation(lambda a: (a in known) is not negated, lambda a: f"({side(a)} {word} ({listed}))")


LOWER = Operation(text_functions.lower, lambda a: f"lower({a})")
UPPER = Operation(text_functions.upper, lambda a: f"upper({a})")
TRIM = Operation(trimmed, trimmed_sql)
LENGTH = Operation(len, lambda a: f"length({a})")
CONCAT = Operation(lambda *parts: "".join(parts), lambda *parts: f"({' || '.join(parts)})")
STARTS_WITH = Operation(str.startswith, lambda a, b: f"starts_with({a}, {b})")
ENDS_WITH = Operation(str.endswith, lambda a, b: f"ends_with({a}, {b})")
CONTAINS = Operation(operator.contains, lambda a, b: f"contains({a}, {b})")


def _part(text: str, start: str, length: str) -> str:
    part = bound("part")
    within = f"{part}.start >= 0 and {part}.start < length({part}.text) and {part}.length > 0"
    taken = f"substring({part}.text, {part}.start + 1, least({part}.length, 4294967295))"
    operands = f"{{'text': {text}, 'start': {start}, 'length': {length}}}"
    return let("part", operands, f"case when {within} then {taken} end")


SUBSTRING = Operation(text_functions.substring, _part)


def replacing(old: str, new: str) -> Operation:
    return Operation(lambda a: a.replace(old, new), lambda a: f"replace({a}, {quoted(old)}, {quoted(new)})")


def matching(pattern: str) -> Operation:
    """`pattern` as patterns.py wrote it."""
    full_match = compile_pattern(pattern)
    return Operation(
        lambda a: full_match(a) is not None, lambda a: f"regexp_full_match({a}, {quoted(pattern)})"
    )  # fmt: skip


def text_of(type_: ColumnType) -> Operation:
    if type_ is DECIMAL:
        return Operation(lambda a: decimal_text(decimals.unscaled(a)), lambda a: text_sql(DECIMAL, a))
    return Operation(to_text(type_), lambda a: text_sql(type_, a))


YEAR = Operation(lambda a: a.year, lambda a: f"year({a})")
MONTH = Operation(lambda a: a.month, lambda a: f"month({a})")
DAY = Operation(lambda a: a.day, lambda a: f"day({a})")


def _years(first: date, last: date) -> int:
    """As the differences of YYYYMMDD have it, so that who was born on 29 February grows older on 1 March."""
    difference = (last.year - first.year) * 10000 + (last.month - first.month) * 100 + last.day - first.day
    return difference // 10000 if difference >= 0 else -(-difference // 10000)


def _years_sql(first: str, last: str) -> str:
    return f"((cast(strftime({last}, '%Y%m%d') as bigint) - cast(strftime({first}, '%Y%m%d') as bigint)) // 10000)"


YEARS_BETWEEN = Operation(_years, _years_sql)
DAYS_BETWEEN = Operation(lambda a, b: (b - a).days, lambda a, b: f"({b} - {a})")
