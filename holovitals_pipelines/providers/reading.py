"""What every FHIR-speaking adapter does alike: open, close, resume, report, read by id, page a search.

An adapter adds what it offers, how changes are found there, the order of its steps (`_events`), and what may be written
(`_offered_writes`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Self

from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import VendorError
from holovitals_pipelines.model.extract import Page, Problem, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import SourceFormat
from holovitals_pipelines.providers.bulk import Export, read_export
from holovitals_pipelines.providers.capability import Capability, TypeCapability, read_capability
from holovitals_pipelines.providers.crawl import crawl
from holovitals_pipelines.providers.desk import FhirDesk
from holovitals_pipelines.providers.fhir_rest import Found, Query, quoted, read_one, read_source, search
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.progress import Progress, TypeRead
from holovitals_pipelines.providers.smart import SmartBackend

METADATA = "GET metadata"


class FhirConnection(FhirDesk):
    """One open connection to a FHIR R4 server; the half of `Adapter` that is the same for all of them."""

    def __init__(self, config: ConnectionConfig, http: VendorHttp) -> None:
        super().__init__(config, http)
        self._capability: Capability | None = None

    async def __aenter__(self) -> Self:
        try:
            answer = await self.http.request("GET", "metadata", operation=METADATA, authorized=False)
            self._capability = read_capability(
                answer,
                place=self.http.place(METADATA),
                release=SourceFormat(self.config.format or SourceFormat.FHIR_R4),
            )
            self._check_settings()
            if self.http.authorizer is not None:
                await self.http.authorizer.token()
        except BaseException:
            await self.http.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.close()

    def statistics(self) -> Sequence[RequestStatistics]:
        return self.http.statistics()

    @property
    def capability(self) -> Capability:
        """What the server offers. Only on an open connection."""
        assert self._capability is not None, "open the adapter with `async with` first"
        return self._capability

    def _offer(self, resource_type: str) -> TypeCapability | None:
        return self.capability.types.get(resource_type)

    async def read(self, request: ReadRequest) -> AsyncGenerator[ReadEvent, None]:
        """See `Adapter.read`."""
        types = in_processing_order(request.resource_types)
        if not types:
            return
        progress = Progress.resumed(request.cursor, self.config.base_url)
        if problems := self._auth_problems():
            yield Page(types[0], METADATA, [], progress.cursor(), problems=problems)
        async with aclosing(self._events(request, types, progress)) as events:
            async for event in events:
                yield event

    def _check_settings(self) -> None:
        """Raise ConfigurationError for settings the server cannot satisfy; most have none."""

    @abstractmethod
    def _events(
        self, request: ReadRequest, types: Sequence[str], progress: Progress
    ) -> AsyncGenerator[ReadEvent, None]: ...

    def _auth_problems(self) -> list[Problem]:
        authorizer = self.http.authorizer
        if not isinstance(authorizer, SmartBackend):
            return []
        problems, authorizer.problems = authorizer.problems, []
        return problems

    def _group_export(self, types: Sequence[str], since: datetime | None = None) -> Export:
        assert self.config.read.group is not None
        path = f"Group/{quoted(self.config.read.group)}/$export"
        return Export(path, "GET Group/{id}/$export", types, since=since, snapshot=since is None)

    async def _exported(self, export: Export, progress: Progress) -> AsyncGenerator[ReadEvent, None]:
        """An export's events; one that cannot be read ends each of its types."""
        try:
            async with aclosing(read_export(self.http, export, progress)) as events:
                async for event in events:
                    yield event
        except VendorError as error:
            for name in progress.remaining(export.resource_types):
                yield TypeDone(name, progress.finish(name, completely=False), error=error)

    def _by_id(self, ids: Sequence[str], read: TypeRead, progress: Progress) -> AsyncGenerator[Page, None]:
        async def fetch(resource_id: str) -> AsyncIterator[Found]:
            yield await read_one(self.http, read.resource_type, resource_id)

        source = read_source(read.resource_type)
        ids = sorted(set(ids))
        return crawl(self.http, ids, fetch, read=read, progress=progress, source=source, by_own_id=True)

    def _count(self) -> tuple[str, str]:
        return "_count", str(self.config.read.page_size)


async def search_pages(
    http: VendorHttp, query: Query, read: TypeRead, progress: Progress
) -> AsyncGenerator[Page, None]:
    """The pages of one search as events, each with the cursor behind it."""
    place = progress.place_in(read.resource_type)
    read.resume_watermark(place.get("watermark"))
    read.complete = read.complete and bool(place.get("complete", True))
    if place.get("ended"):
        return
    async for found in search(http, query, place):
        read.served(found.served_at)
        read.complete = read.complete and not found.partial
        here = {
            **(found.place or {}),
            "watermark": read.watermark_text(),
            "complete": read.complete,
            "ended": found.ended,
        }
        yield Page(
            resource_type=read.resource_type,
            source=query.source,
            bodies=found.bodies,
            cursor=progress.reach(read.resource_type, here),
            problems=found.problems,
            deletions=found.deletions,
            received_bytes=found.received_bytes,
        )


def instant(moment: datetime) -> str:
    """A FHIR instant in UTC with milliseconds, rounded down: `2026-01-31T08:00:00.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
