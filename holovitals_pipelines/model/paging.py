"""One page of a long list, and the opaque cursor that leads to the next.

Law: a cursor names the last row that was seen, never a count: whatever is inserted meanwhile, no row comes twice.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from holovitals_pipelines.model.errors import StoreError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next` leads to the page after this one; None: this was the last."""

    items: tuple[T, ...]
    next: str | None


def page_of(found: Sequence[T], limit: int, kind: str, place: Callable[[T], tuple[str | int, ...]]) -> Page[T]:
    """Of up to `limit` + 1 rows the first `limit`; `place` tells where in the order a row stands."""
    shown = tuple(found[:limit])
    return Page(shown, cursor_of(kind, *place(shown[-1])) if len(found) > limit else None)


def cursor_of(kind: str, *place: str | int) -> str:
    """The cursor of a row by its place in the order of a list of this kind."""
    return base64.urlsafe_b64encode(json.dumps([kind, *place]).encode()).decode().rstrip("=")


def place_of(cursor: str, kind: str, *types: type[str] | type[int]) -> list[Any]:
    """The inverse of `cursor_of`. Raises StoreError (`page.cursor_invalid`) for what no such list has given."""
    try:
        place: list[Any]
        named, *place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if named == kind and [type(one) for one in place] == list(types) and all(map(_is_storable, place)):
            return place
    except (ValueError, TypeError, binascii.Error, RecursionError):
        pass  # raised below: what was sent must not get into a traceback
    raise StoreError(
        "this is no cursor of this list",
        code="page.cursor_invalid",
        place="cursor",
        remedy="give `next` of the page before, unchanged and with the same filters; leave it out for the first page",
    )


def _is_storable(value: str | int) -> bool:
    """Whether a database could have had it: ids and times are printable, numbers have 64 bits."""
    return value.isprintable() if isinstance(value, str) else -(2**63) <= value < 2**63
