"""eClinicalWorks, as far as it differs from any FHIR server (vendors.md §8).

No list of patients, no update time: patients come from a Group export or a list of ids, everything else is crawled
patient by patient and compared by content; `read.mode: bulk` exports all of it, from a moment on. An export wants
`system/Group.read` in its token and everything else wants it out, so there are two tokens.

Writing is licensed by practice and type, and the CapabilityStatement does not tell: what may be written is what
`write.resource_types` names. There is no version and no condition: every update counts as unguarded.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.fhir.wire import read_head
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef, SmartBackendAuth
from holovitals_pipelines.model.errors import ConfigurationError, NotPermittedError, VendorError
from holovitals_pipelines.model.extract import Page, Problem, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.vocabulary import ChangeMechanism, ErrorSeverity, Provider
from holovitals_pipelines.model.writing import Present, WriteCapability, Written
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.providers.answers import Answer
from holovitals_pipelines.providers.bulk import BUSY, Export
from holovitals_pipelines.providers.crawl import crawl
from holovitals_pipelines.providers.eclinicalworks_writes import WriteBackJudge, created_id
from holovitals_pipelines.providers.exchange import outcome_unknown
from holovitals_pipelines.providers.fhir_rest import Found, Query, quoted, search
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.patient_list import listed_patients, patients_to_ask_for
from holovitals_pipelines.providers.progress import Progress, TypeRead, to_the_end
from holovitals_pipelines.providers.reading import FhirConnection
from holovitals_pipelines.providers.refusals import Write
from holovitals_pipelines.providers.smart import SmartBackend

REQUESTS_PER_MINUTE = 240
"""The vendor counts 250, token requests and those of other programs of the same app included: a few are left to them,
to `holovitals connections test` for one."""

_GROUP = "system/Group."
_GROUP_READ = f"{_GROUP}read"


@dataclass(frozen=True, slots=True)
class EcwType:
    """How one type is read for one patient: the parameter that names the patient, and the one that narrows by time."""

    patient: str = "patient"
    since: str | None = None


_WHOLE = EcwType()

ECW_TYPES: Mapping[str, EcwType] = {
    **dict.fromkeys((
        "Patient", "Device", "Encounter", "AllergyIntolerance", "Condition", "FamilyMemberHistory", "CareTeam", "Goal",
        "CarePlan", "ServiceRequest", "MedicationRequest", "MedicationDispense", "MedicationAdministration",
        "Immunization", "Procedure", "Specimen", "DiagnosticReport", "QuestionnaireResponse", "DocumentReference",
        "Coverage",
    ), _WHOLE),
    # The statement describes it as the time the observation was obtained, so it is used like a clinical date.
    "Observation": EcwType(since="_since"),
    "ChargeItem": EcwType(patient="subject"),
}  # fmt: skip
"""What eClinicalWorks' CapabilityStatement lets a client search by patient, Basic left out: it has no fixed meaning."""

EXPORTED_ONLY = ("Organization", "Location", "Practitioner", "PractitionerRole")
"""Administrative types: searches for them want a name; an export of any Group has all of the EMR's."""

_WITH_CONTENTS = frozenset({"DiagnosticReport", "DocumentReference"})
_FOUND_BY_IDENTIFIER = frozenset({"Patient"})


class EcwAdapter(FhirConnection):
    """One open connection to a practice."""

    provider = Provider.ECLINICALWORKS

    def __init__(self, config: ConnectionConfig, http: VendorHttp, resolve_secret: Callable[[SecretRef], str]) -> None:
        super().__init__(config, http)
        self._resolve_secret = resolve_secret
        if isinstance(http.authorizer, SmartBackend):
            single = self._scopes()
            http.authorizer = http.authorizer.asking_for(" ".join(single))
            self.export_http = http.authorized_by(http.authorizer.asking_for(" ".join([*single, _GROUP_READ])))

    def _scopes(self) -> list[str]:
        """Those the connection names, or needs, without the one that is for exports alone."""
        named = isinstance(self.config.auth, SmartBackendAuth) and self.config.auth.scopes
        return [one for one in (named.split() if named else self._needed_scopes()) if not one.startswith(_GROUP)]

    def _needed_scopes(self) -> list[str]:
        writing = self.config.write
        written = list(writing.resource_types or ()) if writing.enabled else []
        letters = ("c", "u") if writing.creates else ("u",)
        contents = not _WITH_CONTENTS.isdisjoint(self._types())
        return [
            *(f"system/{name}.read" for name in self._types()),
            *(["system/Binary.r"] if contents else []),
            *(f"system/{name}.{letter}" for name in written for letter in letters),
        ]

    def _check_settings(self) -> None:
        place = f"connection {self.config.name}"
        if isinstance(self.config.auth, SmartBackendAuth) and self.config.auth.algorithm != "RS384":
            raise ConfigurationError(
                "eClinicalWorks takes assertions signed by RS384 only",
                code="ecw.algorithm",
                place=f"{place}, auth.algorithm",
                remedy="register an RSA key and set auth.algorithm to RS384",
            )
        if self.config.read.mode == "bulk" and self.config.read.group is None:
            raise ConfigurationError(
                "eClinicalWorks exports by Group only, and the connection names none",
                code="ecw.no_group",
                place=f"{place}, read.group",
                remedy="ask the practice for the id of a Group made inside the EMR, or set read.mode to search",
            )

    def _tried(self) -> VendorHttp:
        return self.export_http if self.config.read.mode == "bulk" else self.http

    def _types(self) -> list[str]:
        """Those the connection names, else all that can be read the way it reads."""
        exports = self.config.read.group is not None and self.config.read.mode != "search"
        usual = [*ECW_TYPES, *(EXPORTED_ONLY if exports else ())]
        return in_processing_order(self.config.resource_types or usual)

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        return {name: self._mechanism(name) for name in self._types()}

    def _mechanism(self, resource_type: str) -> ChangeMechanism:
        if self.config.read.mode == "bulk":
            return ChangeMechanism.BULK_SINCE
        narrowed = ECW_TYPES.get(resource_type, _WHOLE).since is not None
        return ChangeMechanism.DATE_RESCAN if narrowed else ChangeMechanism.FULL_RESCAN

    # reading

    async def _events(
        self, request: ReadRequest, types: Sequence[str], progress: Progress
    ) -> AsyncGenerator[ReadEvent, None]:
        narrowed = request.only_ids is not None or request.only_patients is not None
        exported = [] if narrowed else self._to_export(types)
        crawled = [name for name in types if name not in exported]
        if exported:
            async with aclosing(self._exported(self._export(request, exported), progress)) as events:
                async for event in events:
                    if self._is_busy_with_patients(event):
                        yield Page("Patient", "GET Group/{id}/$export", [], progress.cursor(), problems=[_KNOWN_ONLY])
                        crawled.insert(0, "Patient")
                        continue
                    yield event
        for name in progress.remaining(crawled):
            async with aclosing(self._one_type(request, name, progress)) as events:
                async for event in events:
                    yield event

    def _to_export(self, types: Sequence[str]) -> list[str]:
        """What an export brings: everything, or only what cannot be crawled, the patients among it."""
        if self.config.read.mode == "bulk":
            return list(types)
        if self.config.read.mode == "search" or self.config.read.group is None:
            return []
        listed = bool(listed_patients(self.config, self._resolve_secret))
        return [name for name in types if name in EXPORTED_ONLY or (name == "Patient" and not listed)]

    def _export(self, request: ReadRequest, types: Sequence[str]) -> Export:
        since = [request.since.get(name) for name in types] if self.config.read.mode == "bulk" else [None]
        moments = [moment for moment in since if moment is not None]
        return self._group_export(types, min(moments) if len(moments) == len(since) else None)

    def _is_busy_with_patients(self, event: ReadEvent) -> bool:
        """Whether the patients' export is one that another job has under way: those known are read one by one."""
        busy = isinstance(event, TypeDone) and event.error is not None and event.error.code == BUSY
        return busy and event.resource_type == "Patient" and self.config.read.mode == "auto"

    async def _one_type(
        self, request: ReadRequest, resource_type: str, progress: Progress
    ) -> AsyncGenerator[ReadEvent, None]:
        read = TypeRead(resource_type)
        params, snapshot = self._params(request, resource_type), False
        if request.only_ids is not None:
            pages = self._by_id(request.only_ids.get(resource_type, ()), read, progress)
        elif resource_type == "Patient":
            # Everyone known is read, but newcomers are not seen: no snapshot, unless the list says who there is.
            snapshot = request.only_patients is None and bool(listed_patients(self.config, self._resolve_secret))
            pages = self._known(request, read, progress)
        else:
            narrowed = any(name == ECW_TYPES.get(resource_type, _WHOLE).since for name, _ in params)
            snapshot = request.only_patients is None and not narrowed
            pages = self._crawl(request, params, read, progress)
        async with aclosing(to_the_end(read, pages, progress, snapshot=snapshot)) as events:
            async for event in events:
                yield event

    async def _known(self, request: ReadRequest, read: TypeRead, progress: Progress) -> AsyncGenerator[Page, None]:
        async for page in self._by_id(self._patients(request), read, progress):
            yield page

    async def _crawl(
        self, request: ReadRequest, params: Sequence[tuple[str, str]], read: TypeRead, progress: Progress
    ) -> AsyncGenerator[Page, None]:
        named = self._patient_parameter(read.resource_type)
        if named is None:
            if request.only_patients is None:
                raise _only_exported(read.resource_type, self.config.name)
            return
        source = f"GET {read.resource_type}?{named}={{id}}"

        def fetch(patient: str) -> AsyncIterator[Found]:
            # unverified: that Bundle.total counts what is delivered
            return search(self.http, Query(read.resource_type, [(named, patient), *params], source, exact_total=False))

        async for page in crawl(self.http, self._patients(request), fetch, read=read, progress=progress, source=source):
            yield page

    def _fixed_params(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        return dict.fromkeys(self._types(), ())

    def _patient_parameters(self) -> Mapping[str, str]:
        return {name: how.patient for name, how in ECW_TYPES.items() if how.patient != _WHOLE.patient}

    def _patient_parameter(self, resource_type: str) -> str | None:
        """What names the patient in a search of the type; None where no search is by patient."""
        if resource_type in ECW_TYPES:
            return ECW_TYPES[resource_type].patient
        offer = self._offer(resource_type)
        return "patient" if offer is not None and "patient" in offer.search_params else None

    def _params(self, request: ReadRequest, resource_type: str) -> list[tuple[str, str]]:
        since, named = request.since.get(resource_type), ECW_TYPES.get(resource_type, _WHOLE).since
        if since is None or named is None or request.only_patients is not None:
            return [self._count()]
        return [self._count(), (named, self._window_start(since))]

    def _window_start(self, since: datetime) -> str:
        # A day more than configured: the practice reads dates in its own time zone.
        return (since - timedelta(days=self.config.read.date_rescan_days + 1)).date().isoformat()

    def _patients(self, request: ReadRequest) -> list[str]:
        if request.only_patients is not None:
            return sorted(set(request.only_patients))
        return patients_to_ask_for(
            self.config,
            self._resolve_secret,
            request.patients(),
            because="eClinicalWorks lists no patients",
            code="ecw.no_population",
            group="a Group made inside the EMR",
        )

    # writing

    def _offered_writes(self, resource_type: str) -> WriteCapability:
        offer = self._offer(resource_type)
        licensed = resource_type in (self.config.write.resource_types or ())
        return WriteCapability(
            create=licensed or (offer is not None and offer.creatable),
            update=licensed,
            # Whether it files an identifier that is not its own is not documented: nothing is built on it.
            keeps_identifiers=False,
        )

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        self._allowed(resource_type, "created", self.write_capability(resource_type).create)
        # unverified: verb and address of a write-back; its documentation is licensed (vendors.md §14)
        operation = f"POST {resource_type}"
        answer = await self._send(Write.CREATE, "POST", resource_type, operation, body)
        made = created_id(answer, resource_type)
        if made is None:
            place = self.http.place(operation)
            raise outcome_unknown("the vendor did not say which resource it created", place=place)
        return await self._read_back(resource_type, made)

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        self._allowed(resource_type, "updated", self.write_capability(resource_type).update)
        head = read_head(body)
        assert (head.resource_type, head.id) == (resource_type, remote_id), "the body is another resource's"
        path, operation = f"{resource_type}/{quoted(remote_id)}", f"PUT {resource_type}/{{id}}"
        await self._send(Write.UPDATE, "PUT", path, operation, body)  # unverified: as above
        return await self._read_back(resource_type, remote_id)

    async def _send(self, write: Write, method: str, path: str, operation: str, body: bytes) -> Answer:
        return await self.http.write(
            method,
            path,
            operation=operation,
            judge=WriteBackJudge(write, may_repeat=self.config.read.max_retries > 0),
            timeout_seconds=self.config.write.timeout_seconds,
            content=body,
        )

    async def _read_back(self, resource_type: str, remote_id: str) -> Written:
        """The write has happened: where it cannot be read yet, it is confirmed without being shown."""
        with suppress(VendorError):
            current = await self.read_current(resource_type, remote_id)
            if isinstance(current, Present):
                return Written(remote_id, current.version, current.body)
        return Written(remote_id, None, None)

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        if resource_type not in _FOUND_BY_IDENTIFIER:
            raise NotPermittedError(
                f"eClinicalWorks does not find a {resource_type} by identifier without its patient",
                code="ecw.no_identifier_search",
                place=self.http.place(f"GET {resource_type}?identifier={{identifier}}"),
                remedy="look in the patient's chart by hand before anything is created again",
            )
        return await super().find(resource_type, identifiers)


def _only_exported(resource_type: str, connection: str) -> ConfigurationError:
    return ConfigurationError(
        f"eClinicalWorks gives {resource_type} by export only, and the connection exports nothing",
        code="ecw.only_exported",
        place=f"connection {connection}, resource_types",
        remedy="set read.group, or leave the type out of resource_types",
    )


_KNOWN_ONLY = Problem(
    code="ecw.export_in_progress",
    message="an identical export is in progress; the patients already known are read one by one",
    remedy="nothing: newcomers are found by the next read",
    source="GET Group/{id}/$export",
    resource_type="Patient",
    severity=ErrorSeverity.WARNING,
)
