"""What is wrong with an expression, shown under the character where it is wrong.

Law: every mistake has a position in the text that was written, and a remedy.
"""

from __future__ import annotations

from holovitals_pipelines.model.errors import ConfigurationError

_SHOWN = 100
"""Characters of a long text that are shown, about the middle one of which is the mistake."""


class Refusal(Exception):
    """A mistake at a position, before it is known which text and place it belongs to."""

    def __init__(self, code: str, position: int, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.code = code
        self.position = position
        self.problem = problem
        self.remedy = remedy


class PatternRefusal(Refusal):
    """A mistake at a position of a pattern, wherever the pattern stands."""

    def __init__(self, position: int, problem: str, remedy: str) -> None:
        super().__init__("pattern", position, problem, remedy)


class ExpressionError(ConfigurationError):
    """An expression that cannot be used; `position` counts characters of its text from 0."""

    def __init__(self, text: str, refusal: Refusal, *, place: str = "") -> None:
        super().__init__(
            f"{refusal.problem}\n{_pointed(text, refusal.position)}\n",
            code=f"expression.{refusal.code}",
            place=place,
            remedy=refusal.remedy,
        )
        self.position = refusal.position


def _pointed(text: str, position: int) -> str:
    """The text on one line, and a caret under the position on the next."""
    line = "".join(character if character.isprintable() else " " for character in text)
    start = 0 if len(line) <= _SHOWN else max(0, min(position - _SHOWN // 2, len(line) - _SHOWN))
    before = "…" if start else ""
    after = "…" if start + _SHOWN < len(line) else ""
    return f"  {before}{line[start : start + _SHOWN]}{after}\n  {' ' * (len(before) + position - start)}^"
