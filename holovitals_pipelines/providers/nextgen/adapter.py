"""NextGen's native API as an adapter: persons one by one, their charts list by list, appointments by their days.

Law: there is no feed of changes and no list of persons, so all who are known are read again, and who is known comes
from `read.patient_ids`, from what was read before, and, without such a list, from the practice's appointments.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from holovitals_pipelines.model.connection import ClientSecretAuth, ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import ConfigurationError, HoloVitalsError, NotPermittedError
from holovitals_pipelines.model.extract import Page, Problem, ReadEvent, ReadRequest
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Provider
from holovitals_pipelines.providers.client_credentials import ClientCredentials, TokenEndpoint
from holovitals_pipelines.providers.crawl import Fetch, crawl
from holovitals_pipelines.providers.fhir_rest import Found
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.nextgen.desk import NextGenDesk
from holovitals_pipelines.providers.nextgen.records import (
    APPOINTMENT,
    APPOINTMENTS,
    BOOKED,
    CHARTS,
    PERSON,
    TYPES,
    found_in,
    head_of,
    no_id,
)
from holovitals_pipelines.providers.nextgen.session import NextGen
from holovitals_pipelines.providers.outcomes import too_large
from holovitals_pipelines.providers.patient_list import listed_patients
from holovitals_pipelines.providers.probe import Check, Finding, refused, scopes_of, works
from holovitals_pipelines.providers.progress import Progress, TypeRead, to_the_end

_BEGINNING = "1900-01-01"
"""unverified: that the list of appointments goes back so far where it is asked to."""


@dataclass(frozen=True, slots=True)
class Booked:
    """What the practice's list of appointments names: appointments and persons, sorted, and when it was asked."""

    appointments: Sequence[str]
    persons: Sequence[str]
    problems: Sequence[Problem]
    asked_at: datetime | None


_Lists = dict[datetime | None, Booked]
"""Lists of appointments of one read, by the moment that each was asked from."""

_TOKENS = TokenEndpoint(
    "../../nge-oauth/token",  # seen from …/nge-api/api/
    "POST nge-oauth/token",
    None,
    "check auth.client_id, auth.client_secret and auth.site_id, and that the site has approved the client",
)


class NextGenAdapter(NextGenDesk):
    """One open connection to a practice's native API."""

    provider = Provider.NEXTGEN

    def __init__(self, config: ConnectionConfig, http: VendorHttp, resolve_secret: Callable[[SecretRef], str]) -> None:
        super().__init__(config, http)
        self._resolve_secret = resolve_secret

    async def __aenter__(self) -> Self:
        try:
            auth = self.config.auth
            if not isinstance(auth, ClientSecretAuth) or auth.sent_as != "form" or not auth.site_id:
                raise ConfigurationError(
                    "NextGen wants client id, secret and site in one form",
                    code="nextgen.auth",
                    place=f"connection {self.config.name}, auth",
                    remedy="give auth of the kind client_secret with sent_as: form and site_id",
                )
            self.http.authorizer = ClientCredentials(auth, self.http, self._resolve_secret, _TOKENS)
            self.nextgen = NextGen(self.config.vendor, self.http)
            await self.nextgen.open()
        except BaseException:
            await self.http.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.close()

    @property
    def by_patient_only(self) -> Set[str]:
        return CHARTS.keys()

    async def probe(self, patient: str | None) -> Sequence[Finding]:
        """See `Probing`."""
        findings = [
            *scopes_of(self.http),
            works(Check.ACCESS, "nextgen.session", "NextGen opened a session for the enterprise and the practice"),
        ]
        if "Appointment" in self.mechanisms() and self.config.vendor.timezone is None:
            try:
                self.session_zone()
            except HoloVitalsError as error:
                findings.append(refused(Check.TYPES, error, "Appointment"))
        return findings

    def statistics(self) -> Sequence[RequestStatistics]:
        return self.http.statistics()

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        wanted = self.config.resource_types
        by_day = self.config.read.patient_ids is None
        return {
            name: ChangeMechanism.DATE_RESCAN if by_day and name == "Appointment" else ChangeMechanism.FULL_RESCAN
            for name in TYPES
            if wanted is None or name in wanted
        }

    async def read(self, request: ReadRequest) -> AsyncGenerator[ReadEvent, None]:
        """See `Adapter.read`."""
        known = [name for name in TYPES if name in request.resource_types]
        types = [*known, *(name for name in request.resource_types if name not in TYPES)]
        progress = Progress.resumed(request.cursor, self.config.base_url)
        lists: _Lists = {}
        for name in progress.remaining(types):
            read = TypeRead(name)
            pages = self._pages(request, read, progress, lists)
            snapshot = self._is_whole(request, name)
            async with aclosing(to_the_end(read, pages, progress, snapshot=snapshot)) as events:
                async for event in events:
                    yield event

    def _is_whole(self, request: ReadRequest, resource_type: str) -> bool:
        """Whether a read without errors has seen all there is of the type."""
        if request.only_ids is not None or request.only_patients is not None:
            return False
        if resource_type == "Patient":
            # Who never had an appointment is there all the same.
            return bool(listed_patients(self.config, self._resolve_secret))
        mechanism = self.mechanisms().get(resource_type)
        return mechanism is ChangeMechanism.FULL_RESCAN or request.since.get(resource_type) is None

    async def _pages(
        self, request: ReadRequest, read: TypeRead, progress: Progress, lists: _Lists
    ) -> AsyncGenerator[Page, None]:
        name = read.resource_type
        if name not in TYPES:
            raise NotPermittedError(
                f"{name} is not read through NextGen's native API",
                code="nextgen.no_such_type",
                place=f"connection {self.config.name}, resource_types",
                remedy=f"choose from {', '.join(TYPES)}",
            )
        if name == "Appointment":
            self.session_zone()
        ids: Sequence[str]
        by_own_id = True
        if request.only_ids is not None:
            ids = sorted(set(request.only_ids.get(name, ())))
        elif name == "Appointment" and self.config.read.patient_ids is None and request.only_patients is None:
            booked = await self._booked(request.since.get(name), lists)
            read.served(booked.asked_at)
            read.complete = not booked.problems
            if booked.problems:
                yield Page(name, APPOINTMENTS, (), progress.cursor(), problems=booked.problems)
            ids = booked.appointments
        else:
            ids, by_own_id = await self._patients(request, read, lists), name == "Patient"
        pages = crawl(
            self.http,
            ids,
            self._by_id(name) if by_own_id else self._of_person(name),
            read=read,
            progress=progress,
            source=self._source(name),
            by_own_id=by_own_id,
        )
        async with aclosing(pages) as found:
            async for page in found:
                yield page

    def _source(self, resource_type: str) -> str:
        if resource_type in CHARTS:
            return CHARTS[resource_type].operation
        return PERSON if resource_type == "Patient" else APPOINTMENT

    async def _patients(self, request: ReadRequest, read: TypeRead, lists: _Lists) -> Sequence[str]:
        if request.only_patients is not None:
            return sorted(set(request.only_patients))
        named: Sequence[str] = listed_patients(self.config, self._resolve_secret)
        if self.config.read.patient_ids is None:
            booked = await self._booked(request.since.get(read.resource_type), lists)
            read.served(booked.asked_at)
            named = booked.persons
        patients = sorted({*named, *request.patients()})
        if not patients:
            raise ConfigurationError(
                "NextGen has no list of persons, and none is known at this connection",
                code="nextgen.no_population",
                place=f"connection {self.config.name}, read.patient_ids",
                remedy="list the ids of the persons to read in a file and set read.patient_ids; without it, persons "
                "are known by the practice's appointments, and there are none",
            )
        return patients

    async def _booked(self, since: datetime | None, lists: _Lists) -> Booked:
        """The practice's appointments from a while before `since` on, or all."""
        if since in lists:
            return lists[since]
        day = _BEGINNING
        if since is not None:
            # A day more than configured: days are those of the practice's own zone.
            day = (since - timedelta(days=self.config.read.date_rescan_days + 1)).date().isoformat()
        appointments: set[str] = set()
        persons: set[str] = set()
        problems: list[Problem] = []
        asked_at: datetime | None = None
        params = [("$filter", f"appointmentDate ge dateTime'{day}T00:00:00'")]
        async for page in self.nextgen.pages("appointments", operation=APPOINTMENTS, params=params):
            asked_at = asked_at or page.served_at
            for item in page.items:
                head = head_of(item)
                # unverified: by which of the names this list calls the id; a person's own list says appointmentId.
                booking = head and (head.booking or head.id)
                if head is None or not booking:
                    problems.append(no_id(item, "Appointment", APPOINTMENTS))
                    continue
                appointments.add(booking)
                persons.update([head.person] if head.person else [])
        lists[since] = Booked(sorted(appointments), sorted(persons), problems, asked_at)
        return lists[since]

    def _by_id(self, resource_type: str) -> Fetch:
        async def fetch(remote_id: str) -> AsyncIterator[Found]:
            yield await self._record(resource_type, remote_id)

        return fetch

    def _of_person(self, resource_type: str) -> Fetch:
        return self._appointments_of if resource_type == "Appointment" else self._chart(resource_type)

    def _chart(self, resource_type: str) -> Fetch:
        chart = CHARTS[resource_type]

        async def fetch(person: str) -> AsyncIterator[Found]:
            async for page in self.nextgen.pages(chart.of(person), operation=chart.operation):
                yield found_in(
                    page.items,
                    resource_type,
                    chart.operation,
                    limit=self.config.read.max_resource_bytes,
                    served_at=page.served_at,
                    received_bytes=page.received_bytes,
                )

        return fetch

    async def _appointments_of(self, person: str) -> AsyncIterator[Found]:
        async for page in self.nextgen.pages(BOOKED.of(person), operation=BOOKED.operation):
            for item in page.items:
                head = head_of(item)
                booking = head and (head.booking or head.id)
                if booking:
                    yield await self._record("Appointment", booking)
                else:
                    yield Found(problems=[no_id(item, "Appointment", BOOKED.operation)], partial=True)

    async def _record(self, resource_type: str, remote_id: str) -> Found:
        looked = await self.look_up(resource_type, remote_id)
        limit, size = self.config.read.max_resource_bytes, len(looked.body)
        if size > limit:
            source = self._source(resource_type)
            problem = too_large(looked.body, size, limit=limit, source=source, wanted=resource_type)
            return Found((), [problem], (), looked.served_at, looked.received_bytes, partial=True)
        return Found([looked.body], (), (), looked.served_at, looked.received_bytes, named=[looked.name])
