"""From the text of an expression to its typed tree.

Law: whatever can be known to be wrong without a row is said here, with its position.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

from holovitals_pipelines.transform.columns import PRECISION, SCALE, ColumnType
from holovitals_pipelines.transform.expressions import operations
from holovitals_pipelines.transform.expressions.errors import ExpressionError, PatternRefusal, Refusal
from holovitals_pipelines.transform.expressions.functions import FUNCTIONS
from holovitals_pipelines.transform.expressions.syntax import Source
from holovitals_pipelines.transform.expressions.tree import (
    Apply,
    Choice,
    Column,
    Constant,
    Expression,
    IsNone,
    Logic,
    Node,
    walk,
)
from holovitals_pipelines.transform.expressions.typed import IN_WORDS, NUMBERS, Part, alike, need, numbers, valued

BOOLEAN = ColumnType.BOOLEAN
_ORDERED = NUMBERS | {ColumnType.STRING, ColumnType.DATE}
_COMPARE: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_COMPUTE = {ast.Add: operations.ADD, ast.Sub: operations.SUBTRACT, ast.Mult: operations.MULTIPLY}


def parse_expression(text: str, columns: Mapping[str, ColumnType]) -> Expression:
    """Type the expression over the columns. Raises ExpressionError."""
    try:
        source = Source(text)
        root = valued(_Typing(source, columns).part(source.tree()))
    except Refusal as refusal:
        raise ExpressionError(text, refusal) from None
    return Expression(text, root, frozenset(node.name for node in walk(root) if isinstance(node, Column)))


class _Typing:
    def __init__(self, source: Source, columns: Mapping[str, ColumnType]) -> None:
        self.source = source
        self.columns = columns

    def part(self, form: ast.expr) -> Part:
        if isinstance(form, ast.Constant) and form.value is None:
            return Part(None, self.source.start(form))
        return Part(self._node(form), self.source.start(form))

    def _node(self, form: ast.expr) -> Node:
        match form:
            case ast.Constant():
                return self._constant(form)
            case ast.Name():
                return self._column(form)
            case ast.BinOp():
                return self._computed(form)
            case ast.UnaryOp(op=ast.Not()):
                return Apply(BOOLEAN, operations.NOT, (need(self.part(form.operand), BOOLEAN),))
            case ast.UnaryOp(op=ast.USub()):
                return self._negated(form)
            case ast.UnaryOp():
                raise self.source.refuse(form.op, self.source.start(form))
            case ast.BoolOp():
                word: Literal["and", "or"] = "and" if isinstance(form.op, ast.And) else "or"
                return Logic(word, tuple(need(self.part(operand), BOOLEAN) for operand in form.values))
            case ast.Compare():
                return self._comparison(form)
            case ast.IfExp():
                return self._choice(form)
            case ast.Call():
                return self._call(form)
            case ast.Subscript():
                raise self.source.refuse(form, self.source.between(form.value, form.slice))
            case ast.Attribute():
                raise self.source.refuse(form, self.source.end(form) - len(form.attr))
            case _:
                raise self.source.refuse(form, self.source.start(form))

    def _constant(self, form: ast.Constant, sign: str = "") -> Constant:
        position = self.source.start(form)
        written = self.source.written(form)
        value = form.value
        if isinstance(value, bool):
            return Constant(BOOLEAN, value)
        if isinstance(value, str):
            return self._text(value, written, position)
        if not isinstance(value, int | float):
            kind = {bytes: "bytes are", complex: "imaginary numbers are"}.get(type(value), "this is")
            raise Refusal("not_in_language", position, f"{kind} not part of the language", "Write a text or a number.")
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", written) is None:
            raise Refusal("literal", position, "numbers are written as 12 or 0.5", "Write it out, in digits.")
        if "." in written:
            whole, digits = written.split(".")
            if len(whole.lstrip("0")) > PRECISION - SCALE or len(digits) > SCALE:
                problem = f"a decimal has {PRECISION - SCALE} digits before the point and {SCALE} after it"
                raise Refusal("literal", position, problem, "Write it with fewer.")
            number = Decimal(sign + written)
            return Constant(ColumnType.DECIMAL, number if number else Decimal(written))
        integer = int(sign + written)
        if not -(2**63) <= integer < 2**63:
            raise Refusal("literal", position, "an integer has 64 bits", f"Write it as a decimal: {written}.0.")
        return Constant(ColumnType.INTEGER, integer)

    def _text(self, value: str, written: str, position: int) -> Constant:
        if "\n" in written or "\r" in written:
            raise Refusal("literal", position, "a text ends on the line it begins on", "Write \\n for a new line.")
        if re.search("[\0\ud800-\udfff]", value):
            raise Refusal("literal", position, "a character that no text may hold", "Leave it out.")
        return Constant(ColumnType.STRING, value)

    def _column(self, form: ast.Name) -> Column:
        if form.id not in self.columns:
            called = f" {form.id!r} is a function: call it." if form.id in FUNCTIONS else ""
            raise Refusal(
                "unknown_name",
                self.source.start(form),
                f"there is no column {form.id!r} here",
                f"{_suggestion(form.id, self.columns, 'The columns are')}{called}",
            )
        return Column(self.columns[form.id], form.id)

    def _computed(self, form: ast.BinOp) -> Node:
        at = self.source.between(form.left, form.right)
        if not isinstance(form.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            raise self.source.refuse(form.op, at)
        left, right = self.part(form.left), self.part(form.right)
        if isinstance(form.op, ast.Add) and ColumnType.STRING in (left.type, right.type):
            raise Refusal("type", at, "texts are not added", "Join them with concat(…), or make numbers of them.")
        if isinstance(form.op, ast.Div):
            operands = (need(left, ColumnType.DECIMAL), need(right, ColumnType.DECIMAL))
            return Apply(ColumnType.DECIMAL, operations.DIVIDE, operands)
        type_, nodes = numbers((left, right))
        return Apply(type_, _COMPUTE[type(form.op)][type_], nodes)

    def _negated(self, form: ast.UnaryOp) -> Node:
        operand = form.operand
        if isinstance(operand, ast.Constant) and type(operand.value) in (int, float):
            return self._constant(operand, "-")
        type_, nodes = numbers((self.part(operand),))
        return Apply(type_, operations.NEGATE[type_], nodes)

    def _comparison(self, form: ast.Compare) -> Node:
        if len(form.ops) > 1:
            problem = "chained comparisons are not part of the language"
            at = self.source.between(form.comparators[0], form.comparators[1])
            raise Refusal("not_in_language", at, problem, "Write a < b and b < c.")
        operator, other = form.ops[0], form.comparators[0]
        if isinstance(operator, ast.Is | ast.IsNot):
            return self._none_test(form, negated=isinstance(operator, ast.IsNot))
        if isinstance(operator, ast.In | ast.NotIn):
            return self._membership(form, negated=isinstance(operator, ast.NotIn))
        at = self.source.between(form.left, other)
        parts = (self.part(form.left), self.part(other))
        for part in parts:
            if part.node is None:
                raise Refusal("type", at, "nothing is equal to None", "Write `is None` or `is not None`.")
        type_, nodes = alike(parts, compared=True)
        symbol = _COMPARE[type(operator)]
        if symbol not in ("==", "!=") and type_ not in _ORDERED:
            problem = f"there is no order in which {IN_WORDS[type_]} comes before another"
            raise Refusal("type", at, problem, "Compare with == or !=.")
        return Apply(BOOLEAN, operations.comparison(symbol, type_), tuple(node for node in nodes if node is not None))

    def _none_test(self, form: ast.Compare, *, negated: bool) -> Node:
        other = form.comparators[0]
        if not (isinstance(other, ast.Constant) and other.value is None):
            at = self.source.between(form.left, other)
            raise Refusal("not_in_language", at, "`is` is only for None", "Compare with ==.")
        return IsNone(valued(self.part(form.left)), negated)

    def _membership(self, form: ast.Compare, *, negated: bool) -> Node:
        listed = form.comparators[0]
        if not isinstance(listed, ast.List | ast.Tuple) or not listed.elts:
            remedy = 'Write in ["a", "b"]; whether a text is in a text says contains(…).'
            raise Refusal("arguments", self.source.start(listed), "after `in` comes a list of literals", remedy)
        parts = [self.part(form.left)]
        valued(parts[0])
        for element in listed.elts:
            parts.append(self.part(element))
            if parts[-1].node is None:
                problem = "None is in no list: nothing is equal to it"
                raise Refusal("type", parts[-1].position, problem, "Test with `is None` as well.")
            if not isinstance(parts[-1].node, Constant):
                raise Refusal("arguments", parts[-1].position, "a list holds literals", "Compare with == and `or`.")
        type_, nodes = alike(parts, compared=True)
        values = [node.value for node in nodes if isinstance(node, Constant)]
        operand = nodes[0]
        assert operand is not None
        if isinstance(operand, Constant):
            values = values[1:]
        return Apply(BOOLEAN, operations.membership(type_, values, negated=negated), (operand,))

    def _choice(self, form: ast.IfExp) -> Node:
        then = self.part(form.body)
        condition = need(self.part(form.test), BOOLEAN)
        type_, branches = alike((then, self.part(form.orelse)), compared=False)
        chosen, otherwise = (Constant(type_, None) if branch is None else branch for branch in branches)
        return Choice(type_, condition, chosen, otherwise)

    def _call(self, form: ast.Call) -> Node:
        if not isinstance(form.func, ast.Name):
            if isinstance(form.func, ast.Attribute):
                raise self.source.refuse(form.func, self.source.end(form.func) - len(form.func.attr))
            raise Refusal(
                "not_in_language", self.source.start(form), "only functions can be called", "Call one by its name."
            )  # fmt: skip
        name = form.func.id
        function = FUNCTIONS.get(name)
        if function is None:
            remedy = _suggestion(name, FUNCTIONS, "The functions are")
            raise Refusal("unknown_function", self.source.start(form), f"there is no function {name!r}", remedy)
        if form.keywords:
            problem = "keywords are not part of the language"
            raise Refusal("not_in_language", self.source.start(form.keywords[0]), problem, f"Write {function.usage}.")
        arguments = [self.part(argument) for argument in form.args]
        if not function.least <= len(arguments) <= function.most:
            problem = f"{name} does not take {len(arguments)} argument{'' if len(arguments) == 1 else 's'}"
            raise Refusal("arguments", self.source.start(form), problem, f"Write {function.usage}.")
        try:
            return function.apply(arguments)
        except PatternRefusal as refusal:
            at = self.source.start(form.args[1]) + self._offset(form.args[1], refusal.position)
            raise Refusal(refusal.code, at, refusal.problem, refusal.remedy) from None

    def _offset(self, literal: ast.expr, position: int) -> int:
        """Where in a literal as it is written a position of its text is; its beginning, where escapes hide it."""
        text = str(literal.value) if isinstance(literal, ast.Constant) else ""
        found = self.source.written(literal).find(text)
        return found + position if found >= 0 else 0


def _suggestion(name: str, known: Iterable[str], introduction: str) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"{introduction} {', '.join(names)}."
