"""What changed in the records, by whom and why, read from the audit log: between two instants or of given records.

Law: nothing here changes anything or opens a body.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.provenance_export import POLICY
from holovitals_pipelines.model.vocabulary import JobStatus
from holovitals_pipelines.store.bulk import fetch_by_keys
from holovitals_pipelines.store.tables import audit_log, ehr_connection, record, sync_conflict, sync_job

_REASONS = {
    "create_here": "first read from the vendor",
    "pull": "the vendor changed it",
    "delete_here": "the vendor deleted it",
    "create": "made here",
    "edit": "edited here",
    "delete": "deleted here",
    "revert": "a decision or change was undone",
    "merge": "both sides changed, nothing contradicted",
    "resolve": "both sides changed: a conflict was decided",
}


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One entry of the audit log that made a version of a record. Writes to vendors make none here."""

    seq: int
    at: datetime
    resource_type: str
    record_id: str
    before_version: int | None
    after_version: int
    action: str
    by: str
    """`vendor`, `policy` or `person`: what kind of actor it was."""
    actor: str
    why: str
    strategy: str | None
    """By which a conflict was decided."""
    conflict_id: str | None
    job_id: str | None


@dataclass(frozen=True, slots=True)
class EndedJob:
    job_id: str
    connection: str
    type: str
    finished_at: datetime


def changes_between(transaction: sa.Connection, after: datetime, until: datetime, limit: int) -> list[RecordChange]:
    """The newest `limit` changes after the one instant and up to the other, in the order they were made."""
    c = audit_log.c
    query = _changes().where(c.at > after, c.at <= until).order_by(c.seq.desc()).limit(limit)
    return list(_read(transaction, [tuple(row) for row in reversed(transaction.execute(query).all())]))


def changes_of(transaction: sa.Connection, record_ids: Sequence[str]) -> list[RecordChange]:
    """Every change of these records, in the order they were made."""
    found = fetch_by_keys(transaction, _changes(), audit_log.c.record_id, sorted(record_ids))
    rows = sorted((row for part in found for row in part), key=lambda row: row[0])
    return list(_read(transaction, rows))


def ended_jobs(transaction: sa.Connection, limit: int) -> list[EndedJob]:
    """Jobs that completed, the newest first."""
    c = sync_job.c
    query = sa.select(c.job_id, c.connection, c.type, c.finished_at).where(c.status == JobStatus.COMPLETED.value)
    return [EndedJob(*row) for row in transaction.execute(query.order_by(c.finished_at.desc(), c.job_id).limit(limit))]


def end_of_first_jobs(transaction: sa.Connection) -> str | None:
    """The job by which every connection had had its first; None where none has completed."""
    c = sync_job.c
    done = c.status == JobStatus.COMPLETED.value
    first = sa.select(sa.func.min(c.finished_at).label("at")).where(done).group_by(c.connection).subquery()
    query = sa.select(c.job_id).where(done, c.finished_at == sa.select(sa.func.max(first.c.at)).scalar_subquery())
    found: str | None = transaction.execute(query.limit(1)).scalar()
    return found


def _changes() -> sa.Select[Any]:
    c = audit_log.c
    return (
        sa.select(
            c.seq, c.at, record.c.resource_type, c.record_id, c.before_version, c.after_version, c.action, c.actor,
            sync_conflict.c.strategy, c.conflict_id, c.job_id,
        )
        .join(record, record.c.record_id == c.record_id)
        .outerjoin(sync_conflict, sync_conflict.c.conflict_id == c.conflict_id)
        .where(c.after_version.is_not(None), c.before_document.is_distinct_from(c.after_document))
    )  # fmt: skip


def _read(transaction: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> Iterator[RecordChange]:
    vendors = frozenset(transaction.execute(sa.select(ehr_connection.c.name)).scalars())
    for row in rows:
        seq, at, kind, record_id, before, after, action, actor, *rest = row
        by = "policy" if actor.startswith(POLICY) else "vendor" if actor in vendors else "person"
        why = _REASONS.get(action, action.replace("_", " "))
        yield RecordChange(seq, at, kind, record_id, before, after, action, by, actor, why, *rest)
