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


def unmapped(document: Document, reads: Collection[Place]) -> Document:
    """The document without what stands at `reads`, and without objects and lists that are empty for that reason.

    The resource type is not part of it: the rules are of a type.
    """
    taken: _Taken | None = {"resourceType": None}
    for place in reads:
        # A leading type name is no member, as in source paths.
        typed = place[:1] == (document.get("resourceType"),)
        taken = _with(taken, place[1:] if typed else place)
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


def _with(taken: _Taken | None, place: Place) -> _Taken | None:
    if taken is None or not place:
        return None
    taken[place[0]] = _with(taken.get(place[0], {}), place[1:])
    return taken


def _rest(value: Any, taken: _Taken | None) -> Any:
    """What is left of a value. A null member is no value; a null item stays in a list that nothing was taken of."""
    if taken is None:
        return _NOTHING
    left: Any
    if type(value) is dict:
        members = {name: _rest(inner, taken.get(name, {})) for name, inner in value.items() if inner is not None}
        left = {name: rest for name, rest in members.items() if rest is not _NOTHING}
    elif type(value) is list:
        items = [_rest(item, _of_item(taken, index)) for index, item in enumerate(value)]
        left = [rest for rest in items if rest is not _NOTHING and not (rest is None and taken)]
    else:
        return value
    return left if left or not value else _NOTHING


def _of_item(taken: _Taken, index: int) -> _Taken | None:
    """What is taken of a list's item: what is taken of this one, and what is taken of all."""
    of_all: _Taken = {step: inner for step, inner in taken.items() if type(step) is str}
    if index not in taken:
        return of_all
    of_this = taken[index]
    return None if of_this is None else _merged(of_all, of_this)


def _merged(one: _Taken, other: _Taken) -> _Taken:
    merged = dict(one)
    for step, inner in other.items():
        mine = merged.get(step, {})
        merged[step] = None if mine is None or inner is None else _merged(mine, inner)
    return merged
