"""A write whose answer was lost: what the vendor shows of it is agreed (sync-protocol.md §2.3, step 5).

Law: our own write, come back, is never taken for the vendor's change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from holovitals_pipelines.fhir.exact import exactly_equal
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sync.facts import Facts
from holovitals_pipelines.sync.list_items import identities
from holovitals_pipelines.sync.sides import Side, same, side_of
from holovitals_pipelines.sync.units import MISSING


def settle_in_flight(facts: Facts) -> Facts:
    """The facts with both shadows advanced to what the write evidently did; nothing is in flight any more."""
    write = facts.in_flight
    if write is None:
        return facts
    settled = replace(facts, in_flight=None)
    if write.sent is None:
        return replace(settled, base_local=None, base_remote=None) if facts.remote is None else settled
    if facts.remote is None:
        return settled
    if same(facts.remote, write.sent):
        return replace(settled, base_local=write.snapshot, base_remote=facts.remote)
    if write.snapshot is None:
        return settled
    local, remote = _advanced(facts, write.sent.document, write.snapshot.document, facts.remote.document)
    if remote == _content(facts.base_remote):
        return settled
    return replace(settled, base_local=side_of(local, facts.base_local), base_remote=side_of(remote, facts.base_remote))


def _content(side: Side | None) -> Document:
    return side.document if side is not None else {}


def _advanced(facts: Facts, sent: Document, snapshot: Document, remote: Document) -> tuple[Document, Document]:
    """Both shadows with everything replaced in which the vendor shows what we sent and had not shown it before."""
    sides = _Sides(_content(facts.base_local), _content(facts.base_remote), snapshot, sent, remote)
    local, there = _members(sides)
    return local or {}, there or {}


class _Sides(NamedTuple):
    """One place in both shadows, in what local held and what was sent, and in what the vendor shows."""

    base_local: Any
    base_remote: Any
    snapshot: Any
    sent: Any
    remote: Any


def _place(name: str, sides: _Sides) -> tuple[Any, Any]:
    """What the shadows are to hold at one place. Somebody may have changed one item of what we sent: the others are
    agreed all the same, or they would be taken for the vendor's change."""
    if exactly_equal(sides.sent, sides.remote):
        unchanged = exactly_equal(sides.remote, sides.base_remote)
        return (sides.base_local, sides.base_remote) if unchanged else (sides.snapshot, sides.remote)
    if all(type(side) is dict or side is MISSING for side in sides):
        local, remote = _members(_Sides(*({} if side is MISSING else side for side in sides)))
        return local or MISSING, remote or MISSING
    if all(type(side) is list or side is MISSING for side in sides):
        return _items(name, _Sides(*([] if side is MISSING else side for side in sides)))
    return sides.base_local, sides.base_remote


def _members(sides: _Sides) -> tuple[Document, Document]:
    local, remote = dict(sides.base_local), dict(sides.base_remote)
    for name in dict.fromkeys(name for side in sides for name in side):
        values = _place(name, _Sides(*(side.get(name, MISSING) for side in sides)))
        for members, value in zip((local, remote), values, strict=True):
            if value is MISSING:
                members.pop(name, None)
            else:
                members[name] = value
    return local, remote


def _items(name: str, sides: _Sides) -> tuple[Any, Any]:
    keyed = []
    for side in sides:
        keys = identities(name, side)
        if keys is None:  # nobody can tell which item is which
            return sides.base_local or MISSING, sides.base_remote or MISSING
        keyed.append(dict(zip(keys, side, strict=True)))
    order = dict.fromkeys(key for items in reversed(keyed) for key in items)
    held = [_place(name, _Sides(*(items.get(key, MISSING) for items in keyed))) for key in order]
    local = [here for here, _ in held if here is not MISSING]
    remote = [there for _, there in held if there is not MISSING]
    return local or MISSING, remote or MISSING
