"""athenahealth's v1 API as an adapter: patients by department, charts patient by patient, changes by feeds.

Law: a record is read in one way only, whether it is read with all others, because a feed named it, or alone: so that
the same record is the same document.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Self

from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.model.connection import ClientSecretAuth, ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import ConfigurationError, HoloVitalsError, NotPermittedError
from holovitals_pipelines.model.extract import Page, Problem, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Provider
from holovitals_pipelines.providers.athenahealth.calls import ListOf
from holovitals_pipelines.providers.athenahealth.charts import CHARTS, split_record_id
from holovitals_pipelines.providers.athenahealth.desk import AthenaDesk, patient_id
from holovitals_pipelines.providers.athenahealth.errors import NOT_SUBSCRIBED
from holovitals_pipelines.providers.athenahealth.feeds import (
    FEEDS,
    Changes,
    Feed,
    ensure_subscription,
    peek,
    probe_subscription,
    take,
)
from holovitals_pipelines.providers.athenahealth.places import read_departments
from holovitals_pipelines.providers.client_credentials import ClientCredentials, TokenEndpoint
from holovitals_pipelines.providers.crawl import crawl
from holovitals_pipelines.providers.fhir_rest import Found
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.patient_list import listed_patients
from holovitals_pipelines.providers.probe import Finding, scopes_of
from holovitals_pipelines.providers.progress import Progress, TypeRead, to_the_end

_V1 = re.compile(r"/v1/\d+/?\Z")

TYPES = ("Patient", *CHARTS)


@dataclass(slots=True)
class _Taken:
    """How many messages of a feed are to be taken once what they told is durable."""

    feed: Feed
    waiting: int = 0


_POPULATION = "GET patients?departmentid={id}"


@dataclass(slots=True)
class _Population:
    """The ids of all patients, and what cannot be read for want of one."""

    patients: set[str]
    unnamed: list[Problem] = field(default_factory=list)

    def add(self, item: bytes) -> None:
        patient = patient_id(item)
        if patient:
            self.patients.add(patient)
            return
        self.unnamed.append(
            Problem(
                code="extract.no_id",
                message="a patient has no patientid",
                remedy="report it to the practice: without it the patient can neither be told from others nor read",
                source=_POPULATION,
                resource_type="Patient",
                body=item,
            )
        )


_TOKENS = TokenEndpoint(
    "../../oauth2/v1/token",  # seen from …/v1/{practiceid}/
    "POST oauth2/v1/token",
    "athena/service/Athenanet.MDP.*",
    "check auth.client_id and auth.client_secret, and that the app is approved for this practice and host (preview and "
    "production have secrets of their own)",
)


class AthenaAdapter(AthenaDesk):
    """One open connection to a practice."""

    provider = Provider.ATHENAHEALTH

    def __init__(self, config: ConnectionConfig, http: VendorHttp, resolve_secret: Callable[[SecretRef], str]) -> None:
        super().__init__(config, http)
        self._resolve_secret = resolve_secret
        if isinstance(config.auth, ClientSecretAuth):
            http.authorizer = ClientCredentials(config.auth, http, resolve_secret, _TOKENS)

    async def __aenter__(self) -> Self:
        try:
            if not _V1.search(self.config.base_url):
                raise ConfigurationError(
                    "the address names no practice",
                    code="athenahealth.no_practice",
                    place=f"connection {self.config.name}, base_url",
                    remedy="give https://api.platform.athenahealth.com/v1/ and the practice's number",
                )
            self.departments = await read_departments(self.practice, self.config)
        except BaseException:
            await self.http.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.close()

    async def probe(self, patient: str | None) -> Sequence[Finding]:
        """See `Probing`. A subscription is looked at, never made."""
        offered = self.mechanisms()
        return [
            *scopes_of(self.http),
            *[await probe_subscription(self.practice, feed) for name, feed in FEEDS.items() if name in offered],
        ]

    def statistics(self) -> Sequence[RequestStatistics]:
        return self.http.statistics()

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        offered = [name for name in in_processing_order(self.config.resource_types or TYPES) if name in TYPES]
        return {
            name: ChangeMechanism.CHANGE_FEED if name in FEEDS else ChangeMechanism.FULL_RESCAN
            for name in _patients_first(offered)
        }

    async def read(self, request: ReadRequest) -> AsyncGenerator[ReadEvent, None]:
        """See `Adapter.read`. A feed is emptied when the generator goes on behind the TypeDone of its type."""
        progress = Progress.resumed(request.cursor, self.config.base_url)
        types = [name for name in in_processing_order(request.resource_types) if name in TYPES]
        for name in progress.remaining(_patients_first(types)):
            taken = _Taken(FEEDS[name]) if name in FEEDS else None
            failed = False
            async with aclosing(self._one_type(request, name, progress, taken)) as events:
                async for event in events:
                    failed = isinstance(event, TypeDone) and event.error is not None
                    yield event
            if taken is not None and not failed:
                # What cannot be taken now is told again by the next read.
                with suppress(HoloVitalsError):
                    await take(self.practice, taken.feed, taken.waiting)

    async def _one_type(
        self, request: ReadRequest, name: str, progress: Progress, taken: _Taken | None
    ) -> AsyncGenerator[ReadEvent, None]:
        read = TypeRead(name)
        snapshot = False
        if request.only_ids is not None:
            pages = self._records(_by_patient(name, request.only_ids.get(name, ())), read, progress)
        elif request.only_patients is not None:
            pages = self._of_patients(lambda: sorted(set(request.only_patients or ())), read, progress)
        elif taken is not None:
            pages = self._with_feed(request, read, progress, taken)
            snapshot = True
        else:
            pages = self._of_patients(request.patients, read, progress)
            snapshot = True
        async with aclosing(to_the_end(read, pages, progress, snapshot=snapshot)) as events:
            async for event in events:
                yield event

    async def _with_feed(
        self, request: ReadRequest, read: TypeRead, progress: Progress, taken: _Taken
    ) -> AsyncGenerator[Page, None]:
        """What the feed names, or everything where nothing was read yet, or nobody has subscribed."""
        changes: Changes | None = None
        since = request.since.get(read.resource_type)
        if since is not None:
            # More may wait now than when the read was interrupted: what the feed names is read from the beginning.
            progress.resource_type, progress.place = None, None
            try:
                changes = await peek(self.practice, taken.feed, since)
            except NotPermittedError as error:
                if error.code != NOT_SUBSCRIBED:
                    raise
        if changes is None:
            # First the subscription, then the records: what changes while they are read waits in the feed.
            await ensure_subscription(self.practice, taken.feed)
            population = await self._population(read) if read.resource_type == "Patient" else None
            if population is not None and population.unnamed:
                read.complete = False
                yield Page("Patient", _POPULATION, [], progress.cursor(), problems=population.unnamed)
            known = request.patients() if population is None else sorted(population.patients)
            pages = self._of_patients(lambda: known, read, progress)
        else:
            read.complete = False  # a feed names what changed, not what there is
            read.served(changes.served_at)
            taken.waiting = changes.waiting
            yield _told(changes, read, taken.feed, progress)
            pages = self._records(self._ours(changes, request, read.resource_type), read, progress)
        async with aclosing(pages):
            async for page in pages:
                yield page

    def _ours(self, changes: Changes, request: ReadRequest, resource_type: str) -> Mapping[str, AbstractSet[str]]:
        """A feed is the whole practice's: without the patients that the connection is not to read."""
        listed, departments = listed_patients(self.config, self._resolve_secret), self.config.vendor.department_ids
        if not listed and not departments:
            return changes.records
        wanted = set(listed or request.patients())
        if resource_type == "Patient" and not listed:
            wanted |= {patient for patient, department in changes.departments.items() if department in departments}
        return {patient: numbers for patient, numbers in changes.records.items() if patient in wanted}

    async def _population(self, read: TypeRead) -> _Population:
        """Everybody: the listed ids, else the patients of the departments."""
        found = _Population(set(listed_patients(self.config, self._resolve_secret)))
        for department in self.departments.chosen if not found.patients else ():
            # unverified: that a department alone is enough to search by.
            asked = ListOf("patients", "patients", "patients?departmentid={id}", (("departmentid", department),))
            async for page in self.practice.pages(asked):
                read.served(page.served_at)
                for item in page.items:
                    found.add(item)
        return found

    def _of_patients(
        self, patients: Callable[[], Sequence[str]], read: TypeRead, progress: Progress
    ) -> AsyncGenerator[Page, None]:
        """Every record of the type that these patients have."""
        return self._crawled(patients, {}, read, progress)

    def _records(
        self, records: Mapping[str, AbstractSet[str]], read: TypeRead, progress: Progress
    ) -> AsyncGenerator[Page, None]:
        """The records of the type that have these numbers, by patient."""
        return self._crawled(lambda: sorted(records), records, read, progress)

    async def _crawled(
        self,
        patients: Callable[[], Sequence[str]],
        wanted: Mapping[str, AbstractSet[str]],
        read: TypeRead,
        progress: Progress,
    ) -> AsyncGenerator[Page, None]:
        def fetch(patient: str) -> AsyncIterator[Found]:
            if read.resource_type == "Patient":
                return self.patient_found(patient)
            return self.chart_found(read.resource_type, patient, wanted.get(patient))

        own = read.resource_type == "Patient"
        source = "GET patients/{id}" if own else CHARTS[read.resource_type].lists[0].of("", None).operation
        pages = crawl(self.http, patients(), fetch, read=read, progress=progress, source=source, by_own_id=own)
        async with aclosing(pages):
            async for page in pages:
                yield page


def _patients_first(types: Sequence[str]) -> list[str]:
    return sorted(types, key=lambda name: name != "Patient")


def _by_patient(resource_type: str, ids: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for remote_id in ids:
        patient, number = (remote_id, remote_id) if resource_type == "Patient" else split_record_id(remote_id)
        found.setdefault(patient, set()).add(number)
    return found


def _told(changes: Changes, read: TypeRead, feed: Feed, progress: Progress) -> Page:
    """What the feed itself had to say; its records follow."""
    return Page(
        read.resource_type,
        f"GET {feed.path}",
        [],
        progress.cursor(),
        problems=changes.problems,
        received_bytes=changes.received_bytes,
    )
