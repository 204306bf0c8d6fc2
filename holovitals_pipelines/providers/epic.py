"""Epic, as far as it differs from any FHIR server (vendors.md §3).

No population search, no `_since`, and `_lastUpdated` on DocumentReference alone: patients come from a Group export
or a list of ids, everything else is crawled patient by patient, and changes are found by clinical dates and content
hashes. Edits of older rows than `read.date_rescan_days` are found by the next full read.

Some types can be created, some updated, nothing can be deleted. Epic shows neither ETag nor version, and that it checks
If-Match is asserted by third parties only, so no condition is sent and every update counts as unguarded.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.model.attachment import Content
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import ConfigurationError, NotPermittedError
from holovitals_pipelines.model.extract import Page, Problem, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.vocabulary import ChangeMechanism, ErrorSeverity, Provider
from holovitals_pipelines.model.writing import READ_ONLY, Concurrency, Present, WriteCapability
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.providers.bulk import BUSY, TOO_RECENT
from holovitals_pipelines.providers.crawl import crawl
from holovitals_pipelines.providers.fhir_attachments import BINARY, is_binary
from holovitals_pipelines.providers.fhir_rest import Found, Query, search
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.patient_list import listed_patients, patients_to_ask_for
from holovitals_pipelines.providers.progress import Progress, TypeRead, to_the_end
from holovitals_pipelines.providers.reading import FhirConnection, instant


@dataclass(frozen=True, slots=True)
class EpicType:
    """How one type is read for one patient: how changes show, the parameter that narrows by time, and fixed ones."""

    mechanism: ChangeMechanism = ChangeMechanism.FULL_RESCAN
    time_parameter: str | None = None
    params: tuple[tuple[str, str], ...] = ()


def _by_date(parameter: str, **params: str) -> EpicType:
    return EpicType(ChangeMechanism.DATE_RESCAN, parameter, tuple(params.items()))


_WHOLE = EpicType()

EPIC_TYPES: Mapping[str, EpicType] = {
    "Patient": _WHOLE,
    "Device": _WHOLE,
    "Encounter": _by_date("date"),
    "AllergyIntolerance": _WHOLE,
    "Condition": _by_date("recorded-date", category="problem-list-item,encounter-diagnosis,health-concern"),
    "FamilyMemberHistory": _WHOLE,
    "CareTeam": _WHOLE,
    "Goal": _WHOLE,
    # Epic requires the category; these are US Core's and the SNOMED codes of its plan records.
    "CarePlan": EpicType(params=(("category", "assess-plan,38717003,734163000,736378000"),)),
    "ServiceRequest": _by_date("authored"),
    "DeviceRequest": _WHOLE,
    "MedicationRequest": _by_date("authoredon"),
    "MedicationDispense": _WHOLE,
    "MedicationAdministration": _WHOLE,
    "Immunization": _WHOLE,
    "Procedure": _WHOLE,
    # procedure, therapy and activity make Epic fail (vendors.md §3.3), so the categories are named one by one.
    "Observation": _by_date(
        "date",
        category="vital-signs,laboratory,social-history,survey,imaging,exam,core-characteristics,"
        "functional-mental-status,sdoh",
    ),
    "ImagingStudy": _WHOLE,
    "DiagnosticReport": _by_date("date"),
    "QuestionnaireResponse": _WHOLE,
    "DocumentReference": EpicType(ChangeMechanism.LAST_UPDATED, "_lastUpdated"),
    "Consent": _WHOLE,
    "Coverage": _WHOLE,
    "ExplanationOfBenefit": _WHOLE,
}
"""What Epic's R4 CapabilityStatement lets a client search by patient, and the dates it lets it search by."""


_CREATABLE = frozenset({
    "AllergyIntolerance", "BodyStructure", "Communication", "ConceptMap", "Condition", "DocumentReference",
    "Observation", "Patient", "Procedure", "QuestionnaireResponse", "ServiceRequest",
})  # fmt: skip
_UPDATABLE = frozenset({
    "BodyStructure", "DiagnosticReport", "DocumentReference", "Observation", "Procedure", "ServiceRequest", "Task",
})  # fmt: skip
"""What Epic's published R4 CapabilityStatement lets a client write (vendors.md §3.4); a site may offer less."""

_FOUND_BY_IDENTIFIER = frozenset({"Patient"})
"""The other types Epic lets a client create are searched within one patient's chart only."""


class EpicAdapter(FhirConnection):
    """One open connection to an Epic site."""

    provider = Provider.EPIC

    def __init__(self, config: ConnectionConfig, http: VendorHttp, resolve_secret: Callable[[SecretRef], str]) -> None:
        super().__init__(config, http)
        self._resolve_secret = resolve_secret

    def _check_settings(self) -> None:
        if self.config.read.mode == "bulk" and self.config.read.group is None:
            raise ConfigurationError(
                "Epic exports by Group only, and the connection names none",
                code="epic.no_group",
                place=f"connection {self.config.name}, read.group",
                remedy="ask the site for the Group's id and set read.group, or set read.mode to search",
            )

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        offered = in_processing_order(self.config.resource_types or EPIC_TYPES)
        if self.config.read.mode == "bulk":
            return dict.fromkeys(offered, ChangeMechanism.FULL_RESCAN)
        return {name: EPIC_TYPES.get(name, _WHOLE).mechanism for name in offered}

    def _offered_writes(self, resource_type: str) -> WriteCapability:
        offer = self._offer(resource_type)
        if offer is None:
            return READ_ONLY
        return WriteCapability(
            create=offer.creatable and resource_type in _CREATABLE,
            update=offer.updatable and resource_type in _UPDATABLE,
            concurrency=Concurrency.NONE,
            # Whether Epic files an identifier that is not its own is not documented: nothing is built on it.
            keeps_identifiers=False,
        )

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        if resource_type not in _FOUND_BY_IDENTIFIER:
            raise NotPermittedError(
                f"Epic does not find a {resource_type} by identifier without its patient",
                code="epic.no_identifier_search",
                place=self.http.place(f"GET {resource_type}?identifier={{identifier}}"),
                remedy="look in the patient's chart by hand before anything is created again",
            )
        return await super().find(resource_type, identifiers)

    async def _events(
        self, request: ReadRequest, types: Sequence[str], progress: Progress
    ) -> AsyncGenerator[ReadEvent, None]:
        narrowed = request.only_ids is not None or request.only_patients is not None
        if self.config.read.mode == "bulk" and not narrowed:
            async with aclosing(self._exported(self._group_export(types), progress)) as events:
                async for event in events:
                    yield event
            return
        for name in progress.remaining(_patients_first(types)):
            population = name == "Patient" and not narrowed
            events = self._population(request, progress) if population else self._one_type(request, name, progress)
            async with aclosing(events):
                async for event in events:
                    yield event

    async def _population(self, request: ReadRequest, progress: Progress) -> AsyncGenerator[ReadEvent, None]:
        """The Patient type: the listed ids, else the Group's members, else everyone already known."""
        listed = listed_patients(self.config, self._resolve_secret)
        if self.config.read.group is not None and not listed and self.config.read.mode == "auto":
            async with aclosing(self._exported(self._group_export(["Patient"]), progress)) as events:
                async for event in events:
                    if _asked_too_recently(event):
                        progress.export = None
                        yield Page("Patient", "GET Group/{id}/$export", [], progress.cursor(), problems=[_KNOWN_ONLY])
                        break
                    yield event
                else:
                    return
        read = TypeRead("Patient")
        # Everyone known is read, but newcomers are not seen: no snapshot, unless the list says who there is.
        pages = self._patients_by_id(request, read, progress)
        async with aclosing(to_the_end(read, pages, progress, snapshot=bool(listed))) as events:
            async for event in events:
                yield event

    async def _patients_by_id(
        self, request: ReadRequest, read: TypeRead, progress: Progress
    ) -> AsyncGenerator[Page, None]:
        async for page in self._by_id(self._patients(request), read, progress):
            yield page

    async def _one_type(
        self, request: ReadRequest, resource_type: str, progress: Progress
    ) -> AsyncGenerator[ReadEvent, None]:
        read = TypeRead(resource_type)
        params = self._params(request, resource_type)
        snapshot = False
        if request.only_ids is not None:
            pages = self._by_id(request.only_ids.get(resource_type, ()), read, progress)
        elif request.only_patients is not None and resource_type == "Patient":
            pages = self._by_id(request.only_patients, read, progress)
        elif request.only_patients is not None:
            pages = self._crawl(lambda: sorted(set(request.only_patients or ())), params, read, progress)
        else:
            pages = self._crawl(lambda: self._patients(request), params, read, progress)
            snapshot = request.since.get(resource_type) is None or resource_type not in _NARROWED
        async with aclosing(to_the_end(read, pages, progress, snapshot=snapshot)) as events:
            async for event in events:
                yield event

    async def _crawl(
        self,
        patients: Callable[[], Sequence[str]],
        params: Sequence[tuple[str, str]],
        read: TypeRead,
        progress: Progress,
    ) -> AsyncGenerator[Page, None]:
        source = f"GET {read.resource_type}?patient={{id}}"

        def fetch(patient: str) -> AsyncIterator[Found]:
            # Epic's totals count before post-filters (vendors.md §3.3), so they are worth a warning, not an error.
            query = Query(read.resource_type, [("patient", patient), *params], source, exact_total=False)
            return search(self.http, query)

        async for page in crawl(self.http, patients(), fetch, read=read, progress=progress, source=source):
            yield page

    async def fetch_attachment(self, address: str, content_type: str | None, *, limit: int) -> Content:
        """See `FetchesAttachments`. Epic gives documents' content by Binary alone (vendors.md §3.6)."""
        if not is_binary(self.http, address):
            raise NotPermittedError(
                "Epic gives content by Binary only, and the address is none of this site's",
                code="epic.binary_only",
                place=self.http.place(BINARY),
                remedy="ask the site what the address is; it is not followed",
            )
        return await super().fetch_attachment(address, content_type, limit=limit)

    def _fixed_params(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        return {name: how.params for name, how in EPIC_TYPES.items()}

    def _params(self, request: ReadRequest, resource_type: str) -> list[tuple[str, str]]:
        how = EPIC_TYPES.get(resource_type, _WHOLE)
        params = [*how.params, self._count()]
        since = request.since.get(resource_type)
        if since is not None and how.time_parameter is not None and request.only_patients is None:
            params.append((how.time_parameter, f"ge{self._window_start(resource_type, since)}"))
        return params

    def _window_start(self, resource_type: str, since: datetime) -> str:
        if EPIC_TYPES[resource_type].mechanism is ChangeMechanism.LAST_UPDATED:
            return instant(since)
        # A day more than configured: Epic reads dates in the site's own time zone.
        start = since - timedelta(days=self.config.read.date_rescan_days + 1)
        return start.date().isoformat()

    def _patients(self, request: ReadRequest) -> list[str]:
        return patients_to_ask_for(
            self.config,
            self._resolve_secret,
            request.patients(),
            because="Epic answers no search without a patient",
            code="epic.no_population",
        )


_NARROWED = frozenset(name for name, how in EPIC_TYPES.items() if how.time_parameter is not None)


def _patients_first(types: Sequence[str]) -> list[str]:
    return sorted(types, key=lambda name: name != "Patient")


def _asked_too_recently(event: ReadEvent) -> bool:
    return isinstance(event, TypeDone) and event.error is not None and event.error.code in (TOO_RECENT, BUSY)


_KNOWN_ONLY = Problem(
    code="epic.group_too_recent",
    message="Epic refuses another export of the Group so soon; the patients already known are read one by one",
    remedy="nothing: newcomers are found by the first read after Epic's interval (usually 24 hours)",
    source="GET Group/{id}/$export",
    resource_type="Patient",
    severity=ErrorSeverity.WARNING,
)
