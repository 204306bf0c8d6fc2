"""Where rules put values: target paths of members, list positions and keyed items.

Law: a target path means one place, whatever the record; what could mean several is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from holovitals_pipelines.transform.path_text import PathError, Scanner, Token, malformed


@dataclass(frozen=True, slots=True)
class Member:
    name: str


@dataclass(frozen=True, slots=True)
class Position:
    """The item of a list that stands here among those with positions; where earlier ones are absent it moves up."""

    index: int


@dataclass(frozen=True, slots=True)
class Keyed:
    """The item of a list whose member has this value: it is made with it."""

    member: str
    value: str


TargetStep = Member | Position | Keyed


@dataclass(frozen=True, slots=True)
class TargetPath:
    text: str
    steps: tuple[TargetStep, ...]
    """The first is a member."""


def parse_target(text: str) -> TargetPath:
    """`name[0].given[1]`, `extension[url='…'].valueString`. Raises PathError."""
    scanner = Scanner(text)
    steps: list[TargetStep] = [_member(scanner)]
    while True:
        if scanner.takes("."):
            steps.append(_member(scanner))
        elif scanner.takes("["):
            steps.append(_item(scanner))
        elif scanner.ahead.kind == "end":
            return TargetPath(text, tuple(steps))
        else:
            raise _refused(scanner.ahead)


def _member(scanner: Scanner) -> Member:
    token = scanner.take()
    if not token.is_member:
        raise _refused(token)
    if token.kind == "name" and scanner.ahead.is_symbol("("):
        raise _no_target(f"the function {token.value}()", token)
    if not token.value:
        raise malformed("the name of a member is empty", token)
    return Member(token.value)


def _item(scanner: Scanner) -> Position | Keyed:
    token = scanner.take()
    if token.kind == "integer":
        scanner.expect("]")
        return Position(int(token.value))
    if not token.is_member:
        raise _refused(token)
    scanner.expect("=")
    value = scanner.take()
    if value.kind != "text" or not value.value:
        raise malformed("a text between single quotes is missing", value)
    scanner.expect("]")
    return Keyed(token.value, value.value)


def _refused(token: Token) -> PathError:
    if token.is_symbol("*", "]"):
        return _no_target("a wildcard", token)
    if token.kind == "variable":
        return _no_target(token.value, token)
    if token.is_symbol("-"):
        return malformed("a name with a hyphen stands between backticks: `first-name`", token)
    if token.kind == "end":
        return malformed("the path ends too early", token)
    return malformed("a target is members, positions [0] and keys [url='…'], joined by dots", token)


def _no_target(construct: str, token: Token) -> PathError:
    return PathError(
        f"{construct} cannot be in a target: a target is one place",
        token.position,
        code="path.no_target",
        remedy="Name the position, as in name[0]; the items of a list are made by a group.",
    )
