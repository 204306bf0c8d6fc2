"""What people do with conflicts: decide, approve, look at automatic decisions, set aside.

Law: a decision names the revision it was made on; one made on other values than the current ones is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.fhir.exact import read_value
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import ConflictStatus, ConflictType, ResolutionStrategy
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.conflicts import (
    OPEN,
    StoredConflict,
    StoredUnit,
    change_conflict,
    get_conflict,
    units_of,
)
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.tables import link
from holovitals_pipelines.sync.facts import WHOLE


@dataclass(frozen=True, slots=True)
class Choice:
    """What to hold of one unit: a side's value, or a value of the person's own (`value`, JSON text; None removes)."""

    side: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class ShownConflict:
    """A conflict with all that a person needs to decide it; documents are exact JSON, None where a side is absent."""

    conflict: StoredConflict
    units: list[StoredUnit]
    base_local: bytes | None
    base_remote: bytes | None
    local: bytes | None
    remote: bytes | None
    proposal: bytes | None


def show_conflict(database: Database, conflict_id: str) -> ShownConflict:
    """Raises StoreError for an unknown id."""
    with database.read() as transaction:
        conflict = get_conflict(transaction, conflict_id)
        units = units_of(transaction, conflict_id, conflict.revision)
        addresses = (
            conflict.base_local_document, conflict.base_remote_document, conflict.local_document,
            conflict.remote_document, conflict.proposal_document,
        )  # fmt: skip
        bodies = get_documents(transaction, [bytes(address) for address in addresses if address is not None])
    found = [bodies[bytes(address)] if address is not None else None for address in addresses]
    return ShownConflict(conflict, units, *found)


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

    LOCAL_WINS and REMOTE_WINS speak for every unit; LAST_WRITE_WINS and FIRST_WRITE_WINS by the two sides' times;
    MANUAL and MERGE by `choices`, one for each conflicted unit. Raises StoreError: `conflict.stale`,
    `conflict.closed`, `conflict.undecidable`, `conflict.unknown`.
    """
    now = datetime.now(UTC)
    with database.write() as transaction:
        conflict = _open_one(transaction, conflict_id)
        if conflict.revision != revision:
            raise StoreError(
                f"the conflict has revision {conflict.revision}, the decision was made on {revision}",
                code="conflict.stale",
                place=f"conflict {conflict_id}",
                remedy="look at the values again and decide on them",
            )
        units = [unit for unit in units_of(transaction, conflict_id, revision) if unit.kind == "conflict"]
        chosen = _chosen(conflict, units, strategy, choices or {})
        decision = {
            "strategy": strategy.value,
            "revision": revision,
            "actor": actor,
            "sides": {unit: choice.side for unit, choice in chosen.items()},
            "values": {unit: choice.value for unit, choice in chosen.items() if choice.side == "value"},
        }
        change_conflict(
            transaction,
            conflict_id,
            decision=decision,
            decided_by=actor,
            decided_at=now,
            reason=reason,
            approved_by=None,
        )
        if not conflict.two_person:
            _mark(transaction, conflict, now)
        _log(transaction, conflict, "decide", actor, now, {"strategy": strategy.value, "units": len(chosen)})
        return get_conflict(transaction, conflict_id)


def approve_conflict(database: Database, conflict_id: str, *, revision: int, actor: str) -> StoredConflict:
    """A second person agrees to the decision that waits. Raises StoreError (`conflict.not_decided`,
    `conflict.same_person`, `conflict.stale`, `conflict.closed`)."""
    now = datetime.now(UTC)
    with database.write() as transaction:
        conflict = _open_one(transaction, conflict_id)
        decision = conflict.decision
        if decision is None or decision["revision"] != conflict.revision or revision != conflict.revision:
            raise StoreError(
                "there is no decision on the current values to approve",
                code="conflict.not_decided",
                place=f"conflict {conflict_id}",
                remedy="decide it first: holovitals conflicts resolve",
            )
        if decision["actor"] == actor:
            raise StoreError(
                "whoever decided cannot approve it too",
                code="conflict.same_person",
                place=f"conflict {conflict_id}",
                remedy="ask a second person",
            )
        change_conflict(transaction, conflict_id, approved_by=actor)
        _mark(transaction, conflict, now)
        _log(transaction, conflict, "approve", actor, now, None)
        return get_conflict(transaction, conflict_id)


def mark_reviewed(database: Database, conflict_id: str, *, actor: str) -> StoredConflict:
    """A person has looked at an automatic decision afterwards. Raises StoreError when none is due."""
    now = datetime.now(UTC)
    with database.write() as transaction:
        conflict = get_conflict(transaction, conflict_id, lock=True)
        if conflict.post_review != "due":
            raise StoreError(
                "no review of this conflict is due",
                code="conflict.not_due",
                place=f"conflict {conflict_id}",
                remedy="see what is due: holovitals conflicts list --post-review",
            )
        change_conflict(transaction, conflict_id, post_review="done", reviewed_by=actor)
        _log(transaction, conflict, "review", actor, now, None)
        return get_conflict(transaction, conflict_id)


def _open_one(transaction: sa.Connection, conflict_id: str) -> StoredConflict:
    conflict = get_conflict(transaction, conflict_id, lock=True)
    if conflict.status not in OPEN:
        raise StoreError(
            f"the conflict is {ConflictStatus(conflict.status).value.lower().replace('_', ' ')}",
            code="conflict.closed",
            place=f"conflict {conflict_id}",
            remedy="to undo what was decided: holovitals conflicts revert",
        )
    return conflict


def _chosen(
    conflict: StoredConflict, units: list[StoredUnit], strategy: ResolutionStrategy, choices: Mapping[str, Choice]
) -> dict[str, Choice]:
    names = [unit.unit for unit in units]
    if strategy in (ResolutionStrategy.LOCAL_WINS, ResolutionStrategy.REMOTE_WINS):
        side = "local" if strategy is ResolutionStrategy.LOCAL_WINS else "remote"
        return {name: Choice(side) for name in names}
    if strategy in (ResolutionStrategy.LAST_WRITE_WINS, ResolutionStrategy.FIRST_WRITE_WINS):
        return {name: Choice(_side_by_time(conflict, strategy)) for name in names}
    unknown = sorted(set(choices) - set(names))
    missing = sorted(set(names) - set(choices))
    if unknown or missing:
        raise _undecidable(
            conflict,
            f"{len(missing)} units in conflict have no choice, and {len(unknown)} choices name none of them",
            "give one choice for each conflicted unit, named as the conflict shows it",
        )
    for name, choice in choices.items():
        _check_choice(conflict, name, choice)
    return dict(choices)


def _check_choice(conflict: StoredConflict, name: str, choice: Choice) -> None:
    if choice.side not in ("local", "remote", "value"):
        raise _undecidable(conflict, "a choice is local, remote or value", "correct the choice")
    if choice.side == "value" and name == WHOLE:
        raise _undecidable(
            conflict, "a whole resource can only be local's or remote's", "choose a side, then edit the record"
        )
    if choice.side == "value" and choice.value is not None:
        try:
            read_value(choice.value)
        except MalformedResource:
            readable = False
        else:
            readable = True
        if not readable:
            raise _undecidable(conflict, "a chosen value is not JSON", "write strings with their quotes: '\"text\"'")


def _side_by_time(conflict: StoredConflict, strategy: ResolutionStrategy) -> str:
    local, remote = conflict.local_updated, conflict.remote_updated
    if local is None or remote is None or local == remote:
        raise _undecidable(
            conflict, "the sides' times are not known, or the same", "choose LOCAL_WINS, REMOTE_WINS or MANUAL"
        )
    later = "local" if local > remote else "remote"
    earlier = "remote" if later == "local" else "local"
    return later if strategy is ResolutionStrategy.LAST_WRITE_WINS else earlier


def _undecidable(conflict: StoredConflict, message: str, remedy: str) -> StoreError:
    return StoreError(message, code="conflict.undecidable", place=f"conflict {conflict.conflict_id}", remedy=remedy)


def _mark(transaction: sa.Connection, conflict: StoredConflict, now: datetime) -> None:
    query = sa.select(link.c.remote_id).where(link.c.link_id == conflict.link_id)
    remote_id = transaction.execute(query).scalar_one_or_none()
    named = (conflict.link_id, conflict.connection, conflict.resource_type, remote_id)
    mark_links(transaction, [named], Reason.DECIDED, now)


def _log(
    transaction: sa.Connection,
    conflict: StoredConflict,
    action: str,
    actor: str,
    now: datetime,
    detail: dict[str, Any] | None,
) -> None:
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
