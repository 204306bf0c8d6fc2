"""One resource at a time at a FHIR R4 server: what may be written, how writes are guarded, and the writes themselves.

Law: nothing is sent that the connection's `write` settings do not allow; and a guard is believed only as far as the
server's own answers bear it out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from holovitals_pipelines.fhir.wire import read_head
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import GoneError, VersionConflictError
from holovitals_pipelines.model.writing import Absent, Concurrency, Current, Present, Written
from holovitals_pipelines.providers import fhir_write
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.providers.capability import TypeCapability
from holovitals_pipelines.providers.fhir_write import Pen, Reading
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.json_patch import ANYTHING, PatchRules
from holovitals_pipelines.providers.refusals import R4_REFUSALS, RefusalTable
from holovitals_pipelines.providers.write_gate import WriteGate

_GUARDS: Mapping[str, tuple[Concurrency, Concurrency]] = {
    "versioned-update": (Concurrency.ETAG, Concurrency.ETAG),
    "versioned": (Concurrency.VERSION, Concurrency.ETAG),
    "": (Concurrency.NONE, Concurrency.VERSION),
    "no-version": (Concurrency.NONE, Concurrency.NONE),
}
"""`CapabilityStatement.rest.resource.versioning` → the guard before anything was read, and the best that reading can
show: a server that does not say that it checks versions is not taken to check them because it sends an ETag."""

_STRENGTH = (Concurrency.NONE, Concurrency.VERSION, Concurrency.ETAG)


class FhirDesk(WriteGate):
    """The half of an adapter that reads and writes single resources (`ResourceDesk`)."""

    refusals: ClassVar[RefusalTable] = R4_REFUSALS

    def __init__(self, config: ConnectionConfig, http: VendorHttp) -> None:
        self.config = config
        self.http = http
        self._pen = Pen(http, self.refusals, config.write.timeout_seconds)
        self._shown: dict[str, Concurrency] = {}
        """What the first resource of a type that was read showed of versions."""

    @abstractmethod
    def _offer(self, resource_type: str) -> TypeCapability | None:
        """What the server's CapabilityStatement says of the type."""

    def clock_skew_seconds(self) -> float:
        return self.http.skew.p99_seconds()

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        reading = await fhir_write.read_current(self.http, resource_type, remote_id)
        self._remember(resource_type, reading)
        return reading.current

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        self._allowed(resource_type, "created", self.write_capability(resource_type).create)
        offer = self._offer(resource_type)
        conditional = offer is not None and offer.conditional_create
        return await fhir_write.create(self._pen, resource_type, body, identifiers, conditional=conditional)

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        self._allowed(resource_type, "updated", self.write_capability(resource_type).update)
        head = read_head(body)
        assert (head.resource_type, head.id) == (resource_type, remote_id), "the body is another resource's"
        if self._is_patched(resource_type):
            there = await self._still(resource_type, remote_id, version)
            # The patch leads from what was just read: that version is the one to name.
            if_match, rules = self._guard(resource_type, there.version), self._patch_rules(resource_type)
            return await fhir_write.patch(self._pen, resource_type, there, body, rules=rules, if_match=if_match)
        if version is not None and self._unlearnt(resource_type):
            await self._still(resource_type, remote_id, version)
        if_match = self._guard(resource_type, version)
        return await fhir_write.update(self._pen, resource_type, remote_id, body, if_match=if_match)

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        self._allowed(resource_type, "deleted", self.write_capability(resource_type).delete)
        if version is not None:
            # R4 defines If-Match for updates only, and servers take a delete whatever version it names: look first.
            await self._still(resource_type, remote_id, version)
        if_match = self._guard(resource_type, version)
        await fhir_write.delete(self._pen, resource_type, remote_id, if_match=if_match)

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        return await fhir_write.find(self.http, resource_type, identifiers)

    def _is_patched(self, resource_type: str) -> bool:
        """Whether the type is changed by JSON Patch, for want of an update of the whole."""
        offer = self._offer(resource_type)
        return offer is not None and offer.patchable and not offer.updatable

    def _patch_rules(self, resource_type: str) -> PatchRules:
        """What patches of the type may hold; any server's: everything, with old values tested."""
        return ANYTHING

    def _unlearnt(self, resource_type: str) -> bool:
        """Whether a read may still show that the server guards writes of the type."""
        guard = self.write_capability(resource_type).concurrency
        return guard is Concurrency.VERSION and resource_type not in self._shown

    async def _still(self, resource_type: str, remote_id: str, version: str | None) -> Present:
        """What the vendor holds, if it is still the version (None: any). Raises GoneError, VersionConflictError."""
        place = self.http.place(f"GET {resource_type}/{{id}}")
        current = await self.read_current(resource_type, remote_id)
        if isinstance(current, Absent):
            raise GoneError(
                "the resource is already gone",
                code="write.gone",
                place=place,
                remedy="nothing: the deletion is confirmed by a read and decided on",
            )
        if version is not None and current.version != version:
            raise VersionConflictError(
                "the vendor has changed the resource since the write was decided",
                code="write.stale",
                place=place,
                remedy="nothing: the vendor's newer version is read and decided on",
            )
        return current

    def _remember(self, resource_type: str, reading: Reading) -> None:
        current = reading.current
        if isinstance(current, Present) and resource_type not in self._shown:
            versioned = Concurrency.NONE if current.version is None else Concurrency.VERSION
            self._shown[resource_type] = Concurrency.ETAG if reading.etag else versioned

    def _concurrency(self, resource_type: str, versioning: str) -> Concurrency:
        unread, best = _GUARDS.get(versioning, _GUARDS[""])
        shown = self._shown.get(resource_type)
        return unread if shown is None else min(shown, best, key=_STRENGTH.index)

    def _guard(self, resource_type: str, version: str | None) -> str | None:
        guarded = self.write_capability(resource_type).concurrency is Concurrency.ETAG
        return version if guarded else None
