"""Recorded conflicts: the queue that people work on, and the history of what was decided.

Law: a link has at most one open conflict; its revisions keep every set of values that was ever shown to a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictStatus
from holovitals_pipelines.store.bulk import fetch_by_keys, insert_rows, update_rows
from holovitals_pipelines.store.prepared import KEYS, Prepared
from holovitals_pipelines.store.tables import sync_conflict, sync_conflict_field

OPEN = (ConflictStatus.DETECTED.value, ConflictStatus.PENDING_REVIEW.value)


@dataclass(frozen=True, slots=True)
class StoredConflict:
    """One row of `sync_conflict`."""

    conflict_id: str
    link_id: str
    job_id: str
    connection: str
    resource_type: str
    record_id: str
    type: str
    severity: str | None
    status: str
    strategy: str | None
    revision: int
    base_local_document: bytes | None
    base_remote_document: bytes | None
    local_document: bytes | None
    remote_document: bytes | None
    remote_version: str | None
    proposal_document: bytes | None
    resolved_document: bytes | None
    local_updated: datetime | None
    remote_updated: datetime | None
    patient: str | None
    rule: str | None
    policy_version: str | None
    two_person: bool | None
    units: int | None
    detected_at: datetime
    due_at: datetime | None
    decision: Mapping[str, Any] | None
    decided_by: str | None
    decided_at: datetime | None
    approved_by: str | None
    reason: str | None
    post_review: str | None
    reviewed_by: str | None
    reopened: int | None
    audit_seq: int | None


@dataclass(frozen=True, slots=True)
class StoredUnit:
    """One row of `sync_conflict_field`; values are JSON text, None where the unit is not there."""

    unit: str
    element: str | None
    kind: str | None
    severity: str | None
    rule: str | None
    base_local: str | None
    base_remote: str | None
    local: str | None
    remote: str | None
    strategy: str | None
    chosen_side: str | None
    chosen: str | None
    why: str | None


CONFLICT_COLUMNS = tuple(StoredConflict.__dataclass_fields__)
UNIT_COLUMNS = tuple(StoredUnit.__dataclass_fields__)
_CONFLICT = [sync_conflict.c[name] for name in CONFLICT_COLUMNS]
_UNIT = [sync_conflict_field.c[name] for name in UNIT_COLUMNS]


_OPEN_OF = Prepared(sa.select(*_CONFLICT).where(sync_conflict.c.status.in_(OPEN), sync_conflict.c.link_id.in_(KEYS)))


def open_conflicts(transaction: sa.Connection, link_ids: Sequence[str]) -> dict[str, StoredConflict]:
    """The open conflict of each link that has one."""
    conflicts = (StoredConflict(*row) for row in _OPEN_OF.by_keys(transaction, sorted(link_ids)))
    return {conflict.link_id: conflict for conflict in conflicts}


def get_conflict(transaction: sa.Connection, conflict_id: str, *, lock: bool = False) -> StoredConflict:
    """Raises StoreError for an unknown id."""
    query = sa.select(*_CONFLICT).where(sync_conflict.c.conflict_id == conflict_id)
    row = transaction.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise StoreError(
            "there is no such conflict",
            code="conflict.unknown",
            place=f"conflict {conflict_id}",
            remedy="see the ids: holovitals conflicts list",
        )
    return StoredConflict(*row)


def units_of(transaction: sa.Connection, conflict_id: str, revision: int) -> list[StoredUnit]:
    """The units of one revision, in the order they were recorded."""
    query = (
        sa.select(*_UNIT)
        .where(sync_conflict_field.c.conflict_id == conflict_id, sync_conflict_field.c.revision == revision)
        .order_by(sync_conflict_field.c.unit)
    )
    return [StoredUnit(*row) for row in transaction.execute(query)]


def units_of_many(transaction: sa.Connection, conflicts: Iterable[StoredConflict]) -> dict[str, list[StoredUnit]]:
    """The units of each conflict's current revision, by conflict id."""
    current = {conflict.conflict_id: conflict.revision for conflict in conflicts}
    query = sa.select(sync_conflict_field.c.conflict_id, sync_conflict_field.c.revision, *_UNIT)
    found: dict[str, list[StoredUnit]] = {conflict_id: [] for conflict_id in current}
    for rows in fetch_by_keys(transaction, query, sync_conflict_field.c.conflict_id, sorted(current)):
        for conflict_id, revision, *unit in rows:
            if revision == current[conflict_id]:
                found[conflict_id].append(StoredUnit(*unit))
    return found


def list_conflicts(
    transaction: sa.Connection,
    *,
    connection: str | None = None,
    resource_type: str | None = None,
    statuses: Sequence[str] | None = None,
    severities: Sequence[str] | None = None,
    post_review: str | None = None,
    patient: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[StoredConflict]:
    """Conflicts by filter: the worst first, then the oldest. `after` is the last id of the page before."""
    rank = sa.case(
        {severity.value: place for place, severity in enumerate(ConflictSeverity)},
        value=sync_conflict.c.severity,
        else_=len(ConflictSeverity),
    )
    order = (rank, sync_conflict.c.detected_at, sync_conflict.c.conflict_id)
    query = sa.select(*_CONFLICT).order_by(*order).limit(limit)
    for column, value in (("connection", connection), ("resource_type", resource_type), ("post_review", post_review)):
        if value is not None:
            query = query.where(sync_conflict.c[column] == value)
    if patient is not None:
        query = query.where(sync_conflict.c.patient == patient)
    if statuses is not None:
        query = query.where(sync_conflict.c.status.in_(statuses))
    if severities is not None:
        query = query.where(sync_conflict.c.severity.in_(severities))
    if after is not None:
        last = get_conflict(transaction, after)
        place = (
            list(ConflictSeverity).index(ConflictSeverity(last.severity)) if last.severity else len(ConflictSeverity)
        )
        place_of_last = (sa.literal(place), sa.literal(last.detected_at), sa.literal(last.conflict_id))
        query = query.where(sa.tuple_(*order) > sa.tuple_(*place_of_last))
    return [StoredConflict(*row) for row in transaction.execute(query)]


def count_by_patient(transaction: sa.Connection, job_id: str) -> dict[str, int]:
    """Conflicts recorded by a job, by patient: many on one patient raise the suspicion of an overlay."""
    query = (
        sa.select(sync_conflict.c.patient, sa.func.count().label("conflicts"))
        .where(sync_conflict.c.job_id == job_id, sync_conflict.c.patient.is_not(None), sync_conflict.c.units > 0)
        .group_by(sync_conflict.c.patient)
    )
    return {row.patient: row.conflicts for row in transaction.execute(query)}


def write_conflicts(
    transaction: sa.Connection,
    new: Iterable[Mapping[str, Any]],
    revised: Iterable[Mapping[str, Any]],
    units: Iterable[tuple[str, int, StoredUnit]],
) -> None:
    """Insert `new` rows, change `revised` ones (by conflict_id), add the units of their revisions."""
    insert_rows(
        transaction,
        sync_conflict,
        CONFLICT_COLUMNS,
        (tuple(row.get(name) for name in CONFLICT_COLUMNS) for row in new),
    )
    changing = tuple(name for name in CONFLICT_COLUMNS if name not in ("conflict_id", "link_id", "connection"))
    update_rows(
        transaction,
        sync_conflict,
        ("conflict_id",),
        changing,
        ((row["conflict_id"], *(row.get(name) for name in changing)) for row in revised),
    )
    insert_rows(
        transaction,
        sync_conflict_field,
        ("conflict_id", "revision", *UNIT_COLUMNS),
        (
            (conflict_id, revision, *(getattr(unit, name) for name in UNIT_COLUMNS))
            for conflict_id, revision, unit in units
        ),
        on_conflict="update",
    )


def change_conflict(transaction: sa.Connection, conflict_id: str, **values: Any) -> None:
    transaction.execute(sync_conflict.update().where(sync_conflict.c.conflict_id == conflict_id).values(**values))
