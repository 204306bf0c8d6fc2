"""Days on which no sync ran: the next complete read has brought what changed on them, so their partitions are filled.

Law: a day counts as filled only by a read that began before it and was complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from holovitals_pipelines.model.vocabulary import Stage
from holovitals_pipelines.store.watermarks import watermarks_of

if TYPE_CHECKING:
    from holovitals_pipelines.engine.session import JobSession

MOST_DAYS = 31
"""Each is an event of Dagster's history for each asset; what is older stays open, and can be backfilled."""


class MissedDays:
    """Of a connection's resource types, as of when a step began: a later step moves the watermarks."""

    def __init__(self, session: JobSession, days: dg.DailyPartitionsDefinition) -> None:
        self._session, self._first = session, days.start.date()
        request = session.request
        if request.window is not None or request.replay or request.is_named:
            self._read_up_to: dict[str, date] = {}
            return
        with session.home.database.read() as transaction:
            marks = watermarks_of(transaction, session.connection.name)
        self._read_up_to = {name: at.date() for name, at in marks.items()}

    def of(self, resource_type: str) -> list[date]:
        """None in the ordinary case, where the last sync was today or yesterday."""
        before = self._read_up_to.get(resource_type)
        today = self._session.now().date()
        if before is None or before >= today - timedelta(days=1) or not self._is_complete(resource_type):
            return []
        begin = max(before + timedelta(days=1), self._first, today - timedelta(days=MOST_DAYS))
        return [begin + timedelta(days=number) for number in range((today - begin).days)]

    def filled(self, layer: str, resource_type: str) -> Iterator[dg.AssetMaterialization]:
        for day in self.of(resource_type):
            yield dg.AssetMaterialization(
                [self._session.connection.name, layer, resource_type],
                partition=day.isoformat(),
                metadata={"filled by": f"the sync of {self._session.now():%Y-%m-%d}, which read all that had changed"},
            )

    def _is_complete(self, resource_type: str) -> bool:
        row = self._session.stage_row(resource_type, Stage.EXTRACT)
        return row is not None and row.state == "done"
