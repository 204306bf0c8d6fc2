"""What the MEDITECH adapter asks of its home: the records that the vendor's messages have told of.

Law: the adapter has no store; what is known of the vendor is given to it, and what the vendor accepted is told here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from holovitals_pipelines.model.writing import Document


@dataclass(frozen=True, slots=True)
class Held:
    """A record as all messages together have told of it."""

    remote_id: str
    body: bytes
    version: str
    """Of its content."""
    changed_at: datetime
    message_id: int
    """The last message that changed it."""


class HeldRecords(Protocol):
    """The records of one connection, by resource type."""

    def refresh(self) -> None:
        """Apply the messages that arrived since."""
        ...

    def changed(
        self, resource_type: str, *, since: datetime | None, until: datetime, after: str, most: int
    ) -> Sequence[Held]:
        """Up to `most` in the order of their changes; of those changed at `since`, only ids after `after`."""
        ...

    def by_id(self, resource_type: str, remote_ids: Sequence[str]) -> Sequence[Held]: ...

    def of_patients(self, resource_type: str, patient_ids: Sequence[str]) -> Sequence[Held]: ...

    def as_we_write_it(self, resource_type: str, body: bytes) -> Document:
        """What our outbound rules would make of a held record: what differs from it is what we changed."""
        ...

    def tell(self, resource_type: str, record: Document) -> Held:
        """Merge what the vendor has accepted of us into what is known of it, and return that."""
        ...
