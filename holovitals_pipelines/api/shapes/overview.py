"""How the installation stands, as the API tells it to the dashboard: numbers and names, nothing of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated

from pydantic import Field

from holovitals_pipelines.api.shapes.base import Told
from holovitals_pipelines.api.shapes.conflicts import ConflictEntry
from holovitals_pipelines.api.shapes.jobs import JobEntry, Statistics
from holovitals_pipelines.engine.overview import ConnectionNow, NotedError, Overview


class ConnectionStanding(Told):
    connection: str
    provider: Annotated[str, Field(examples=["epic"])]
    enabled: bool
    linked_records: Annotated[int, Field(description="records that are kept in agreement with this vendor")]
    open_conflicts: int
    last_status: Annotated[str | None, Field(description="as what its newest job ended")]
    last_error: Annotated[str | None, Field(description="the code of what that job failed with")]

    @classmethod
    def of(cls, one: ConnectionNow) -> ConnectionStanding:
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class ErrorEntry(Told):
    at: datetime
    connection: str
    resource_type: str | None
    severity: str
    code: str
    message: str
    remedy: str | None
    job_id: str

    @classmethod
    def of(cls, one: NotedError) -> ErrorEntry:
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


Counts = Mapping[str, int]


class Dashboard(Told):
    """Everything the dashboard shows, as of one moment; of jobs and errors, the days since `since`."""

    since: date
    statistics: Statistics
    persons: int
    open_conflicts: Annotated[Counts, Field(description="by severity")]
    queue: Annotated[Counts, Field(description="jobs by status, all there are")]
    queue_oldest_seconds: Annotated[int, Field(description="how long the first of the queue has waited")]
    waiting_writes: Annotated[int, Field(description="writes that a vendor has not confirmed yet")]
    quarantined: int
    webhooks: Annotated[Counts, Field(description="events of the last 24 hours, by status")]
    connections: Sequence[ConnectionStanding]
    active_jobs: Sequence[JobEntry]
    waiting_jobs: Annotated[Sequence[JobEntry], Field(description="some of the queue; `queue` has the counts")]
    ended_jobs: Annotated[Sequence[JobEntry], Field(description="the newest")]
    errors: Annotated[Sequence[ErrorEntry], Field(description="the newest errors and warnings")]
    conflicts: Annotated[Sequence[ConflictEntry], Field(description="open ones, the worst first")]

    @classmethod
    def of(cls, one: Overview) -> Dashboard:
        gauges = one.gauges
        return cls(
            since=one.since,
            statistics=Statistics.model_validate(one.numbers),
            persons=one.persons,
            open_conflicts=gauges["conflicts_open"],
            queue=gauges["jobs"],
            queue_oldest_seconds=max(gauges["queue_oldest_seconds"].values(), default=0),
            waiting_writes=sum(gauges["outbox_writes"].values()),
            quarantined=sum(gauges["quarantine_held"].values()),
            webhooks=one.webhooks,
            connections=[ConnectionStanding.of(each) for each in one.connections],
            active_jobs=[JobEntry.model_validate(view.as_json(named=False)) for view in one.active],
            waiting_jobs=[JobEntry.model_validate(view.as_json(named=False)) for view in one.waiting],
            ended_jobs=[JobEntry.model_validate(view.as_json(named=False)) for view in one.ended],
            errors=[ErrorEntry.of(each) for each in one.errors],
            conflicts=[ConflictEntry.of(conflict, elements) for conflict, elements in one.conflicts],
        )
