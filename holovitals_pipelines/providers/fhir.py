"""Any FHIR R4 server: what it can do is learnt from its CapabilityStatement, and the gentlest way that works is taken.

A full read is one bulk export where the whole system can be exported, else one search a type, else, where the server
wants a patient in every search, one search for each patient. Incremental reads ask for `_lastUpdated` (vendors.md §13).
What may be written, and how writes are guarded, is what the statement declares and the server's answers bear out.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime

from holovitals_pipelines.fhir.resource_types import PATIENT_COMPARTMENT, RESOURCE_TYPES, in_processing_order
from holovitals_pipelines.model.errors import AuthenticationError, ConfigurationError, PermanentError
from holovitals_pipelines.model.extract import Page, Problem, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.vocabulary import ChangeMechanism, ErrorSeverity, Provider
from holovitals_pipelines.model.writing import READ_ONLY, WriteCapability
from holovitals_pipelines.providers.bulk import Export
from holovitals_pipelines.providers.crawl import crawl
from holovitals_pipelines.providers.fhir_rest import Found, Query, search
from holovitals_pipelines.providers.progress import Progress, TypeRead, to_the_end
from holovitals_pipelines.providers.reading import FhirConnection, instant, search_pages

_NOT_RECORDS = frozenset(
    {
        "ActivityDefinition",
        "AuditEvent",
        "Binary",
        "Bundle",
        "CapabilityStatement",
        "ChargeItemDefinition",
        "CodeSystem",
        "CompartmentDefinition",
        "ConceptMap",
        "EventDefinition",
        "ExampleScenario",
        "GraphDefinition",
        "ImplementationGuide",
        "Library",
        "MessageDefinition",
        "MessageHeader",
        "NamingSystem",
        "OperationDefinition",
        "OperationOutcome",
        "Parameters",
        "PlanDefinition",
        "SearchParameter",
        "StructureDefinition",
        "StructureMap",
        "Subscription",
        "TerminologyCapabilities",
        "TestReport",
        "TestScript",
        "ValueSet",
    }
)
"""Types that describe the server rather than anybody's care; read only when resource_types names them."""

_NEVER_EXPORTED = frozenset({"Binary"})
"""Bulk Data leaves Binary out of system exports: no file of it says nothing about what there is."""


class FhirAdapter(FhirConnection):
    """One open connection to a FHIR R4 server."""

    provider = Provider.FHIR

    def _check_settings(self) -> None:
        if self.config.read.mode == "bulk" and self._export_level() is None:
            raise ConfigurationError(
                "read.mode is bulk, but the server offers no export this connection can use",
                code="bulk.not_offered",
                place=f"connection {self.config.name}",
                remedy="set read.mode to search, or give read.group if the server exports by group",
            )

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        return {name: self._mechanism(name) for name in self._offered()}

    def _offered_writes(self, resource_type: str) -> WriteCapability:
        offer = self._offer(resource_type)
        if offer is None:
            return READ_ONLY
        return WriteCapability(
            create=offer.creatable,
            update=offer.updatable or offer.patchable,
            delete=offer.deletable,
            concurrency=self._concurrency(resource_type, offer.versioning),
            keeps_identifiers=offer.conditional_create or "identifier" in offer.search_params,
        )

    def _offered(self) -> list[str]:
        if self.config.resource_types is not None:
            return in_processing_order(self.config.resource_types)
        types = self.capability.types.items()
        return in_processing_order(
            name
            for name, offer in types
            if name in RESOURCE_TYPES and name not in _NOT_RECORDS and (offer.searchable or self._export_level())
        )

    def _mechanism(self, resource_type: str) -> ChangeMechanism:
        if self.config.read.mode == "bulk":
            return ChangeMechanism.BULK_SINCE
        if self._filters_by_time(resource_type):
            return ChangeMechanism.LAST_UPDATED
        if self.config.read.mode == "auto" and self._export_level() is not None:
            return ChangeMechanism.BULK_SINCE
        return ChangeMechanism.FULL_RESCAN

    def _filters_by_time(self, resource_type: str) -> bool:
        offer = self.capability.types.get(resource_type)
        return offer is not None and "_lastUpdated" in offer.search_params

    def _export_level(self) -> str | None:
        """The level whose export holds everything the connection is about; None when there is none to use."""
        settings, levels = self.config.read, self.capability.exports
        if settings.mode == "search":
            return None
        if settings.group is not None and "group" in levels:
            return "group"
        if "system" in levels:
            return "system"
        # A Patient-level export leaves out what belongs to no patient, so it is used only when told to.
        return "patient" if settings.mode == "bulk" and "patient" in levels else None

    async def _events(
        self, request: ReadRequest, types: Sequence[str], progress: Progress
    ) -> AsyncGenerator[ReadEvent, None]:
        narrowed = request.only_ids is not None or request.only_patients is not None
        exported = [] if narrowed else self._to_export(request, types)
        if exported:
            # One export for all types that read alike: servers allow one at a time (vendors.md §4.4).
            export = self._export(request, exported)
            async with aclosing(self._exported(export, progress)) as events:
                async for event in events:
                    if self._to_be_searched(event, progress):
                        progress.export = None
                        yield Page(exported[0], export.operation, [], progress.cursor(), problems=[_REFUSED])
                        exported = []
                        break
                    yield event
        for name in progress.remaining([name for name in types if name not in exported]):
            async with aclosing(self._one_type(request, name, progress)) as events:
                async for event in events:
                    yield event

    def _to_be_searched(self, event: ReadEvent, progress: Progress) -> bool:
        """Whether the server offers an export and refuses it, and nothing else was asked for."""
        return (
            isinstance(event, TypeDone)
            and isinstance(event.error, PermanentError)
            and not isinstance(event.error, AuthenticationError)
            and progress.export is None
            and self.config.read.mode == "auto"
        )

    def _to_export(self, request: ReadRequest, types: Sequence[str]) -> list[str]:
        if self._export_level() is None:
            return []
        types = [name for name in types if name not in _NEVER_EXPORTED]
        if self.config.read.mode == "bulk":
            return types
        # Types that can be searched for changes are; exporting is for reading everything.
        return [name for name in types if request.since.get(name) is None or not self._filters_by_time(name)]

    def _export(self, request: ReadRequest, types: Sequence[str]) -> Export:
        moments = [request.since.get(name) for name in types]
        known = [moment for moment in moments if moment is not None]
        since = min(known) if len(known) == len(types) else None
        level = self._export_level()
        if level == "group":
            return self._group_export(types, since)
        path = "Patient/$export" if level == "patient" else "$export"
        return Export(path, f"GET {path}", types, since=since, snapshot=since is None)

    async def _one_type(
        self, request: ReadRequest, resource_type: str, progress: Progress
    ) -> AsyncGenerator[ReadEvent, None]:
        read = TypeRead(resource_type)
        snapshot = False
        if request.only_ids is not None:
            pages = self._by_id(request.only_ids.get(resource_type, ()), read, progress)
        elif request.only_patients is not None:
            pages = self._by_patient(sorted(request.only_patients), read, progress, None)
        else:
            since = request.since.get(resource_type) if self._filters_by_time(resource_type) else None
            snapshot = since is None and request.until is None
            pages = self._whole_type(request, read, progress, since)
        async with aclosing(to_the_end(read, pages, progress, snapshot=snapshot)) as events:
            async for event in events:
                yield event

    async def _by_patient(
        self, patients: Sequence[str], read: TypeRead, progress: Progress, since: datetime | None
    ) -> AsyncGenerator[Page, None]:
        if read.resource_type == "Patient":
            async for page in self._by_id(patients, read, progress):
                yield page
            return
        parameter = PATIENT_COMPARTMENT.get(read.resource_type)
        if parameter is None:
            return
        source = f"GET {read.resource_type}?{parameter}={{id}}"

        def fetch(patient: str) -> AsyncIterator[Found]:
            params = [(parameter, patient), *self._own_params(read.resource_type), *self._page_params(since, None)]
            return self._searched(Query(read.resource_type, params, source))

        async for page in crawl(self.http, patients, fetch, read=read, progress=progress, source=source):
            yield page

    async def _whole_type(
        self, request: ReadRequest, read: TypeRead, progress: Progress, since: datetime | None
    ) -> AsyncGenerator[Page, None]:
        place = progress.place_in(read.resource_type)
        source = f"GET {read.resource_type}"
        if "id" not in place:
            params = [*self._own_params(read.resource_type), *self._page_params(since, request.until)]
            query = Query(read.resource_type, params, source)
            try:
                async for page in search_pages(self.http, query, read, progress):
                    yield page
                return
            except PermanentError as refused:
                patients = request.patients() if refused.status in (400, 403, 422) else ()
                if (
                    not patients
                    or read.resource_type not in PATIENT_COMPARTMENT
                    or progress.place_in(read.resource_type)
                ):
                    raise
        # "Either patient or _id is required": most EHRs answer no search without a patient (vendors.md §1.1).
        async for page in self._by_patient(sorted(request.patients()), read, progress, since):
            yield page

    def _own_params(self, resource_type: str) -> list[tuple[str, str]]:
        """What the vendor wants in every search of the type; any server: nothing."""
        return []

    def _searched(self, query: Query) -> AsyncIterator[Found]:
        """The pages of a search of one patient's resources."""
        return search(self.http, query)

    def _page_params(self, since: datetime | None, until: datetime | None) -> list[tuple[str, str]]:
        params = [self._count()]
        if since is not None:
            params.append(("_lastUpdated", f"ge{instant(since)}"))
        if until is not None:
            params.append(("_lastUpdated", f"le{instant(until)}"))
        return params


_REFUSED = Problem(
    code="bulk.refused",
    message="the server offers a bulk export and refuses it; the types are searched instead",
    remedy="set read.mode to search, or ask the site to permit the export",
    source="GET $export",
    severity=ErrorSeverity.WARNING,
)
