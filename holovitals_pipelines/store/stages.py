"""How far each resource type of a job has come, stage by stage, with the counts of what was done.

Law: counts are written in the transaction that does what they count, so a killed job reports true numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Stage
from holovitals_pipelines.store.jobs import append_event, history
from holovitals_pipelines.store.tables import sync_stage


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of one resource type; `counts` and `busy_seconds` are totals since its last restart."""

    resource_type: str
    stage: Stage
    state: str
    """running, done or failed."""
    started_at: datetime
    finished_at: datetime | None
    busy_seconds: float
    counts: Mapping[str, int]
    watermark: datetime | None
    snapshot: bool
    mechanism: str | None
    error_code: str | None
    error_message: str | None


def begin_stage(
    transaction: sa.Connection,
    job_id: str,
    resource_type: str,
    stage: Stage,
    at: datetime,
    *,
    restart: bool = False,
    mechanism: ChangeMechanism | None = None,
) -> None:
    """Mark the stage as running. An interrupted stage keeps its counts and its time, unless `restart` forgets them."""
    found = _lock(transaction, job_id, resource_type, stage)
    fresh: dict[str, Any] = {"started_at": at, "busy_seconds": 0.0, "counts": {}}
    values: dict[str, Any] = {"state": "running", "finished_at": None, "error_code": None, "error_message": None}
    if mechanism is not None:
        values["mechanism"] = mechanism.value
    if found is None:
        key = {"job_id": job_id, "resource_type": resource_type, "stage": stage.value}
        transaction.execute(sync_stage.insert().values(**key, **values, **fresh))
    else:
        _update(transaction, job_id, resource_type, stage, values | (fresh if restart else {}))
    _note(transaction, job_id, resource_type, stage, "running", at)


def add_counts(
    transaction: sa.Connection,
    job_id: str,
    resource_type: str,
    stage: Stage,
    counts: Mapping[str, int],
    busy_seconds: float = 0.0,
) -> None:
    """Add to the stage's counts and time. Raises LookupError for a stage that was not begun."""
    found = _lock(transaction, job_id, resource_type, stage)
    if found is None:
        raise LookupError(f"stage {stage} of {resource_type} was not begun")
    total = dict(found.counts)
    for name, more in counts.items():
        total[name] = total.get(name, 0) + more
    values = {"counts": total, "busy_seconds": found.busy_seconds + busy_seconds}
    _update(transaction, job_id, resource_type, stage, values)


def end_stage(
    transaction: sa.Connection,
    job_id: str,
    resource_type: str,
    stage: Stage,
    at: datetime,
    *,
    error: HoloVitalsError | None = None,
    watermark: datetime | None = None,
    snapshot: bool = False,
    busy_seconds: float = 0.0,
    passing: bool = False,
) -> None:
    """Close the stage as done, or as failed with `error`. Raises LookupError for a stage that was not begun.

    `passing`: the error may be gone at the next attempt.
    """
    found = _lock(transaction, job_id, resource_type, stage)
    if found is None:
        raise LookupError(f"stage {stage} of {resource_type} was not begun")
    state = "done" if error is None else "failed"
    values = {
        "state": state,
        "finished_at": at,
        "busy_seconds": found.busy_seconds + busy_seconds,
        "watermark": watermark,
        "snapshot": snapshot,
        "error_code": error.code if error else None,
        "error_message": error.message if error else None,
    }
    _update(transaction, job_id, resource_type, stage, values)
    _note(transaction, job_id, resource_type, stage, state, at, error, passing)


def failed_in_passing(transaction: sa.Connection, job_id: str) -> set[str]:
    """Resource types of which a stage failed, last, with an error that may be gone at the next attempt."""
    newest: dict[tuple[str, str], bool] = {}
    for event in history(transaction, job_id):
        if event.kind == "stage" and event.detail is not None:
            newest[event.detail["resource_type"], event.detail["stage"]] = event.detail.get("passing", False)
    return {resource_type for (resource_type, _), passing in newest.items() if passing}


def start_over(transaction: sa.Connection, job_id: str, resource_type: str, at: datetime) -> None:
    """The type's extract, where the job has one, runs again from nothing; its later stages were never begun."""
    later = [stage.value for stage in Stage if stage is not Stage.EXTRACT]
    transaction.execute(
        sync_stage.delete().where(
            sync_stage.c.job_id == job_id, sync_stage.c.resource_type == resource_type, sync_stage.c.stage.in_(later)
        )
    )
    if _lock(transaction, job_id, resource_type, Stage.EXTRACT) is not None:
        begin_stage(transaction, job_id, resource_type, Stage.EXTRACT, at, restart=True)


def stages_of(transaction: sa.Connection, job_id: str) -> list[StageRow]:
    """Every stage of the job that was begun, in the order they began."""
    query = _STAGES.where(sync_stage.c.job_id == job_id).order_by(
        sync_stage.c.started_at, sync_stage.c.resource_type, sync_stage.c.stage
    )
    return [_stage_row(row) for row in transaction.execute(query)]


def stages_of_jobs(transaction: sa.Connection, job_ids: Sequence[str]) -> dict[str, list[StageRow]]:
    """As `stages_of`, of several jobs at once."""
    query = sa.select(*sync_stage.columns).where(sync_stage.c.job_id.in_(job_ids))
    found: dict[str, list[StageRow]] = {job_id: [] for job_id in job_ids}
    for row in transaction.execute(
        query.order_by(sync_stage.c.started_at, sync_stage.c.resource_type, sync_stage.c.stage)
    ):
        values = dict(row._mapping)
        found[values.pop("job_id")].append(StageRow(**{**values, "stage": Stage(row.stage)}))
    return found


def stage_of(transaction: sa.Connection, job_id: str, resource_type: str, stage: Stage) -> StageRow | None:
    """One of them; None for a stage that was not begun."""
    row = transaction.execute(_STAGES.where(_is(job_id, resource_type, stage))).one_or_none()
    return None if row is None else _stage_row(row)


_STAGES = sa.select(*(column for column in sync_stage.columns if column.name != "job_id"))


def _stage_row(row: sa.Row[Any]) -> StageRow:
    return StageRow(**{**row._mapping, "stage": Stage(row.stage)})


def _is(job_id: str, resource_type: str, stage: Stage) -> sa.ColumnElement[bool]:
    return sa.and_(
        sync_stage.c.job_id == job_id,
        sync_stage.c.resource_type == resource_type,
        sync_stage.c.stage == stage.value,
    )


def _lock(transaction: sa.Connection, job_id: str, resource_type: str, stage: Stage) -> sa.Row[Any] | None:
    query = sa.select(sync_stage).where(_is(job_id, resource_type, stage)).with_for_update()
    return transaction.execute(query).one_or_none()


def _update(
    transaction: sa.Connection, job_id: str, resource_type: str, stage: Stage, values: Mapping[str, Any]
) -> None:
    transaction.execute(sync_stage.update().where(_is(job_id, resource_type, stage)).values(**values))


def _note(
    transaction: sa.Connection,
    job_id: str,
    resource_type: str,
    stage: Stage,
    state: str,
    at: datetime,
    error: HoloVitalsError | None = None,
    passing: bool = False,
) -> None:
    detail: dict[str, str | bool] = {"stage": stage.value, "resource_type": resource_type, "state": state}
    if error is not None:
        detail |= {"error_code": error.code} | ({"passing": True} if passing else {})
    append_event(transaction, job_id, "stage", at, detail=detail)
