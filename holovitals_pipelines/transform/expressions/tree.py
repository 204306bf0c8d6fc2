"""Expressions as typed trees, after everything that can be wrong with their text has been said.

Law: a tree is well typed; its operations take operands of exactly the types they compute with, converted where needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.expressions.operations import Operation


@dataclass(frozen=True, slots=True)
class Constant:
    type: ColumnType
    value: Any
    """As a row would hold it."""


@dataclass(frozen=True, slots=True)
class Column:
    type: ColumnType
    name: str


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation on the values of all its operands; null where one of them is."""

    type: ColumnType
    operation: Operation
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Logic:
    """Operands joined in three-valued logic, every one of them evaluated."""

    word: Literal["and", "or"]
    operands: tuple[Node, ...]
    type: ColumnType = ColumnType.BOOLEAN


@dataclass(frozen=True, slots=True)
class IsNone:
    operand: Node
    negated: bool
    type: ColumnType = ColumnType.BOOLEAN


@dataclass(frozen=True, slots=True)
class Choice:
    """`then` where the condition is true, `otherwise` where it is false or null; the other is not evaluated."""

    type: ColumnType
    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Coalesce:
    """The first value that is there; what comes after it is not evaluated."""

    type: ColumnType
    operands: tuple[Node, ...]


Node = Constant | Column | Apply | Logic | IsNone | Choice | Coalesce


@dataclass(frozen=True, slots=True)
class Expression:
    text: str
    """As it was written."""
    root: Node
    names: frozenset[str]
    """The columns it reads."""

    @property
    def type(self) -> ColumnType:
        return self.root.type


def operands_of(node: Node) -> tuple[Node, ...]:
    """In the order they are evaluated."""
    match node:
        case Constant() | Column():
            return ()
        case IsNone():
            return (node.operand,)
        case Choice():
            return (node.condition, node.then, node.otherwise)
        case _:
            return node.operands


def walk(node: Node) -> Iterator[Node]:
    yield node
    for operand in operands_of(node):
        yield from walk(operand)


def can_fail(node: Node) -> bool:
    return any(isinstance(inner, Apply) and inner.operation.failure is not None for inner in walk(node))
