"""CDA's elements as JSON that rules can read: attributes and elements are members, references are followed.

Law: every attribute and every text of an element stands in its JSON; what a reference means is added, nothing replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from xml.etree.ElementTree import Element

from holovitals_pipelines.model.writing import Document

V3: Final = "{urn:hl7-org:v3}"
_PREFIXES: Final = {
    V3: "",
    "{urn:hl7-org:sdtc}": "sdtc_",
    "{http://www.w3.org/2001/XMLSchema-instance}": "xsi_",
    "{http://www.w3.org/XML/1998/namespace}": "xml_",
}
CHARACTERS: Final = "characters"
"""The text of an element; of one that refers to the narrative, what stands there."""
_XSI_TYPE: Final = "xsi_type"
_BREAKS: Final = frozenset({"br", "paragraph", "item", "tr", "caption", "list", "table", "td", "th"})


def member(tag: str) -> str:
    """`{urn:hl7-org:v3}code` as `code`, `{urn:hl7-org:sdtc}raceCode` as `sdtc_raceCode`; others as they are."""
    for namespace, prefix in _PREFIXES.items():
        if tag.startswith(namespace):
            return prefix + tag[len(namespace) :]
    return tag


def narrative(root: Element) -> Mapping[str, str]:
    """The text of every element of the document that has an ID: what `<reference value="#id"/>` means."""
    return {id: plain_text(element) for element in root.iter() if (id := element.get("ID")) is not None}


def plain_text(element: Element) -> str:
    """The text without its markup, one line for each paragraph, item or cell."""
    pieces: list[str] = []
    _gather(element, pieces)
    lines = (" ".join(line.split()) for line in "".join(pieces).split("\n"))
    return "\n".join(line for line in lines if line)


def as_document(element: Element, texts: Mapping[str, str]) -> Document:
    """An element as JSON. Child elements are always lists; a member that is both attribute and element keeps both."""
    children: dict[str, Any] = {}
    for child in element:
        if isinstance(child.tag, str):
            children.setdefault(member(child.tag), []).append(as_document(child, texts))
    attributes = {member(key): value for key, value in element.items()}
    if _XSI_TYPE in attributes:
        attributes[_XSI_TYPE] = attributes[_XSI_TYPE].rpartition(":")[
            2
        ]  # the prefix is the sender's, not the standard's
    document: Document = {f"@{key}" if key in children else key: value for key, value in attributes.items()}
    own = _follow(_own_text(element), _references(children), texts)
    if own:
        document[f"@{CHARACTERS}" if CHARACTERS in document or CHARACTERS in children else CHARACTERS] = own
    return {**document, **children}


def unresolved(document: Any) -> int:
    """How many references into the narrative lead nowhere."""
    if type(document) is list:
        return sum(map(unresolved, document))
    if type(document) is not dict:
        return 0
    missing = sum(1 for reference in _references(document) if CHARACTERS not in (*document, *reference))
    return missing + sum(map(unresolved, document.values()))


def _references(document: Mapping[str, Any]) -> list[Document]:
    """An element's references into the narrative; elements of this name that refer to other acts are none."""
    found = document.get("reference", ())
    return [one for one in found if type(one) is dict and str(one.get("value", "")).startswith("#")]


def _follow(own: str, references: list[Document], texts: Mapping[str, str]) -> str:
    """The element's own text, or the narrative's; where it has both, the narrative's stands with the reference."""
    for reference in references:
        told = texts.get(reference["value"].removeprefix("#"), "")
        if told and not own:
            own = told
        elif told and told != own:
            reference[CHARACTERS] = told
    return own


def _own_text(element: Element) -> str:
    pieces = [element.text or "", *(child.tail or "" for child in element)]
    return " ".join(" ".join(pieces).split())


def _gather(element: Element, pieces: list[str]) -> None:
    breaks = member(element.tag) in _BREAKS if isinstance(element.tag, str) else False
    if breaks:
        pieces.append("\n")
    if isinstance(element.tag, str):
        pieces.append(element.text or "")
    for child in element:
        _gather(child, pieces)
        pieces.append(child.tail or "")
    if breaks:
        pieces.append("\n")
