"""What the engine asks of every vendor adapter: reading in bulk, and reading and writing one resource."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from typing import Protocol, runtime_checkable

from holovitals_pipelines.model.attachment import Content
from holovitals_pipelines.model.extract import ReadEvent, ReadRequest
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Provider
from holovitals_pipelines.model.writing import Current, Present, WriteCapability, Written

Identifier = tuple[str, str]
"""(system, value) of a FHIR identifier."""


class ResourceDesk(Protocol):
    """One resource at a time, both directions: what the sync kernel's decisions need of a vendor.

    Every method may raise VendorError. For writes the errors mean:
    VersionConflictError: another version is there than the one named (412/409 *with* a condition sent);
    GoneError, NotFoundError: the resource is not there any more;
    DuplicateError: the vendor has such a resource already; NotPermittedError and other PermanentErrors: refused, and a
    repetition cannot help; OutcomeUnknownError: the answer was lost after the request may have been taken;
    any other TransientError: certainly not carried out (refused connection, 429, no token).
    A refusal because no condition was sent (412 or 428 *without* If-Match) is a ConfigurationError: our fault.
    """

    def write_capability(self, resource_type: str) -> WriteCapability: ...

    def clock_skew_seconds(self) -> float:
        """How far the vendor's clock may be from ours (99th percentile seen, 0 when it never told)."""
        ...

    async def read_current(self, resource_type: str, remote_id: str) -> Current: ...

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        """Create `body`; with `identifiers` only if none of them is there yet (`If-None-Exist`), where supported."""
        ...

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        """Replace the whole resource. `version` guards it where the capability says so; None sends no condition."""
        ...

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None: ...

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        """Resources that carry any of the identifiers: what a create whose answer was lost may have left behind."""
        ...


class Adapter(ResourceDesk, Protocol):
    """One open connection to a vendor. Use as an async context manager; close releases its one HTTP client."""

    provider: Provider

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        """How changes of each offered resource type are found, in processing order (Patient first)."""
        ...

    def read(self, request: ReadRequest) -> AsyncIterator[ReadEvent]:
        """Yield pages and, per requested type, one `TypeDone`. A failing type is reported, the others go on.

        Raises AuthenticationError or TransientError when nothing can be read at all.
        """
        ...

    def statistics(self) -> Sequence[RequestStatistics]: ...

    async def __aenter__(self) -> Adapter: ...

    async def __aexit__(self, *exc: object) -> None: ...


@runtime_checkable
class ReadsByPatient(Protocol):
    """An adapter whose vendor shows records of some types in their patient's chart only, not by their ids."""

    @property
    def by_patient_only(self) -> Set[str]:
        """The types that `ReadRequest.only_ids` cannot read."""
        ...


def by_patient_only(adapter: Adapter) -> Set[str]:
    return adapter.by_patient_only if isinstance(adapter, ReadsByPatient) else frozenset()


@runtime_checkable
class FetchesAttachments(Protocol):
    """An adapter whose vendor has calls for the content that records point to."""

    async def fetch_attachment(self, address: str, content_type: str | None, *, limit: int) -> Content:
        """The content behind an address that a record of this connection names, of at most `limit` bytes.

        `content_type` is what the record says of it. Raises VendorError; hosts that are not the connection's are
        refused (`http.foreign_host`).
        """
        ...


__all__ = [
    "Adapter",
    "FetchesAttachments",
    "Identifier",
    "ReadsByPatient",
    "RequestStatistics",
    "ResourceDesk",
    "by_patient_only",
]
