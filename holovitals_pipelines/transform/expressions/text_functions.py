"""Texts in the record back end, as DuckDB treats them.

Law: texts are sequences of code points; changing case changes one code point into one.
"""

from __future__ import annotations

from functools import cache


def lower(text: str) -> str:
    return text.lower() if text.isascii() else "".join(map(_lower, text))


def upper(text: str) -> str:
    return text.upper() if text.isascii() else "".join(map(_upper, text))


@cache
def _lower(character: str) -> str:
    """Unicode's simple mapping, where str.lower would make two characters of İ."""
    mapped = character.lower()
    return mapped if len(mapped) == 1 else mapped[0]


@cache
def _upper(character: str) -> str:
    """Unicode's simple mapping, which for Greek letters with iota below is that to title case; and ẞ for ß."""
    if character == "ß":
        return "ẞ"
    for mapped in (character.upper(), character.title()):
        if len(mapped) == 1:
            return mapped
    return character


def substring(text: str, start: int, length: int) -> str | None:
    """At most `length` code points from `start` on, counted from 0; None where there is none."""
    if start < 0 or length < 0:
        return None
    return text[start : start + length] or None
