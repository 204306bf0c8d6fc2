"""Decimals of 28 digits as integers of 10⁻⁹: how the record back end computes.

Law: a result that does not fit is a Failure, never rounded to fit; halves are rounded away from zero.
"""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal
from enum import StrEnum

from holovitals_pipelines.transform.columns import PRECISION, SCALE

ONE: int = 10**SCALE
LIMIT: int = 10**PRECISION
"""The first integer that a decimal does not hold."""
FACTOR_LIMIT = 10**19
"""The first that is not multiplied: DuckDB's product has 38 digits, so a factor has 19, 9 of them after the point."""

NUMBER_TEXT = r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,9})?"
"""The texts read as numbers, in re and in RE2."""

_NUMBER = re.compile(NUMBER_TEXT)
_CONTEXT = Context(prec=PRECISION + 2, rounding=ROUND_HALF_UP, Emin=MIN_EMIN, Emax=MAX_EMAX)
"""Our own: what a caller does to the thread's context changes nothing."""
_QUANTUM = Decimal(1).scaleb(-SCALE, _CONTEXT)


class Failure(StrEnum):
    """Why an operation on values that are there has none."""

    DIVISION_BY_ZERO = "division_by_zero"
    OVERFLOW = "overflow"
    NOT_A_NUMBER = "not_a_number"


def scaled(value: Decimal) -> int:
    return int(value.scaleb(SCALE, _CONTEXT))


def unscaled(value: int) -> Decimal:
    return Decimal(value).scaleb(-SCALE, _CONTEXT)


def fitting(value: int) -> int | Failure:
    return value if -LIMIT < value < LIMIT else Failure.OVERFLOW


def fitting_integer(value: int) -> int | Failure:
    return value if -(2**63) <= value < 2**63 else Failure.OVERFLOW


def add(left: int, right: int) -> int | Failure:
    total = left + right
    return total if -LIMIT < total < LIMIT else Failure.OVERFLOW


def subtract(left: int, right: int) -> int | Failure:
    difference = left - right
    return difference if -LIMIT < difference < LIMIT else Failure.OVERFLOW


def multiply(left: int, right: int) -> int | Failure:
    if not (-FACTOR_LIMIT < left < FACTOR_LIMIT and -FACTOR_LIMIT < right < FACTOR_LIMIT):
        return Failure.OVERFLOW
    product = left * right
    rounded = (product + ONE // 2) // ONE if product >= 0 else -((ONE // 2 - product) // ONE)
    return rounded if -LIMIT < rounded < LIMIT else Failure.OVERFLOW


def divide(left: int, right: int) -> int | Failure:
    if right == 0:
        return Failure.DIVISION_BY_ZERO
    divisor = abs(right)
    quotient = (2 * abs(left) * ONE + divisor) // (2 * divisor)
    if quotient >= LIMIT:
        return Failure.OVERFLOW
    return quotient if (left < 0) == (right < 0) else -quotient


def round_to(value: int, step: int) -> int | Failure:
    """To a multiple of `step`, a power of ten."""
    rounded = (abs(value) + step // 2) // step * step
    return fitting(rounded if value >= 0 else -rounded)


def read_number(text: str) -> int | Failure:
    """The decimal nearest to a number's text."""
    if _NUMBER.fullmatch(text) is None:
        return Failure.NOT_A_NUMBER
    number = Decimal(text)
    if not number:
        return 0
    if number.adjusted() >= PRECISION - SCALE:
        return Failure.OVERFLOW
    return fitting(scaled(number.quantize(_QUANTUM, context=_CONTEXT)))
