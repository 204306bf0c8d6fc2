"""The text of an expression taken apart by Python's own parser, with a limit on everything.

Law: nothing is ever evaluated; a form that is not part of the language is refused where it stands, by its name.
"""

from __future__ import annotations

import ast
import re
import warnings

from holovitals_pipelines.transform.expressions.errors import Refusal

MAX_LENGTH, MAX_NODES, MAX_DEPTH = 2000, 200, 40

_REFUSED: dict[type[ast.AST], str] = {
    ast.Attribute: "attributes are",
    ast.Subscript: "subscripts are",
    ast.Slice: "slices are",
    ast.Lambda: "lambdas are",
    ast.ListComp: "comprehensions are",
    ast.SetComp: "comprehensions are",
    ast.DictComp: "comprehensions are",
    ast.GeneratorExp: "comprehensions are",
    ast.Await: "await is",
    ast.Yield: "yield is",
    ast.YieldFrom: "yield is",
    ast.JoinedStr: "f-strings are",
    ast.Starred: "stars before arguments are",
    ast.NamedExpr: "assignments (:=) are",
    ast.Dict: "dictionaries are",
    ast.Set: "sets are",
    ast.List: "lists other than after `in` are",
    ast.Tuple: "tuples other than after `in` are",
    ast.Pow: "powers (**) are",
    ast.FloorDiv: "whole divisions (//) are",
    ast.Mod: "remainders (%) are",
    ast.MatMult: "the operator @ is",
    ast.LShift: "the operator << is",
    ast.RShift: "the operator >> is",
    ast.BitAnd: "the operator & is",
    ast.BitOr: "the operator | is",
    ast.BitXor: "the operator ^ is",
    ast.Invert: "the operator ~ is",
    ast.UAdd: "plus signs before a value are",
}
_INSTEAD: dict[type[ast.AST], str] = {
    ast.Attribute: "Read it as a field of its own under `source`, and use the field's name.",
    ast.Subscript: "Read it as a field of its own under `source`; for a part of a text: substring(…).",
    ast.JoinedStr: "Join texts with concat(…).",
    ast.List: "Compare with one value, or use `in`.",
    ast.Pow: "Multiply: x * x.",
    ast.FloorDiv: "Use floor(x / y).",
    ast.Mod: "Use x - floor(x / y) * y.",
    ast.BitAnd: "Join conditions with `and`.",
    ast.BitOr: "Join conditions with `or`.",
    ast.Invert: "Negate with `not`.",
    ast.UAdd: "Leave it out.",
}


class Source:
    """A text, and its positions by Python's parser, which counts the bytes of UTF-8."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._line = re.sub(r"[\r\n\t\f]", " ", text)
        self._indent = len(self._line) - len(self._line.lstrip(" "))
        self._bytes = self._line.lstrip(" ").encode("utf-8", "surrogatepass")

    def tree(self) -> ast.expr:
        """The expression's tree, within limits. Raises Refusal."""
        self._check_text()
        body = self._parsed()
        # The line goes on after a comment that ended in the text: what stands there would be read by nobody.
        rest = re.compile(r"[ )]*").match(self._line, self.end(body))
        assert rest is not None
        if rest.end() < len(self._line):
            raise Refusal("not_in_language", rest.end(), "comments are not part of the language", "Leave it out.")
        self._check_size(body)
        return body

    def start(self, node: ast.expr | ast.keyword) -> int:
        return self._position(node.col_offset)

    def end(self, node: ast.expr | ast.keyword) -> int:
        assert node.end_col_offset is not None
        return self._position(node.end_col_offset)

    def between(self, left: ast.expr, right: ast.expr) -> int:
        """Where the operator between two operands stands."""
        skipped = re.compile(r"[ )]*").match(self._line, self.end(left), self.start(right))
        assert skipped is not None
        return skipped.end()

    def written(self, node: ast.expr) -> str:
        return self.text[self.start(node) : self.end(node)]

    def refuse(self, form: ast.AST, position: int) -> Refusal:
        """What to raise for a form that is not part of the language."""
        refused = _REFUSED.get(type(form), "this is")
        remedy = _INSTEAD.get(type(form), "Use columns, literals, operators and functions.")
        return Refusal("not_in_language", position, f"{refused} not part of the language", remedy)

    def _position(self, offset: int) -> int:
        return self._indent + len(self._bytes[:offset].decode("utf-8", "surrogatepass"))

    def _check_text(self) -> None:
        if len(self.text) > MAX_LENGTH:
            raise Refusal(
                "too_large", MAX_LENGTH, f"an expression has at most {MAX_LENGTH} characters", "Take several rules."
            )  # fmt: skip
        if not self.text.strip():
            raise Refusal("syntax", 0, "there is no expression", "Write one, or leave the member out.")
        bad = re.search("[\0\ud800-\udfff]", self.text)
        if bad is not None:
            raise Refusal("syntax", bad.start(), "a character that no text may hold", "Leave it out.")

    def _parsed(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of "\d" in a pattern, and of `1 is None`
                return ast.parse(self._bytes.decode(), mode="eval").body
        except SyntaxError as error:
            position = self._indent + max(0, (error.offset or 1) - 1)
        except (MemoryError, RecursionError, ValueError):
            raise Refusal("too_large", 0, "this is nested too deeply", "Take several rules.") from None
        raise Refusal(
            "syntax",
            min(position, len(self.text)),
            "this is not an expression from here on",
            "Check quotes, parentheses and operators; equality is ==, and the words are `and`, `or`, `not`.",
        )

    def _check_size(self, body: ast.expr) -> None:
        pending, count = [(body, 1)], 0
        while pending:
            node, depth = pending.pop()
            count += 1
            if depth > MAX_DEPTH:
                problem = f"this is nested more than {MAX_DEPTH} deep"
                raise Refusal("too_large", self.start(node), problem, "Take several rules, one reading the other.")
            if count > MAX_NODES:
                problem = f"an expression has at most {MAX_NODES} parts"
                raise Refusal("too_large", self.start(node), problem, "Take several rules, one reading the other.")
            inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
            pending += [(child, depth + 1) for child in reversed(inner)]
