"""Undoing what was decided: a new forward change that restores the before-image (sync-protocol.md §4.5).

Law: history is never edited, and nothing newer is lost: an undo that something newer contradicts changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from holovitals_pipelines.engine.choices import EVERYTHING
from holovitals_pipelines.engine.conflict_view import IN_CONFLICT
from holovitals_pipelines.engine.local_records import (
    LocalRecord,
    change_record,
    lock_record,
    read_in,
    refuse_invalid,
)
from holovitals_pipelines.engine.people import person_named
from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.conflicts import OPEN, StoredConflict, change_conflict, get_conflict, units_of
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.documents import get_documents, put_documents
from holovitals_pipelines.sync.merge import Unit, merge
from holovitals_pipelines.sync.sides import Side, same, side_of
from holovitals_pipelines.sync.unit_paths import WHOLE
from holovitals_pipelines.sync.verdicts import from_json

NO_CASCADE = "no_cascade"
"""The rule of conflicts in which a vendor deleted what other vendors have; see `sync.decide`."""


@dataclass(frozen=True, slots=True)
class Reverted:
    """The record after the undo, and the number of the entry that tells of it: what undoes the undo."""

    record: LocalRecord
    seq: int


@dataclass(frozen=True, slots=True)
class _Undoing:
    """A change of one record: `after` it had been `before`. None: absent."""

    record_id: str
    cause: str
    conflict_id: str | None
    before: Side | None
    after: Side | None
    version: int | None = None
    """The one the change made, where it made one."""


def revert_conflict(database: Database, conflict_id: str, *, actor: str, reason: str) -> Reverted:
    """Undo what a decision of a conflict, by a person or by policy, made of the record.

    Where the record stayed as it was and the vendor's side gave way, the vendor's values are what is restored; they
    become the record's and flow out from there. Raises StoreError: `revert.contradicted`, `revert.nothing_to_undo`,
    `revert.still_open`, `record.invalid`, `conflict.unknown`, `actor.invalid`, `revert.no_reason`.
    """
    with database.read() as transaction:
        undoing = _decision(transaction, get_conflict(transaction, conflict_id))
    return _revert(database, undoing, actor, reason)


def revert_entry(database: Database, seq: int, *, actor: str, reason: str) -> Reverted:
    """Undo one change of a record by its entry's number in the audit log; an undo can be undone so.

    Raises StoreError: `revert.contradicted`, `revert.nothing_to_undo`, `record.invalid`, `audit.entry_unknown`,
    `actor.invalid`, `revert.no_reason`.
    """
    with database.read() as transaction:
        undoing = _change(transaction, audit.entry(transaction, seq))
    return _revert(database, undoing, actor, reason)


def _revert(database: Database, undoing: _Undoing, actor: str, reason: str) -> Reverted:
    if not reason.strip():
        raise StoreError(
            "undoing needs a reason",
            code="revert.no_reason",
            place=undoing.cause,
            remedy="say in a few words why, for whoever asks later",
        )
    while True:
        with database.read() as transaction:
            seen = read_in(transaction, undoing.record_id)
        target = _target(undoing, seen)
        if target is not None:
            refuse_invalid(target.body, seen.resource_type)
        with database.write() as transaction:
            current = lock_record(transaction, undoing.record_id)
            if current.version == seen.version:
                return _restore(transaction, current, target, undoing, person_named(transaction, actor), reason)


def _restore(
    transaction: sa.Connection, current: LocalRecord, target: Side | None, undoing: _Undoing, person: str, reason: str
) -> Reverted:
    if undoing.conflict_id is not None:
        conflict = get_conflict(transaction, undoing.conflict_id, lock=True)
        if conflict.post_review == "due":
            # Who undoes it has looked at it.
            change_conflict(transaction, conflict.conflict_id, post_review="done", reviewed_by=person)
    # The log holds no free text of people, which may name a patient: it points to it.
    told = reason.strip().encode()
    put_documents(transaction, [(content_hash(told), told)])
    changed, seq = change_record(
        transaction,
        current,
        target.body if target is not None else None,
        person,
        "revert",
        cause=undoing.cause,
        conflict_id=undoing.conflict_id,
        detail={"reason": content_hash(told).hex()},
    )
    return Reverted(changed, seq)


# what is to be undone


def _decision(transaction: sa.Connection, conflict: StoredConflict) -> _Undoing:
    place = f"conflict {conflict.conflict_id}"
    if conflict.status in OPEN:
        raise StoreError(
            "nothing was done about it yet",
            code="revert.still_open",
            place=place,
            remedy="decide it, or decide it otherwise: holovitals conflicts resolve",
        )
    entries = audit.entries(transaction, conflict_id=conflict.conflict_id, limit=1000)
    changes = [one for one in entries if one.changed_a_record and one.action != "revert"]
    if changes:
        return _change(transaction, changes[-1], cause=place)
    if conflict.rule == NO_CASCADE:
        raise _nothing(place, "the record stayed as it was when a vendor deleted its own", "holovitals records delete")
    if not conflict.units:
        raise _nothing(place, "the decision changed nothing", "to change the record: holovitals records edit")
    before, after = _vendors_side(transaction, conflict)
    return _Undoing(conflict.record_id, place, conflict.conflict_id, before, after)


def _change(transaction: sa.Connection, told: audit.LoggedEntry, cause: str | None = None) -> _Undoing:
    place = f"entry {told.seq}"
    if not told.changed_a_record or told.record_id is None:
        raise _nothing(place, "the entry tells of no change of a record", "see which do: holovitals audit list")
    before, after = _sides(transaction, told.before_document, told.after_document)
    return _Undoing(told.record_id, cause or place, told.conflict_id, before, after, told.after_version)


def _vendors_side(transaction: sa.Connection, conflict: StoredConflict) -> tuple[Side | None, Side | None]:
    """What the record would have been had the vendor's side won, and what it was instead."""
    local, remote, base_local, base_remote = _sides(
        transaction,
        conflict.local_document,
        conflict.remote_document,
        conflict.base_local_document,
        conflict.base_remote_document,
    )
    units = [u for u in units_of(transaction, conflict.conflict_id, conflict.revision) if u.kind == IN_CONFLICT]
    if local is None or remote is None or any(unit.unit == WHOLE for unit in units):
        return remote, local
    merged = merge(
        conflict.resource_type,
        base_local=base_local.document if base_local else None,
        base_remote=base_remote.document if base_remote else None,
        local=local.document,
        remote=remote.document,
        capability=EVERYTHING,
        choices={unit.unit: from_json(unit.remote) for unit in units},
    )
    if merged.conflicts:
        raise _contradicted(f"conflict {conflict.conflict_id}", merged.conflicts)
    return side_of(merged.local, local), local


def _sides(transaction: sa.Connection, *addresses: bytes | None) -> list[Side | None]:
    bodies = get_documents(transaction, [bytes(address) for address in addresses if address is not None])
    return [Side(bodies[bytes(address)]) if address is not None else None for address in addresses]


# against what there is now


def _target(undoing: _Undoing, current: LocalRecord) -> Side | None:
    """What the record is to hold; None: it is to be absent."""
    now = Side(current.body) if current.state == "active" else None
    before, after = undoing.before, undoing.after
    if now is None and after is None and undoing.version not in (None, current.version):
        # It came back and was deleted again: that is another decision, about another content.
        raise _contradicted(undoing.cause, ())
    if same(now, after):
        return before
    if same(now, before):
        raise _nothing(
            undoing.cause, "the record already is what it was before", "see its versions: holovitals records history"
        )
    if now is None or before is None or after is None:
        raise _contradicted(undoing.cause, ())
    merged = merge(
        current.resource_type,
        base_local=after.document,
        base_remote=after.document,
        local=now.document,
        remote=before.document,
        capability=EVERYTHING,
    )
    if merged.conflicts:
        raise _contradicted(undoing.cause, merged.conflicts)
    target = side_of(merged.local, now)
    if same(target, now):
        raise _nothing(undoing.cause, "nothing is left of the change", "see its versions: holovitals records history")
    return target


def _contradicted(place: str, units: tuple[Unit, ...]) -> StoreError:
    elements = ", ".join(sorted({unit.element for unit in units})) or "the whole resource"
    return StoreError(
        f"changed again since: {elements}; nothing was undone",
        code="revert.contradicted",
        place=place,
        remedy="look at the newer versions (holovitals records history), undo those first or edit the record",
    )


def _nothing(place: str, message: str, remedy: str) -> StoreError:
    return StoreError(message, code="revert.nothing_to_undo", place=place, remedy=remedy)
