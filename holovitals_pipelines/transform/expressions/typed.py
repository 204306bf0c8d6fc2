"""Types of parts of expressions: what may be computed and compared with what, and converted into what.

Law: INTEGER and NUMBER become DECIMAL where they meet one or are divided; no other type turns into another by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.expressions import operations
from holovitals_pipelines.transform.expressions.errors import Refusal
from holovitals_pipelines.transform.expressions.tree import Apply, Constant, Node

NUMBERS = frozenset({ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.NUMBER})
IN_WORDS = {
    ColumnType.STRING: "a text",
    ColumnType.INTEGER: "an integer",
    ColumnType.DECIMAL: "a decimal",
    ColumnType.NUMBER: "a number",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.DATE: "a date",
    ColumnType.DATETIME: "a dateTime",
    ColumnType.JSON: "JSON",
}
_REMEDIES = {
    ColumnType.STRING: "Make a text of it with to_text(…).",
    ColumnType.INTEGER: "Make an integer of a decimal with floor(…) or ceil(…).",
    ColumnType.NUMBER: "Use a number; to_number(…) makes one of a text.",
    ColumnType.BOOLEAN: 'Compare it with something: == "…", > 0, is not None.',
    ColumnType.DATE: "Make a date of it first, with a rule of its own (DATA_TYPE_CONVERSION).",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A typed part of an expression and where it begins; without a node it is None, of any type."""

    node: Node | None
    position: int

    @property
    def type(self) -> ColumnType | None:
        return None if self.node is None else self.node.type


def valued(part: Part) -> Node:
    """The part, where None would make everything null."""
    if part.node is None:
        raise Refusal(
            "type",
            part.position,
            "None may stand only as a branch of if-else and after `is`",
            "Test with `is None`.",
        )
    return part.node


def need(part: Part, *types: ColumnType) -> Node:
    """The part, which has to be of one of the types; DECIMAL takes every number."""
    node = valued(part)
    if node.type in types:
        return node
    if ColumnType.DECIMAL in types and node.type in NUMBERS:
        return decimal(node)
    wanted = ColumnType.NUMBER if ColumnType.DECIMAL in types else types[0]
    problem = f"this is {IN_WORDS[node.type]}, where {IN_WORDS[wanted]} is needed"
    raise Refusal("type", part.position, problem, _REMEDIES[wanted])


def decimal(node: Node) -> Node:
    """Any number as a decimal."""
    if node.type is ColumnType.DECIMAL:
        return node
    if isinstance(node, Constant):
        return Constant(ColumnType.DECIMAL, Decimal(node.value))
    integer = node.type is ColumnType.INTEGER
    operation = operations.DECIMAL_OF_INTEGER if integer else operations.NUMBER_OF_TEXT
    return Apply(ColumnType.DECIMAL, operation, (node,))


def numbers(parts: Sequence[Part]) -> tuple[ColumnType, tuple[Node, ...]]:
    """Parts that are computed with each other: integers if all are, else decimals."""
    nodes = tuple(need(part, ColumnType.INTEGER, ColumnType.DECIMAL) for part in parts)
    if all(node.type is ColumnType.INTEGER for node in nodes):
        return ColumnType.INTEGER, nodes
    return ColumnType.DECIMAL, tuple(decimal(node) for node in nodes)


def alike(parts: Sequence[Part], *, compared: bool) -> tuple[ColumnType, tuple[Node | None, ...]]:
    """Parts of one type. What is only passed on stays as it is written; numbers that are compared are decimals."""
    first = next((part for part in parts if part.type is not None), None)
    if first is None or first.type is None:
        raise Refusal("type", parts[0].position, "nothing here says what type this is", "Give one branch a value.")
    found: set[ColumnType] = {part.type for part in parts if part.type is not None}
    if len(found) == 1 and not (compared and found == {ColumnType.NUMBER}):
        return first.type, tuple(part.node for part in parts)
    for part in parts:
        if part.type is not None and not (found <= NUMBERS) and part.type is not first.type:
            problem = f"this is {IN_WORDS[part.type]}, and what it goes with is {IN_WORDS[first.type]}"
            raise Refusal("type", part.position, problem, _together(found))
    return ColumnType.DECIMAL, tuple(None if part.node is None else decimal(part.node) for part in parts)


def _together(found: Collection[ColumnType]) -> str:
    if ColumnType.STRING in found:
        return "Make both texts with to_text(…), or both numbers with to_number(…)."
    return "Bring both to one type, with rules of their own if need be."
