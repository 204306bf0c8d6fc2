"""The resources that clients write in the simulation, and the traces their writes leave.

Law: every write of a client carries a token of its own, so that the checker can follow it wherever it goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import orjson

Document = dict[str, Any]

_EPOCH = date(1900, 1, 1)
FIRST = 10_000
_TRACES = re.compile(rb"[tT](\d{5})[zZ]|\b(19\d\d)-(\d\d)-(\d\d)\b|(?<![\d.])(\d{5})\.25(?!\d)")


def text_of(token: int) -> str:
    return f"T{token}Z"


def date_of(token: int) -> str:
    return (_EPOCH + timedelta(days=token - FIRST)).isoformat()


def tokens_in(body: bytes | str | None) -> frozenset[int]:
    """Every token that stands in a piece of JSON, whatever became of its case."""
    if body is None:
        return frozenset()
    found = set()
    for text, year, month, day, number in _TRACES.findall(body if isinstance(body, bytes) else body.encode()):
        if year:
            found.add((date(int(year), int(month), int(day)) - _EPOCH).days + FIRST)
        else:
            found.add(int(text or number))
    return frozenset(found)


@dataclass(frozen=True)
class Pen:
    """One way a client changes a resource: `write` gives the new document."""

    name: str
    element: str
    write: Callable[[Document, int], Document]


def _element(name: str, make: Callable[[int], Any]) -> Pen:
    return Pen(name, name, lambda document, token: {**document, name: make(token)})


def _item(name: str, make: Callable[[int], Any], *, most: int = 4) -> Pen:
    """One more item of a list, or one item less when there are many."""

    def write(document: Document, token: int) -> Document:
        items = list(document.get(name, ()))
        if len(items) >= most:
            del items[token % len(items)]
        return {**document, name: [*items, make(token)]}

    return Pen(f"{name}+", name, write)


def _first_item(name: str, key: Document, member: str, make: Callable[[int], Any]) -> Pen:
    """A member of the item that `key` names; the item is made when it is not there."""

    def write(document: Document, token: int) -> Document:
        items = [dict(item) for item in document.get(name, ())]
        for item in items:
            if all(item.get(part) == value for part, value in key.items()):
                item[member] = make(token)
                return {**document, name: items}
        return {**document, name: [*items, {**key, member: make(token)}]}

    return Pen(f"{name}.{member}", name, write)


def _group(name: str, element: str, make: Callable[[int], Document]) -> Pen:
    return Pen(name, element, lambda document, token: {**document, **make(token)})


def _drop(name: str) -> Pen:
    """Take an element away: a change without a token of its own."""
    return Pen(
        f"-{name}", name, lambda document, token: {part: value for part, value in document.items() if part != name}
    )


def _raw(token: int) -> Any:
    return orjson.Fragment(f"{token}.25".encode())


PENS: dict[str, tuple[Pen, ...]] = {
    "Patient": (
        _element("birthDate", date_of),
        _element("maritalStatus", lambda token: {"text": text_of(token)}),
        _item("telecom", lambda token: {"system": "phone", "value": text_of(token)}),
        _first_item("address", {"use": "home"}, "city", text_of),
        _first_item("address", {"use": "work"}, "postalCode", text_of),
        _first_item("name", {"use": "official"}, "family", text_of),
        _drop("maritalStatus"),
    ),
    "Observation": (
        _group("value", "valueQuantity", lambda token: {"valueQuantity": {"value": _raw(token), "unit": "mg"}}),
        _group(
            "limits",
            "valueQuantity",
            lambda token: {
                "valueQuantity": {"value": _raw(token), "unit": "ug"},
                "interpretation": [{"text": text_of(token)}],
            },
        ),
        _item("note", lambda token: {"text": text_of(token)}),
        _element("bodySite", lambda token: {"text": text_of(token)}),
        _first_item("performer", {"reference": "Practitioner/one"}, "display", text_of),
        _drop("bodySite"),
    ),
    "MedicationRequest": (
        _group("dose", "dosageInstruction", lambda token: {"dosageInstruction": [{"text": text_of(token)}]}),
        _group("reason", "statusReason", lambda token: {"statusReason": {"text": text_of(token)}}),
        _item("note", lambda token: {"text": text_of(token)}),
        _item("reasonCode", lambda token: {"text": text_of(token)}),
        _drop("statusReason"),
    ),
}
"""What clients write of each type: critical and ordinary elements, keyed items, groups that move as one."""

MARKS = {"Patient": "generalPractitioner", "Observation": "code", "MedicationRequest": "category"}
"""The element that says, for the checker, which creation a resource comes from; nobody writes it again."""


def new_document(resource_type: str, mark: str) -> Document:
    """A valid resource without tokens, carrying the mark of its creation."""
    if resource_type == "Patient":
        return {"resourceType": "Patient", "gender": "unknown", "generalPractitioner": [{"display": mark}]}
    if resource_type == "Observation":
        return {"resourceType": "Observation", "status": "final", "code": {"text": mark}}
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "category": [{"text": mark}],
        "medicationCodeableConcept": {"text": "aspirin"},
        "subject": {"reference": "Patient/one"},
    }


def mark_of(document: Document) -> str | None:
    """The mark a resource was created with."""
    held = document.get(MARKS[document["resourceType"]])
    first = held[0] if isinstance(held, list) and held else held
    return first.get("display") or first.get("text") if isinstance(first, dict) else None


def read(body: bytes) -> Document:
    return dict(orjson.loads(body))


def written(document: Document) -> bytes:
    return orjson.dumps(document)
