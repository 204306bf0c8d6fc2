"""From the counts of a job's stages to what became of each resource type."""

from __future__ import annotations

from collections.abc import Iterable

from holovitals_pipelines.model.job import Outcome
from holovitals_pipelines.model.vocabulary import Stage
from holovitals_pipelines.store.stages import StageRow


def outcomes_of(rows: Iterable[StageRow]) -> dict[str, Outcome]:
    """Outcome by resource type, in the order of the rows; unfinished stages count as far as they came."""
    outcomes: dict[str, Outcome] = {}
    for row in rows:
        counts = row.counts
        part = Outcome()
        if row.stage == Stage.EXTRACT:
            part = Outcome(
                extracted=counts.get("extracted", 0),
                quarantined=counts.get("refused", 0),
                bytes=counts.get("bytes", 0),
                extract_seconds=row.busy_seconds,
            )
        elif row.stage == Stage.TRANSFORM:
            part = Outcome(
                extracted=counts.get("replayed", 0),
                unchanged=counts.get("same_bytes", 0),
                duplicates=counts.get("duplicates", 0),
                absent=counts.get("absent", 0),
                quarantined=counts.get("refused", 0),
                transform_seconds=row.busy_seconds,
            )
        elif row.stage == Stage.RECONCILE:
            part = Outcome(
                created=counts.get("created", 0),
                updated=counts.get("updated", 0),
                unchanged=counts.get("same_content", 0),
                conflicts=counts.get("conflicts", 0),
                superseded=counts.get("superseded", 0),
                deletions=counts.get("deletions", 0),
                resolved=counts.get("resolved", 0),
                held=counts.get("held", 0),
                missed=counts.get("missed", 0),
                reconcile_seconds=row.busy_seconds,
            )
        elif row.stage == Stage.WRITE_BACK:
            part = Outcome(
                resolved=counts.get("resolved", 0),
                held=counts.get("held", 0),
                pushed=counts.get("pushed", 0),
                removed=counts.get("removed", 0),
                refused_writes=counts.get("refused_writes", 0),
                write_back_seconds=row.busy_seconds,
            )
        outcomes[row.resource_type] = outcomes.get(row.resource_type, Outcome()).plus(part)
    return outcomes
