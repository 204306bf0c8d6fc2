"""What an adapter yields while it reads a vendor: pages of untouched bytes, and the end of each resource type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.vocabulary import ErrorSeverity

Cursor = Mapping[str, Any]
"""An adapter's own note of where a read stands: JSON-serialisable, opaque to everybody else, without health data
other than ids. It is stored in the transaction that makes the rows before it visible."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something the vendor sent that could not be used, or was remarkable.

    `body` holds the refused bytes, for quarantine; `message` and `remedy` never contain values from them.
    """

    code: str
    message: str
    remedy: str
    source: str
    line: int | None = None
    resource_type: str | None = None
    severity: ErrorSeverity = ErrorSeverity.ERROR
    body: bytes | None = None
    remote_id: str | None = None
    """The vendor's id of what could not be read, where there is no body to hold it. For the stores, never for a log."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """Evidence that the vendor deleted a resource: a bulk `deleted[]` entry, a 410, a history DELETE. Never absence."""

    resource_type: str
    remote_id: str
    evidence: str


class Named(NamedTuple):
    """What a record is called, where its bytes do not say it in FHIR's way: told by the adapter."""

    remote_id: str
    version: str | None = None
    last_updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Resources of one type as the vendor sent them, and the cursor that resumes right after them.

    `bodies` are the exact bytes of each resource. `named`, parallel to them, is given by vendors without FHIR, whose
    records become FHIR by rules later; without it each body says its type and id itself. `source` is the place to
    name in errors: a file URL, or a search URL with ids replaced by `{id}`. `lines`, where the source is a file, are
    1-based and parallel to `bodies`. Pages from the same request or file share a `source`: order between sources is
    order of reading.
    """

    resource_type: str
    source: str
    bodies: Sequence[bytes]
    cursor: Cursor
    lines: Sequence[int] | None = None
    problems: Sequence[Problem] = ()
    deletions: Sequence[Deletion] = ()
    received_bytes: int = 0
    named: Sequence[Named] | None = None


@dataclass(frozen=True, slots=True)
class TypeDone:
    """The end of one resource type's read.

    `watermark` is the vendor's clock when the read began (`transactionTime`, `Date` header): the next incremental
    read starts from it, less the overlap. With `error` set the type is incomplete: what was read stays landed, the
    watermark does not move, and the job fails after the other types have finished.
    """

    resource_type: str
    cursor: Cursor
    watermark: datetime | None = None
    snapshot: bool = False
    """True when every resource of the type the connection can see was read (a full read), False for a window."""
    error: HoloVitalsError | None = None


ReadEvent = Page | TypeDone


def no_patients() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What to read: `since` per type (None or absent means everything), and where an interrupted read stopped.

    `since` is the moment to ask from: the watermark with the overlap already taken off by who asks.
    """

    resource_types: Sequence[str]
    since: Mapping[str, datetime | None] = field(default_factory=dict)
    until: datetime | None = None
    cursor: Cursor | None = None
    patients: Callable[[], Sequence[str]] = no_patients
    """Remote ids of the patients known at this connection, sorted; asked for when the adapter has to crawl, after
    the Patient type has been read and landed."""
    only_patients: Sequence[str] | None = None
    """PATIENT_SYNC: the patients whose compartments to read, and nothing else."""
    only_ids: Mapping[str, Sequence[str]] | None = None
    """RESOURCE_SYNC by id: ids to read, by type."""
