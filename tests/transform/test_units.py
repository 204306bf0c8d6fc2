"""Quantities in other units: exact, rounded once, and never between things that differ in kind."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ucumvert import PintUcumRegistry

from holovitals_pipelines.transform.units import convert, is_unit


@pytest.mark.parametrize(
    ("value", "from_unit", "to_unit", "expected"),
    [
        ("1", "[lb_av]", "kg", "0.45359237"),
        ("1", "[oz_av]", "g", "28.349523125"),
        ("1", "[in_i]", "cm", "2.54"),
        ("1", "[ft_i]", "m", "0.3048"),
        ("98.6", "[degF]", "Cel", "37"),
        ("37", "Cel", "[degF]", "98.6"),
        ("-40", "Cel", "[degF]", "-40"),
        ("0", "Cel", "K", "273.15"),
        ("120", "mm[Hg]", "kPa", "15.99864"),
        ("1", "[Cal]", "kJ", "4.184"),
        ("5.5", "mg/dL", "g/L", "0.055"),
        ("7.2", "10*9/L", "10*3/uL", "7.2"),
        ("72", "{beats}/min", "/min", "72"),
        ("1", "Hz", "/min", "60"),
        ("50", "%", "1", "0.5"),
        ("1", "k[iU]/L", "[IU]/mL", "1"),
        ("60", "U/L", "ukat/L", "1"),
        ("1", "g%", "g/L", "10"),
        ("90", "mL/min/{1.73_m2}", "L/h", "5.4"),
        ("1", "/min/m2", "/h/cm2", "0.006"),
        ("1", "/(kg.m2)", "/(g.m2)", "0.001"),
        ("1", "[cft_i]", "L", "28.316846592"),
        ("1", "mo", "d", "30.4375"),
        ("1", "[LPF]", "1", "100"),
        ("1", "m", "m", "1"),
    ],
)
def test_known_factors_are_exact(value: str, from_unit: str, to_unit: str, expected: str) -> None:
    converted, code = convert(Decimal(value), from_unit, to_unit)
    assert (converted, code) == (Decimal(expected), None)
    assert converted is not None and converted.as_tuple().exponent == -9


def test_a_result_is_rounded_once_and_half_away_from_zero() -> None:
    assert convert(Decimal("0.000000005"), "dm", "m") == (Decimal("0.000000001"), None)
    assert convert(Decimal("-0.000000005"), "dm", "m") == (Decimal("-0.000000001"), None)
    # 5/9 of 0.9 billionths is half a billionth: a factor of however many decimal digits would fall short of it.
    assert convert(Decimal("-459.6699999991"), "[degF]", "K") == (Decimal("0.000000001"), None)


@pytest.mark.parametrize(
    ("from_unit", "to_unit"),
    [("kg", "m"), ("[iU]/L", "[arb'U]/L"), ("[iU]", "1"), ("mmol/L", "mg/dL"), ("meq/L", "mmol/L"), ("mosm", "mmol")],
)
def test_units_of_different_kinds_are_incommensurable(from_unit: str, to_unit: str) -> None:
    assert convert(Decimal(1), from_unit, to_unit) == (None, "incommensurable")
    assert convert(Decimal(1), to_unit, from_unit) == (None, "incommensurable")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lbs",
        "KG",
        " kg",
        "kg ",
        "kg//m",
        "Cel/h",
        "mCel",
        "dB",
        "[pH]",
        "10*999999",
        "m" * 101,
        "µg",
        "kg\n",
        "(kg",
    ],
)
def test_what_is_no_ucum_unit_is_unknown(text: str) -> None:
    assert not is_unit(text)
    assert convert(Decimal(1), text, "kg") == convert(Decimal(1), "kg", text) == (None, "unknown_unit")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+19", "10000000000000000000", "1E-999999"])
def test_what_no_column_can_hold_is_out_of_range(value: str) -> None:
    assert convert(Decimal(value), "m", "m") == (None, "out_of_range")
    assert convert(Decimal("9999999999999999999"), "kg", "g") == (None, "out_of_range")


@cache
def pint() -> PintUcumRegistry:
    return PintUcumRegistry()


VALUES = st.decimals(-(10**6), 10**6, places=9)
PAIRS = [("[lb_av]", "kg"), ("[in_i]", "cm"), ("[degF]", "Cel"), ("Cel", "K"), ("[mi_us]", "m"), ("mm[Hg]", "kPa")]


@settings(max_examples=100, deadline=None)
@given(VALUES, st.sampled_from(PAIRS))
def test_there_and_back_is_where_it_began(value: Decimal, pair: tuple[str, str]) -> None:
    there, _ = convert(value, *pair)
    assert there is not None
    back, _ = convert(there, *reversed(pair))
    assert back is not None
    step, _ = convert(Decimal("0.000000002"), pair[1], pair[0])
    origin, _ = convert(Decimal(0), pair[1], pair[0])
    assert step is not None and origin is not None
    assert abs(back - value) <= abs(step - origin) + Decimal("0.000000001")


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_fahrenheit_is_what_arithmetic_says(value: Decimal) -> None:
    exact = (Fraction(value) - 32) * 5 / 9
    expected = Decimal(exact.numerator * 10**20 // exact.denominator).scaleb(-20)
    converted, _ = convert(value, "[degF]", "Cel")
    assert converted is not None and abs(converted - expected) <= Decimal("0.0000000005000001")
    assert converted == converted.quantize(Decimal("1E-9"), ROUND_HALF_UP)


COMMON = [
    "kg",
    "[lb_av]",
    "g",
    "cm",
    "[in_i]",
    "m",
    "Cel",
    "[degF]",
    "K",
    "L",
    "mL",
    "mg/dL",
    "g/L",
    "s",
    "h",
    "kPa",
    "Pa",
]


@pytest.mark.parametrize("from_unit", COMMON)
def test_an_independent_calculator_agrees_on_common_units(from_unit: str) -> None:
    for to_unit in COMMON:
        one, other = (pint().from_ucum(unit).units for unit in (from_unit, to_unit))
        converted, code = convert(Decimal("12.5"), from_unit, to_unit)
        if one.dimensionality != other.dimensionality:
            assert code == "incommensurable"
        else:
            expected = pint().Quantity(12.5, one).to(other).magnitude
            assert converted is not None and float(converted) == pytest.approx(expected, rel=1e-9, abs=1e-9)
