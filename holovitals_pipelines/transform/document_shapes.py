"""The shape of a document: which members and items it has, and of which kind they are, without what stands there.

Law: documents of one shape differ in the values of their leaves only, which `leaves` holds in the documents' order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Final

from holovitals_pipelines.fhir.exact import Number
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.paths import Place
from holovitals_pipelines.transform.templates import Slot

LARGEST: Final = 1_500
"""Names and marks of a shape: larger documents are too seldom alike."""
LEAVES: Final = "leaves"
"""The argument of templates that the slots of `in_slots` are of."""

Shape = tuple[str | int, ...]
"""Names of members as texts, all else as marks."""

_OBJECT, _LIST, _END, _NULL, _TEXT, _BLANK, _TRUE, _FALSE, _INTEGER, _NUMBER = range(10)
_MARKS: Final = {bool: _TRUE, int: _INTEGER, Number: _NUMBER}


def shape_of(document: Document) -> tuple[Shape | None, list[Any]]:
    """The shape, None for a document that is too large to keep it; and the values of the leaves.

    Blank texts, which vendors send for what is absent, are of another shape than texts that say something.
    """
    shape: list[str | int] = []
    leaves: list[Any] = []
    try:
        _add_members(document, shape, leaves)
    except KeyError:  # a kind of value that no reader makes
        return None, leaves
    return (tuple(shape) if len(shape) <= LARGEST else None), leaves


def in_slots(document: Document) -> Document:
    """The document with a slot for each leaf."""
    made: Document = _in_slots(document, count())
    return made


def leaf_at(slots: Document, place: Place) -> int | None:
    """Which leaf stands at a place of a document in slots; None where an object or a list does."""
    value: Any = slots
    for step in place:
        value = value[step]
    return value.way[0] if type(value) is Slot else None


def _in_slots(value: Any, numbers: Iterator[int]) -> Any:
    if type(value) is dict:
        return {name: _in_slots(inner, numbers) for name, inner in value.items()}
    if type(value) is list:
        return [_in_slots(item, numbers) for item in value]
    return None if value is None else Slot(LEAVES, (next(numbers),))


def _add_members(value: Document, shape: list[str | int], leaves: list[Any]) -> None:
    for name, inner in value.items():
        shape.append(name)
        if type(inner) is str:
            leaves.append(inner)
            if not inner or inner.isspace():
                shape.append(_BLANK)
        else:
            _add(inner, shape, leaves)
    shape.append(_END)


def _add(value: Any, shape: list[str | int], leaves: list[Any]) -> None:
    kind = type(value)
    if kind is list:
        shape.append(_LIST)
        for item in value:
            if type(item) is dict:
                shape.append(_OBJECT)
                _add_members(item, shape, leaves)
            else:
                _add(item, shape, leaves)
        shape.append(_END)
    elif kind is dict:
        shape.append(_OBJECT)
        _add_members(value, shape, leaves)
    elif value is None:
        shape.append(_NULL)
    else:
        leaves.append(value)
        if kind is str:
            shape.append(_BLANK if not value or value.isspace() else _TEXT)
        else:
            shape.append(_FALSE if value is False else _MARKS[kind])
