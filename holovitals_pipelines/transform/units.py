"""Quantities brought from one UCUM unit to another, exactly.

Law: factors are fractions as UCUM defines them; a result is rounded once, to 9 digits, half away from zero.

ucumvert gives the grammar of UCUM and UCUM's own table of definitions. Its arithmetic is not used: it is pint's, where
`[Cal]` is a thousandth of UCUM's, `mm[Hg]` differs in the sixth digit, and units that UCUM declares arbitrary
(`[iU]`, `[arb'U]`) turn into one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

from holovitals_pipelines.transform.columns import PRECISION, SCALE

if TYPE_CHECKING:
    from lark import Token, Tree

UNKNOWN_UNIT: Final = "unknown_unit"
INCOMMENSURABLE: Final = "incommensurable"
OUT_OF_RANGE: Final = "out_of_range"

_LONGEST: Final = 100
_LARGEST_EXPONENT: Final = 99
"""Texts come from records: neither the grammar nor a power may be given endless work."""

_ONE: Final = 10**SCALE
_LIMIT: Final = 10**PRECISION

_OFFSETS: Final[Mapping[str, Fraction]] = {
    "Cel": Fraction("273.15"),
    "[degF]": Fraction("459.67") * 5 / 9,
    "[degRe]": Fraction("273.15"),
}
"""The special units that are an affine step from kelvin; the others are logarithms, tangents and retired potencies."""

_APART: Final = frozenset({"mol", "eq", "osm"})
"""UCUM makes them pure numbers and equal. An equivalent of calcium is no mole of it: here each stands alone."""


@dataclass(frozen=True, slots=True)
class _Unit:
    factor: Fraction = Fraction(1)
    dimensions: Mapping[str, int] = field(default_factory=dict)
    offset: Fraction | None = None
    """Of special units: what is added after the factor."""

    def __mul__(self, other: _Unit) -> _Unit:
        return self._joined(other, 1)

    def __truediv__(self, other: _Unit) -> _Unit:
        return self._joined(other, -1)

    def __pow__(self, exponent: int) -> _Unit:
        return _Unit(self._plain().factor ** exponent, {name: n * exponent for name, n in self.dimensions.items()})

    def _joined(self, other: _Unit, sign: int) -> _Unit:
        names = dict.fromkeys([*self.dimensions, *other.dimensions])
        sums = {name: self.dimensions.get(name, 0) + sign * other.dimensions.get(name, 0) for name in names}
        factor = self._plain().factor * other._plain().factor ** sign
        return _Unit(factor, {name: exponent for name, exponent in sums.items() if exponent})

    def _plain(self) -> _Unit:
        if self.offset is not None:
            raise _NoUnit
        return self


class _NoUnit(Exception):
    """A text that is no UCUM unit, or one that cannot be calculated with."""


def convert(value: Decimal, from_unit: str, to_unit: str) -> tuple[Decimal | None, str | None]:
    """The value in the other unit; or None and why: unknown_unit, incommensurable, out_of_range.

    Annotations count for nothing (`{beats}/min` is `/min`), as UCUM has it.
    """
    step = _step(from_unit, to_unit)
    if isinstance(step, str):
        return None, step
    if not value.is_finite() or not -_LONGEST < value.adjusted() < PRECISION - SCALE:
        return None, OUT_OF_RANGE
    numerator, denominator = value.as_integer_ratio()
    result = _rounded(numerator * step.factor + denominator * step.offset, step.divisor * denominator)
    return (None, OUT_OF_RANGE) if abs(result) >= _LIMIT else (Decimal(f"{result}E-{SCALE}"), None)


def is_unit(text: str) -> bool:
    """Whether `convert` knows it."""
    return _unit(text) is not None


@dataclass(frozen=True, slots=True)
class _Step:
    """`(value * factor + offset) / divisor`, in billionths."""

    factor: int
    offset: int
    divisor: int


@lru_cache(maxsize=4096)
def _step(from_unit: str, to_unit: str) -> _Step | str:
    one, other = _unit(from_unit), _unit(to_unit)
    if one is None or other is None:
        return UNKNOWN_UNIT
    if one.dimensions != other.dimensions:
        return INCOMMENSURABLE
    slope = one.factor / other.factor * _ONE
    offset = ((one.offset or 0) - (other.offset or 0)) / other.factor * _ONE
    divisor = slope.denominator * offset.denominator
    return _Step(int(slope * divisor), int(offset * divisor), divisor)


def _rounded(numerator: int, denominator: int) -> int:
    whole, rest = divmod(abs(numerator), denominator)
    whole += 2 * rest >= denominator
    return whole if numerator >= 0 else -whole


@lru_cache(maxsize=4096)
def _unit(text: str) -> _Unit | None:
    if not text or len(text) > _LONGEST or not text.isascii():
        return None
    try:
        return _Definitions.shipped().unit(text)
    except _NoUnit:
        return None


@dataclass(frozen=True, slots=True)
class _Definitions:
    """UCUM's table: what each atom is, in terms of others."""

    parse: Callable[[str], Tree[Token]]
    """Raises _NoUnit."""
    prefixes: Mapping[str, Fraction]
    atoms: Mapping[str, ElementTree.Element]
    known: dict[str, _Unit]

    @staticmethod
    @cache
    def shipped() -> _Definitions:
        # Imported here: it brings pint, a quarter of a second that only conversions should cost.
        from ucumvert import InvalidUcumError, get_ucum_parser, parse_ucum  # type: ignore[import-untyped]

        parser = get_ucum_parser()

        def parse(text: str) -> Any:
            try:
                return parse_ucum(text, parser)
            except InvalidUcumError:
                raise _NoUnit from None

        text = files("ucumvert").joinpath("vendor", "ucum-essence.xml").read_text(encoding="ascii")
        root = ElementTree.fromstring(text)  # noqa: S314  a file of the library, not input
        prefixes = {_code(prefix): Fraction(_child(prefix, "value").attrib["value"]) for prefix in _all(root, "prefix")}
        alone = [*(_code(base) for base in _all(root, "base-unit")), *_APART]
        return _Definitions(
            parse,
            prefixes,
            {_code(unit): unit for unit in _all(root, "unit")},
            {name: _Unit(dimensions={name: 1}) for name in alone},
        )

    def unit(self, text: str) -> _Unit:
        # UCUM inverts only what follows a leading solidus; the grammar's tree would invert the whole term.
        code = "1" + text if text.startswith("/") else text
        return self._value(self.parse(code.replace("(/", "(1/")))

    def _value(self, node: Tree[Token] | Token) -> _Unit:
        children: list[Any] | None = getattr(node, "children", None)
        if children is None:
            return _Unit()  # an annotation on its own
        match str(node.data), children:  # type: ignore[union-attr]
            case "main_term", [inner]:
                return self._value(inner)
            case "term", [left, operator, right]:
                one, other = self._value(left), self._value(right)
                return one * other if operator == "." else one / other
            case "component", [inner, _]:
                return self._value(inner)
            case "annotatable", [inner, exponent] if abs(int(exponent)) <= _LARGEST_EXPONENT:
                return self._value(inner) ** int(exponent)
            case "simple_unit", [atom]:
                return _Unit(Fraction(int(atom))) if atom.type == "FACTOR" else self._atom(str(atom))
            case "simple_unit", [prefix, atom]:
                return _Unit(self.prefixes[str(prefix)]) * self._atom(str(atom))
        raise _NoUnit

    def _atom(self, code: str) -> _Unit:
        if code not in self.known:
            self.known[code] = self._defined(code, self.atoms[code])
        return self.known[code]

    def _defined(self, code: str, element: ElementTree.Element) -> _Unit:
        value = _child(element, "value")
        if element.get("isSpecial") == "yes":
            if code not in _OFFSETS:
                raise _NoUnit
            function = value[0]
            scaled = self.unit(function.attrib["Unit"])
            return _Unit(Fraction(function.attrib["value"]) * scaled.factor, scaled.dimensions, _OFFSETS[code])
        if element.get("isArbitrary") == "yes" and value.attrib["Unit"] == "1":
            return _Unit(dimensions={code: 1})
        return _Unit(Fraction(value.attrib["value"])) * self.unit(value.attrib["Unit"])


def _all(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return root.iterfind(f"{{*}}{name}")


def _child(element: ElementTree.Element, name: str) -> ElementTree.Element:
    child = element.find(f"{{*}}{name}")
    assert child is not None
    return child


def _code(element: ElementTree.Element) -> str:
    return element.attrib["Code"]
