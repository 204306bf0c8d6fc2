"""The batch back end: an expression as two texts of DuckDB SQL over one relation.

Law: what they yield, value and failure, is what the closures of the same tree yield (record.py); neither ever raises;
their length grows with the expression's, for no part is written twice within another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from holovitals_pipelines.transform.expressions.sql_text import bound, let, literal
from holovitals_pipelines.transform.expressions.tree import (
    Apply,
    Choice,
    Coalesce,
    Column,
    Constant,
    Expression,
    IsNone,
    Logic,
    Node,
    can_fail,
    operands_of,
    walk,
)

_NO_CODE = "cast(null as varchar)"
_TRACED = "traced"
_SMALL = 16
"""Nodes up to which texts are repeated rather than traced: DuckDB's lambdas cost much for each vector of rows."""


@dataclass(frozen=True, slots=True)
class SqlExpression:
    value: str
    """Of the expression's type."""
    failed: str | None
    """The code of the first failure on the path that was evaluated, or null; None where nothing can fail."""


def compile_sql(expression: Expression, column: Callable[[str], str]) -> SqlExpression:
    """The texts; `column` gives the SQL of a column, quoted as it has to be."""
    texts = _Texts(column)
    root = expression.root
    value = texts.value(root)
    if not can_fail(root):
        return SqlExpression(value, None)
    if _shows(root) and sum(1 for _ in walk(root)) <= _SMALL:
        return SqlExpression(value, f"case when {value} is not null then null {' '.join(texts.failures(root))} end")
    failed = let(_TRACED, texts.traced(root), _code(bound(_TRACED)))
    # DuckDB computes the value once for both texts, and traces only the rows that have none.
    return SqlExpression(value, f"case when {value} is null then {failed} end" if _shows(root) else failed)


class _Texts:
    def __init__(self, column: Callable[[str], str]) -> None:
        self.column = column

    def value(self, node: Node) -> str:
        return self._value(node, [self.value(operand) for operand in operands_of(node)])

    def traced(self, node: Node) -> str:
        """A struct of the value `v`, the code `f` of what failed before it, and the code `k` if it fails itself.

        Operands that can fail are structs too; a lambda gives them a name, by which they are mentioned again.
        """
        values: list[str] = []
        codes: list[str | None] = []
        named: list[str] = []
        for place, operand in enumerate(operands_of(node)):
            if can_fail(operand):
                named.append(f"'o{place}': {self.traced(operand)}")
                values.append(f"{bound(_TRACED)}.o{place}.v")
                codes.append(_code(f"{bound(_TRACED)}.o{place}"))
            else:
                values.append(self.value(operand))
                codes.append(None)
        itself = _itself(node, values) if isinstance(node, Apply) else None
        made = f"{{'v': {self._value(node, values)}, 'f': {_before(node, values, codes)}, 'k': {itself or _NO_CODE}}}"
        return let(_TRACED, f"{{{', '.join(named)}}}", made) if named else made

    def failures(self, node: Node) -> Iterator[str]:
        """The branches of a case that finds what failed first, in a tree where every failure leaves no value."""
        for operand in operands_of(node):
            yield from self.failures(operand)
        if isinstance(node, Apply) and node.operation.failure is not None:
            operands = [self.value(operand) for operand in operands_of(node)]
            there = " and ".join(f"{operand} is not null" for operand in operands)
            yield f"when {there} and {self.value(node)} is null then {node.operation.failure(*operands)}"

    def _value(self, node: Node, operands: Sequence[str]) -> str:
        match node:
            case Constant():
                return literal(node.type, node.value)
            case Column():
                return self.column(node.name)
            case Apply():
                return node.operation.sql(*operands)
            case Logic():
                return f"({f' {node.word} '.join(operands)})"
            case IsNone():
                return f"({operands[0]} is {'not ' if node.negated else ''}null)"
            case Choice():
                return f"case when {operands[0]} then {operands[1]} else {operands[2]} end"
            case Coalesce():
                return f"coalesce({', '.join(operands)})"


def _shows(node: Node) -> bool:
    """Whether nothing that fails in it can leave it a value."""
    return not can_fail(node) or (isinstance(node, Apply) and all(map(_shows, node.operands)))


def _code(traced: str) -> str:
    """What failed first in something traced, or null."""
    return f"coalesce({traced}.f, case when {traced}.v is null then {traced}.k end)"


def _itself(node: Apply, operands: Sequence[str]) -> str | None:
    if node.operation.failure is None:
        return None
    there = " and ".join(f"{operand} is not null" for operand in operands)
    return f"case when {there} then {node.operation.failure(*operands)} end"


def _before(node: Node, operands: Sequence[str], codes: Sequence[str | None]) -> str:
    """What failed first of the operands that are evaluated."""
    match node:
        case Choice():
            branches = [code or _NO_CODE for code in codes[1:]]
            return _first([codes[0], f"case when {operands[0]} then {branches[0]} else {branches[1]} end"])
        case Coalesce():
            return _in_turn(operands, codes)
        case _:
            return _first(codes)


def _in_turn(operands: Sequence[str], codes: Sequence[str | None]) -> str:
    if not any(codes[1:]):
        return codes[0] or _NO_CODE
    return _first([codes[0], f"case when {operands[0]} is null then {_in_turn(operands[1:], codes[1:])} end"])


def _first(codes: Sequence[str | None]) -> str:
    given = [code for code in codes if code is not None]
    return f"coalesce({', '.join(given)})" if given else _NO_CODE
