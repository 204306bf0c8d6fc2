"""Resources of STU3 with every element filled, made from the models of fhir.resources."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fhir.resources.STU3 import get_fhir_model_class

Filled = dict[str, Any]

_PRIMITIVES = {
    "Base64Binary": "AAAA",
    "Date": "2020-01-02",
    "DateTime": "2020-01-02T03:04:05Z",
    "Decimal": 1.5,
    "Instant": "2020-01-02T03:04:05Z",
    "Integer": 3,
    "PositiveInt": 3,
    "Time": "03:04:05",
    "UnsignedInt": 3,
    "Xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
}
_SKIPPED = frozenset(["resource_type", "resourceType", "fhir_comments", "contained", "extension", "modifierExtension"])
_LEFT_OUT = frozenset(["id", "meta", "implicitRules"])
_WIDEST_WITHIN = 3
"""The rate of a Dosage has three types."""
_of_type = re.compile(r"abc\.(\w+?)Type\b").search
_of_primitive = re.compile(r"(\w+)\([^()]*\)\]").search


def full_resources(resource_type: str) -> Iterator[Filled]:
    """As many resources as the widest choice has types, so that each element of the type is in one of them."""
    for number in range(max(_widest(resource_type), _WIDEST_WITHIN)):
        yield {"resourceType": resource_type, **_filled(resource_type, number, 0, resource_type)}


def _widest(model: str) -> int:
    choices = Counter(extra["one_of_many"] for _, extra, _ in _fields(model) if "one_of_many" in extra)
    return max(choices.values(), default=1)


def _fields(model: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    for name, field in get_fhir_model_class(model).model_fields.items():
        alias = field.alias or name
        if not alias.startswith("_") and not name.endswith("__ext") and alias not in _SKIPPED | _LEFT_OUT:
            yield alias, dict(field.json_schema_extra or {}), str(field.annotation)


def _filled(model: str, number: int, depth: int, place: str) -> Filled:
    filled: Filled = {}
    seen: dict[str, int] = {}
    fields = list(_fields(model))
    widths = Counter(extra.get("one_of_many") for _, extra, _ in fields)
    for name, extra, annotation in fields:
        choice = extra.get("one_of_many")
        if choice is not None:
            seen[choice] = seen.get(choice, -1) + 1
            if seen[choice] != number % widths[choice]:
                continue
        value = _value(annotation, extra, number, depth, f"{place}.{name}")
        if value is not None:
            filled[name] = [value] if "List[" in annotation else value
    return filled


def _value(annotation: str, extra: dict[str, Any], number: int, depth: int, place: str) -> Any:
    if "enum_values" in extra:
        codes = [code for code in extra["enum_values"] if code != "+"]  # it is no code, but the models have it
        return codes[number % len(codes)]
    complex_type = _of_type(annotation)
    if complex_type is not None:
        model = complex_type[1]
        if depth > 4 or model in ("Extension", "Resource"):
            return None
        if model == "Reference":
            return {"reference": f"{_target(place)}/{place}", "display": f"display of {place}"}
        if model == "Identifier":
            return {"system": "urn:x", "value": place}
        if model == "Coding":
            return {"system": "urn:x", "code": place, "display": f"display of {place}"}
        return _filled(model, number, depth + 1, place) or None
    if "bool" in annotation:
        return True
    primitive = _of_primitive(annotation)
    if primitive is not None and primitive[1] in _PRIMITIVES:
        return _PRIMITIVES[primitive[1]]
    if "Xhtml" in annotation:
        return _PRIMITIVES["Xhtml"]
    return f"{place}"


def _target(place: str) -> str:
    name = place.rpartition(".")[2]
    return {"context": "Encounter", "encounter": "Encounter"}.get(name, "Patient")
