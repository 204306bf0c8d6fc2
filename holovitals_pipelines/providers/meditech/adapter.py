"""MEDITECH over HL7 v2: what its messages have told is read here, and changes go out as messages.

Law: a read asks MEDITECH nothing. It applies what was received and hands out records changed since; that a record is
not among them proves nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Self

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import NotPermittedError
from holovitals_pipelines.model.extract import Named, Page, Problem, ReadEvent, ReadRequest
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Provider
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.providers.hl7v2.sender import Sender
from holovitals_pipelines.providers.hl7v2.tls import ResolveSecret
from holovitals_pipelines.providers.meditech.desk import MeditechDesk
from holovitals_pipelines.providers.meditech.held import Held, HeldRecords
from holovitals_pipelines.providers.meditech.probe import probe_links
from holovitals_pipelines.providers.probe import Finding
from holovitals_pipelines.providers.progress import Progress, TypeRead, to_the_end
from holovitals_pipelines.providers.timings import Timings

TYPES: Final = (
    "Patient", "Encounter", "AllergyIntolerance", "Condition", "Immunization", "Observation", "DiagnosticReport",
    "DocumentReference",
)  # fmt: skip
SOURCE: Final = "HL7 v2 messages"


class MeditechAdapter(MeditechDesk):
    """One open connection: nothing is connected before the first message goes out."""

    provider = Provider.MEDITECH

    def __init__(
        self, config: ConnectionConfig, held: HeldRecords, resolve_secret: ResolveSecret, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        super().__init__()
        self.config = config
        self.held = held
        self.clock = clock
        self.timings = Timings()
        self.sender = Sender.to(config.base_url, config.hl7v2, resolve_secret=resolve_secret, clock=clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.sender.close()

    async def probe(self, patient: str | None) -> Sequence[Finding]:
        """See `Probing`."""
        return await probe_links(self.config)

    def statistics(self) -> Sequence[RequestStatistics]:
        return self.timings.statistics()

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        wanted = self.config.resource_types
        return MappingProxyType(
            {name: ChangeMechanism.HL7V2_PUSH for name in TYPES if wanted is None or name in wanted}
        )

    async def read(self, request: ReadRequest) -> AsyncGenerator[ReadEvent, None]:
        """See `Adapter.read`."""
        self.held.refresh()
        begun = self.clock.now()
        progress = Progress.resumed(request.cursor, self.config.base_url)
        for name in progress.remaining(request.resource_types):
            read = TypeRead(name)
            read.resume_watermark(progress.place_in(name).get("until"))
            read.served(begun)
            pages = self._pages(request, read, progress)
            async with aclosing(to_the_end(read, pages, progress, snapshot=False)) as events:
                async for event in events:
                    yield event

    async def _pages(self, request: ReadRequest, read: TypeRead, progress: Progress) -> AsyncGenerator[Page, None]:
        name = read.resource_type
        if name not in TYPES:
            raise NotPermittedError(
                f"no message of MEDITECH tells of {name}",
                code="meditech.no_such_type",
                place=f"connection {self.config.name}, resource_types",
                remedy=f"choose from {', '.join(TYPES)}",
            )
        if request.only_ids is not None:
            wanted = sorted(set(request.only_ids.get(name, ())))
            found = self.held.by_id(name, wanted)
            missing = sorted(set(wanted) - {one.remote_id for one in found})
            yield self._page(read, progress, found, {}, [_not_told(name, one) for one in missing])
        elif request.only_patients is not None:
            yield self._page(read, progress, self.held.of_patients(name, request.only_patients), {})
        else:
            for page in self._changed(request, read, progress):
                yield page

    def _changed(self, request: ReadRequest, read: TypeRead, progress: Progress) -> Iterator[Page]:
        name = read.resource_type
        until = read.watermark
        assert until is not None
        place = progress.place_in(name)
        since = datetime.fromisoformat(place["since"]) if "since" in place else request.since.get(name)
        after = place.get("after", "")
        size = self.config.read.page_size
        while found := self.held.changed(name, since=since, until=until, after=after, most=size):
            since, after = found[-1].changed_at, found[-1].remote_id
            yield self._page(
                read, progress, found, {"since": since.isoformat(), "after": after, "until": until.isoformat()}
            )
            if len(found) < size:
                return

    def _page(
        self,
        read: TypeRead,
        progress: Progress,
        found: Sequence[Held],
        place: Mapping[str, Any],
        problems: Sequence[Problem] = (),
    ) -> Page:
        bodies = [one.body for one in found]
        named = [Named(one.remote_id) for one in found]
        return Page(
            read.resource_type,
            SOURCE,
            bodies,
            progress.reach(read.resource_type, place),
            problems=problems,
            received_bytes=sum(map(len, bodies)),
            named=named,
        )


def _not_told(resource_type: str, remote_id: str) -> Problem:
    return Problem(
        code="meditech.not_told",
        message=f"no message has told of a {resource_type} with this id",
        remedy="ask the site to send it (A31, A08), or check the id",
        source=SOURCE,
        resource_type=resource_type,
        remote_id=remote_id,
    )
