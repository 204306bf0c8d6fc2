"""Oracle Health (Cerner Millennium), as far as it differs from any FHIR server (vendors.md §4).

Searches want a patient, so patients come from a Group export or a list of ids and the rest is crawled patient by
patient; twelve clinical types are narrowed by `_lastUpdated`. A row can come on several pages: the latest counts. One
record that lacks a mandatory element makes every search that finds it fail for good: it is reported, and the others
are read.

Every write names the version it is made on. Some types are replaced whole, others only patched, at the paths that the
vendor lists (`cerner_writes.py`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Self

from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.model.connection import ClientSecretAuth, ConnectionConfig, SecretRef, SmartBackendAuth
from holovitals_pipelines.model.errors import ConfigurationError, NotPermittedError
from holovitals_pipelines.model.extract import Page, Problem, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.vocabulary import ChangeMechanism, ErrorSeverity, Provider
from holovitals_pipelines.model.writing import READ_ONLY, Concurrency, Present, WriteCapability, Written
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.providers.bulk import Export
from holovitals_pipelines.providers.cerner_errors import THROTTLED
from holovitals_pipelines.providers.cerner_reads import (
    CERNER_TYPES,
    EXPORTED,
    SHARED_TYPES,
    CernerType,
    latest,
    readable,
)
from holovitals_pipelines.providers.cerner_writes import PATCHES, RESTRICTED, WRITTEN, patched_elements
from holovitals_pipelines.providers.client_credentials import ClientCredentials, TokenEndpoint
from holovitals_pipelines.providers.crawl import Fetch, crawl
from holovitals_pipelines.providers.fhir_rest import Found, Query, search
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.json_patch import Checks, PatchRules
from holovitals_pipelines.providers.patient_list import listed_patients, patients_to_ask_for
from holovitals_pipelines.providers.progress import Progress, TypeRead, to_the_end
from holovitals_pipelines.providers.reading import FhirConnection, instant
from holovitals_pipelines.providers.smart import SmartBackend, discover_token_url

_WITH_CONTENTS = frozenset({"DocumentReference", "DiagnosticReport"})
"""Their texts and files are Binaries of their own (vendors.md §4.4)."""

_REMEDY = "check auth.client_id and auth.client_secret, and that the site has activated the system account"


class CernerAdapter(FhirConnection):
    """One open connection to a tenant."""

    provider = Provider.CERNER

    def __init__(self, config: ConnectionConfig, http: VendorHttp, resolve_secret: Callable[[SecretRef], str]) -> None:
        super().__init__(config, http)
        self._resolve_secret = resolve_secret

    async def __aenter__(self) -> Self:
        try:
            await self._authorize()
        except BaseException:
            await self.http.close()
            raise
        return await super().__aenter__()

    async def _authorize(self) -> None:
        """Cerner gives no token without scopes, and its token endpoint has to be asked for (vendors.md §4.1)."""
        auth = self.config.auth
        if isinstance(auth, SmartBackendAuth) and auth.scopes is None:
            scoped = auth.model_copy(update={"scopes": self._scopes()})
            self.http.authorizer = SmartBackend(scoped, self.http, self._resolve_secret)
        elif isinstance(auth, ClientSecretAuth):
            if auth.token_url is None:
                auth = auth.model_copy(update={"token_url": await discover_token_url(self.http)})
            endpoint = TokenEndpoint("", "POST token", self._scopes(), _REMEDY)
            self.http.authorizer = ClientCredentials(auth, self.http, self._resolve_secret, endpoint)

    def _scopes(self) -> str:
        write = self.config.write
        types = self._offered()
        written = [name for name in types if name in (write.resource_types or types)] if write.enabled else []
        contents = ["Binary"] if not _WITH_CONTENTS.isdisjoint(types) else []
        scopes = [f"system/{name}.read" for name in (*types, *contents)]
        return " ".join(scopes + [f"system/{name}.write" for name in written if name in WRITTEN])

    def _check_settings(self) -> None:
        if self.config.read.mode == "bulk" and self.config.read.group is None:
            raise ConfigurationError(
                "Oracle Health exports by Group only, and the connection names none",
                code="cerner.no_group",
                place=f"connection {self.config.name}, read.group",
                remedy="ask the site for the Group's id and set read.group, or set read.mode to search",
            )

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        return {name: self._mechanism(name) for name in self._offered()}

    def _mechanism(self, resource_type: str) -> ChangeMechanism:
        if self.config.read.mode == "bulk" and resource_type in EXPORTED:
            return ChangeMechanism.BULK_SINCE
        timed = CERNER_TYPES.get(resource_type, CernerType()).timed
        return ChangeMechanism.LAST_UPDATED if timed else ChangeMechanism.FULL_RESCAN

    def _offered(self) -> list[str]:
        exported = SHARED_TYPES if self.config.read.group is not None and self.config.read.mode != "search" else ()
        return in_processing_order(self.config.resource_types or (*CERNER_TYPES, *exported))

    # writing

    def _offered_writes(self, resource_type: str) -> WriteCapability:
        offer = self._offer(resource_type)
        if offer is None:
            return READ_ONLY
        patched = patched_elements(resource_type) if self._is_patched(resource_type) else None
        general = WriteCapability(
            create=offer.creatable,
            update=offer.updatable or bool(patched),
            delete=offer.deletable,
            concurrency=Concurrency.ETAG,
            elements=RESTRICTED.get(resource_type, {}),
            # unverified: that identifiers which are not the vendor's are kept: nothing is built on it.
            keeps_identifiers=False,
        )
        return general if patched is None else replace(general, elements=patched[0], otherwise=patched[1])

    def _patch_rules(self, resource_type: str) -> PatchRules:
        return PatchRules(Checks.IDS, PATCHES[resource_type])

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        named = version or await self._current_version(resource_type, remote_id)
        return await super().update(resource_type, remote_id, body, version=named)

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        named = version or await self._current_version(resource_type, remote_id)
        await super().delete(resource_type, remote_id, version=named)

    async def _current_version(self, resource_type: str, remote_id: str) -> str | None:
        """A write without If-Match is refused (412), so one that names no version is made on the current one."""
        return (await self._still(resource_type, remote_id, None)).version

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        offer = self._offer(resource_type)
        if offer is None or "identifier" not in offer.search_params:
            raise NotPermittedError(
                f"Oracle Health does not find a {resource_type} by identifier",
                code="cerner.no_identifier_search",
                place=self.http.place(f"GET {resource_type}?identifier={{identifier}}"),
                remedy="look in the patient's chart by hand before anything is created again",
            )
        return await super().find(resource_type, identifiers)

    # reading

    async def _events(
        self, request: ReadRequest, types: Sequence[str], progress: Progress
    ) -> AsyncGenerator[ReadEvent, None]:
        narrowed = request.only_ids is not None or request.only_patients is not None
        exported = [] if narrowed else self._to_export(types)
        if exported:
            async with aclosing(self._exported(self._export(request, exported), progress)) as events:
                async for event in events:
                    if not self._known_instead(event, request):
                        yield event
                        continue
                    async for page in self._known_patients(request, progress):
                        yield page
        for name in progress.remaining([name for name in _patients_first(types) if name not in exported]):
            async with aclosing(self._one_type(request, name, progress)) as events:
                async for event in events:
                    yield event

    def _to_export(self, types: Sequence[str]) -> list[str]:
        """In `bulk` all that is exported; else who there is, where nobody listed them, and what is of no patient."""
        mode = self.config.read.mode
        if mode == "search" or self.config.read.group is None:
            return []
        if mode == "bulk":
            return [name for name in types if name in EXPORTED]
        wanted = SHARED_TYPES if self.config.read.patient_ids is not None else ("Patient", *SHARED_TYPES)
        return [name for name in types if name in wanted]

    def _export(self, request: ReadRequest, types: Sequence[str]) -> Export:
        moments = [request.since.get(name) for name in types] if self.config.read.mode == "bulk" else [None]
        known = [moment for moment in moments if moment is not None]
        export = self._group_export(types, min(known) if len(known) == len(moments) else None)
        # Types of no patient are exported only beside one that is a patient's (vendors.md §4.4).
        return replace(export, beside=("Patient",)) if set(types) <= set(SHARED_TYPES) else export

    def _known_instead(self, event: ReadEvent, request: ReadRequest) -> bool:
        """Whether the population cannot be exported now, because another export is in progress, and some are known."""
        return (
            isinstance(event, TypeDone)
            and event.resource_type == "Patient"
            and event.error is not None
            and event.error.code == THROTTLED
            and self.config.read.mode == "auto"
            and bool(request.patients())
        )

    async def _known_patients(self, request: ReadRequest, progress: Progress) -> AsyncGenerator[ReadEvent, None]:
        yield Page("Patient", "GET Group/{id}/$export", [], progress.cursor(), problems=[_KNOWN_ONLY])
        read = TypeRead("Patient")
        pages = self._by_id(self._patients(request), read, progress)
        async with aclosing(to_the_end(read, pages, progress, snapshot=False)) as events:
            async for event in events:
                yield event

    async def _one_type(
        self, request: ReadRequest, resource_type: str, progress: Progress
    ) -> AsyncGenerator[ReadEvent, None]:
        read = TypeRead(resource_type)
        pages = self._pages(request, read, progress)
        async with aclosing(
            to_the_end(read, pages, progress, snapshot=self._is_whole(request, resource_type))
        ) as events:
            async for event in events:
                yield event

    def _is_whole(self, request: ReadRequest, resource_type: str) -> bool:
        """Whether a read without errors has seen all there is of the type."""
        if request.only_ids is not None or request.only_patients is not None:
            return False
        if resource_type == "Patient":
            # Everyone known is read, but newcomers are seen only where the list says who there is.
            return bool(listed_patients(self.config, self._resolve_secret))
        return request.since.get(resource_type) is None or not CERNER_TYPES.get(resource_type, CernerType()).timed

    async def _pages(self, request: ReadRequest, read: TypeRead, progress: Progress) -> AsyncGenerator[Page, None]:
        name = read.resource_type
        if request.only_ids is not None:
            pages = self._by_id(request.only_ids.get(name, ()), read, progress)
        elif name not in CERNER_TYPES:
            raise ConfigurationError(
                f"Oracle Health does not search {name} by patient",
                code="cerner.not_by_patient",
                place=f"connection {self.config.name}, resource_types",
                remedy=f"take the type out; {', '.join(SHARED_TYPES)} come with read.group",
            )
        else:
            patients = sorted(set(request.only_patients)) if request.only_patients is not None else None
            listed = self._patients(request) if patients is None else patients
            pages = (
                self._by_id(listed, read, progress)
                if name == "Patient"
                else self._of_patients(listed, self._params(request, name), read, progress)
            )
        async with aclosing(pages) as found:
            async for page in found:
                yield page

    def _of_patients(
        self, patients: Sequence[str], params: Sequence[tuple[str, str]], read: TypeRead, progress: Progress
    ) -> AsyncGenerator[Page, None]:
        source = f"GET {read.resource_type}?patient={{id}}"

        def fetch(patient: str) -> AsyncIterator[Found]:
            query = Query(read.resource_type, [("patient", patient), *params], source, exact_total=False)
            return readable(latest(search(self.http, query)), read.resource_type, source)

        return crawl(self.http, patients, fetch, read=read, progress=progress, source=source)

    def _fetch_one(self, resource_type: str) -> Fetch:
        fetch = super()._fetch_one(resource_type)
        return lambda resource_id: readable(fetch(resource_id), resource_type, f"GET {resource_type}/{{id}}")

    def _params(self, request: ReadRequest, resource_type: str) -> list[tuple[str, str]]:
        how, offer = CERNER_TYPES[resource_type], self._offer(resource_type)
        params = list(how.params)
        if offer is not None and "_count" in offer.search_params:
            params.append(("_count", str(min(self.config.read.page_size, how.most_count))))
        since: datetime | None = request.since.get(resource_type)
        if since is not None and how.timed and request.only_patients is None:
            params.append(("_lastUpdated", f"ge{instant(since)}"))
        return params

    def _fixed_params(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        return {**{name: how.params for name, how in CERNER_TYPES.items()}, **dict.fromkeys(SHARED_TYPES, ())}

    def _patients(self, request: ReadRequest) -> list[str]:
        return patients_to_ask_for(
            self.config,
            self._resolve_secret,
            request.patients(),
            because="Oracle Health answers no search without a patient",
            code="cerner.no_population",
        )


def _patients_first(types: Sequence[str]) -> list[str]:
    return sorted(types, key=lambda name: name != "Patient")


_KNOWN_ONLY = Problem(
    code="cerner.group_busy",
    message="another export of this client is in progress; the patients already known are read one by one",
    remedy="nothing: newcomers are found by the first read after that export has ended",
    source="GET Group/{id}/$export",
    resource_type="Patient",
    severity=ErrorSeverity.WARNING,
)
