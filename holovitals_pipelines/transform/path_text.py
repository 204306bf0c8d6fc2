"""The words of a path, for source paths and target paths alike, and how both refuse what they do not know.

Law: a path is understood whole or refused with a name and a position; nothing in it is skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from holovitals_pipelines.model.errors import ConfigurationError

_HELP = "docs/rule-paths.md lists what a path may hold."


class PathError(ConfigurationError):
    """A path that cannot be used. `position` counts the characters before the place where reading stopped."""

    def __init__(self, message: str, position: int, *, code: str, remedy: str = _HELP) -> None:
        super().__init__(f"{message} (character {position + 1} of the path)", code=code, remedy=remedy)
        self.position = position


Kind = Literal["name", "quoted", "text", "integer", "variable", "symbol", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    value: str
    """Of quoted names and texts: what stands between the quotes, escapes resolved."""
    position: int

    @property
    def is_member(self) -> bool:
        return self.kind in ("name", "quoted")

    def is_symbol(self, *values: str) -> bool:
        return self.kind == "symbol" and self.value in values

    def is_word(self, *values: str) -> bool:
        return self.kind == "name" and self.value in values


class Scanner:
    """The tokens of a path, one after the other; the last is of kind `end` and never runs out."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0

    @property
    def ahead(self) -> Token:
        return self._tokens[self._next]

    @property
    def behind(self) -> Token:
        """The token after `ahead`."""
        return self._tokens[min(self._next + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        token = self.ahead
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def takes(self, symbol: str) -> bool:
        """Take the symbol if it is next."""
        if not self.ahead.is_symbol(symbol):
            return False
        self.take()
        return True

    def expect(self, symbol: str) -> None:
        if not self.takes(symbol):
            raise malformed(f"'{symbol}' is missing", self.ahead)


def malformed(message: str, token: Token) -> PathError:
    return PathError(message, token.position, code="path.malformed")


def unsupported(construct: str, token: Token, remedy: str = _HELP) -> PathError:
    message = f"FHIRPath's {construct} is not part of the subset"
    return PathError(message, token.position, code="path.unsupported", remedy=remedy)


_TOKEN = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|`(?P<quoted>(?:[^`\\]|\\.)*)`"
    r"|'(?P<text>(?:[^'\\]|\\.)*)'"
    r"|(?P<integer>[0-9]+)"
    r"|(?P<variable>[%$][A-Za-z_][A-Za-z0-9_-]*)"
    r"|(?P<symbol>!=|!~|<=|>=|[][.()=|,&+\-*/<>~{}@])",
    re.DOTALL,
)
_BLANK = re.compile(r"[ \t\r\n]*")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {
    "n": "\n", "r": "\r", "t": "\t", "f": "\f", "\\": "\\", "/": "/", "'": "'", '"': '"', "`": "`",
}  # fmt: skip
_KINDS: tuple[Kind, ...] = ("name", "quoted", "text", "integer", "variable", "symbol")


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    position = _after_blanks(text, 0)
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise PathError(_stray(text[position]), position, code="path.malformed")
        kind = next(kind for kind in _KINDS if match[kind] is not None)
        value = match[kind]
        if kind in ("quoted", "text"):
            value = _resolved(value, position)
        tokens.append(Token(kind, value, position))
        position = _after_blanks(text, match.end())
    tokens.append(Token("end", "", position))
    return tokens


def _after_blanks(text: str, position: int) -> int:
    blanks = _BLANK.match(text, position)
    return position if blanks is None else blanks.end()


def _stray(character: str) -> str:
    if character in "'`":
        return f"the quote {character} is never closed"
    if character == '"':
        return "texts stand between single quotes, names between backticks"
    return f"'{character}' does not belong here; names with other characters stand between backticks"


def _resolved(text: str, position: int) -> str:
    if "\\" not in text:
        return text

    def character(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in _ESCAPED:
            raise PathError(f"\\{code} is no escape", position, code="path.malformed")
        return _ESCAPED[code]

    resolved = _ESCAPE.sub(character, text)
    try:
        return resolved.encode("utf-16", "surrogatepass").decode("utf-16")  # \uD83D\uDE00 is one character
    except UnicodeDecodeError:
        raise PathError("half of a surrogate pair is no character", position, code="path.malformed") from None
