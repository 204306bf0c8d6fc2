"""The record back end: an expression as closures over one row.

Law: what it yields, value and failure, is what the SQL of the same tree yields (sql.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holovitals_pipelines.transform.columns import ColumnType, Row
from holovitals_pipelines.transform.expressions.decimals import Failure, scaled, unscaled
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
)

Outcome = tuple[Any, Failure | None]
"""The value, or None, and the first failure on the path that was evaluated; a value may stand beside a failure."""

_Evaluate = Callable[[Row, list[Failure]], Any]
"""Appends failures in the order they happen; decimals are integers of 10⁻⁹."""


def compile_record(expression: Expression) -> Callable[[Row], Outcome]:
    """A function of a row that has at least the expression's names. It never raises."""
    evaluate = _compiled(expression.root)
    is_decimal = expression.type is ColumnType.DECIMAL

    def outcome(row: Row) -> Outcome:
        failures: list[Failure] = []
        value = evaluate(row, failures)
        if is_decimal and value is not None:
            value = unscaled(value)
        return value, failures[0] if failures else None

    return outcome


def _compiled(node: Node) -> _Evaluate:
    match node:
        case Constant():
            return _constant(node)
        case Column():
            return _column(node)
        case Apply():
            return _apply(node)
        case Logic():
            return _logic(node)
        case IsNone():
            return _is_none(node)
        case Choice():
            return _choice(node)
        case Coalesce():
            return _coalesce(node)


def _constant(node: Constant) -> _Evaluate:
    held = scaled(node.value) if node.type is ColumnType.DECIMAL and node.value is not None else node.value
    return lambda row, failures: held


def _column(node: Column) -> _Evaluate:
    name = node.name
    if node.type is not ColumnType.DECIMAL:
        return lambda row, failures: row[name]

    def decimal(row: Row, failures: list[Failure]) -> int | None:
        value = row[name]
        return None if value is None else scaled(value)

    return decimal


def _apply(node: Apply) -> _Evaluate:
    operands = [_compiled(operand) for operand in node.operands]
    operate = node.operation.record
    if len(operands) == 1:
        value = _of_one(operate, operands[0])
    elif len(operands) == 2:
        value = _of_two(operate, operands[0], operands[1])
    else:
        value = _of_many(operate, operands)
    return value if node.operation.failure is None else _noting(value)


def _of_one(operate: Callable[..., Any], operand: _Evaluate) -> _Evaluate:
    def value(row: Row, failures: list[Failure]) -> Any:
        only = operand(row, failures)
        return None if only is None else operate(only)

    return value


def _of_two(operate: Callable[..., Any], left: _Evaluate, right: _Evaluate) -> _Evaluate:
    def value(row: Row, failures: list[Failure]) -> Any:
        one, other = left(row, failures), right(row, failures)
        return None if one is None or other is None else operate(one, other)

    return value


def _of_many(operate: Callable[..., Any], operands: list[_Evaluate]) -> _Evaluate:
    def value(row: Row, failures: list[Failure]) -> Any:
        values = [operand(row, failures) for operand in operands]
        return None if None in values else operate(*values)

    return value


def _noting(evaluate: _Evaluate) -> _Evaluate:
    def value(row: Row, failures: list[Failure]) -> Any:
        found = evaluate(row, failures)
        if type(found) is Failure:
            failures.append(found)
            return None
        return found

    return value


def _logic(node: Logic) -> _Evaluate:
    """All operands are evaluated where one can fail; otherwise the first that decides ends it."""
    operands = [_compiled(operand) for operand in node.operands]
    decisive = node.word == "or"
    thorough = can_fail(node)

    def value(row: Row, failures: list[Failure]) -> bool | None:
        joined: bool | None = not decisive
        for operand in operands:
            found = operand(row, failures)
            if found is decisive:
                joined = decisive
                if not thorough:
                    break
            elif found is None and joined is not decisive:
                joined = None
        return joined

    return value


def _is_none(node: IsNone) -> _Evaluate:
    operand, negated = _compiled(node.operand), node.negated
    return lambda row, failures: (operand(row, failures) is None) is not negated


def _choice(node: Choice) -> _Evaluate:
    condition, then, otherwise = _compiled(node.condition), _compiled(node.then), _compiled(node.otherwise)

    def value(row: Row, failures: list[Failure]) -> Any:
        return then(row, failures) if condition(row, failures) else otherwise(row, failures)

    return value


def _coalesce(node: Coalesce) -> _Evaluate:
    operands = [_compiled(operand) for operand in node.operands]

    def value(row: Row, failures: list[Failure]) -> Any:
        for operand in operands:
            found = operand(row, failures)
            if found is not None:
                return found
        return None

    return value
