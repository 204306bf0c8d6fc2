"""Where FHIR R4 resources carry or point to content, such as documents' texts and pictures.

Law: what is listed here are the resource's own words; nothing is fetched and nothing is decoded.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import msgspec

ELEMENTS: Mapping[str, str] = MappingProxyType(
    {
        "Communication": "payload.contentAttachment",
        "Consent": "sourceAttachment",
        "DiagnosticReport": "presentedForm",
        "DocumentReference": "content.attachment",
        "Media": "content",
        "Patient": "photo",
        "Person": "photo",
        "Practitioner": "photo",
        "RelatedPerson": "photo",
    }
)
"""The elements of the type Attachment, by resource type."""

_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Attached:
    """One Attachment: `place` is its path, `sha1` and `size` what the resource says of the content."""

    place: str
    url: str | None
    content_type: str | None
    size: int | None
    sha1: bytes | None
    data: str | None
    """The content itself, in base64, where the resource carries it."""

    @property
    def address_hash(self) -> bytes:
        """Changes when the address changes, or what is said of the content behind it."""
        said = (self.url, self.content_type, self.size, self.sha1)
        return sha256(msgspec.json.encode(said)).digest()[:_HASH_BYTES]

    def disagrees(self, body: bytes, sha1: bytes) -> str | None:
        """The code of what the content is not that was said of it."""
        if self.sha1 is not None and self.sha1 != sha1:
            return "attachment.hash_mismatch"
        if self.size is not None and self.size != len(body):
            return "attachment.size_mismatch"
        return None


def attachments_in(resource_type: str, body: bytes) -> list[Attached]:
    """Every Attachment of a resource, in order; none for a type that has no such element."""
    path = ELEMENTS.get(resource_type)
    if path is None or path.partition(".")[0].encode() not in body:
        return []
    document = msgspec.json.decode(body, type=dict[str, Any])
    return [_attached(place, found) for place, found in _at(document, path.split("."), "") if isinstance(found, dict)]


def _at(value: Mapping[str, Any], path: list[str], place: str) -> Iterator[tuple[str, Any]]:
    name, *rest = path
    found = value.get(name)
    here = f"{place}.{name}" if place else name
    members = [(f"{here}[{i}]", one) for i, one in enumerate(found)] if isinstance(found, list) else [(here, found)]
    for there, one in members:
        if rest and isinstance(one, dict):
            yield from _at(one, rest, there)
        elif not rest:
            yield there, one


def _attached(place: str, attachment: Mapping[str, Any]) -> Attached:
    size = attachment.get("size")
    return Attached(
        place,
        _text(attachment.get("url")),
        _text(attachment.get("contentType")),
        size if isinstance(size, int) and not isinstance(size, bool) else None,
        _decoded(attachment.get("hash")),
        _text(attachment.get("data")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _decoded(value: Any) -> bytes | None:
    """A sha1 in base64; None where it is none, for then it says nothing."""
    try:
        decoded = b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        return None
    return decoded if len(decoded) == 20 else None
