"""What a connection lets us write, what a vendor holds right now, and what became of a write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

Document = dict[str, Any]
"""One resource, read exactly (`fhir.exact.read_document`): numbers keep the text they came with."""


class Concurrency(StrEnum):
    """How a vendor guards against writes on top of a version the writer never saw."""

    ETAG = "etag"
    """`If-Match` is honoured: a stale write is refused."""
    VERSION = "version"
    """No `If-Match`, but `meta.versionId` tells afterwards whether somebody else wrote in between."""
    NONE = "none"
    """Nothing: read, compare, write, read back; the write is recorded as unguarded."""


class UnitWrite(StrEnum):
    """What may be done with one element of an existing resource through the vendor's API (sync-protocol.md §2.7)."""

    WRITABLE = "writable"
    READ_ONLY = "read_only"
    IMMUTABLE = "immutable_after_create"
    APPEND_ONLY = "append_only"


def unchanged(document: Document) -> Document:
    return document


@dataclass(frozen=True, slots=True)
class WriteCapability:
    """What one connection lets us write of one resource type; the default is: nothing."""

    create: bool = False
    update: bool = False
    delete: bool = False
    concurrency: Concurrency = Concurrency.NONE
    elements: Mapping[str, UnitWrite] = field(default_factory=lambda: MappingProxyType({}))
    """By top-level element name; elements that are not listed are `otherwise`."""
    otherwise: UnitWrite = UnitWrite.WRITABLE
    project: Callable[[Document], Document] = unchanged
    """What the vendor will store of a document (elements kept, case, codes): pure and idempotent, never changes its
    argument."""
    keeps_identifiers: bool = False
    """A create may carry our own identifier, and the vendor's search finds the resource by it."""

    @property
    def writes(self) -> bool:
        return self.create or self.update or self.delete

    def of(self, element: str) -> UnitWrite:
        """What may be done with a top-level element of an existing resource."""
        if not self.update:
            return UnitWrite.READ_ONLY
        return self.elements.get(element, self.otherwise)


READ_ONLY = WriteCapability()


@dataclass(frozen=True, slots=True)
class Present:
    """What the vendor holds of a resource: its exact bytes, and the token a guarded write must name.

    `version` is the vendor's own text: the ETag's content where there is an ETag, else `meta.versionId`.
    """

    remote_id: str
    body: bytes
    version: str | None
    last_updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """The vendor says there is no such resource (410, 404, a vendor's "deleted"); `evidence` says how."""

    evidence: str


Current = Present | Absent


@dataclass(frozen=True, slots=True)
class Written:
    """A write the vendor confirmed. `stored` is its representation afterwards, None where it did not show it."""

    remote_id: str
    version: str | None
    stored: bytes | None
