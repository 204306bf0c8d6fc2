"""What people decide about persons: these records are one person, these are not, this proposal is right or wrong.

Law: a decision changes memberships and nothing else; the program never changes it, and what was un-linked can be linked
again as it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import product

import sqlalchemy as sa

from holovitals_pipelines.engine.identity.memberships import (
    POLICY,
    Decision,
    Moved,
    commit_moves,
    image,
    log,
    restored,
)
from holovitals_pipelines.engine.identity.proposing import (
    ACCEPTED,
    OPEN,
    REJECTED,
    Proposal,
    get_proposal,
    put_proposals,
    revision_of,
)
from holovitals_pipelines.engine.identity.regroup import new_key, regroup
from holovitals_pipelines.engine.people import person_named
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store import persons
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.persons import HistoryRow, Member, Pair
from holovitals_pipelines.sync.identity.grouping import pair_of


def link_persons(database: Database, one: str, other: str, *, actor: str, reason: str) -> str:
    """The two persons are one from now on, under the key of `one`; returns the key.

    What was un-linked before and is as it was left then becomes again what it was before the un-link, under the key it
    had then. Raises StoreError
    (`person.unknown`, `person.same`, `person.no_reason`, `actor.invalid`).
    """
    with database.write() as transaction:
        decision = _decision(transaction, "link", actor, reason)
        here, there = _person(transaction, one), _person(transaction, other)
        if one == other:
            raise StoreError(
                "these records are one person already", code="person.same", remedy="see holovitals patients show"
            )
        return _join(transaction, decision, here, there)


def unlink_records(database: Database, record_ids: Sequence[str], *, actor: str, reason: str) -> str:
    """The records are another person than the rest of theirs; returns the key they have from now on.

    They stay together. Raises StoreError (`person.unknown`, `person.several`, `person.alone`, `person.no_reason`).
    """
    with database.write() as transaction:
        decision = _decision(transaction, "unlink", actor, reason)
        leaving = list(persons.members(transaction, record_ids).values())
        keys = {member.patient_key for member in leaving}
        if len(leaving) != len(set(record_ids)) or not keys:
            raise _unknown()
        if len(keys) > 1:
            raise StoreError(
                "the records are of several persons", code="person.several", remedy="un-link those of one at a time"
            )
        [key] = keys
        ids = {member.record_id for member in leaving}
        staying = [one for one in _person(transaction, key) if one.record_id not in ids]
        if not staying:
            raise StoreError(
                "these records are all that the person has", code="person.alone", remedy="there is nothing to un-link"
            )
        other = _key_for(transaction, min(ids), decision)
        persons.set_apart(transaction, _pairs(leaving, staying), decision.decision_id, decision.actor, decision.at)
        commit_moves(transaction, decision, [_decided(one, other, decision) for one in leaving])
        regroup(transaction, [one.record_id for one in (*leaving, *staying)], _follow_up(decision))
    return other


def accept_proposal(database: Database, proposal_id: str, *, revision: str, actor: str, reason: str) -> str:
    """The two are one person, as they were seen in `revision`; returns the key, that of the one with more records.

    Raises StoreError (`proposal.unknown`, `proposal.closed`, `proposal.stale`, `person.no_reason`, `actor.invalid`).
    """
    with database.write() as transaction:
        decision = _decision(transaction, "accept", actor, reason, proposal_id)
        proposal, one, other = _open_proposal(transaction, proposal_id, revision)
        here, there = sorted((one, other), key=_standing)
        _close(transaction, proposal, ACCEPTED, decision)
        return _join(transaction, decision, here, there)


def reject_proposal(database: Database, proposal_id: str, *, revision: str, actor: str, reason: str) -> None:
    """The two are two persons, as they were seen in `revision`: they are never joined or proposed again by the program.

    Raises StoreError as `accept_proposal` does.
    """
    with database.write() as transaction:
        decision = _decision(transaction, "reject", actor, reason, proposal_id)
        proposal, one, other = _open_proposal(transaction, proposal_id, revision)
        persons.set_apart(transaction, _pairs(one, other), decision.decision_id, decision.actor, decision.at)
        _close(transaction, proposal, REJECTED, decision)
        told = [member for member in (*one, *other) if member.record_id in (proposal.record_id, proposal.other_id)]
        persons.add_history(
            transaction, [_history(decision, "reject", member, image(member), image(member)) for member in told]
        )
        log(transaction, decision, (("reject", member, {}) for member in told))
        regroup(transaction, [member.record_id for member in (*one, *other)], _follow_up(decision))


def code_of(revision: bytes) -> str:
    """By what a decision names what was seen."""
    return revision.hex()[:12]


def _join(transaction: sa.Connection, decision: Decision, here: Sequence[Member], there: Sequence[Member]) -> str:
    """Returns the key of both."""
    undone = _unlinked_so(transaction, here, there)
    if undone is None:
        undone = _unlinked_so(transaction, there, here)
        if undone is not None:
            here, there = there, here
    key = here[0].patient_key
    if undone is not None:
        moves = [Moved(member, restored(member, undone[member.record_id]), "relink") for member in there]
    else:
        moves = [_decided(member, key, decision) for member in (*here, *there)]
    ids = [member.record_id for member in (*here, *there)]
    persons.allow_together(transaction, persons.apart_among(transaction, ids) & set(_pairs(here, there)))
    commit_moves(transaction, decision, moves)
    regroup(transaction, ids, _follow_up(decision))
    return key


def _unlinked_so(
    transaction: sa.Connection, here: Sequence[Member], there: Sequence[Member]
) -> dict[str, dict[str, object]] | None:
    """The memberships that `there` had at `here` before an un-link took them away; None unless that is the last thing
    that happened to them, and all that is to be undone."""
    last: dict[str, HistoryRow] = {}
    for row in persons.history_of(transaction, [member.record_id for member in there]):
        last[row.record_id] = row
    decisions = {row.decision_id for row in last.values()}
    if len(last) != len(there) or len(decisions) != 1:
        return None
    [decision_id] = decisions
    moved = persons.history_of_decision(transaction, decision_id)
    as_left = all(
        row.action == "unlink"
        and row.before is not None
        and row.before["patient_key"] == here[0].patient_key
        and row.after == image(member)
        for member in there
        for row in (last[member.record_id],)
    )
    if not as_left or {row.record_id for row in moved if row.action == "unlink"} != last.keys():
        return None
    return {row.record_id: dict(row.before or {}) for row in last.values()}


def _decided(member: Member, patient_key: str, decision: Decision) -> Moved:
    after = member._replace(
        patient_key=patient_key, how="manual", identifier_system=None, decided_by=decision.actor, at=decision.at
    )
    return Moved(member, after, decision.action)


def _decision(
    transaction: sa.Connection, action: str, actor: str, reason: str, proposal_id: str | None = None
) -> Decision:
    persons.lock_identity(transaction)
    if not reason.strip():
        raise StoreError(
            "a decision needs a reason",
            code="person.no_reason",
            remedy="say in a few words why, for whoever asks later",
        )
    person = person_named(transaction, actor)
    return Decision(str(uuid.uuid4()), action, person, datetime.now(UTC), reason.strip(), proposal_id)


def _follow_up(decision: Decision) -> Decision:
    """What the program makes of a decision, under the same id: its own, and without the person's reason."""
    return Decision(decision.decision_id, "join", POLICY, decision.at)


def _standing(side: Sequence[Member]) -> tuple[int, datetime, str]:
    """Whose key two persons go on with: that of the one with more records, or that came first."""
    return -len(side), min(member.at for member in side), side[0].patient_key


def _person(transaction: sa.Connection, patient_key: str) -> list[Member]:
    found = persons.members_of(transaction, [patient_key]).get(patient_key)
    if not found:
        raise _unknown()
    return found


def _unknown() -> StoreError:
    return StoreError(
        "there is no such person", code="person.unknown", remedy="see who there is: holovitals patients list"
    )


def _key_for(transaction: sa.Connection, record_id: str, decision: Decision) -> str:
    used = persons.members_of(transaction, [record_id])
    return new_key(record_id, decision.decision_id) if used else record_id


def _pairs(one: Iterable[Member], other: Iterable[Member]) -> list[Pair]:
    return [pair_of(first.record_id, second.record_id) for first, second in product(one, other)]


def _open_proposal(
    transaction: sa.Connection, proposal_id: str, revision: str
) -> tuple[Proposal, list[Member], list[Member]]:
    proposal = get_proposal(transaction, proposal_id)
    place = f"proposal {proposal_id}"
    if proposal.state != OPEN:
        raise StoreError(
            f"the proposal is {proposal.state}",
            code="proposal.closed",
            place=place,
            remedy="see what is open: holovitals patients proposals",
        )
    members = persons.members(transaction, [proposal.record_id, proposal.other_id])
    sides = [_person(transaction, members[name].patient_key) for name in (proposal.record_id, proposal.other_id)]
    now = revision_of(*sides)
    outdated = persons.changed_since(transaction, [member.record_id for side in sides for member in side])
    if outdated or now != proposal.revision or revision != code_of(now):
        raise StoreError(
            "the records say something else than what the decision was made on",
            code="proposal.stale",
            place=place,
            remedy="look at both again: holovitals patients show, and holovitals patients match proposes anew",
        )
    return proposal, sides[0], sides[1]


def _close(transaction: sa.Connection, proposal: Proposal, state: str, decision: Decision) -> None:
    closed = proposal._replace(state=state, decided_by=decision.actor, decided_at=decision.at, reason=decision.reason)
    put_proposals(transaction, [closed])


def _history(
    decision: Decision, action: str, member: Member, before: dict[str, object], after: dict[str, object]
) -> HistoryRow:
    return HistoryRow(
        decision.decision_id, decision.at, action, decision.actor, decision.reason, member.record_id,
        member.patient_key, before, after, decision.proposal_id,
    )  # fmt: skip
