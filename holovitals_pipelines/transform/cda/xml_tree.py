"""XML of others, read with limits: no document type, so no entities and nothing from outside; no endless nesting.

Law: what is refused is refused before it costs anything, with a code and a place, and never with a value.
"""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from holovitals_pipelines.fhir.strict_json import MalformedResource

MOST_BYTES: Final = 64 * 1024 * 1024
MOST_LEVELS: Final = 100
"""Deeper than any clinical document, and shallow enough for JSON (254 levels, two for each element)."""
MOST_ELEMENTS: Final = 2_000_000


class _Guarded(TreeBuilder):
    """Stops at the first sign of a document type, which is where expat would begin to learn entities."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._elements = 0

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise MalformedResource(
            "cda.document_type",
            "the XML has a document type declaration, with which entities come",
            "Ask the sender for the document without a DOCTYPE; CDA has none.",
        )

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        self._elements += 1
        if self._depth > MOST_LEVELS:
            raise _too_much("cda.too_deep", f"elements are nested deeper than {MOST_LEVELS} levels")
        if self._elements > MOST_ELEMENTS:
            raise _too_much("cda.too_large", f"there are more than {MOST_ELEMENTS} elements")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def read_xml(body: bytes) -> Element:
    """The root element. Raises MalformedResource: `cda.malformed_xml`, `cda.document_type`, `cda.too_deep`,
    `cda.too_large`.
    """
    if len(body) > MOST_BYTES:
        raise _too_much("cda.too_large", f"there are more than {MOST_BYTES} bytes")
    parser = XMLParser(target=_Guarded())  # noqa: S314  (its target refuses document types, and so entities)
    try:
        parser.feed(body)
        root: Element = parser.close()
    except (ParseError, LookupError, ValueError) as error:
        line = getattr(error, "position", (0, 0))[0]
        place = f", in line {line}" if line else ""
    else:
        return root
    # Raised here, not above: an exception's context would carry what the parser says of the text.
    raise MalformedResource(
        "cda.malformed_xml", f"this is no well-formed XML{place}", "Fetch the document again, or ask the sender for it."
    )


def write_xml(element: Element) -> bytes:
    """An element as bytes of its own, for findings."""
    written: bytes = ElementTree.tostring(element, encoding="utf-8")
    return written


def _too_much(code: str, message: str) -> MalformedResource:
    return MalformedResource(
        code, message, "Split the document, or check that it is one: clinical documents are small."
    )
