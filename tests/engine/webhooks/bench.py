"""Jobs of events, run by the queue against a vendor of files whose reads fail when they are told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import claim_next, run_claimed
from holovitals_pipelines.engine.webhooks.processing import coalesce
from holovitals_pipelines.engine.webhooks.settling import Settled, settle
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import HoloVitalsError, PermanentError, TransientError
from holovitals_pipelines.model.extract import Page, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.job import JobReport
from holovitals_pipelines.providers.adapter import Adapter
from tests.engine.conftest import Vendor, observation, patient
from tests.engine.ndjson_source import NdjsonSource
from tests.engine.queue_bench import Time

BUSY = TransientError("busy", code="http.503", status=503)
REFUSED = PermanentError("no", code="http.400", status=400)


@dataclass
class NamedSource(NdjsonSource):
    """Reads by id and by patient what the files hold; a read of an id in `poison` ends the type with its error."""

    poison: dict[str, HoloVitalsError] = field(default_factory=dict)
    asked: list[ReadRequest] = field(default_factory=list)

    async def read(self, request: ReadRequest) -> AsyncIterator[ReadEvent]:
        self.asked.append(request)
        async for one in super().read(request):
            yield self._shown(one, request)

    def _shown(self, one: ReadEvent, request: ReadRequest) -> ReadEvent:
        ids = (request.only_ids or {}).get(one.resource_type)
        error = next((self.poison[named] for named in ids or () if named in self.poison), None)
        if isinstance(one, TypeDone):
            return TypeDone(one.resource_type, one.cursor, error=error, watermark=one.watermark)
        assert isinstance(one, Page)
        bodies = [b for b in one.bodies if ids is None or any(f'"{i}"'.encode() in b for i in ids)]
        return Page(one.resource_type, one.source, [] if error else bodies, one.cursor)


@dataclass
class Work:
    """What the worker does, step by step, on a clock that stands still."""

    home: Home
    vendor: Vendor
    time: Time
    poison: dict[str, HoloVitalsError] = field(default_factory=dict)
    asked: list[ReadRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vendor.holds("Observation", [observation(number) for number in range(1, 6)])
        self.vendor.holds("Patient", [patient(number) for number in range(1, 6)])

    def take_up(self) -> list[str]:
        return coalesce(self.home, clock=self.time.clock)

    def run(self) -> list[JobReport]:
        """Every job that waits, done."""
        reports = []
        while (job := claim_next(self.home, "worker", clock=self.time.clock)) is not None:
            reports.append(run_claimed(self.home, job.job_id, "worker", adapter_for=self._source))
        return reports

    def settle(self) -> Settled:
        return settle(self.home, clock=self.time.clock)

    def turn(self) -> list[JobReport]:
        self.take_up()
        reports = self.run()
        self.settle()
        return reports

    def _source(self, _: ConnectionConfig) -> Adapter:
        return NamedSource(self.vendor.folder, poison=self.poison, asked=self.asked)
