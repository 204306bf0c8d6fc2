"""One walk over local, remote and both shadows: which units each side changed, and what each is to hold.

Law: a unit comes from the side that changed it; from neither where both did, or where the changer never saw ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from holovitals_pipelines.fhir.exact import exactly_equal as same
from holovitals_pipelines.fhir.exact import unmistakable
from holovitals_pipelines.model.writing import Document, UnitWrite, WriteCapability, unchanged
from holovitals_pipelines.sync.content import pruned
from holovitals_pipelines.sync.groups import CHOICE_OF, Part, context_within, is_whole, part_of
from holovitals_pipelines.sync.list_items import (
    Identity,
    arranged,
    identities,
    is_concept,
    one_meaning,
    rendered,
    replaced_differently,
    sent_identities,
)
from holovitals_pipelines.sync.units import MISSING, Unit, UnitKind


class _Place:
    """One place in all documents: a JSON value of each, MISSING where there is none, and how they compare."""

    __slots__ = (
        *("base_local", "base_remote", "local", "remote", "sent_base", "sent"),
        *("by_local", "by_remote", "agreed"),
    )

    def __init__(self, values: Sequence[Any]) -> None:
        """Of base_local, base_remote, local, remote; then of what the vendor stores of base_local and local (`project`)
        where that is another form."""
        self.base_local, self.base_remote, self.local, self.remote = values[:4]
        self.sent_base, self.sent = values[4:] or (self.base_local, self.local)
        self.by_local = not same(self.local, self.base_local)
        self.by_remote = not same(self.remote, self.base_remote)
        self.agreed = same(self.local, self.remote) or same(self.sent, self.remote)

    @property
    def compared(self) -> tuple[Any, Any, Any, Any]:
        return self.base_local, self.base_remote, self.local, self.remote

    @property
    def was_apart(self) -> bool:
        """Whether a difference had been standing: the vendor never saw ours (§2.7)."""
        return not same(self.base_local, self.base_remote) and not same(self.sent_base, self.base_remote)


class _At(NamedTuple):
    """The top-level element around a place, and what may be written of it."""

    element: str
    write: UnitWrite


DEEPEST: Final = 24
"""How many objects deep units can lie; what is nested deeper is one unit with what holds it."""

_Held = tuple[Any, Any, Any]
"""What local, remote and local's shadow are to hold at one place."""


class Walk:
    """One walk over all documents at once. Collects the units it meets.

    `objects` are the places' objects in the order of `_Place`: four, or six where the vendor stores another form.
    """

    def __init__(self, capability: WriteCapability, choices: Mapping[str, Any]) -> None:
        self.capability = capability
        self.choices = choices
        self.units: list[Unit] = []
        self.chose_anew = False
        """Whether a choice is to be pushed that is not local's value."""
        self.depth = 0

    def members(self, prefix: str, context: str, at: _At | None, parts: list[Part], objects: list[Any]) -> _Held:
        """Merge the `parts` of one object; of the rest each side keeps its own. `at` is None at the top."""
        local, remote, shadow = dict(objects[2]), dict(objects[3]), dict(objects[2])
        for part in parts:
            name, path = part.element, prefix + part.label
            if part.together or _has_sidecar(name, objects):
                self._group(path, part, context, at, objects, (local, remote, shadow))
                continue
            place = _Place([_present(members.get(name, MISSING)) for members in objects])
            held = self._node(path, name, context, at or _At(name, self._write(name)), place)
            _put(local, name, held[0])
            _put(remote, name, held[1])
            _put(shadow, name, held[2])
        return local, remote, shadow

    def _group(
        self, path: str, part: Part, context: str, at: _At | None, objects: list[Any], held: tuple[Document, ...]
    ) -> None:
        """Elements that move as one, as an object of those that are present."""
        everywhere = dict.fromkeys(name for members in objects for name in members)
        names = [name for name in everywhere if part_of(context, name) == part]
        place = _Place([pruned({name: side[name] for name in names if name in side}) or {} for side in objects])
        at = at or _At(part.element, self._write_of_group(path, place))
        for members, value in zip(held, self._value(path, at, place, absent={}), strict=True):
            for name in {**dict.fromkeys(names), **value}:
                _put(members, name, value.get(name, MISSING))

    def _node(self, path: str, name: str, context: str, at: _At, place: _Place) -> _Held:
        """One element or item: whole where one side changed what both had agreed on, else by what it is made of.

        Taking it whole carries a new order over as well.
        """
        if place.agreed:
            return self._value(path, at, place)
        one_sided = place.by_local is not place.by_remote and same(place.base_local, place.base_remote)
        if one_sided and (place.by_remote or at.write is UnitWrite.WRITABLE):
            return self._value(path, at, place)
        held = None
        if type(place.local) is dict and type(place.remote) is dict:
            held = self._object(path, name, context, at, place)
        elif type(place.local) is list or type(place.remote) is list:
            held = self._items(path, name, context, at, place)
        return held or self._value(path, at, place)

    def _object(self, path: str, name: str, context: str, at: _At, place: _Place) -> _Held | None:
        """Both sides' objects, member by member; None where they must not be split."""
        compared = place.compared
        if self.depth == DEEPEST or any(side is not MISSING and type(side) is not dict for side in compared):
            return None
        if is_whole(context, name, compared) or (is_concept(compared) and not one_meaning(*compared)):
            return None
        objects = [side if type(side) is dict else {} for side in self._sides(place)]
        inner = context_within(context, name, place.local)
        if at.write is UnitWrite.APPEND_ONLY:
            at = _At(at.element, UnitWrite.READ_ONLY)
        self.depth += 1
        local, remote, shadow = self.members(f"{path}.", inner, at, parts_apart(inner, objects[:4]), objects)
        self.depth -= 1
        return local or MISSING, remote or MISSING, shadow or MISSING

    def _items(self, path: str, name: str, context: str, at: _At, place: _Place) -> _Held | None:
        """Both sides' lists, item by item; None where it cannot be told on all sides which item is which."""
        lists = [[] if side is MISSING else side for side in self._sides(place)]
        if any(type(side) is not list for side in lists):
            return None
        sent_base, sent = lists[4:] or (lists[0], lists[2])
        before, now = sent_identities(name, lists[0], sent_base), sent_identities(name, lists[2], sent)
        remote_before, remote = identities(name, lists[1]), identities(name, lists[3])
        if before is None or now is None or remote_before is None or remote is None:
            return None
        keys = (before[0], remote_before, now[0], remote, before[1], now[1])
        by_key = [dict(zip(own, items, strict=True)) for own, items in zip(keys, lists, strict=False)]
        if replaced_differently(name, by_key[:2], by_key[2], by_key[3]):
            return None
        # Both are to have the order of the side that changed it, local's where both did; the other's items join it.
        leading, joining = (now[0], remote) if place.by_local else (remote, now[0])
        order = arranged(leading, joining, {*leading, *joining})
        held: dict[Identity, _Held] = {}
        for key in dict.fromkeys([*order, *before[0], *remote_before]):
            item = _Place([items.get(key, MISSING) for items in by_key])
            if item.agreed and not item.by_local and not item.by_remote:
                held[key] = (item.local, item.remote, item.local)
                continue
            write = at.write
            if write is UnitWrite.APPEND_ONLY:
                write = UnitWrite.WRITABLE if item.remote is MISSING else UnitWrite.READ_ONLY
            held[key] = self._node(f"{path}[{rendered(key)}]", name, context, _At(at.element, write), item)
        return self._in_order(path, at, place, by_key, held)

    def _in_order(
        self, path: str, at: _At, place: _Place, by_key: list[dict[Identity, Any]], held: dict[Identity, _Held]
    ) -> _Held:
        """The lists of the merged items, which `held` has in the order both are to have. An order can be a unit."""
        local, remote = by_key[2:4]
        sent = by_key[5] if len(by_key) == 6 else local
        here = [key for key, values in held.items() if values[0] is not MISSING]
        there = [key for key, values in held.items() if values[1] is not MISSING]
        common = here if here == there else [key for key in here if held[key][1] is not MISSING]
        reordered_here = not _same_order(local, common)
        reordered_there = not _same_order(remote, common)
        # A vendor that sorts: there is an order to push only if what it makes of local's is not what it has.
        is_sorted_there = place.by_local and reordered_there and not _same_order(local, list(sent))
        if is_sorted_there:
            reordered_there = not _same_order(remote, list(sent))
        if not place.by_local and not place.by_remote:
            if reordered_here or reordered_there:
                self._report(path, UnitKind.STANDING, at, place)
            return place.local, place.remote, place.local
        writable = at.write is UnitWrite.WRITABLE
        if reordered_there:
            self._report(path, UnitKind.PUSHED if writable else UnitKind.STANDING, at, place)
        elif reordered_here:
            self._report(path, UnitKind.PULLED, at, place)
        if not writable or (is_sorted_there and not reordered_there):
            there = [key for key in {**remote, **held} if held[key][1] is not MISSING]
        elif len(there) > len(common):
            there = arranged(common, {**remote, **held}, there)
        if len(here) > len(common):
            here = arranged(common, {**local, **held}, here)
        # An order that is still to be pushed stays a change against the shadow, as any other unit does.
        before = [*(remote if reordered_there and writable else ()), *here, *held]
        return (
            [held[key][0] for key in here] or MISSING,
            [held[key][1] for key in there] or MISSING,
            [held[key][2] for key in dict.fromkeys(before) if held[key][2] is not MISSING] or MISSING,
        )

    def _value(self, path: str, at: _At, place: _Place, absent: Any = MISSING) -> _Held:
        """One unit: the decision tables of §2.2 and §2.7. `absent` is the value of a unit that is not there."""
        local, remote = place.local, place.remote
        if place.agreed:
            if place.by_local or place.by_remote:
                self._report(path, UnitKind.AGREED, at, place)
            return local, remote, local
        if not place.by_local and not place.by_remote:
            self._report(path, UnitKind.STANDING, at, place)
            return local, remote, local
        wanted = local if place.by_local else remote
        # Where they were apart, the vendor's newer value is not an informed overwrite of ours.
        if place.by_remote and (place.by_local or place.was_apart):
            if path not in self.choices:
                self._report(path, UnitKind.CONFLICT, at, place)
                return place.base_local, place.base_remote, place.base_local
            wanted = _present(self.choices[path])
            wanted = absent if wanted is MISSING else wanted
        if same(wanted, remote):
            self._report(path, UnitKind.PULLED, at, place)
            return remote, remote, remote
        if not _may_write(at.write, wanted, remote):
            self._report(path, UnitKind.STANDING, at, place)
            return wanted, remote, wanted
        self._report(path, UnitKind.PUSHED, at, place)
        self.chose_anew |= wanted is not local and not same(wanted, local)
        return wanted, wanted, remote

    def _report(self, path: str, kind: UnitKind, at: _At, place: _Place) -> None:
        self.units.append(Unit(path, at.element, kind, place.base_local, place.base_remote, place.local, place.remote))

    def _sides(self, place: _Place) -> Sequence[Any]:
        if self.capability.project is unchanged:
            return place.compared
        return (*place.compared, place.sent_base, place.sent)

    def _write(self, name: str) -> UnitWrite:
        bare = name.removeprefix("_")
        return self.capability.of(bare if bare in self.capability.elements else CHOICE_OF.get(bare, bare))

    def _write_of_group(self, path: str, place: _Place) -> UnitWrite:
        """A group can be written where every element can that would change there."""
        wanted = place.sent
        if path in self.choices and not same(self.choices[path], place.local):
            wanted = self.choices[path] if type(self.choices[path]) is dict else {}
        for name in {**wanted, **place.remote}:
            differs = not same(wanted.get(name, MISSING), place.remote.get(name, MISSING))
            if differs and self._write(name) is not UnitWrite.WRITABLE:
                return UnitWrite.READ_ONLY
        return UnitWrite.WRITABLE


def _may_write(write: UnitWrite, wanted: Any, remote: Any) -> bool:
    if write is UnitWrite.APPEND_ONLY and type(wanted) is list:
        return remote is MISSING or (type(remote) is list and same(wanted[: len(remote)], remote))
    return write is UnitWrite.WRITABLE


def parts_apart(context: str, objects: Sequence[Any]) -> list[Part]:
    """The parts of an object in which base_local, base_remote, local and remote are not all the same."""
    base_local, base_remote, local, remote = objects
    found: dict[Part, None] = {}
    for name, value in local.items():
        if value == remote.get(name) and value == base_local.get(name) and value == base_remote.get(name):
            if type(value) is str or unmistakable(value):
                continue
            if all(same(value, side.get(name)) for side in (remote, base_local, base_remote)):
                continue
        found[part_of(context, name)] = None
    for side in (remote, base_local, base_remote):
        for name in side:
            if name not in local:
                found[part_of(context, name)] = None
    return list(found)


def _has_sidecar(name: str, objects: Sequence[Any]) -> bool:
    sidecar = f"_{name}"
    return any(sidecar in members for members in objects)


def _same_order(side: Mapping[Identity, Any], common: Sequence[Identity]) -> bool:
    """Whether a side's items stand in the order of `common`, the rest aside."""
    wanted = [key for key in common if key in side]
    if len(wanted) < 2:
        return True
    if len(wanted) < len(side):
        among = set(wanted)
        return [key for key in side if key in among] == wanted
    return list(side) == wanted


def _put(members: Document, name: str, value: Any) -> None:
    if value is MISSING:
        members.pop(name, None)
    else:
        members[name] = value


def _present(value: Any) -> Any:
    if type(value) is str or value is MISSING:
        return value
    value = pruned(value)
    return MISSING if value is None else value
