"""An adapter whose single resources are FHIR R4 on our side and the vendor's own form on the other.

Law: what lands in bulk is what the vendor sent; what is compared, decided and written one by one has passed the same
conversion as the landed records, so both ways to a resource show the same document.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from dataclasses import replace
from types import MappingProxyType

from holovitals_pipelines.engine.conversion import Conversion, Conversions
from holovitals_pipelines.model.errors import NotPermittedError, ProtocolError
from holovitals_pipelines.model.extract import ReadEvent, ReadRequest
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism
from holovitals_pipelines.model.writing import READ_ONLY, Current, Present, UnitWrite, WriteCapability, Written
from holovitals_pipelines.providers.adapter import Adapter, Identifier, by_patient_only


def converting(adapter: Adapter, conversions: Conversions) -> Adapter:
    """The adapter with conversions; types that have none pass as they are."""
    return ConvertingAdapter(adapter, conversions)


class ConvertingAdapter:
    """See the module. A type that is converted on the way in can be written only where rules lead the way out."""

    def __init__(self, adapter: Adapter, conversions: Conversions) -> None:
        self.provider = adapter.provider
        self._adapter = adapter
        self._conversions = conversions

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        return self._adapter.mechanisms()

    def read(self, request: ReadRequest) -> AsyncIterator[ReadEvent]:
        return self._adapter.read(request)

    @property
    def by_patient_only(self) -> Set[str]:
        return by_patient_only(self._adapter)

    def statistics(self) -> Sequence[RequestStatistics]:
        return self._adapter.statistics()

    async def __aenter__(self) -> ConvertingAdapter:
        await self._adapter.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._adapter.__aexit__(*exc)

    def write_capability(self, resource_type: str) -> WriteCapability:
        """The vendor's; of a converted type, only the elements that the outbound rules read can be written."""
        offered = self._adapter.write_capability(resource_type)
        if self._conversions.inbound(resource_type) is None:
            return offered
        outbound = self._conversions.outbound(resource_type)
        if outbound is None:
            return READ_ONLY
        written = {name: offered.elements.get(name, UnitWrite.WRITABLE) for name in outbound.elements}
        return replace(offered, elements=MappingProxyType(written), otherwise=UnitWrite.READ_ONLY)

    def clock_skew_seconds(self) -> float:
        return self._adapter.clock_skew_seconds()

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        current = await self._adapter.read_current(resource_type, remote_id)
        return self._shown(resource_type, current) if isinstance(current, Present) else current

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        written = await self._adapter.create(resource_type, self._sent(resource_type, body), identifiers)
        return self._stored(resource_type, written)

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        sent = self._sent(resource_type, body)
        return self._stored(resource_type, await self._adapter.update(resource_type, remote_id, sent, version=version))

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        await self._adapter.delete(resource_type, remote_id, version=version)

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        found = await self._adapter.find(resource_type, identifiers)
        return [self._shown(resource_type, present) for present in found]

    def _shown(self, resource_type: str, present: Present) -> Present:
        inbound = self._conversions.inbound(resource_type)
        return present if inbound is None else replace(present, body=self._inward(inbound, resource_type, present.body))

    def _stored(self, resource_type: str, written: Written) -> Written:
        inbound = self._conversions.inbound(resource_type)
        if inbound is None or written.stored is None:
            return written
        return replace(written, stored=self._inward(inbound, resource_type, written.stored))

    def _inward(self, inbound: Conversion, resource_type: str, body: bytes) -> bytes:
        converted = inbound.convert(body)
        if converted.body is None:
            assert converted.refused is not None
            raise ProtocolError(
                converted.refused.message,
                code=converted.refused.code,
                place=f"{self.provider}, {resource_type}",
                remedy=converted.refused.remedy,
            )
        return converted.body

    def _sent(self, resource_type: str, body: bytes) -> bytes:
        if self._conversions.inbound(resource_type) is None:
            return body
        outbound = self._conversions.outbound(resource_type)
        refused = None
        if outbound is not None:
            converted = outbound.convert(body)
            if converted.body is not None:
                return converted.body
            refused = converted.refused
        raise NotPermittedError(
            refused.message if refused is not None else "no rules lead from FHIR to the vendor's form of this type",
            code="write.not_convertible",
            place=f"{self.provider}, {resource_type}",
            remedy="see the outbound rule set (holovitals rules versions); nothing was sent",
        )
