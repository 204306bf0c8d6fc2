"""What the tests of the job queue share: a clock and chance that stand still, and a vendor that fails as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import claim_next, run_claimed, submit
from holovitals_pipelines.engine.job_sweep import sweep
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.extract import ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.job import JobOptions, JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, Lane
from holovitals_pipelines.providers.clock import Clock
from holovitals_pipelines.store import jobs
from holovitals_pipelines.store.jobs import Job, JobEvent
from tests.engine.ndjson_source import NdjsonSource


@dataclass
class Time:
    """Stands still until it is moved; chance is what it is set to."""

    now: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    chance: float = 1.0

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, chance=lambda: self.chance)

    def passes(self, **amount: float) -> None:
        self.now += timedelta(**amount)


@dataclass
class FailingSource(NdjsonSource):
    """Each read of a type in `failures` ends with the next of its errors, after its first page."""

    failures: dict[str, list[HoloVitalsError]] = field(default_factory=dict)

    async def read(self, request: ReadRequest) -> AsyncIterator[ReadEvent]:
        failing = {name: self.failures[name].pop(0) for name in request.resource_types if self.failures.get(name)}
        async for event in super().read(request):
            first_page = not isinstance(event, TypeDone) and event.cursor["line"] <= self.page
            if event.resource_type not in failing or first_page:
                yield event
            elif isinstance(event, TypeDone):
                # The type is to be begun anew, so the cursor stands where its first line would be read.
                cursor = {"type": event.resource_type, "line": 0}
                yield TypeDone(event.resource_type, cursor, error=failing[event.resource_type])


def put(home: Home, time: Time, **options: int) -> str:
    """A job in the worker's lane; its id."""
    request = SyncRequest("clinic", options=JobOptions(**options))  # type: ignore[arg-type]
    return submit(home, request, requested_by="a person", lane=Lane.WORKER, clock=time.clock).job_id


def attempt(home: Home, source: NdjsonSource, time: Time) -> JobReport | None:
    """Whatever is due is claimed and done."""
    sweep(home, clock=time.clock)
    job = claim_next(home, "w", clock=time.clock)
    if job is None:
        return None
    return run_claimed(home, job.job_id, "w", adapter_for=lambda _: source, clock=time.clock)


def job_of(home: Home, job_id: str) -> Job:
    with home.database.read() as transaction:
        return jobs.get_job(transaction, job_id)


def history_of(home: Home, job_id: str) -> list[JobEvent]:
    with home.database.read() as transaction:
        return jobs.history(transaction, job_id)


def moves_of(home: Home, job_id: str) -> list[JobStatus]:
    """Every status the job has had, in order."""
    return [event.status for event in history_of(home, job_id) if event.status is not None]
