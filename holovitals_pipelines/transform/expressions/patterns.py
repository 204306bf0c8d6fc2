"""Patterns that mean the same to Python and to DuckDB's RE2, and take no more than a power of the text's length.

Law: what is not known to be portable is refused; the pattern that is used is written anew from what was understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from holovitals_pipelines.transform.expressions.errors import ExpressionError, PatternRefusal

MAX_LENGTH = 200
MAX_REPEATED = 255
"""Characters that repetitions within one another may ask for; RE2 refuses more than 1,000."""

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": r"\t\n\f\r "}
_SPECIAL = ".^$*+?{}])"
_INSTEAD = {
    ".": "Name the characters, as in [A-Za-z ]; a full stop itself is \\. here.",
    "^": "Leave it out: the whole text is matched always.",
    "$": "Leave it out: the whole text is matched always.",
    "*": "Give a limit: {0,50}.",
    "+": "Give a limit: {1,50}.",
    "?": "It makes what stands before it optional; a question mark itself is \\?.",
    "{": "It repeats what stands before it: [0-9]{3}; a brace itself is \\{.",
    "}": "A brace itself is \\}.",
    "]": "A bracket itself is \\].",
    ")": "It closes no group; a parenthesis itself is \\).",
}
_COUNT = re.compile(r"\{([0-9]{1,4})(?:(,)([0-9]{1,4}))?\}")


def check_pattern(pattern: str) -> str:
    """The pattern as both back ends are to use it, matching whole texts. Raises ExpressionError."""
    try:
        return portable(pattern)
    except PatternRefusal as refusal:
        raise ExpressionError(pattern, refusal) from None


def compile_pattern(portable_pattern: str) -> Callable[[str], Any]:
    return re.compile(portable_pattern, re.ASCII).fullmatch


def portable(pattern: str) -> str:
    """As check_pattern; raises PatternRefusal."""
    if len(pattern) > MAX_LENGTH:
        raise PatternRefusal(
            MAX_LENGTH, f"a pattern has at most {MAX_LENGTH} characters", "Use several, joined by `or`."
        )
    reader = _Reader(pattern)
    written, _, _ = reader.alternatives()
    if reader.position < len(pattern):
        raise PatternRefusal(reader.position, "this parenthesis closes no group", _INSTEAD[")"])
    return written


class _Reader:
    """What it reads it answers as text, whether it holds a choice, and how many characters it repeats to."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.position = 0

    def ahead(self) -> str:
        return self.pattern[self.position : self.position + 1]

    def alternatives(self) -> tuple[str, bool, int]:
        branches = [self.sequence()]
        while self.ahead() == "|":
            self.position += 1
            branches.append(self.sequence())
        choice = len(branches) > 1 or any(one[1] for one in branches)
        return "|".join(one[0] for one in branches), choice, max(one[2] for one in branches)

    def sequence(self) -> tuple[str, bool, int]:
        written, choice, weight = "", False, 0
        while self.ahead() not in ("", "|", ")"):
            text, chooses, heavy = self.repeated()
            written, choice, weight = written + text, choice or chooses, weight + heavy
        return written, choice, weight

    def repeated(self) -> tuple[str, bool, int]:
        written, choice, weight = self.one()
        at = self.position
        if self.ahead() == "?":
            least, most, self.position = 0, 1, at + 1
        elif (count := _COUNT.match(self.pattern, at)) is not None:
            least, most = int(count[1]), int(count[3] if count[2] else count[1])
            self.position = count.end()
        elif self.ahead() in ("*", "+", "{"):
            raise PatternRefusal(at, "a repetition has a limit", _INSTEAD["+" if self.ahead() == "{" else self.ahead()])
        else:
            return written, choice, weight
        if least > most or weight * most > MAX_REPEATED:
            remedy = f"Write {{least,most}}; what repeats makes at most {MAX_REPEATED} characters."
            raise PatternRefusal(at, "this repetition is too long, or its limits are the wrong way round", remedy)
        if choice and most > 1:
            # One choice within another makes Python's time grow with powers of 2.
            problem = "what repeats may not itself hold a choice (?, {1,2} or |)"
            raise PatternRefusal(at, problem, "Write the repetitions out, or use a class such as [A-Z0-9].")
        if self.ahead() and self.ahead() in "?*+{":
            raise PatternRefusal(
                self.position, "a repetition is not repeated", "Leave the second one out, or use a group."
            )
        return f"{written}{{{least},{most}}}", choice or least < most, weight * most

    def one(self) -> tuple[str, bool, int]:
        at, character = self.position, self.ahead()
        if character == "(":
            return self.group()
        if character == "[":
            return self.character_class(), False, 1
        if character == "\\":
            text, is_class = self.escape()
            return f"[{text}]" if is_class else text, False, 1
        if character in _SPECIAL:
            problem = f"{character!r} is not part of the patterns here, or means nothing at this place"
            raise PatternRefusal(at, problem, _INSTEAD[character])
        self.position += 1
        return _literal(character, at), False, 1

    def group(self) -> tuple[str, bool, int]:
        at = self.position
        if self.pattern[at + 1 : at + 2] == "?":
            raise PatternRefusal(at + 1, "groups are plain: (…)", "Leave out what begins with the question mark.")
        self.position += 1
        written, choice, weight = self.alternatives()
        if self.ahead() != ")":
            raise PatternRefusal(at, "this group is not closed", "Write ) where it ends; a parenthesis itself is \\(.")
        self.position += 1
        return f"(?:{written})", choice, max(weight, 1)

    def escape(self) -> tuple[str, bool]:
        """What follows a backslash, and whether it is a class."""
        at = self.position
        character = self.pattern[at + 1 : at + 2]
        self.position += 2
        if character in _CLASSES:
            return _CLASSES[character], True
        if not character or character.isalnum() or not character.isascii():
            raise PatternRefusal(
                at, "this escape is not part of the patterns", "There are \\d, \\w, \\s and signs like \\. ."
            )
        return _literal(character, at), False

    def character_class(self) -> str:
        at = self.position
        self.position += 1
        negated = self.ahead() == "^"
        self.position += negated
        members = ""
        while self.ahead() != "]":
            members += self.member(at)
        self.position += 1
        if not members:
            raise PatternRefusal(at, "this class has no characters", "Name some: [A-Z].")
        return f"[{'^' if negated else ''}{members}]"

    def member(self, start: int) -> str:
        at = self.position
        first, is_class = self.single(start)
        if is_class or self.ahead() != "-" or self.pattern[self.position + 1 : self.position + 2] == "]":
            return first
        self.position += 1
        last, ends_in_class = self.single(start)
        if ends_in_class or first[-1] > last[-1]:
            raise PatternRefusal(at, "this range does not go from a lesser to a greater character", "Write it as A-Z.")
        return f"{first}-{last}"

    def single(self, start: int) -> tuple[str, bool]:
        at, character = self.position, self.ahead()
        if not character:
            raise PatternRefusal(start, "this class is not closed", "Write ] where it ends; a bracket itself is \\[.")
        if character == "\\":
            return self.escape()
        if character in "[^":
            raise PatternRefusal(
                at, f"{character!r} within a class is written with a backslash", f"Write \\{character}."
            )
        self.position += 1
        return _literal(character, at), False


def _literal(character: str, at: int) -> str:
    """A character that stands for itself, in re and in RE2."""
    if not character.isprintable():
        raise PatternRefusal(at, "a character that cannot be seen", "Use \\s for space, tabs and ends of lines.")
    return character if character.isalnum() or character == "_" or not character.isascii() else f"\\{character}"
