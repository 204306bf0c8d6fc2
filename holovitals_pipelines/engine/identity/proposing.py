"""Proposals: two records that may be one person, for a person to look at.

Law: a proposal that a person has decided stays as it is; one whose records say something else by now is stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import sqlalchemy as sa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store import persons
from holovitals_pipelines.store.bulk import KEYS_A_QUERY, fetch_by_keys, insert_rows
from holovitals_pipelines.store.persons import Member
from holovitals_pipelines.store.tables import patient_proposal
from holovitals_pipelines.sync.identity.grouping import Pair, pair_of

OPEN, ACCEPTED, REJECTED, STALE = "open", "accepted", "rejected", "stale"
_STRONGER = ("merge_told", "identifier_conflict", "shared_identifier", "splink")
"""Of several grounds for one pair the first is shown."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A pair that something speaks for."""

    one: str
    other: str
    grounds: str
    score: float | None
    compared: Mapping[str, str]

    @property
    def pair(self) -> Pair:
        return pair_of(self.one, self.other)


class Proposal(NamedTuple):
    """A row of patient_proposal."""

    proposal_id: str
    record_id: str
    other_id: str
    grounds: str
    score: float | None
    compared: Mapping[str, str]
    revision: bytes
    state: str
    proposed_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None


COLUMNS = tuple(patient_proposal.c[name] for name in Proposal._fields)


def proposal_id_of(pair: Pair) -> str:
    return blake2b("|".join(pair).encode(), digest_size=16).hexdigest()


def propose(transaction: sa.Connection, drafts: Iterable[Draft], at: datetime) -> int:
    """Put the drafts before people; returns how many were not before them already.

    Left out: pairs that are one person by now, that a person set apart or decided on, and all but the best founded of
    those between the same two persons.
    """
    by_pair: dict[Pair, Draft] = {}
    for draft in sorted(drafts, key=lambda one: _rank(one.grounds, one.score, one.pair)):
        by_pair.setdefault(draft.pair, draft)
    members = persons.members(transaction, {record_id for pair in by_pair for record_id in pair})
    fellows = persons.members_of(transaction, {member.patient_key for member in members.values()})
    apart = persons.apart_among(transaction, {one.record_id for group in fellows.values() for one in group})
    known = {one.proposal_id: one for one in _of_pairs(transaction, by_pair)}
    others = [one for one in _open_between(transaction, fellows) if one.proposal_id not in known]
    between = _by_people(transaction, others)
    rows: list[Proposal] = []
    new = 0
    for pair, draft in by_pair.items():
        if any(record_id not in members or members[record_id].state != "active" for record_id in pair):
            continue
        first, second = members[pair[0]], members[pair[1]]
        people = pair_of(first.patient_key, second.patient_key)
        decided = known.get(proposal_id_of(pair))
        if first.patient_key == second.patient_key or _set_apart(people, fellows, apart):
            continue
        if decided is not None and decided.state in (ACCEPTED, REJECTED):
            continue
        asked = between.get(people)
        if asked is not None and _rank_of(asked) < _rank(draft.grounds, draft.score, pair):
            if decided is not None and decided.state == OPEN:
                rows.append(decided._replace(state=STALE))
            continue
        revision = revision_of(fellows[first.patient_key], fellows[second.patient_key])
        row = Proposal(
            proposal_id_of(pair),
            *pair,
            draft.grounds,
            draft.score,
            draft.compared,
            revision,
            OPEN,
            at,
            None,
            None,
            None,
        )
        if decided is not None and decided.state == OPEN and decided.revision == revision:
            row = row._replace(proposed_at=decided.proposed_at)
        else:
            new += 1
        if asked is not None and asked.proposal_id != row.proposal_id:
            rows.append(asked._replace(state=STALE))
        between[people] = row
        rows.append(row)
    put_proposals(transaction, rows)
    return new


def revision_of(one: Sequence[Member], other: Sequence[Member]) -> bytes:
    """Of who is compared and what their records say: a decision on it is a decision on what was seen."""
    seen = sorted((member.record_id, member.demographics_hash, member.state) for member in (*one, *other))
    parted = sorted(min(member.record_id for member in side) for side in (one, other))
    return blake2b(repr((seen, parted)).encode(), digest_size=16).digest()


def review_proposals(transaction: sa.Connection, record_ids: Iterable[str], changed: frozenset[str]) -> None:
    """See which open proposals about these records' persons still stand.

    Of records that are one person or set apart by now, or that say something else (`changed`), none does. Where only
    the persons have got other records, it is about these from now on; of several between two persons the best founded
    stands.
    """
    mine = persons.members(transaction, record_ids)
    fellows = persons.members_of(transaction, {member.patient_key for member in mine.values()})
    open_ones = _open_between(transaction, fellows)
    if not open_ones:
        return
    everybody = persons.members(transaction, {name for one in open_ones for name in (one.record_id, one.other_id)})
    sides = persons.members_of(transaction, {member.patient_key for member in everybody.values()})
    apart = persons.apart_among(transaction, {member.record_id for side in sides.values() for member in side})
    between: set[Pair] = set()
    rows = []
    for one in sorted(open_ones, key=_rank_of):
        first, second = everybody[one.record_id], everybody[one.other_id]
        people = pair_of(first.patient_key, second.patient_key)
        over = (
            first.patient_key == second.patient_key
            or people in between
            or not changed.isdisjoint((one.record_id, one.other_id))
            or first.state != "active"
            or second.state != "active"
            or _set_apart(people, sides, apart)
        )
        if not over:
            between.add(people)
        revision = one.revision if over else revision_of(sides[people[0]], sides[people[1]])
        state = STALE if over else OPEN
        if (state, revision) != (one.state, one.revision):
            rows.append(one._replace(state=state, revision=revision))
    put_proposals(transaction, rows)


def _rank_of(one: Proposal) -> tuple[int, float, Pair]:
    return _rank(one.grounds, one.score, (one.record_id, one.other_id))


def _rank(grounds: str, score: float | None, pair: Pair) -> tuple[int, float, Pair]:
    """The best founded first."""
    return _STRONGER.index(grounds), -(score or 0.0), pair


def put_proposals(transaction: sa.Connection, rows: Sequence[Proposal]) -> None:
    insert_rows(transaction, patient_proposal, Proposal._fields, rows, on_conflict="update")


def get_proposal(transaction: sa.Connection, proposal_id: str) -> Proposal:
    """Raises StoreError (`proposal.unknown`)."""
    row = transaction.execute(sa.select(*COLUMNS).where(patient_proposal.c.proposal_id == proposal_id)).one_or_none()
    if row is None:
        raise StoreError(
            "there is no proposal of this id",
            code="proposal.unknown",
            place=f"proposal {proposal_id}",
            remedy="see what is open: holovitals patients proposals",
        )
    return proposal_of_row(row)


def _of_pairs(transaction: sa.Connection, pairs: Iterable[Pair]) -> list[Proposal]:
    wanted = [proposal_id_of(pair) for pair in pairs]
    found = fetch_by_keys(transaction, sa.select(*COLUMNS), patient_proposal.c.proposal_id, wanted)
    return [proposal_of_row(row) for rows in found for row in rows]


def _open_between(transaction: sa.Connection, fellows: Mapping[str, Sequence[Member]]) -> list[Proposal]:
    """Open proposals about any record of these persons."""
    ids = sorted(one.record_id for group in fellows.values() for one in group)
    found: dict[str, Proposal] = {}
    for start in range(0, len(ids), KEYS_A_QUERY):
        chunk = ids[start : start + KEYS_A_QUERY]
        for column in (patient_proposal.c.record_id, patient_proposal.c.other_id):
            query = sa.select(*COLUMNS).where(column.in_(chunk), patient_proposal.c.state == OPEN)
            found |= {row.proposal_id: proposal_of_row(row) for row in transaction.execute(query)}
    return list(found.values())


def proposal_of_row(row: Sequence[Any]) -> Proposal:
    one = Proposal(*row)
    return one._replace(revision=bytes(one.revision))


def _by_people(transaction: sa.Connection, proposals: Sequence[Proposal]) -> dict[Pair, Proposal]:
    """Between which persons there are proposals."""
    members = persons.members(transaction, {name for one in proposals for name in (one.record_id, one.other_id)})
    return {pair_of(members[one.record_id].patient_key, members[one.other_id].patient_key): one for one in proposals}


def _set_apart(people: Pair, fellows: Mapping[str, Sequence[Member]], apart: frozenset[Pair]) -> bool:
    return any(
        pair_of(one.record_id, other.record_id) in apart for one in fellows[people[0]] for other in fellows[people[1]]
    )
