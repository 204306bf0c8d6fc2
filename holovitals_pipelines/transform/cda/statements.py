"""Which entries of a C-CDA document become which FHIR resource type, and where they stand.

Law: an entry is known by its templates, as C-CDA says; what is not known is left for the findings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from holovitals_pipelines.transform.cda.elements import V3

_EVENT: Final = frozenset({"EVN"})
_TEMPLATES: Final = "2.16.840.1.113883.10.20.22.4."
_KINDS: Final[dict[str, tuple[str, frozenset[str]]]] = {
    _TEMPLATES + number: (resource_type, moods)
    for number, resource_type, moods in (
        ("4", "Condition", _EVENT),
        ("7", "AllergyIntolerance", _EVENT),
        ("90", "AllergyIntolerance", _EVENT),
        ("16", "MedicationRequest", _EVENT | {"INT"}),
        ("52", "Immunization", _EVENT),
        ("2", "Observation", _EVENT),
        ("27", "Observation", _EVENT),
        ("38", "Observation", _EVENT),
        ("78", "Observation", _EVENT),
        ("85", "Observation", _EVENT),
        ("12", "Procedure", _EVENT),
        ("14", "Procedure", _EVENT),
        ("49", "Encounter", _EVENT),
    )
}
"""By template: the resource type, and the moods in which it is one (a planned procedure is none)."""
LINKS: Final = (f"{V3}entryRelationship", f"{V3}component")


@dataclass(frozen=True, slots=True)
class Linked:
    """A statement, act or organizer, and the `entry`, `entryRelationship` or `component` that it stands in."""

    link: Element
    element: Element


@dataclass(frozen=True, slots=True)
class Statement:
    resource_type: str
    linked: Linked
    containers: tuple[Linked, ...]
    """The acts and organizers around it, the nearest first: they hold what their statements share."""
    within: Element | None
    """The statement it is a part of: the encounter of a diagnosis."""


def kind_of(element: Element) -> str | None:
    """The resource type that a clinical statement becomes, or None."""
    for template in element.iterfind(f"{V3}templateId"):
        resource_type, moods = _KINDS.get(template.get("root", ""), (None, frozenset[str]()))
        if resource_type is not None and element.get("moodCode") in moods:
            return resource_type
    return None


def statements(entry: Element) -> Iterator[Statement]:
    """The known statements of an `entry` element, in their order."""
    for element in entry:
        yield from _known(Linked(entry, element), (), None)


def without_statements(container: Element) -> Element:
    """A copy of an act or organizer without the links to statements that are known."""
    copy = Element(container.tag, container.attrib)
    copy.text = container.text
    copy.extend(child for child in container if not (child.tag in LINKS and _holds_statement(child)))
    return copy


def _known(linked: Linked, containers: tuple[Linked, ...], within: Element | None) -> Iterator[Statement]:
    element = linked.element
    resource_type = kind_of(element)
    if resource_type is not None:
        yield Statement(resource_type, linked, containers, within)
        containers, within = (), element
    else:
        containers = (linked, *containers)
    for link in element:
        if link.tag in LINKS:
            for inner in link:
                yield from _known(Linked(link, inner), containers, within)


def _holds_statement(link: Element) -> bool:
    return any(kind_of(inner) is not None for inner in link.iter())
