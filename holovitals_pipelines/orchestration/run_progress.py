"""Progress of a stage as Dagster log events: one line a finished resource type, and now and then one in between."""

from __future__ import annotations

import time
from collections import Counter

import dagster as dg

from holovitals_pipelines.model.vocabulary import Stage

SECONDS_BETWEEN_LINES = 10.0


class RunProgress:
    """Counts only; the event log never sees more."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log
        self._rows: Counter[tuple[Stage, str]] = Counter()
        self._said_at = time.monotonic()

    def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None:
        self._rows[stage, resource_type] += rows
        if time.monotonic() - self._said_at > SECONDS_BETWEEN_LINES:
            self._said_at = time.monotonic()
            self._log.info(
                f"{connection}: {stage} of {resource_type}: {self._rows[stage, resource_type]:,} rows so far"
            )

    def ended(self, connection: str, stage: Stage, resource_type: str) -> None:
        self._log.info(f"{connection}: {stage} of {resource_type} done: {self._rows[stage, resource_type]:,} rows")
