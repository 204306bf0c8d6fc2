"""Veradigm's FHIR interface (vendors.md §6.3): read by patient or exported by Group, twelve types written unguarded.

`_lastUpdated` is documented and not declared, so a connection is opened by asking whether it filters: a patient of the
list (`read.patient_ids`) must be found without it and not be found as changed tomorrow. Until that was seen it is not
used.

Law: a redacted entry is no record: it is reported with its bytes, and nothing is taken as deleted for want of it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import ClassVar, Self

import msgspec

from holovitals_pipelines.fhir.wire import read_bundle
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import HoloVitalsError, NotPermittedError, PermanentError
from holovitals_pipelines.model.extract import Page, Problem, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.model.writing import Current, Present
from holovitals_pipelines.providers.fhir_face import US_CORE_TYPES, FhirFace
from holovitals_pipelines.providers.fhir_rest import Found, Query
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.patient_list import listed_patients
from holovitals_pipelines.providers.progress import Progress, TypeRead
from holovitals_pipelines.providers.reading import instant

ACCEPT = "application/fhir+json;fhirVersion=4.0"
_WRITTEN = (
    "AllergyIntolerance", "Condition", "DocumentReference", "Immunization", "MedicationAdministration",
    "MedicationDispense", "MedicationRequest", "MedicationStatement", "Observation", "Questionnaire",
    "QuestionnaireResponse", "ServiceRequest",
)  # fmt: skip
TYPES = tuple(dict.fromkeys((*US_CORE_TYPES, *_WRITTEN)))

_TOO_LARGE = 413
_NARROWER = 4
"""Each time a result is called too large, pages are asked for that are so many times smaller."""
_TOMORROW = timedelta(days=2)


class _Coding(msgspec.Struct):
    code: str | None = None


class _Meta(msgspec.Struct):
    security: list[_Coding] = []


class _Labelled(msgspec.Struct):
    meta: _Meta | None = None
    id: str | None = None


class VeradigmFhirAdapter(FhirFace):
    """One open connection to a Veradigm tenant's FHIR interface."""

    provider = Provider.ALLSCRIPTS
    writes: ClassVar[Mapping[str, str]] = MappingProxyType(dict.fromkeys(_WRITTEN, "cu"))

    def __init__(self, config: ConnectionConfig, http: VendorHttp, resolve_secret: Callable[[SecretRef], str]) -> None:
        super().__init__(config, http, resolve_secret)
        http.accept = ACCEPT
        self._rows = config.read.page_size
        self._time_filters = False

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        # What fails here fails again, and is told, where it is needed.
        with suppress(HoloVitalsError):
            self._time_filters = await self._tells_times_apart()
        return self

    async def _tells_times_apart(self) -> bool:
        """Whether `_lastUpdated` does what it says, seen on one patient."""
        patient = next(iter(listed_patients(self.config, self._resolve_secret)), None)
        if patient is None or self.config.read.mode == "bulk":
            return False
        tomorrow = instant(self.http.clock.now() + _TOMORROW)
        return await self._finds(patient, f"le{tomorrow}") and not await self._finds(patient, f"ge{tomorrow}")

    async def _finds(self, patient: str, changed: str) -> bool:
        params = [("_id", patient), ("_lastUpdated", changed), self._count()]
        answer = await self.http.request("GET", "Patient", operation="GET Patient?_id={id}", params=params)
        return any(entry.resource_type == "Patient" for entry in read_bundle(answer.body).entries)

    def _filters_by_time(self, resource_type: str) -> bool:
        return self._time_filters

    def _count(self) -> tuple[str, str]:
        return "_count", str(self._rows)

    async def read(self, request: ReadRequest) -> AsyncGenerator[ReadEvent, None]:
        """See `Adapter.read`."""
        redacted: set[str] = set((request.cursor or {}).get("redacted", ()))
        async with aclosing(super().read(request)) as events:
            async for event in events:
                shown = _readable(event) if isinstance(event, Page) else event
                if shown is not event:
                    redacted.add(event.resource_type)
                if isinstance(shown, TypeDone) and shown.resource_type in redacted:
                    shown = replace(shown, snapshot=False)
                # A read that is resumed must know what was left out before.
                yield replace(shown, cursor={**shown.cursor, "redacted": sorted(redacted)})

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        current = await super().read_current(resource_type, remote_id)
        if isinstance(current, Present) and _is_redacted(current.body):
            raise NotPermittedError(
                "Veradigm shows the resource redacted",
                code="veradigm.redacted",
                place=self.http.place(f"GET {resource_type}/{{id}}"),
                remedy=_REMEDY,
            )
        return current

    async def _whole_type(
        self, request: ReadRequest, read: TypeRead, progress: Progress, since: datetime | None
    ) -> AsyncGenerator[Page, None]:
        while True:
            try:
                async with aclosing(super()._whole_type(request, read, progress, since)) as pages:
                    async for page in pages:
                        yield page
                return
            except PermanentError as refused:
                if refused.status != _TOO_LARGE or not self._narrow(self._rows):
                    raise

    async def _searched(self, query: Query) -> AsyncIterator[Found]:
        while True:
            rows = self._rows
            params = [(name, str(rows) if name == "_count" else value) for name, value in query.params]
            try:
                async for found in super()._searched(replace(query, params=params)):
                    yield found
                return
            except PermanentError as refused:
                # Rows of pages that came before come again, which hashing makes harmless.
                if refused.status != _TOO_LARGE or not self._narrow(rows):
                    raise

    def _narrow(self, rows: int) -> bool:
        """Whether smaller pages than these can be asked for."""
        self._rows = min(self._rows, max(1, rows // _NARROWER))
        return rows > 1


_REMEDY = "ask the site to let this client see such records; what is held of them stays as it is"


def _is_redacted(body: bytes) -> bool:
    """unverified: how Veradigm marks a redacted entry; this is FHIR's own label for it."""
    if b"REDACTED" not in body:
        return False
    try:
        labelled = msgspec.json.decode(body, type=_Labelled)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return labelled.meta is not None and any(label.code == "REDACTED" for label in labelled.meta.security)


def _readable(page: Page) -> Page:
    """The page without redacted entries; the same object where there are none."""
    kept = [place for place, body in enumerate(page.bodies) if not _is_redacted(body)]
    if len(kept) == len(page.bodies):
        return page
    problems = [
        Problem(
            code="veradigm.redacted",
            message="Veradigm shows the resource redacted",
            remedy=_REMEDY,
            source=page.source,
            line=page.lines[place] if page.lines is not None else None,
            resource_type=page.resource_type,
            body=page.bodies[place],
        )
        for place in sorted(set(range(len(page.bodies))) - set(kept))
    ]
    return replace(
        page,
        bodies=[page.bodies[place] for place in kept],
        lines=[page.lines[place] for place in kept] if page.lines is not None else None,
        problems=[*page.problems, *problems],
    )
