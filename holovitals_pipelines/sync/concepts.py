"""The codes in a document's values, read without trusting their shape.

Law: what has another shape than FHIR gives it has no codes; it is never an error here.
"""

from __future__ import annotations

from typing import Any


def dicts(values: Any) -> list[dict[str, Any]]:
    """The objects of a list; of anything else, none."""
    return [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []


def codings(concept: Any) -> list[dict[str, Any]]:
    """A CodeableConcept's codings."""
    return dicts(concept.get("coding")) if isinstance(concept, dict) else []


def codes(value: Any) -> frozenset[str]:
    """The codes of a CodeableConcept, or the one code that a plain `code` element is."""
    if isinstance(value, str):
        return frozenset({value})
    return frozenset(str(coding["code"]) for coding in codings(value) if "code" in coding)


def element_of(value: Any, element: str) -> Any:
    """An element's own value, where a unit's value may be a consistency group's object around it; None: not there."""
    if isinstance(value, dict) and "coding" not in value and "text" not in value:
        return value.get(element)
    return value
