"""Conflicts as people look at them: found by the beginning of an id, unit by unit, side by side, with their history.

Law: nothing here changes anything; a value is the exact JSON text of what a side held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa

from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.conflicts import (
    OPEN,
    StoredConflict,
    StoredUnit,
    get_conflict,
    list_conflicts,
    units_of,
    units_of_many,
)
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.tables import record, record_version, sync_conflict
from holovitals_pipelines.sync.content import content_of
from holovitals_pipelines.sync.unit_paths import WHOLE
from holovitals_pipelines.sync.units import MISSING
from holovitals_pipelines.sync.verdicts import as_json

IN_CONFLICT = "conflict"
"""The kind of the units that a person decides; the other kinds need no decision."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One entry of the audit log about a conflict; `reason` is what a person gave for undoing it."""

    seq: int
    at: datetime
    actor: str
    action: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class ShownConflict:
    """A conflict with all that a person needs to decide it; documents are exact JSON, None where a side is absent."""

    conflict: StoredConflict
    units: tuple[StoredUnit, ...]
    """Of the current revision, by name."""
    base_local: bytes | None
    base_remote: bytes | None
    local: bytes | None
    remote: bytes | None
    proposal: bytes | None
    local_by: str | None = None
    """Who wrote what local holds; nobody can tell who wrote what the vendor holds."""
    history: tuple[Happening, ...] = ()

    @property
    def open_units(self) -> tuple[StoredUnit, ...]:
        """The units that need a choice, in the order they are numbered in."""
        return tuple(unit for unit in self.units if unit.kind == IN_CONFLICT)


@dataclass(frozen=True, slots=True)
class Row:
    """One unit, side by side. Values are JSON text, None where the unit is not there."""

    number: int | None
    """What a choice may call it by, from 1; None where there is nothing to choose."""
    unit: str
    element: str | None
    kind: str | None
    severity: str | None
    rule: str | None
    base: str | None
    """What both sides agreed on last; `base_remote` is the vendor's form of it, where that is another."""
    base_remote: str | None
    local: str | None
    remote: str | None
    proposal: str | None
    """What both sides are to hold as things stand; meaningless while `undecided`."""
    undecided: bool
    chosen_side: str | None
    why: str | None


def find_conflict_id(database: Database, beginning: str) -> str:
    """The id of the one conflict whose id begins so. Raises StoreError when there is none, or more than one."""
    column = sync_conflict.c.conflict_id
    query = sa.select(column).where(column.startswith(beginning, autoescape=True)).limit(2)
    with database.read() as transaction:
        found: list[str] = list(transaction.execute(query).scalars())
    if len(found) == 1:
        return found[0]
    raise StoreError(
        "several conflicts have ids that begin so" if found else "there is no such conflict",
        code="conflict.ambiguous" if found else "conflict.unknown",
        place=f"conflict {beginning}",
        remedy="give more of the id" if found else "see the ids: holovitals conflicts list --status all",
    )


def show_conflict(database: Database, conflict_id: str) -> ShownConflict:
    """Everything about one conflict, as of one instant. Raises StoreError for an unknown id."""
    with database.read() as transaction:
        conflict = get_conflict(transaction, conflict_id)
        units = sorted(units_of(transaction, conflict_id, conflict.revision), key=lambda unit: unit.unit)
        addresses = (
            conflict.base_local_document, conflict.base_remote_document, conflict.local_document,
            conflict.remote_document, conflict.proposal_document,
        )  # fmt: skip
        bodies = get_documents(transaction, [bytes(address) for address in addresses if address is not None])
        base_local, base_remote, local, remote, proposal = (
            bodies[bytes(address)] if address is not None else None for address in addresses
        )
        return ShownConflict(
            conflict,
            tuple(units),
            base_local,
            base_remote,
            local,
            remote,
            proposal,
            _writer_of_local(transaction, conflict),
            _history(transaction, conflict_id),
        )


def decision_code(conflict: StoredConflict) -> str | None:
    """What tells the decision that waits from any other on the same values; it says nothing of its content."""
    if conflict.status not in OPEN or conflict.decision is None or conflict.decided_at is None:
        return None
    named = f"{conflict.conflict_id}|{conflict.revision}|{conflict.decided_by}|{conflict.decided_at.isoformat()}"
    return sha256(named.encode()).hexdigest()[:8]


def matching_conflicts(
    database: Database,
    *,
    connection: str | None = None,
    resource_type: str | None = None,
    statuses: Sequence[str] | None = None,
    severities: Sequence[str] | None = None,
    post_review: str | None = None,
    patient: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[tuple[StoredConflict, tuple[str, ...]]]:
    """Conflicts by filter, the worst first, each with the names of the elements in conflict: no values."""
    with database.read() as transaction:
        found = list_conflicts(
            transaction,
            connection=connection,
            resource_type=resource_type,
            statuses=statuses,
            severities=severities,
            post_review=post_review,
            patient=patient,
            limit=limit,
            after=after,
        )
        units = units_of_many(transaction, found) if found else {}
    return [(conflict, _elements(units[conflict.conflict_id])) for conflict in found]


def _elements(units: Sequence[StoredUnit]) -> tuple[str, ...]:
    return tuple(sorted({unit.element or "" for unit in units if unit.kind == IN_CONFLICT}))


def rows_of(shown: ShownConflict) -> list[Row]:
    """The conflict's units, those that need a choice first and numbered. A decision that waits is their proposal."""
    rows = [_row(_as_decided(unit, shown.conflict), number) for number, unit in enumerate(shown.open_units, start=1)]
    return rows + [_row(unit, None) for unit in shown.units if unit.kind != IN_CONFLICT]


def _as_decided(unit: StoredUnit, conflict: StoredConflict) -> StoredUnit:
    decision = conflict.decision if conflict.status in OPEN else None
    if decision is None or unit.unit not in decision["sides"]:
        return unit
    side = decision["sides"][unit.unit]
    chosen = {"local": unit.local, "remote": unit.remote, "value": decision["values"].get(unit.unit)}[side]
    return replace(unit, chosen_side=side, chosen=chosen, why=f"decided by {decision['actor']}, not applied yet")


def _row(unit: StoredUnit, number: int | None) -> Row:
    proposals = {"pulled": unit.remote, "pushed": unit.local, "agreed": unit.local, "standing": unit.local}
    proposal = unit.chosen if unit.chosen_side is not None else proposals.get(unit.kind or "")
    if unit.unit == WHOLE and unit.chosen_side is not None:
        proposal = unit.local if unit.chosen_side == "local" else unit.remote
    undecided = unit.kind == IN_CONFLICT and unit.chosen_side is None
    return Row(
        number, unit.unit, unit.element, unit.kind, unit.severity, unit.rule, unit.base_local,
        unit.base_remote if unit.base_remote != unit.base_local else None, unit.local, unit.remote,
        proposal, undecided, unit.chosen_side, unit.why,
    )  # fmt: skip


def elements_apart(shown: ShownConflict) -> list[Row]:
    """For a conflict about whole resources: the elements in which the sides and their last agreement differ."""
    bodies = (shown.base_local, shown.base_remote, shown.local, shown.remote)
    base, base_remote, local, remote = (content_of(read_document(body)) if body else {} for body in bodies)
    rows = []
    for name in sorted({**base, **base_remote, **local, **remote}):
        was, was_remote, here, there = (as_json(side.get(name, MISSING)) for side in (base, base_remote, local, remote))
        if len({was, was_remote, here, there}) > 1:
            apart = was_remote if was_remote != was else None
            rows.append(Row(None, name, name, "part", None, None, was, apart, here, there, None, False, None, None))
    return rows


def _writer_of_local(transaction: sa.Connection, conflict: StoredConflict) -> str | None:
    """Who made the version that local held, found by its body: the newest one that had it."""
    if conflict.local_document is None:
        return None
    now = sa.select(record.c.changed_by).where(
        record.c.record_id == conflict.record_id, record.c.document_hash == conflict.local_document
    )
    before = (
        sa.select(record_version.c.changed_by)
        .where(
            record_version.c.record_id == conflict.record_id,
            record_version.c.document_hash == conflict.local_document,
        )
        .order_by(record_version.c.version.desc())
        .limit(1)
    )
    return transaction.execute(now).scalar() or transaction.execute(before).scalar()


def _history(transaction: sa.Connection, conflict_id: str) -> tuple[Happening, ...]:
    entries = audit.entries(transaction, conflict_id=conflict_id, limit=1000)
    named = {one.seq: (one.detail or {}).get("reason") for one in entries}
    reasons = get_documents(transaction, [bytes.fromhex(address) for address in named.values() if address])
    happened = []
    for one in entries:
        address = named[one.seq]
        reason = reasons[bytes.fromhex(address)].decode() if address else None
        happened.append(Happening(one.seq, one.at, one.actor, one.action, reason))
    return tuple(happened)
