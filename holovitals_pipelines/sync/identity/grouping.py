"""Which records are one person by exact trusted identifiers, and which share one but contradict each other.

Law: the groups follow from what is held now and from what people decided, never from the order in which things came.
Records that a person put together stay together, those a person set apart stay apart; records that share an identifier
are joined only if no two of all that would be joined contradict each other or are of one connection. A record that
would join two such is in dispute itself, and does not undo what the others are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

Key = tuple[str, bytes]
"""(identifier system, hash of the value)."""
Pair = tuple[str, str]
"""Two record ids, the smaller first."""

WIDELY_SHARED = 20
"""A value that more records have is nobody's: it joins nothing, and too many would have to be looked at."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One record, as far as grouping asks."""

    record_id: str
    connections: frozenset[str]
    """Where it comes from or is linked."""
    keys: frozenset[Key]
    birth_date: str | None
    gender: str | None
    pinned: str | None
    """The person that people put it to."""


@dataclass(frozen=True, slots=True)
class Group:
    """One person's records, sorted; `pinned` is the person whom people said some of them are."""

    record_ids: tuple[str, ...]
    pinned: str | None
    systems: Mapping[str, str]
    """By record id, the identifier system it was joined by; records that people put there, or that are alone, have
    none."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """Two records that share a trusted identifier and are not joined."""

    pair: Pair
    contradicting: tuple[str, ...]
    """`birthDate`, `gender`, `connection`; none: only with others of the group there is a contradiction."""


@dataclass(frozen=True, slots=True)
class Grouping:
    groups: tuple[Group, ...]
    disputes: tuple[Dispute, ...]
    widely_shared: int
    """Identifier values left out of account."""


def pair_of(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def group(candidates: Iterable[Candidate], apart: frozenset[Pair]) -> Grouping:
    """`candidates` are closed: whoever shares an identifier or a person with one of them is among them."""
    by_id = {one.record_id: one for one in sorted(candidates, key=lambda one: one.record_id)}
    shared, widely = _shared_keys(by_id.values())
    clashes: dict[Pair, tuple[str, ...]] = {}
    edges = [pair_of(*pair) for pair in _pinned_pairs(by_id.values())]
    for pair in shared:
        clashes[pair] = contradictions(by_id[pair[0]], by_id[pair[1]])
        if not clashes[pair] and pair not in apart:
            edges.append(pair)
    groups: list[Group] = []
    for members in _components(by_id, edges):
        for chosen in _sound_parts([by_id[one] for one in members], edges, apart):
            groups.append(_group(chosen, shared))
    together = {pair for one in groups for pair in combinations(one.record_ids, 2)}
    disputes = (Dispute(pair, clashes[pair]) for pair in sorted(shared) if pair not in together and pair not in apart)
    return Grouping(tuple(groups), tuple(disputes), widely)


def contradictions(one: Candidate, other: Candidate) -> tuple[str, ...]:
    """What speaks against their being one person although they share an identifier."""
    found = []
    if one.birth_date and other.birth_date and not _same_date(one.birth_date, other.birth_date):
        found.append("birthDate")
    if one.gender and other.gender and one.gender != other.gender:
        found.append("gender")
    if one.connections & other.connections:
        found.append("connection")
    return tuple(found)


def _same_date(one: str, other: str) -> bool:
    """As far as both are known: 1950 does not contradict 1950-03-01."""
    return one.startswith(other) or other.startswith(one)


def _shared_keys(candidates: Iterable[Candidate]) -> tuple[dict[Pair, str], int]:
    """By pair of records, the identifier system they share (the first by name); and how many values are left out."""
    holders: dict[Key, list[str]] = defaultdict(list)
    for one in candidates:
        for key in one.keys:
            holders[key].append(one.record_id)
    shared: dict[Pair, str] = {}
    widely = 0
    for key in sorted(holders):
        if len(holders[key]) > WIDELY_SHARED:
            widely += 1
            continue
        for pair in combinations(holders[key], 2):
            shared.setdefault(pair_of(*pair), key[0])
    return shared, widely


def _pinned_pairs(candidates: Iterable[Candidate]) -> Iterable[Pair]:
    by_person: dict[str, list[str]] = defaultdict(list)
    for one in candidates:
        if one.pinned is not None:
            by_person[one.pinned].append(one.record_id)
    for members in by_person.values():
        yield from pairwise(members)


def _components(by_id: Mapping[str, Candidate], edges: Iterable[Pair]) -> Iterable[list[str]]:
    root = {one: one for one in by_id}

    def find(one: str) -> str:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    for one, other in edges:
        first, second = sorted((find(one), find(other)))
        root[second] = first
    found: dict[str, list[str]] = defaultdict(list)
    for one in by_id:
        found[find(one)].append(one)
    return found.values()


def _sound_parts(
    members: Sequence[Candidate], edges: Iterable[Pair], apart: frozenset[Pair]
) -> Iterable[Sequence[Candidate]]:
    """What may be joined of records that hang together: all of them; else without those in dispute; else nobody."""
    if _is_sound(members, apart):
        return [members]
    by_id = {one.record_id: one for one in members}
    inner = [pair for pair in edges if pair[0] in by_id]
    neighbours: dict[str, set[str]] = defaultdict(set)
    for one, other in inner:
        neighbours[one].add(other)
        neighbours[other].add(one)
    disputed = {
        name
        for name, near in neighbours.items()
        if by_id[name].pinned is None
        and any(not _fit(by_id[one], by_id[other], apart) for one, other in combinations(sorted(near), 2))
    }
    rest = {name: one for name, one in by_id.items() if name not in disputed}
    parts: list[Sequence[Candidate]] = [[by_id[name]] for name in sorted(disputed)]
    for names in _components(rest, [pair for pair in inner if disputed.isdisjoint(pair)]):
        part = [by_id[name] for name in names]
        parts += [part] if _is_sound(part, apart) else _as_people_said(part)
    return parts


def _is_sound(members: Sequence[Candidate], apart: frozenset[Pair]) -> bool:
    if len({one.pinned for one in members} - {None}) > 1:
        return False
    return all(_fit(one, other, apart) for one, other in combinations(members, 2))


def _fit(one: Candidate, other: Candidate, apart: frozenset[Pair]) -> bool:
    if one.pinned is not None and one.pinned == other.pinned:
        return True
    return pair_of(one.record_id, other.record_id) not in apart and not contradictions(one, other)


def _group(members: Sequence[Candidate], shared: Mapping[Pair, str]) -> Group:
    systems: dict[str, str] = {}
    for one, other in combinations(members, 2):
        system = shared.get(pair_of(one.record_id, other.record_id))
        for joined in (one, other):
            if system is not None and joined.pinned is None:
                systems.setdefault(joined.record_id, system)
    pinned = next((one.pinned for one in members if one.pinned is not None), None)
    return Group(tuple(one.record_id for one in members), pinned, systems)


def _as_people_said(members: Sequence[Candidate]) -> list[Sequence[Candidate]]:
    by_person: dict[str, list[Candidate]] = defaultdict(list)
    for one in members:
        by_person[one.pinned or f"alone {one.record_id}"].append(one)
    return list(by_person.values())
