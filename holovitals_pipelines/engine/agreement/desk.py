"""What deciding and writing back at one connection needs; clock, ids, store and vendor are the caller's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.connection import WriteSettings
from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.providers.adapter import ResourceDesk
from holovitals_pipelines.sync.facts import Rules


@dataclass(frozen=True)
class Desk:
    """One connection's decider. There is at most one at a time: whoever holds the connection's job."""

    connection: str
    vendor: ResourceDesk
    rules: Rules
    transaction: Callable[[], AbstractContextManager[sa.Connection]]
    """A write transaction; refused when the job was taken over by another worker."""
    job_id: str
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    settings: WriteSettings = field(default_factory=WriteSettings)
    allow_deletes: bool = False
    """A person has looked at a held mass deletion and lets it through."""
    left_to_people: list[JobError] = field(default_factory=list)
    """What was found here that only a person can settle; the job reports it."""

    @property
    def tie_seconds(self) -> float:
        """Instants this close have no order (sync-protocol.md §2.6)."""
        return max(2.0, 2 * self.vendor.clock_skew_seconds())
