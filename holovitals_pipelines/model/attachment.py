"""What records point to, such as the PDF of a document: how far it has come here, and what a vendor answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AttachmentState(StrEnum):
    WANTED = "wanted"
    """To be fetched; also what could not be fetched yet."""
    HELD = "held"
    REFUSED = "refused"
    """It cannot be had: the code says why. A change of its address makes it wanted again."""
    GONE = "gone"
    """The vendor says that it is not there any more."""


@dataclass(frozen=True, slots=True)
class Content:
    """The exact bytes an address led to, and what the vendor called them."""

    body: bytes
    content_type: str | None
