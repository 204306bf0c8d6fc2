"""One side's document at one moment: the exact bytes, their content, and their canonical hash.

Law: a side that nobody changed keeps its bytes; only what a decision made anew is written anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from holovitals_pipelines.fhir.canonical import canonical_hash, content_hash
from holovitals_pipelines.fhir.exact import exactly_equal, read_document, write_document
from holovitals_pipelines.model.writing import Document


@dataclass(frozen=True)
class Side:
    """A document as one side holds it; parsed and hashed when asked for. Never change `document`."""

    body: bytes

    @cached_property
    def document(self) -> Document:
        return read_document(self.body)

    @cached_property
    def hash(self) -> bytes:
        """Canonical: equal exactly when the content is."""
        return canonical_hash(self.body)

    @cached_property
    def address(self) -> bytes:
        """The hash of the exact bytes, under which the document store keeps them."""
        return content_hash(self.body)


def side_of(document: Document, *known: Side | None) -> Side:
    """The side that holds `document`: one of `known` where it is the very same content, else a new one."""
    for side in known:
        if side is not None and exactly_equal(side.document, document):
            return side
    return Side(write_document(document))


def same(one: Side | None, other: Side | None) -> bool:
    """Whether two sides hold the same content; absent equals absent."""
    if one is None or other is None:
        return one is other
    return one is other or one.body == other.body or one.hash == other.hash
