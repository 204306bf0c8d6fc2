"""Grouping anew whatever hangs together with some records: by trusted identifiers and by what people decided.

Law: only memberships that the program made are changed here; those of people are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import sqlalchemy as sa

from holovitals_pipelines.engine.identity.memberships import POLICY, Decision, Moved, commit_moves
from holovitals_pipelines.engine.identity.proposing import Draft, propose, review_proposals
from holovitals_pipelines.store import persons
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.persons import Member
from holovitals_pipelines.sync.identity.comparing import compare
from holovitals_pipelines.sync.identity.demographics import Demographics, read_demographics
from holovitals_pipelines.sync.identity.grouping import (
    WIDELY_SHARED,
    Candidate,
    Dispute,
    Group,
    Grouping,
    group,
)


@dataclass(frozen=True, slots=True)
class Regrouped:
    joined: int = 0
    left: int = 0
    proposed: int = 0
    widely_shared: int = 0


def regroup(
    transaction: sa.Connection,
    seeds: Collection[str],
    decision: Decision,
    *,
    known: Mapping[str, Demographics] | None = None,
    changed: frozenset[str] = frozenset(),
) -> Regrouped:
    """`known`: what the caller has read already, by record id; everything else is read where it is needed. `changed`:
    records that say something else than before."""
    closure, widely = _closed(transaction, seeds)
    living = {record_id: member for record_id, member in closure.items() if member.state == "active"}
    keys = persons.identifiers_of(transaction, living)
    sharing = {record_id for record_id, mine in keys.items() if any(key[1] not in widely for key in mine)}
    # Who shares nothing and is nobody's fellow is alone: nothing of it has to be looked at.
    people = Counter(member.patient_key for member in living.values())
    concerned = {
        record_id
        for record_id, member in living.items()
        if record_id in sharing or people[member.patient_key] > 1 or member.how == "exact"
    }
    demographics = _demographics(transaction, concerned, closure, known or {})
    linked = persons.connections_of(transaction, concerned)
    candidates = [
        Candidate(
            record_id,
            frozenset({living[record_id].connection, *linked.get(record_id, ())}),
            frozenset(key for key in keys.get(record_id, ()) if key[1] not in widely),
            demographics[record_id].birth_date,
            demographics[record_id].gender,
            living[record_id].patient_key if living[record_id].how == "manual" else None,
        )
        for record_id in concerned
    ]
    grouping = group(candidates, persons.apart_among(transaction, concerned))
    moves = _moves(transaction, grouping, living, decision)
    commit_moves(transaction, decision, moves)
    touched = {*seeds, *(move.after.record_id for move in moves)}
    review_proposals(transaction, touched, changed)
    proposed = propose(transaction, [_draft(dispute, demographics) for dispute in grouping.disputes], decision.at)
    return Regrouped(
        joined=sum(move.action == "join" for move in moves),
        left=sum(move.action == "leave" for move in moves),
        proposed=proposed,
        widely_shared=len(widely),
    )


def _closed(transaction: sa.Connection, seeds: Iterable[str]) -> tuple[dict[str, Member], set[bytes]]:
    """The records that share identifiers or persons with the seeds, directly or through others; and the identifier
    values that too many records have."""
    found: dict[str, Member] = {}
    widely: set[bytes] = set()
    asked_keys: set[bytes] = set()
    asked_people: set[str] = set()
    frontier = set(seeds)
    while frontier:
        met = persons.members(transaction, frontier)
        found |= met
        hashes = {key[1] for keys in persons.identifiers_of(transaction, met).values() for key in keys} - asked_keys
        asked_keys |= hashes
        widely |= persons.widely_shared(transaction, hashes, WIDELY_SHARED)
        people = {member.patient_key for member in met.values()} - asked_people
        asked_people |= people
        fellows = {one.record_id for group_ in persons.members_of(transaction, people).values() for one in group_}
        frontier = (persons.holders(transaction, hashes - widely) | fellows) - found.keys()
    return found, widely


def _demographics(
    transaction: sa.Connection, wanted: Iterable[str], members: Mapping[str, Member], known: Mapping[str, Demographics]
) -> dict[str, Demographics]:
    missing = {record_id: members[record_id].document_hash for record_id in wanted if record_id not in known}
    bodies = get_documents(transaction, missing.values())
    return {**known, **{record_id: read_demographics(bodies[address]) for record_id, address in missing.items()}}


def _draft(dispute: Dispute, demographics: Mapping[str, Demographics]) -> Draft:
    one, other = dispute.pair
    levels = compare(demographics[one], demographics[other])
    contradicted = set(dispute.contradicting) & {"birthDate", "gender"}
    grounds = "identifier_conflict" if contradicted else "shared_identifier"
    return Draft(one, other, grounds, None, {**levels, "identifier": "same"})


# who moves where


def _moves(
    transaction: sa.Connection, grouping: Grouping, members: Mapping[str, Member], decision: Decision
) -> list[Moved]:
    keys = _chosen_keys(transaction, grouping.groups, members, decision)
    moves = []
    for one, patient_key in zip(grouping.groups, keys, strict=True):
        for record_id in one.record_ids:
            before = members[record_id]
            if before.how == "manual":
                continue
            system = one.systems.get(record_id)
            how = "exact" if system is not None else "alone"
            if (before.patient_key, before.how, before.identifier_system) != (patient_key, how, system):
                after = before._replace(
                    patient_key=patient_key, how=how, identifier_system=system, decided_by=POLICY, at=decision.at
                )
                moves.append(Moved(before, after, "join" if how == "exact" else "leave"))
    return moves


def _chosen_keys(
    transaction: sa.Connection, groups: Sequence[Group], members: Mapping[str, Member], decision: Decision
) -> list[str]:
    """A person keeps its key as long as it can: the key that people fixed, or that most of the records had."""
    wishes: dict[str, list[tuple[bool, int, str, int]]] = {}
    for place, one in enumerate(groups):
        held = Counter(members[record_id].patient_key for record_id in one.record_ids)
        key = one.pinned or min(held, key=lambda name: (-held[name], name))
        wishes.setdefault(key, []).append((one.pinned is None, -held[key], one.record_ids[0], place))
    chosen: dict[int, str] = {}
    for key, asking in wishes.items():
        chosen[min(asking)[3]] = key
    own = {place: groups[place].record_ids[0] for place in range(len(groups)) if place not in chosen}
    mine = {record_id for one in groups for record_id in one.record_ids}
    held_by = persons.members_of(transaction, own.values())
    taken = {key for key, rows in held_by.items() if any(row.record_id not in mine for row in rows)}
    taken |= set(chosen.values())
    for place, key in own.items():
        chosen[place] = key if key not in taken else new_key(key, decision.decision_id)
    return [chosen[place] for place in range(len(groups))]


def new_key(record_id: str, decision_id: str) -> str:
    """For a record whose own id names the person it has left."""
    return blake2b(f"{record_id}|{decision_id}".encode(), digest_size=16).hexdigest()
