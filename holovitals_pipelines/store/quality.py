"""Outcomes of quality checks: counts by claim, kept for the notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.quality import CheckOutcome
from holovitals_pipelines.store.tables import quality_result


def save_quality(
    transaction: sa.Connection,
    job_id: str,
    connection: str,
    resource_type: str,
    outcomes: Iterable[CheckOutcome],
    at: datetime,
) -> None:
    """One row a claim of the job's batch; judging a batch again replaces what was said of it.

    A claim that found no rows to judge says nothing, and does not hide what it said of the batch before.
    """
    rows = [
        {
            "job_id": job_id,
            "connection": connection,
            "resource_type": resource_type,
            "check_name": outcome.name,
            "expectation": outcome.expectation,
            "severity": outcome.severity.value,
            "passed": outcome.passed,
            "rows": outcome.rows,
            "unexpected": outcome.unexpected,
            "at": at,
        }
        for outcome in outcomes
        if outcome.rows
    ]
    if not rows:
        return
    transaction.execute(
        quality_result.delete().where(
            quality_result.c.job_id == job_id,
            quality_result.c.connection == connection,
            quality_result.c.resource_type == resource_type,
            quality_result.c.check_name.in_([row["check_name"] for row in rows]),
        )
    )
    transaction.execute(quality_result.insert(), rows)
