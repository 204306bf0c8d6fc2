"""Which parts of the landing zone exist, and how far the extract that wrote them had come.

Law: parts and the cursor that resumes right after them become visible in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import Dataset, Stage
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.landing import WrittenPart
from holovitals_pipelines.store.tables import extract_progress, landing_part, sync_job, sync_stage


@dataclass(frozen=True, slots=True)
class Part:
    """A visible part; `path` is relative to the landing zone's root."""

    part_id: int
    connection: str
    job_id: str
    dataset: Dataset
    resource_type: str
    path: str
    rows: int
    bytes: int
    sha256: str
    landed_at: datetime


def register_parts(
    transaction: sa.Connection, connection: str, job_id: str, written: Sequence[WrittenPart], at: datetime
) -> None:
    """Make written parts visible when `transaction` commits."""
    columns = ("connection", "job_id", "dataset", "resource_type", "path", "rows", "bytes", "sha256", "landed_at")
    rows = (
        (connection, job_id, part.dataset.value, part.resource_type, part.path, part.rows, part.bytes, part.sha256, at)
        for part in written
    )
    insert_rows(transaction, landing_part, columns, rows)


def parts_of(transaction: sa.Connection, job_id: str, dataset: Dataset, resource_type: str | None = None) -> list[Part]:
    """The visible parts of a job's dataset, in the order they landed."""
    query = _parts().where(landing_part.c.job_id == job_id, landing_part.c.dataset == dataset.value)
    if resource_type is not None:
        query = query.where(landing_part.c.resource_type == resource_type)
    return _read(transaction, query)


def unlist_parts(transaction: sa.Connection, job_id: str, dataset: Dataset, resource_type: str) -> int:
    """Make a dataset's parts invisible (its stage starts over); their files are garbage from then on."""
    removed: int = transaction.execute(
        landing_part.delete().where(
            landing_part.c.job_id == job_id,
            landing_part.c.dataset == dataset.value,
            landing_part.c.resource_type == resource_type,
        )
    ).rowcount
    return removed


def newer_extracts(transaction: sa.Connection, job_id: str, connection: str, resource_type: str) -> list[Part]:
    """Extract parts of the type that other jobs of the connection landed after all that `job_id`'s records come from.

    A job that transformed without extracting took the newest finished extract there was when it began.
    """
    began = sa.select(sync_job.c.created_at).where(sync_job.c.job_id == job_id).scalar_subquery()
    source = _last_extract_part(transaction, job_id, resource_type)
    if source is None:
        earlier = newest_job_with(transaction, connection, resource_type, Stage.EXTRACT, sync_job.c.created_at <= began)
        source = _last_extract_part(transaction, earlier, resource_type) if earlier is not None else None
    query = _parts().where(
        landing_part.c.connection == connection,
        landing_part.c.resource_type == resource_type,
        landing_part.c.dataset == Dataset.EXTRACT.value,
        landing_part.c.job_id != job_id,
        landing_part.c.part_id > (source or 0),
    )
    return _read(transaction, query)


def _last_extract_part(transaction: sa.Connection, job_id: str, resource_type: str) -> int | None:
    query = sa.select(sa.func.max(landing_part.c.part_id)).where(
        landing_part.c.job_id == job_id,
        landing_part.c.resource_type == resource_type,
        landing_part.c.dataset == Dataset.EXTRACT.value,
    )
    found: int | None = transaction.execute(query).scalar()
    return found


def parts_since_snapshot(
    transaction: sa.Connection, connection: str, resource_type: str, dataset: Dataset
) -> list[Part]:
    """Parts of the newest complete read of the type and of every job since, as they landed; without one, all."""
    began = (
        sa.select(sa.func.max(sync_job.c.created_at))
        .join(sync_stage, sync_stage.c.job_id == sync_job.c.job_id)
        .where(
            sync_job.c.connection == connection,
            sync_stage.c.resource_type == resource_type,
            sync_stage.c.stage == Stage.EXTRACT.value,
            sync_stage.c.state == "done",
            sync_stage.c.snapshot,
        )
        .scalar_subquery()
    )
    query = (
        _parts()
        .join(sync_job, sync_job.c.job_id == landing_part.c.job_id)
        .where(
            landing_part.c.connection == connection,
            landing_part.c.resource_type == resource_type,
            landing_part.c.dataset == dataset.value,
            sa.or_(began.is_(None), sync_job.c.created_at >= began),
        )
    )
    return _read(transaction, query)


def landed_types(transaction: sa.Connection, connection: str) -> list[str]:
    """Resource types of which the connection has landed something, in the order they first did."""
    query = (
        sa.select(landing_part.c.resource_type)
        .where(landing_part.c.connection == connection, landing_part.c.dataset == Dataset.EXTRACT.value)
        .group_by(landing_part.c.resource_type)
        .order_by(sa.func.min(landing_part.c.part_id))
    )
    return list(transaction.execute(query).scalars())


def newest_job_with(
    transaction: sa.Connection, connection: str, resource_type: str, stage: Stage, *where: sa.ColumnElement[bool]
) -> str | None:
    """The newest job of the connection that finished `stage` for the type; None when there is none."""
    query = (
        sa.select(sync_job.c.job_id)
        .join(sync_stage, sync_stage.c.job_id == sync_job.c.job_id)
        .where(
            sync_job.c.connection == connection,
            sync_stage.c.resource_type == resource_type,
            sync_stage.c.stage == stage.value,
            sync_stage.c.state == "done",
            *where,
        )
        .order_by(sync_job.c.created_at.desc(), sync_job.c.job_id.desc())
        .limit(1)
    )
    found: str | None = transaction.execute(query).scalar()
    return found


def registered_parts(transaction: sa.Connection) -> list[Part]:
    """Every part there is, in the order they were registered."""
    return _read(transaction, _parts())


def known_paths(transaction: sa.Connection) -> set[str]:
    """Every visible path, for `LandingZone.sweep`."""
    return set(transaction.execute(sa.select(landing_part.c.path)).scalars())


def save_progress(transaction: sa.Connection, job_id: str, cursor: Mapping[str, Any], at: datetime) -> None:
    """Keep the cursor that resumes right after the newest registered part."""
    row = (job_id, dict(cursor), at)
    insert_rows(transaction, extract_progress, ("job_id", "cursor", "updated_at"), [row], on_conflict="update")


def load_progress(transaction: sa.Connection, job_id: str) -> dict[str, Any] | None:
    """What `save_progress` kept; None for a job that has landed nothing."""
    query = sa.select(extract_progress.c.cursor).where(extract_progress.c.job_id == job_id)
    found: dict[str, Any] | None = transaction.execute(query).scalar()
    return found


def _parts() -> sa.Select[Any]:
    return sa.select(landing_part).order_by(landing_part.c.part_id)


def _read(transaction: sa.Connection, query: sa.Select[Any]) -> list[Part]:
    return [Part(**{**row._mapping, "dataset": Dataset(row.dataset)}) for row in transaction.execute(query)]
