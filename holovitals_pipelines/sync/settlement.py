"""A write whose answer was lost: what the vendor shows of it is agreed (sync-protocol.md §2.3, step 5).

Law: our own write, come back, is never taken for the vendor's change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from holovitals_pipelines.fhir.exact import exactly_equal
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sync.facts import Facts, InFlight
from holovitals_pipelines.sync.list_items import identities, sent_identities
from holovitals_pipelines.sync.sides import Side, same, side_of
from holovitals_pipelines.sync.units import MISSING


def settle_in_flight(facts: Facts) -> Facts:
    """The facts with both shadows advanced to what the write evidently did; nothing is in flight any more."""
    writes = (*facts.earlier, *((facts.in_flight,) if facts.in_flight is not None else ()))
    for write in writes:
        facts = _settled(facts, write)
    return replace(facts, in_flight=None, earlier=()) if writes else facts


def _settled(facts: Facts, write: InFlight) -> Facts:
    if write.sent is None:
        return replace(facts, base_local=None, base_remote=None) if facts.remote is None else facts
    if facts.remote is None:
        return facts
    if same(facts.remote, write.sent):
        return replace(facts, base_local=write.snapshot, base_remote=facts.remote)
    if write.snapshot is None or same(facts.remote, facts.base_remote):
        return facts  # the vendor shows nothing that was not agreed on before
    local, remote = _advanced(facts, write.sent.document, write.snapshot.document, facts.remote.document)
    if remote == _content(facts.base_remote):
        return facts
    return replace(facts, base_local=side_of(local, facts.base_local), base_remote=side_of(remote, facts.base_remote))


def _content(side: Side | None) -> Document:
    return side.document if side is not None else {}


def _advanced(facts: Facts, sent: Document, snapshot: Document, remote: Document) -> tuple[Document, Document]:
    """Both shadows with everything replaced in which the vendor shows what we sent and had not shown it before."""
    base = _content(facts.base_local)
    kept = (facts.capability.project(base), facts.capability.project(snapshot))
    sides = _Sides(base, _content(facts.base_remote), snapshot, sent, remote, *kept)
    return _members(sides)


class _Sides(NamedTuple):
    """One place in both shadows, in what local held and what was sent, and in what the vendor shows."""

    base_local: Any
    base_remote: Any
    snapshot: Any
    sent: Any
    remote: Any
    kept_base: Any
    """What the vendor keeps of `base_local`, by which it may call a list's items."""
    kept: Any
    """Of `snapshot`."""


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
    before = sent_identities(name, sides.base_local, sides.kept_base)
    now = sent_identities(name, sides.snapshot, sides.kept)
    others = [identities(name, side) for side in (sides.base_remote, sides.sent, sides.remote)]
    if before is None or now is None or None in others:  # nobody can tell which item is which
        return sides.base_local or MISSING, sides.base_remote or MISSING
    keys = (before[0], others[0], now[0], others[1], others[2], before[1], now[1])
    keyed = [dict(zip(own or (), side, strict=True)) for own, side in zip(keys, sides, strict=True)]
    order = dict.fromkeys(key for items in reversed(keyed) for key in items)
    held = [_place(name, _Sides(*(items.get(key, MISSING) for items in keyed))) for key in order]
    local = [here for here, _ in held if here is not MISSING]
    remote = [there for _, there in held if there is not MISSING]
    return local or MISSING, remote or MISSING
