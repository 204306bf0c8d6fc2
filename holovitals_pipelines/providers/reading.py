"""What every FHIR-speaking adapter does alike: open, close, resume, report, read by id, page a search.

An adapter adds what it offers, how changes are found there, the order of its steps (`_events`), and what may be written
(`_offered_writes`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Self

from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.model.attachment import Content
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import VendorError
from holovitals_pipelines.model.extract import Page, Problem, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism, SourceFormat
from holovitals_pipelines.providers import fhir_attachments
from holovitals_pipelines.providers.bulk import Export, read_export
from holovitals_pipelines.providers.capability import Capability, TypeCapability, read_capability
from holovitals_pipelines.providers.crawl import Fetch, crawl
from holovitals_pipelines.providers.desk import FhirDesk
from holovitals_pipelines.providers.fhir_probe import Params, Trial, probe_types
from holovitals_pipelines.providers.fhir_rest import Found, Query, quoted, read_one, read_source, search
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.probe import Finding, scopes_of, told
from holovitals_pipelines.providers.progress import Progress, TypeRead
from holovitals_pipelines.providers.smart import SmartBackend

METADATA = "GET metadata"


class FhirConnection(FhirDesk):
    """One open connection to a FHIR R4 server; the half of `Adapter` that is the same for all of them."""

    def __init__(self, config: ConnectionConfig, http: VendorHttp) -> None:
        super().__init__(config, http)
        self.export_http = http
        """What exports are read with, where they want a token of their own."""
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
            if (authorizer := self._tried().authorizer) is not None:
                await authorizer.token()
        except BaseException:
            await self.http.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.close()

    def _tried(self) -> VendorHttp:
        """Whose token is asked for first, to see whether the client gets in."""
        return self.http

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
        told: list[Problem] = []
        for http in (self.http, self.export_http):
            if isinstance(http.authorizer, SmartBackend):
                told += http.authorizer.problems
                http.authorizer.problems = []
        return told

    def _group_export(self, types: Sequence[str], since: datetime | None = None) -> Export:
        assert self.config.read.group is not None
        path = f"Group/{quoted(self.config.read.group)}/$export"
        return Export(path, "GET Group/{id}/$export", types, since=since, snapshot=since is None)

    async def _exported(self, export: Export, progress: Progress) -> AsyncGenerator[ReadEvent, None]:
        """An export's events; one that cannot be read ends each of its types."""
        try:
            async with aclosing(read_export(self.export_http, export, progress)) as events:
                async for event in events:
                    yield event
        except VendorError as error:
            for name in progress.remaining(export.resource_types):
                yield TypeDone(name, progress.finish(name, completely=False), error=error)

    def _by_id(self, ids: Sequence[str], read: TypeRead, progress: Progress) -> AsyncGenerator[Page, None]:
        source, fetch = read_source(read.resource_type), self._fetch_one(read.resource_type)
        ids = sorted(set(ids))
        return crawl(self.http, ids, fetch, read=read, progress=progress, source=source, by_own_id=True)

    def _fetch_one(self, resource_type: str) -> Fetch:
        async def fetch(resource_id: str) -> AsyncIterator[Found]:
            yield await read_one(self.http, resource_type, resource_id)

        return fetch

    async def fetch_attachment(self, address: str, content_type: str | None, *, limit: int) -> Content:
        """See `FetchesAttachments`."""
        return await fhir_attachments.fetch(self.http, address, content_type, limit=limit)

    async def probe(self, patient: str | None) -> Sequence[Finding]:
        """See `Probing`."""
        declared, fixed, named_by = frozenset(self.capability.types), self._fixed_params(), self._patient_parameters()
        trial = Trial(self.mechanisms(), declared, fixed, patient, named_by)
        return [*told(self._auth_problems()), *scopes_of(self.http), *await probe_types(self.http, trial)]

    @abstractmethod
    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        """See `Adapter`."""

    def _fixed_params(self) -> Mapping[str, Params]:
        """By type, what every search of it must say beside the patient; empty where searches need no patient."""
        return {}

    def _patient_parameters(self) -> Mapping[str, str]:
        """By type, the parameter that names the patient where it is not the specification's."""
        return {}

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
