"""What no rule read of a source document, kept in the target as one extension and taken out of it again.

Law: every value of the source was read by a path or is in the rest; no value is in neither.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.paths import Place

UNMAPPED = "urn:holovitals:unmapped"
"""The url of the extension; its valueString is the rest as JSON."""

_Taken = dict[str | int, "_Taken | None"]
"""Places as a tree; None: all of it."""
_NOTHING = object()
_UNTOUCHED: _Taken = {}
"""Of what nothing is taken; never added to."""


def unmapped(document: Document, reads: Collection[Place]) -> Document:
    """The document without what stands at `reads`, and without objects and lists that are empty for that reason.

    The resource type is not part of it: the rules are of a type.
    """
    taken: _Taken = {"resourceType": None}
    resource_type = document.get("resourceType")
    for place in reads:
        # A leading type name is no member, as in source paths.
        if place and place[0] == resource_type:
            place = place[1:]
        if not place:
            return {}
        _take(taken, place)
    rest = _rest(document, taken)
    return {} if rest is _NOTHING else rest


def keep_unmapped(target: Document, rest: Document) -> Document:
    """The target with the rest in its extension, in place of one it may have; without a rest the target as it is."""
    if not rest:
        return target
    kept = {"url": UNMAPPED, "valueString": write_document(rest).decode()}
    return {**target, "extension": [*_others(target), kept]}


def take_unmapped(target: Document) -> tuple[Document, Document | None]:
    """The target without the extension, and the rest that it held. Raises MalformedResource where that is no JSON."""
    held = next((item["valueString"] for item in target.get("extension", ()) if _is_rest(item)), None)
    if held is None:
        return target, None
    others = _others(target)
    without = {name: others if name == "extension" else value for name, value in target.items()}
    if not others:
        del without["extension"]
    return without, read_document(held.encode())


def _others(target: Document) -> list[Any]:
    return [item for item in target.get("extension", ()) if not _is_rest(item)]


def _is_rest(item: Any) -> bool:
    return type(item) is dict and item.get("url") == UNMAPPED and type(item.get("valueString")) is str


def _take(taken: _Taken, place: Place) -> None:
    """Add a place to the tree of those taken: what is above it, where that is taken already, stays."""
    for step in place[:-1]:
        below = taken.setdefault(step, {})
        if below is None:
            return
        taken = below
    taken[place[-1]] = None


def _rest(value: Any, taken: _Taken) -> Any:
    """What is left of a value. A null member is no value; a null item stays in a list that nothing was taken of."""
    if type(value) is dict:
        return _rest_of_members(value, taken)
    if type(value) is list:
        return _rest_of_items(value, taken)
    return value


def _rest_of_members(value: dict[str, Any], taken: _Taken) -> Any:
    left: dict[str, Any] = {}
    for name, inner in value.items():
        below = taken.get(name, _UNTOUCHED)
        if below is None or inner is None:
            continue
        # Most members are texts: a call for each would be a third of the work.
        rest = _rest(inner, below) if type(inner) is dict or type(inner) is list else inner
        if rest is not _NOTHING:
            left[name] = rest
    return left if left or not value else _NOTHING


def _rest_of_items(value: list[Any], taken: _Taken) -> Any:
    of_all: _Taken = {step: inner for step, inner in taken.items() if type(step) is str} if taken else _UNTOUCHED
    left = []
    for index, item in enumerate(value):
        below: _Taken | None = of_all
        if index in taken:
            of_this = taken[index]
            below = None if of_this is None else _merged(of_all, of_this) if of_all else of_this
        if below is None:
            continue
        rest = _rest(item, below)
        if rest is not _NOTHING and not (rest is None and taken):
            left.append(rest)
    return left if left or not value else _NOTHING


def _merged(one: _Taken, other: _Taken) -> _Taken:
    merged = dict(one)
    for step, inner in other.items():
        mine = merged.get(step, {})
        merged[step] = None if mine is None or inner is None else _merged(mine, inner)
    return merged
