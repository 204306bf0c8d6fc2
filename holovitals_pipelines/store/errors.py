"""The error list of every job, without health data.

Law: what a vendor or a worker said is kept with its code, place and remedy, however the job ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.job import ReportedError
from holovitals_pipelines.model.vocabulary import ErrorSeverity, Stage
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.tables import sync_error

_COLUMNS = (
    "job_id",
    "connection",
    "resource_type",
    "stage",
    "severity",
    "code",
    "message",
    "remedy",
    "source",
    "line",
    "at",
)


def add_errors(
    transaction: sa.Connection,
    job_id: str,
    connection: str,
    stage: Stage,
    problems: Sequence[Problem],
    at: datetime,
) -> None:
    """List `problems` under the job, in their order. Their bodies are not kept here."""
    rows = (
        (
            job_id,
            connection,
            problem.resource_type,
            stage.value,
            problem.severity.value,
            problem.code,
            problem.message,
            problem.remedy,
            problem.source,
            problem.line,
            at,
        )
        for problem in problems
    )
    insert_rows(transaction, sync_error, _COLUMNS, rows)


def errors_of(transaction: sa.Connection, job_id: str, limit: int = 100) -> list[ReportedError]:
    """The first `limit` errors and warnings of a job, in the order they came."""
    names = ("severity", "code", "message", "remedy", "resource_type", "source", "line")
    query = (
        sa.select(*(sync_error.c[name] for name in names))
        .where(sync_error.c.job_id == job_id)
        .order_by(sync_error.c.error_id)
        .limit(limit)
    )
    return [ReportedError(**row._mapping) for row in transaction.execute(query)]


def count_errors(transaction: sa.Connection, job_id: str) -> dict[ErrorSeverity, int]:
    """How many entries a job's error list has, by severity; severities without any are absent."""
    query = (
        sa.select(sync_error.c.severity, sa.func.count().label("entries"))
        .where(sync_error.c.job_id == job_id)
        .group_by(sync_error.c.severity)
    )
    return {ErrorSeverity(row.severity): row.entries for row in transaction.execute(query)}
