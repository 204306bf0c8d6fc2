"""Reading from a nested document: source paths compiled to functions (docs/rule-paths.md).

Law: reading never fails and never guesses; what is not there is no value, and several values are several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from holovitals_pipelines.transform.path_steps import (
    AllOf,
    AnyOf,
    Criterion,
    Equals,
    Holds,
    Item,
    Member,
    Step,
    Summary,
    Where,
    parse_source,
)

Place = tuple[str | int, ...]
"""Where a value stands in a document. A member that is a list, followed by no position, means all its items."""

_Read = Callable[[Any], list[Any]]
_Apply = Callable[[list[Any]], list[Any]]


@dataclass(frozen=True, slots=True)
class SourcePath:
    """A path, ready to read with."""

    text: str
    of_record: bool
    """It begins with `%record.`: it is to be given the whole record, also where the others are given a list's item."""
    reads: tuple[str, ...]
    """The plain members it begins with. After them it may pick (`where`, `[0]`): `places` says what it took."""
    all: _Read = field(compare=False, repr=False)
    """Every value in the document, lists flattened, nulls left out."""
    whole: _Read = field(compare=False, repr=False)
    """As `all`, but what stands at the last member is one value, be it a list."""
    _places: Callable[[Any, Place], list[Place]] = field(compare=False, repr=False)
    compared: Callable[[Any], list[Place]] = field(compare=False, repr=False)
    """Where the values stand that the path's criteria compare. Documents that have the same members and items, and the
    same values there, have the path's own values at the same places."""

    def one(self, document: Any) -> Any:
        """The only value, or None. Raises ValueError where there are several."""
        values = self.all(document)
        if len(values) > 1:
            raise ValueError("the path finds several values")
        return values[0] if values else None

    def places(self, document: Any, at: Place = ()) -> list[Place]:
        """Where the values stand that `all` returns; `at` is where the document itself stands. A summary is of none."""
        return self._places(document, at)


def compile_path(text: str) -> SourcePath:
    """The path as functions. Raises PathError for what is not in the subset."""
    of_record, steps = parse_source(text)
    return SourcePath(
        text,
        of_record,
        _plain_prefix(steps),
        _reader(steps),
        _reader(steps, whole=True),
        _placing(steps),
        _comparing(steps),
    )


def _plain_prefix(steps: tuple[Step, ...]) -> tuple[str, ...]:
    return tuple(step.name for step in takewhile(lambda step: isinstance(step, Member), steps) if type(step) is Member)


def _reader(steps: tuple[Step, ...], *, whole: bool = False) -> _Read:
    """A function of a document; it knows a leading type name when it sees the document's resourceType."""
    read, type_name = _from_the_start(steps, whole), _type_name(steps)
    if type_name is None:
        return read
    after_it = _from_the_start(steps[1:], whole)
    return lambda document: (after_it if _is_of(document, type_name) else read)(document)


def never_below(text: str) -> tuple[str, ...]:
    """The first members of a path, two at the most, where a document without them has no value for it; else none.

    Not where their absence is a value (`exists()`), where a member may stand elsewhere too (`extension()`), or where
    the first may be the name of a type.
    """
    of_record, steps = parse_source(text)
    if of_record or _type_name(steps) is not None or isinstance(steps[-1], Summary):
        return ()
    plain = takewhile(lambda step: isinstance(step, Member) and not step.sidecar, steps[:2])
    return tuple(step.name for step in plain if isinstance(step, Member))


def _type_name(steps: tuple[Step, ...]) -> str | None:
    """What may be the name of a type: FHIR's elements have small initials, other formats' members may not."""
    first = steps[0]
    return first.name if isinstance(first, Member) and first.name[:1].isupper() else None


def _is_of(document: Any, type_name: str | None) -> bool:
    return type_name is not None and type(document) is dict and document.get("resourceType") == type_name


def _from_the_start(steps: tuple[Step, ...], whole: bool) -> _Read:
    applied = [_step(step) for step in steps]
    if whole and steps and isinstance(last := steps[-1], Member):
        applied[-1] = _member_as_it_stands(last)
    read = _in_turn(applied)
    plain = [step.name for step in steps if isinstance(step, Member) and not step.sidecar]
    if plain and len(plain) == len(steps):
        return _plain(plain, read, whole)
    firsts = [_way(step) for step in steps]
    return read if whole or None in firsts else _straight([way for way in firsts if way is not None], read)


def _way(step: Step) -> str | int | None:
    """A member's name, 0 for the first item, None for what is no plain step."""
    match step:
        case Member(name, False):
            return name
        case Item(0):
            return 0
    return None


def _straight(way: list[str | int], otherwise: _Read) -> _Read:
    """Members and first items: straight down where each list stands before the item that is taken of it."""

    def read(document: Any) -> list[Any]:
        value = document
        for step in way:
            if step == 0:
                if type(value) is list:
                    value = value[0] if value else None
                    if value is None or type(value) is list:
                        return otherwise(document)
            elif type(value) is dict:
                value = value.get(step)
                if value is None:
                    return []
            else:
                return otherwise(document)
        if type(value) is not list:
            return [value]
        found: list[Any] = []
        _add(value, found)
        return found

    return read


def _in_turn(applied: list[_Apply]) -> _Read:
    def read(document: Any) -> list[Any]:
        values = [document]
        for apply in applied:
            values = apply(values)
        return values

    return read


def _plain(names: list[str], otherwise: _Read, whole: bool) -> _Read:
    """Members only: straight down as long as no list stands in between, which is what most paths of a record do."""

    def read(document: Any) -> list[Any]:
        value = document
        for name in names:
            if type(value) is not dict:
                if type(value) is not list or len(value) != 1 or type(value[0]) is not dict:
                    return otherwise(document)
                value = value[0]
            value = value.get(name)
        if value is None:
            return []
        if type(value) is not list or whole:
            return [value]
        found: list[Any] = []
        _add(value, found)
        return found

    return read


def _add(value: Any, found: list[Any]) -> None:
    """Append the value, or the items of a list, however deep."""
    if type(value) is list:
        for item in value:
            _add(item, found)
    elif value is not None:
        found.append(value)


def _step(step: Step) -> _Apply:
    match step:
        case Member(name, sidecar):
            return _member(name) if not sidecar else _member_and_sidecar(name)
        case Item(position):
            return lambda values: values[position:][:1]
        case Where(criterion):
            fulfils = _criterion(criterion)
            return lambda values: [value for value in values if fulfils(value)]
        case Summary("exists"):
            return lambda values: [bool(values)]
        case Summary("empty"):
            return lambda values: [not values]
        case Summary():
            return lambda values: [len(values)]


def _member(name: str) -> _Apply:
    def apply(values: list[Any]) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if type(value) is dict:
                inner = value.get(name)
                if type(inner) is list:
                    _add(inner, found)
                elif inner is not None:
                    found.append(inner)
        return found

    return apply


def _member_and_sidecar(name: str) -> _Apply:
    def apply(values: list[Any]) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if type(value) is dict:
                _add(value.get(name), found)
                _add(value.get("_" + name), found)
        return found

    return apply


def _member_as_it_stands(member: Member) -> _Apply:
    name = member.name

    def apply(values: list[Any]) -> list[Any]:
        return [value[name] for value in values if type(value) is dict and value.get(name) is not None]

    return apply


def _criterion(criterion: Criterion) -> Callable[[Any], bool]:
    match criterion:
        case Equals(steps, literal, negated):
            return _differs(steps, literal) if negated else _equals(steps, literal)
        case Holds(steps):
            read = _from_the_start(steps, whole=False)
            return lambda value: read(value)[0] is True
        case AllOf(parts):
            all_parts = [_criterion(part) for part in parts]
            return lambda value: all(fulfils(value) for fulfils in all_parts)
        case AnyOf(parts) if (texts := _alternatives(parts)) is not None:
            read_once = _from_the_start(texts[0], whole=False)
            return lambda value: len(found := read_once(value)) == 1 and type(found[0]) is str and found[0] in texts[1]
        case AnyOf(parts):
            any_parts = [_criterion(part) for part in parts]
            return lambda value: any(fulfils(value) for fulfils in any_parts)


def _alternatives(parts: tuple[Criterion, ...]) -> tuple[tuple[Step, ...], frozenset[str]] | None:
    """What a member may be one of, where all that is asked is that."""
    steps = {part.steps for part in parts if isinstance(part, Equals) and not part.negated}
    texts = {part.literal for part in parts if isinstance(part, Equals) and type(part.literal) is str}
    plain = len(steps) == 1 and all(isinstance(part, Equals) and not part.negated for part in parts)
    return (steps.pop(), frozenset(map(str, texts))) if plain and len(texts) == len(parts) else None


def _equals(steps: tuple[Step, ...], literal: str | int | bool) -> Callable[[Any], bool]:
    read, kind = _from_the_start(steps, whole=False), type(literal)

    def fulfils(value: Any) -> bool:
        found = read(value)
        return len(found) == 1 and type(found[0]) is kind and found[0] == literal

    if len(steps) > 1 or not isinstance(only := steps[0], Member) or only.sidecar:
        return fulfils
    name = only.name

    def member_fulfils(value: Any) -> bool:
        found = value.get(name) if type(value) is dict else None
        return fulfils(value) if type(found) is list else type(found) is kind and found == literal

    return member_fulfils


def _differs(steps: tuple[Step, ...], literal: str | int | bool) -> Callable[[Any], bool]:
    read, equals = _from_the_start(steps, whole=False), _equals(steps, literal)
    return lambda value: bool(read(value)) and not equals(value)


def _placing(steps: tuple[Step, ...]) -> Callable[[Any, Place], list[Place]]:
    type_name, applied = _type_name(steps), [_placed(step) for step in steps]
    ways = [_way(step) for step in steps]
    straight = None if None in ways or type_name is not None else [way for way in ways if way is not None]

    def places(document: Any, at: Place) -> list[Place]:
        if straight is not None and (place := _straight_place(straight, document)) is not None:
            return [(*at, *place)] if place else []
        found = [(at, document)]
        for apply in applied[1:] if _is_of(document, type_name) else applied:
            found = apply(found)
        return [place for place, _ in found]

    return places


def _straight_place(way: list[str | int], document: Any) -> Place | None:
    """Where the one value at the end of the way stands; empty where there is none, None where it is not that simple."""
    value, listed = document, False
    for step in way:
        if listed is not (step == 0):
            return None
        if step == 0:
            value = value[0] if value else None
            if value is None or type(value) is list:
                return None
            listed = False
            continue
        if type(value) is not dict:
            return None
        value = value.get(step)
        if value is None:
            return ()
        listed = type(value) is list
    return None if listed else tuple(way)


_Found = list[tuple[Place, Any]]


def _placed(step: Step) -> Callable[[_Found], _Found]:
    match step:
        case Member(name, sidecar):
            names = (name, "_" + name) if sidecar else (name,)
            return lambda found: [
                inner
                for place, value in found
                if type(value) is dict
                for member in names
                for inner in _items((*place, member), value.get(member))
            ]
        case Item(position):
            return lambda found: found[position:][:1]
        case Where(criterion):
            fulfils = _criterion(criterion)
            return lambda found: [(place, value) for place, value in found if fulfils(value)]
        case Summary():
            return lambda found: []


def _items(place: Place, value: Any) -> Iterator[tuple[Place, Any]]:
    if type(value) is list:
        for index, item in enumerate(value):
            yield from _items((*place, index), item)
    elif value is not None:
        yield place, value


def _comparing(steps: tuple[Step, ...]) -> Callable[[Any], list[Place]]:
    type_name = _type_name(steps)
    return lambda document: _looked_at(steps[1:] if _is_of(document, type_name) else steps, [((), document)])[1]


def _looked_at(steps: tuple[Step, ...], found: _Found) -> tuple[_Found, list[Place]]:
    """All that the steps may come upon, whichever items are picked on the way, and what criteria compare of it."""
    compared: list[Place] = []
    for step in steps:
        if isinstance(step, Member):
            found = _placed(step)(found)
        elif isinstance(step, Where):
            for asked in _asked(step.criterion):
                below, deeper = _looked_at(asked.steps, found)
                compared += deeper
                compared += [place for place, _ in below] if isinstance(asked, Equals) else []
    return found, compared


def _asked(criterion: Criterion) -> Iterator[Equals | Holds]:
    if isinstance(criterion, AllOf | AnyOf):
        for part in criterion.parts:
            yield from _asked(part)
    else:
        yield criterion
