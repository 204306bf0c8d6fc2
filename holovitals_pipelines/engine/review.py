"""What people do with conflicts: decide, approve, take a decision back, look at automatic decisions afterwards.

Law: a decision names the revision it was made on; one made on other values than the current ones is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.choices import Choice, checked_choices
from holovitals_pipelines.engine.conflict_view import decision_code, show_conflict
from holovitals_pipelines.engine.people import person_named, same_person
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import ConflictStatus, ConflictType, ResolutionStrategy
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.conflicts import OPEN, StoredConflict, change_conflict, get_conflict
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.documents import queue_for_documents
from holovitals_pipelines.store.tables import link


def decide_conflict(
    database: Database,
    conflict_id: str,
    strategy: ResolutionStrategy,
    *,
    revision: int,
    actor: str,
    reason: str,
    choices: Mapping[str, Choice] | None = None,
) -> StoredConflict:
    """Store a person's decision; it is applied when the link is next decided, to the values of `revision` only.

    LOCAL_WINS and REMOTE_WINS speak for every unit; LAST_WRITE_WINS and FIRST_WRITE_WINS by the two sides' times, and
    not for a critical conflict (sync-protocol.md §4.1); MANUAL and MERGE by `choices`, one for each unit in conflict.
    A decision that waits is replaced, and needs its approval anew. Raises StoreError: `conflict.stale`,
    `conflict.closed`, `conflict.undecidable`, `conflict.unknown`, `conflict.no_reason`, `actor.invalid`.
    """
    now = datetime.now(UTC)
    shown = show_conflict(database, conflict_id)
    _refuse_closed(shown.conflict)
    _refuse_stale(shown.conflict, revision)
    if not reason.strip():
        raise StoreError(
            "a decision needs a reason",
            code="conflict.no_reason",
            place=f"conflict {conflict_id}",
            remedy="say in a few words why, for whoever asks later",
        )
    chosen = checked_choices(shown, strategy, choices or {}, now)
    with database.write() as transaction:
        conflict = _open_one(transaction, conflict_id)
        _refuse_stale(conflict, revision)
        person = person_named(transaction, actor)
        decision = {
            "strategy": strategy.value,
            "revision": revision,
            "actor": person,
            "sides": {unit: choice.side for unit, choice in chosen.items()},
            "values": {unit: choice.value for unit, choice in chosen.items() if choice.side == "value"},
        }
        change_conflict(
            transaction,
            conflict_id,
            decision=decision,
            decided_by=person,
            decided_at=now,
            reason=reason.strip(),
            approved_by=None,
        )
        if not conflict.two_person:
            _mark(transaction, conflict, now)
        _log(transaction, conflict, "decide", person, now, {"strategy": strategy.value, "units": len(chosen)})
        return get_conflict(transaction, conflict_id)


def approve_conflict(
    database: Database, conflict_id: str, *, revision: int, actor: str, decision: str | None = None
) -> StoredConflict:
    """A second person agrees to the decision that waits; given its code (`decision_code`), to that one only.

    Raises StoreError (`conflict.not_decided`, `conflict.same_person`, `conflict.stale`, `conflict.closed`,
    `conflict.needs_no_approval`, `actor.invalid`).
    """
    now = datetime.now(UTC)
    with database.write() as transaction:
        conflict = _open_one(transaction, conflict_id)
        person = person_named(transaction, actor)
        place = f"conflict {conflict_id}"
        if not conflict.two_person:
            raise StoreError(
                "a decision on this conflict counts without a second person",
                code="conflict.needs_no_approval",
                place=place,
                remedy="nothing is to be done; see who decided: holovitals conflicts show",
            )
        _refuse_stale(conflict, revision)
        waiting = conflict.decision
        if waiting is None or waiting["revision"] != conflict.revision:
            raise StoreError(
                "there is no decision on the current values to approve",
                code="conflict.not_decided",
                place=place,
                remedy="decide it first: holovitals conflicts resolve",
            )
        if decision is not None and decision != decision_code(conflict):
            raise _decided_anew(place)
        if same_person(waiting["actor"], person):
            raise StoreError(
                "whoever decided cannot approve it too",
                code="conflict.same_person",
                place=place,
                remedy="ask a second person",
            )
        change_conflict(transaction, conflict_id, approved_by=person)
        _mark(transaction, conflict, now)
        _log(transaction, conflict, "approve", person, now, None)
        return get_conflict(transaction, conflict_id)


def withdraw_decision(
    database: Database, conflict_id: str, *, actor: str, decision: str | None = None
) -> StoredConflict:
    """Take back a decision that waits to be applied, approved or not; given its code (`decision_code`), that one only.

    The conflict is open again with the values it has. What was applied already is refused: undoing that makes a new
    version. Raises StoreError (`conflict.closed`, `conflict.not_decided`, `conflict.stale`, `actor.invalid`).
    """
    now = datetime.now(UTC)
    with database.write() as transaction:
        conflict = _open_one(transaction, conflict_id)
        person = person_named(transaction, actor)
        place = f"conflict {conflict_id}"
        waiting = decision_code(conflict)
        if waiting is None:
            raise StoreError(
                "no decision waits to be applied: there is nothing to take back",
                code="conflict.not_decided",
                place=place,
                remedy="see what was decided: holovitals conflicts show",
            )
        if decision is not None and decision != waiting:
            raise _decided_anew(place)
        change_conflict(
            transaction, conflict_id, decision=None, decided_by=None, decided_at=None, reason=None, approved_by=None
        )
        _log(transaction, conflict, "withdraw", person, now, {"decided_by": conflict.decided_by})
        return get_conflict(transaction, conflict_id)


def mark_reviewed(database: Database, conflict_id: str, *, actor: str) -> StoredConflict:
    """A person has looked at an automatic decision afterwards. Raises StoreError (`conflict.not_due`) when none is
    due."""
    now = datetime.now(UTC)
    with database.write() as transaction:
        queue_for_documents(transaction)
        conflict = get_conflict(transaction, conflict_id, lock=True)
        person = person_named(transaction, actor)
        if conflict.post_review != "due":
            raise StoreError(
                "no review of this conflict is due",
                code="conflict.not_due",
                place=f"conflict {conflict_id}",
                remedy="see what is due: holovitals conflicts list --post-review",
            )
        change_conflict(transaction, conflict_id, post_review="done", reviewed_by=person)
        _log(transaction, conflict, "review", person, now, None)
        return get_conflict(transaction, conflict_id)


def _open_one(transaction: sa.Connection, conflict_id: str) -> StoredConflict:
    """Locked: whoever applies decisions waits, and the revision stays what it is."""
    queue_for_documents(transaction)
    conflict = get_conflict(transaction, conflict_id, lock=True)
    _refuse_closed(conflict)
    return conflict


def _decided_anew(place: str) -> StoreError:
    return StoreError(
        "it was decided anew since you looked",
        code="conflict.stale",
        place=place,
        remedy="look at the new decision: holovitals conflicts show",
    )


def _refuse_closed(conflict: StoredConflict) -> None:
    if conflict.status not in OPEN:
        raise StoreError(
            f"the conflict is {ConflictStatus(conflict.status).value.lower().replace('_', ' ')}",
            code="conflict.closed",
            place=f"conflict {conflict.conflict_id}",
            remedy="to undo what was decided: holovitals conflicts revert",
        )


def _refuse_stale(conflict: StoredConflict, revision: int) -> None:
    if conflict.revision != revision:
        raise StoreError(
            f"the conflict has revision {conflict.revision}, the decision was made on {revision}",
            code="conflict.stale",
            place=f"conflict {conflict.conflict_id}",
            remedy="look at the values again and decide on them",
        )


def _mark(transaction: sa.Connection, conflict: StoredConflict, now: datetime) -> None:
    query = sa.select(link.c.remote_id).where(link.c.link_id == conflict.link_id)
    row = transaction.execute(query).one_or_none()
    if row is not None:
        named = (conflict.link_id, conflict.connection, conflict.resource_type, row.remote_id)
        mark_links(transaction, [named], Reason.DECIDED, now)


def _log(
    transaction: sa.Connection,
    conflict: StoredConflict,
    action: str,
    actor: str,
    now: datetime,
    detail: Mapping[str, Any] | None,
) -> None:
    """Names and counts only: what a person wrote as the reason stays with the conflict."""
    entry = audit.Entry(
        action=action,
        actor=actor,
        record_id=conflict.record_id,
        link_id=conflict.link_id,
        connection=conflict.connection,
        conflict_id=conflict.conflict_id,
        policy_version=conflict.policy_version,
        detail={"type": ConflictType(conflict.type).value, "revision": conflict.revision, **(detail or {})},
    )
    audit.append(transaction, [entry], at=now)
