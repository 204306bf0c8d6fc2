"""Numbers and quantities of two sides, compared exactly.

Law: no binary floating point; what cannot be compared for certain is not comparable, never nearly equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, Inexact, InvalidOperation, localcontext
from typing import Any

from holovitals_pipelines.fhir.exact import Number

_DIGITS = 400
"""Numbers further out than this are not calculated with; FHIR asks for 18 digits."""


def is_number(value: Any) -> bool:
    return isinstance(value, Number) or (isinstance(value, int) and not isinstance(value, bool))


def decimal_of(value: Any) -> Decimal | None:
    """The exact number a document's value is, or None where it is none (or absurdly large)."""
    if not is_number(value):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    small = number.is_finite() and (not number or abs(number.adjusted()) <= _DIGITS) and _length(number) <= _DIGITS
    return number if small else None


def _length(number: Decimal) -> int:
    return len(number.as_tuple().digits)


def differ_by_more_than(one: Decimal, other: Decimal, percent: Decimal) -> bool:
    """Whether they lie further apart than `percent` of the smaller magnitude: symmetric, and strict near zero."""
    with localcontext(prec=4 * _DIGITS):
        return abs(one - other) * 100 > percent * min(abs(one), abs(other))


def mean(one: Decimal, other: Decimal) -> Decimal | None:
    """The exact mean; None where it cannot be written exactly."""
    with localcontext(prec=4 * _DIGITS) as context:
        context.traps[Inexact] = True
        try:
            return (one + other) / 2
        except Inexact:
            return None


def written(number: Decimal) -> int | Number:
    """A calculated number as documents hold it."""
    if number == number.to_integral_value() and number.copy_abs() < 2**63:
        return int(number)
    text = format(number, "f")
    return Number(text.rstrip("0").rstrip(".") if "." in text else text)


def unit_names(quantity: Mapping[str, Any], synonyms: Mapping[str, str]) -> frozenset[str]:
    """What a quantity's unit is called, every spelling brought to its first synonym; empty: it names none."""
    names = (quantity.get("code"), quantity.get("unit"))
    return frozenset(synonyms.get(name, name) for name in names if isinstance(name, str))


def synonym_table(groups: Iterable[Iterable[str]]) -> Mapping[str, str]:
    """From each spelling to the first one of its group."""
    table = {}
    for group in groups:
        spellings = list(group)
        table.update(dict.fromkeys(spellings, spellings[0]))
    return table
