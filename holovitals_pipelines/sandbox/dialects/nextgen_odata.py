"""The OData that NextGen's lists understand: conditions joined by `and`, and typed literals (vendors.md §7.1).

Law: a literal that is not of its type, and a field that the list does not have, are refused, never ignored.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

_CONDITION = re.compile(
    r"(?P<field>\w+)\s+(?P<compare>eq|ne|gt|ge|lt|le)\s+"
    r"(?P<literal>dateTime'[^']*'|guid'[^']*'|'(?:[^']|'')*'|true|false|null|-?\d+(?:\.\d+)?)"
)
_AND = re.compile(r"\s+and\s+")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "gt", "ge", "lt", "le")
}
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}

Condition = Callable[[Mapping[str, Any]], bool]


class BadQueryError(ValueError):
    """The query cannot be understood."""


def is_guid(text: str) -> bool:
    return _GUID.fullmatch(text) is not None


def conditions(text: str, fields: Sequence[str]) -> list[Condition]:
    """What `$filter` asks of an item. Raises BadQueryError."""
    found: list[Condition] = []
    at = 0
    while True:
        match = _CONDITION.match(text, at)
        if match is None or match["field"] not in fields:
            raise BadQueryError
        found.append(_condition(match["field"], match["compare"], match["literal"]))
        at = match.end()
        if at == len(text):
            return found
        joined = _AND.match(text, at)
        if joined is None:
            raise BadQueryError
        at = joined.end()


def count(text: str | None, otherwise: int) -> int:
    """`$skip` or `$top`. Raises BadQueryError."""
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit()):
        raise BadQueryError
    return int(text)


def _condition(field: str, compare: str, literal: str) -> Condition:
    wanted = _value(literal)
    compared = _COMPARISONS[compare]

    def holds(item: Mapping[str, Any]) -> bool:
        held = item[field]
        if isinstance(wanted, datetime) and held is not None:
            held = datetime.fromisoformat(held)
        if held is None or wanted is None:
            return bool(compare in ("eq", "ne") and compared(held, wanted))
        return bool(compared(held, wanted))

    return holds


def _value(literal: str) -> Any:
    if literal in _WORDS:
        return _WORDS[literal]
    kind, quoted, rest = literal.partition("'")
    if not quoted:
        return float(literal)
    text = rest.removesuffix("'")
    if kind == "guid" and not is_guid(text):
        raise BadQueryError
    if kind != "dateTime":
        return text.replace("''", "'")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise BadQueryError from error
