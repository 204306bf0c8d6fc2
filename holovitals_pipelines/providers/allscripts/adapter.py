"""Unity as an adapter: who has changed is asked, their charts are read again section by section, and Save* writes.

Law: the feed of changes names patients and nothing else, so everything of a named patient is read anew; and all types
of one read go by the moment at which the feed was asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef, UnityAuth
from holovitals_pipelines.model.errors import (
    ConfigurationError,
    HoloVitalsError,
    NotFoundError,
    NotPermittedError,
    ProtocolError,
)
from holovitals_pipelines.model.extract import Named, Page, ReadEvent, ReadRequest
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Provider
from holovitals_pipelines.providers.allscripts.desk import UnityDesk
from holovitals_pipelines.providers.allscripts.local_time import BEGINNING, changed_since
from holovitals_pipelines.providers.allscripts.rows import (
    PROVIDERS,
    SECTIONS,
    TYPES,
    chart_listing,
)
from holovitals_pipelines.providers.allscripts.unity import Unity, action, text_of
from holovitals_pipelines.providers.crawl import crawl
from holovitals_pipelines.providers.fhir_rest import Found
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.patient_list import listed_patients
from holovitals_pipelines.providers.probe import Check, Finding, refused, works
from holovitals_pipelines.providers.progress import Progress, TypeRead, to_the_end
from holovitals_pipelines.transform.times import zone_named

_FEED = "MagicJson GetChangedPatients"
_PATIENT = "MagicJson GetPatient"


@dataclass(frozen=True, slots=True)
class Changed:
    """Whom the feed named, sorted, and when it was asked by the server's clock."""

    patients: Sequence[str]
    asked_at: datetime | None


class AllscriptsAdapter(UnityDesk):
    """One open connection to a site's Unity."""

    provider = Provider.ALLSCRIPTS

    def __init__(self, config: ConnectionConfig, http: VendorHttp, resolve_secret: Callable[[SecretRef], str]) -> None:
        super().__init__(config, http)
        self._resolve_secret = resolve_secret

    async def __aenter__(self) -> Self:
        try:
            auth = self.config.auth
            if not isinstance(auth, UnityAuth):
                raise ConfigurationError(
                    "Unity wants a service account and an EHR user",
                    code="unity.auth",
                    place=f"connection {self.config.name}, auth",
                    remedy="give auth of the kind unity: application, service_user, service_password, ehr_user, "
                    "ehr_password",
                )
            self.unity = Unity(auth, self.http, self._resolve_secret)
            await self.unity.open()
        except BaseException:
            await self.http.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self.unity.close()
        finally:
            await self.http.close()

    async def probe(self, patient: str | None) -> Sequence[Finding]:
        """See `Probing`. That the EHR user was taken is shown by the session that is open."""
        findings = [works(Check.ACCESS, "unity.user", "Unity takes the service account and the EHR user")]
        try:
            zone = await self._time_zone()
        except HoloVitalsError as error:
            return [*findings, refused(Check.CHANGES, error)]
        said = "set in vendor.timezone" if self.config.vendor.timezone is not None else "said by the server"
        return [*findings, works(Check.CHANGES, "unity.timezone", f"local times are those of {zone}, {said}")]

    def statistics(self) -> Sequence[RequestStatistics]:
        return self.http.statistics()

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        wanted = self.config.resource_types
        return {
            name: ChangeMechanism.FULL_RESCAN if name == "Practitioner" else ChangeMechanism.IDS_ONLY_FEED
            for name in TYPES
            if wanted is None or name in wanted
        }

    async def read(self, request: ReadRequest) -> AsyncGenerator[ReadEvent, None]:
        """See `Adapter.read`."""
        known = [name for name in TYPES if name in request.resource_types]
        types = [*known, *(name for name in request.resource_types if name not in TYPES)]
        progress = Progress.resumed(request.cursor, self.config.base_url)
        feeds: dict[datetime | None, Changed] = {}
        for name in progress.remaining(types):
            read = TypeRead(name)
            pages = self._pages(request, read, progress, feeds)
            snapshot = self._is_whole(request, name)
            async with aclosing(to_the_end(read, pages, progress, snapshot=snapshot)) as events:
                async for event in events:
                    yield event

    def _is_whole(self, request: ReadRequest, resource_type: str) -> bool:
        """Whether a read without errors has seen all there is of the type."""
        if request.only_ids is not None or request.only_patients is not None or request.until is not None:
            return False
        if resource_type == "Patient":
            # Who is not shown may be deleted, merged or hidden, and Unity does not say which (vendors.md §1.1).
            return False
        return resource_type == "Practitioner" or request.since.get(resource_type) is None

    async def _pages(
        self, request: ReadRequest, read: TypeRead, progress: Progress, feeds: dict[datetime | None, Changed]
    ) -> AsyncGenerator[Page, None]:
        name = read.resource_type
        if name not in TYPES:
            raise NotPermittedError(
                f"{name} is not read through Unity",
                code="unity.no_such_type",
                place=f"connection {self.config.name}, resource_types",
                remedy=f"choose from {', '.join(TYPES)}",
            )
        if request.only_ids is not None:
            ids = sorted(set(request.only_ids.get(name, ())))
            pages = self._crawl(ids, self._one, read, progress, by_own_id=True)
        elif name == "Practitioner":
            pages = self._practitioners(read, progress) if request.only_patients is None else _nothing()
        else:
            patients = await self._patients(request, read, feeds)
            fetch = self._one if name == "Patient" else self._chart
            pages = self._crawl(patients, fetch, read, progress, by_own_id=name == "Patient")
        async with aclosing(pages) as found:
            async for page in found:
                yield page

    async def _patients(
        self, request: ReadRequest, read: TypeRead, feeds: dict[datetime | None, Changed]
    ) -> Sequence[str]:
        """Whose charts to read: the patients asked for, those who changed, or, with no moment to ask from, all."""
        if request.only_patients is not None:
            return sorted(set(request.only_patients))
        since, listed, known = (
            request.since.get(read.resource_type),
            listed_patients(self.config, self._resolve_secret),
            set(request.patients()),
        )
        if since is None and listed:
            return sorted(known.union(listed))
        if since not in feeds:
            feeds[since] = await self._changed(since)
        changed = feeds[since]
        # What changes while one type after another is read must be seen by the next read of each.
        read.served(changed.asked_at)
        if since is None:
            return self._somebody(known.union(changed.patients))
        if listed:
            newly_listed = set(listed) - known
            return sorted(newly_listed.union(known.intersection(changed.patients)))
        return changed.patients

    def _somebody(self, patients: set[str]) -> Sequence[str]:
        """All patients, sorted. Raises ConfigurationError where nobody is known: charts are read by patient only."""
        if not patients:
            raise ConfigurationError(
                "Unity has no list of patients, its feed names nobody, and no patient is known at this connection",
                code="unity.no_population",
                place=f"connection {self.config.name}, read.patient_ids",
                remedy="ask the site for the patients' ids and set read.patient_ids (a file, one a line)",
            )
        return sorted(patients)

    async def _changed(self, since: datetime | None) -> Changed:
        moment = BEGINNING if since is None else changed_since(since, zone_named(await self._time_zone()))
        # unverified: Parameter2, N for changes of demographics too and not of clinical data only.
        rows = await self.unity.ask(action("GetChangedPatients", "", moment, "N"))
        try:
            named = {text_of(row, "patientid") for row in rows.rows}
        except ValueError:
            raise ProtocolError(
                "a row of the feed of changes cannot be read",
                code="unity.feed",
                place=self.http.place(_FEED),
                remedy="report it to the vendor; nothing was taken as unchanged",
            ) from None
        return Changed(sorted(named - {"", "0"}), rows.served_at)

    async def _time_zone(self) -> str:
        """The name of the zone of the server's clocks. Raises ConfigurationError where nobody says it."""
        said = self.config.vendor.timezone
        if said is None:
            rows = await self.unity.ask(action("GetServerInfo"))
            said = text_of(rows.rows[0], "ServerTimeZone") if rows.rows else ""
        try:
            zone_named(said)
        except ConfigurationError:
            raise ConfigurationError(
                "the zone of the server's local times is not known",
                code="unity.timezone",
                place=f"connection {self.config.name}, vendor.timezone",
                remedy="set vendor.timezone to the IANA name of the site's zone, such as America/New_York",
            ) from None
        return said

    def _crawl(
        self,
        ids: Sequence[str],
        fetch: Callable[[str, str], AsyncIterator[Found]],
        read: TypeRead,
        progress: Progress,
        *,
        by_own_id: bool,
    ) -> AsyncGenerator[Page, None]:
        name = read.resource_type
        source = {"Patient": _PATIENT, "Practitioner": PROVIDERS.source}.get(name, chart_listing(name).source)
        return crawl(
            self.http,
            ids,
            lambda identity: fetch(name, identity),
            read=read,
            progress=progress,
            source=source,
            by_own_id=by_own_id,
        )

    async def _one(self, resource_type: str, remote_id: str) -> AsyncIterator[Found]:
        looked = await self.look_up(resource_type, remote_id)
        if looked.body is None:
            raise NotFoundError(
                "Unity shows no such record",
                code="unity.not_found",
                place=self.http.place(_PATIENT if resource_type == "Patient" else chart_listing(resource_type).source),
                remedy="check where the id is from; it may have been merged into another record at the site",
            )
        named = [Named(remote_id)]
        yield Found([looked.body], (), (), looked.served_at, looked.received_bytes, named=named)

    async def _chart(self, resource_type: str, patient: str) -> AsyncIterator[Found]:
        for section in SECTIONS[resource_type]:
            rows = await self.unity.ask(action("GetClinicalSummary", patient, section))
            yield chart_listing(resource_type).found(rows, patient)

    async def _practitioners(self, read: TypeRead, progress: Progress) -> AsyncGenerator[Page, None]:
        found = PROVIDERS.found(await self.unity.ask(action("GetProviders")), None)
        read.served(found.served_at)
        read.complete = not found.partial
        yield Page(
            "Practitioner",
            PROVIDERS.source,
            found.bodies,
            progress.reach("Practitioner", {}),
            problems=found.problems,
            received_bytes=found.received_bytes,
            named=found.named,
        )


async def _nothing() -> AsyncGenerator[Page, None]:
    return
    yield
