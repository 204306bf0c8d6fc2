"""Documents of one form, made by one expression: what is known of them is written into it, the values are its slots.

Law: a template says what its tree says; nothing but constants and slots is in its code, whatever the tree's texts are.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Slot:
    """A value's place in a tree: the template's argument, the way to the value in it, and what is made of it."""

    argument: str
    way: tuple[int, ...]
    convert: Callable[[Any], Any] | None = None


def template(tree: Any, arguments: Sequence[str]) -> Callable[..., Any]:
    """A function of the arguments, by position, that makes the tree anew with values in its slots.

    Raises RecursionError for a tree that is too deep to be one expression.
    """
    converters: dict[str, Any] = {}
    names = [ast.arg(arg=name) for name in arguments]
    parameters = ast.arguments(posonlyargs=names, args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    expression = ast.Expression(body=ast.Lambda(args=parameters, body=_expression(tree, converters)))
    code = compile(ast.fix_missing_locations(expression), "<template>", "eval")
    made: Callable[..., Any] = eval(code, converters)  # noqa: S307 a syntax tree of constants and slots, no text
    return made


def _expression(value: Any, converters: dict[str, Any]) -> ast.expr:
    if type(value) is dict:
        members = [_expression(inner, converters) for inner in value.values()]
        return ast.Dict(keys=[ast.Constant(value=name) for name in value], values=members)
    if type(value) is list:
        return ast.List(elts=[_expression(item, converters) for item in value], ctx=ast.Load())
    return _slot(value, converters) if type(value) is Slot else ast.Constant(value=value)


def _slot(slot: Slot, converters: dict[str, Any]) -> ast.expr:
    found: ast.expr = ast.Name(id=slot.argument, ctx=ast.Load())
    for step in slot.way:
        found = ast.Subscript(value=found, slice=ast.Constant(value=step), ctx=ast.Load())
    if slot.convert is None:
        return found
    name = next((name for name, known in converters.items() if known is slot.convert), f"convert_{len(converters)}")
    converters[name] = slot.convert
    return ast.Call(func=ast.Name(id=name, ctx=ast.Load()), args=[found], keywords=[])
