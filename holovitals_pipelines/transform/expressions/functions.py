"""The functions of the language: what each takes and makes.

Law: a function that is not here cannot be called; which arguments are literals is known before any row is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.expressions import operations
from holovitals_pipelines.transform.expressions.errors import Refusal
from holovitals_pipelines.transform.expressions.operations import Operation
from holovitals_pipelines.transform.expressions.patterns import portable
from holovitals_pipelines.transform.expressions.tree import Apply, Coalesce, Constant, Node
from holovitals_pipelines.transform.expressions.typed import IN_WORDS, NUMBERS, Part, alike, need, numbers, valued

STRING, INTEGER, DECIMAL = ColumnType.STRING, ColumnType.INTEGER, ColumnType.DECIMAL
BOOLEAN, DATE = ColumnType.BOOLEAN, ColumnType.DATE
MANY = 200


@dataclass(frozen=True, slots=True)
class Function:
    usage: str
    """As a person would write it."""
    least: int
    most: int
    apply: Callable[[Sequence[Part]], Node]
    """Types the arguments, of which there are as many as there may be. Raises Refusal."""


def _fixed(usage: str, takes: Sequence[ColumnType], makes: ColumnType, operation: Operation) -> Function:
    def apply(arguments: Sequence[Part]) -> Node:
        return Apply(
            makes, operation, tuple(need(part, type_) for part, type_ in zip(arguments, takes, strict=True))
        )  # fmt: skip

    return Function(usage, len(takes), len(takes), apply)


def _round(arguments: Sequence[Part]) -> Node:
    digits = arguments[1].node
    if not (isinstance(digits, Constant) and digits.type is INTEGER and 0 <= digits.value <= 9):
        raise Refusal(
            "arguments", arguments[1].position, "the number of digits is a literal from 0 to 9", "Write round(x, 1)."
        )  # fmt: skip
    return Apply(DECIMAL, operations.rounded(digits.value), (need(arguments[0], DECIMAL),))


def _absolute(arguments: Sequence[Part]) -> Node:
    type_, nodes = numbers(arguments)
    return Apply(type_, operations.ABSOLUTE[type_], nodes)


def _extreme(operation: Operation) -> Callable[[Sequence[Part]], Node]:
    def apply(arguments: Sequence[Part]) -> Node:
        if valued(arguments[0]).type is DATE:
            return Apply(DATE, operation, tuple(need(part, DATE) for part in arguments))
        type_, nodes = numbers(arguments)
        return Apply(type_, operation, nodes)

    return apply


def _concat(arguments: Sequence[Part]) -> Node:
    return Apply(STRING, operations.CONCAT, tuple(need(part, STRING) for part in arguments))


def _replace(arguments: Sequence[Part]) -> Node:
    old, new = (_literal_text(part, "what is replaced, and by what, are literals") for part in arguments[1:])
    if not old:
        raise Refusal("arguments", arguments[1].position, "an empty text is nowhere to be replaced", "Name a text.")
    return Apply(STRING, operations.replacing(old, new), (need(arguments[0], STRING),))


def _matches(arguments: Sequence[Part]) -> Node:
    pattern = _literal_text(arguments[1], "a pattern is a literal")
    return Apply(BOOLEAN, operations.matching(portable(pattern)), (need(arguments[0], STRING),))


def _literal_text(part: Part, problem: str) -> str:
    if not (isinstance(part.node, Constant) and part.type is STRING):
        raise Refusal("arguments", part.position, problem, "Write the text itself, in quotes.")
    return str(part.node.value)


def _coalesce(arguments: Sequence[Part]) -> Node:
    for part in arguments:
        valued(part)
    type_, operands = alike(arguments, compared=False)
    return Coalesce(type_, tuple(node for node in operands if node is not None))


def _to_text(arguments: Sequence[Part]) -> Node:
    node = valued(arguments[0])
    if node.type is STRING:
        return node
    if node.type in NUMBERS or node.type in (BOOLEAN, DATE):
        return Apply(STRING, operations.text_of(node.type), (node,))
    problem = f"{IN_WORDS[node.type]} is not made a text here"
    raise Refusal("type", arguments[0].position, problem, "Use a rule of its own (DATA_TYPE_CONVERSION).")


FUNCTIONS: Mapping[str, Function] = {
    "round": Function("round(number, digits)", 2, 2, _round),
    "abs": Function("abs(number)", 1, 1, _absolute),
    "floor": _fixed("floor(number)", (DECIMAL,), INTEGER, operations.FLOOR),
    "ceil": _fixed("ceil(number)", (DECIMAL,), INTEGER, operations.CEILING),
    "min": Function("min(one, other, …)", 2, MANY, _extreme(operations.LEAST)),
    "max": Function("max(one, other, …)", 2, MANY, _extreme(operations.GREATEST)),
    "lower": _fixed("lower(text)", (STRING,), STRING, operations.LOWER),
    "upper": _fixed("upper(text)", (STRING,), STRING, operations.UPPER),
    "trim": _fixed("trim(text)", (STRING,), STRING, operations.TRIM),
    "length": _fixed("length(text)", (STRING,), INTEGER, operations.LENGTH),
    "concat": Function("concat(text, text, …)", 2, MANY, _concat),
    "substring": _fixed("substring(text, start, length)", (STRING, INTEGER, INTEGER), STRING, operations.SUBSTRING),
    "replace": Function('replace(text, "old", "new")', 3, 3, _replace),
    "starts_with": _fixed("starts_with(text, text)", (STRING, STRING), BOOLEAN, operations.STARTS_WITH),
    "ends_with": _fixed("ends_with(text, text)", (STRING, STRING), BOOLEAN, operations.ENDS_WITH),
    "contains": _fixed("contains(text, text)", (STRING, STRING), BOOLEAN, operations.CONTAINS),
    "matches": Function('matches(text, "pattern")', 2, 2, _matches),
    "coalesce": Function("coalesce(first, second, …)", 2, MANY, _coalesce),
    "to_text": Function("to_text(value)", 1, 1, _to_text),
    "to_number": _fixed("to_number(text)", (STRING,), DECIMAL, operations.NUMBER_OF_TEXT),
    "year": _fixed("year(date)", (DATE,), INTEGER, operations.YEAR),
    "month": _fixed("month(date)", (DATE,), INTEGER, operations.MONTH),
    "day": _fixed("day(date)", (DATE,), INTEGER, operations.DAY),
    "years_between": _fixed("years_between(first, last)", (DATE, DATE), INTEGER, operations.YEARS_BETWEEN),
    "days_between": _fixed("days_between(first, last)", (DATE, DATE), INTEGER, operations.DAYS_BETWEEN),
}
