"""FHIR resources in a few words: when it happened, what it says, and an element's value as people write it.

Law: what is shown is told by the resource; what is cut short ends in an ellipsis.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from holovitals_pipelines.fhir.exact import read_value, write_value
from holovitals_pipelines.fhir.rendered import rendered, side_by_side

Document = dict[str, Any]

LONGEST = 90
_YEAR_OR_MONTH = re.compile(r"\d{4}(-\d{2})?")
_YEARS = range(1700, 2262)
"""Others, such as 1600 or 9999, stand for something unknown: no time to draw."""
_WHEN = (
    "effectiveDateTime", "effectiveInstant", "effectivePeriod", "onsetDateTime", "onsetPeriod", "performedDateTime",
    "performedPeriod", "occurrenceDateTime", "occurrencePeriod", "period", "start", "authoredOn", "billablePeriod",
    "recordedDate", "whenHandedOver", "servicedPeriod", "started", "startDate", "collectedDateTime", "date", "issued",
    "created", "dateTime",
)  # fmt: skip
"""Where types keep the time that something happened, the clinical one before those of book-keeping."""
_WHAT = (
    "code", "vaccineCode", "medicationCodeableConcept", "medicationReference", "type", "appointmentType",
    "serviceType", "reasonCode", "description", "title", "category",
)  # fmt: skip


def happened(document: Document) -> datetime | None:
    """When it happened, as far as the resource tells: a year alone counts from its first day. UTC."""
    for name in _WHEN:
        told = document.get(name)
        if isinstance(told, dict):
            told = told.get("start") or told.get("end")
        if isinstance(told, str) and (instant := _instant(told)) is not None:
            return instant
    return None


def _instant(told: str) -> datetime | None:
    """A FHIR date, dateTime or instant; without a zone: UTC."""
    if _YEAR_OR_MONTH.fullmatch(told):
        told = f"{told}-01-01"[:10]
    try:
        at = datetime.fromisoformat(told)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if at.year in _YEARS else None


def described(document: Document) -> str:
    """`Body weight: 72 kg`: the name of what it is about, with its value where it has one."""
    names = (_concept(document[name]) for name in _WHAT if name in document)
    name = next((one for one in names if one), "")
    value = _value(document)
    return _short(f"{name}: {value}" if name and value else name or value or str(document.get("resourceType", "")))


def status_of(document: Document) -> str:
    return _concept(document.get("status") or document.get("clinicalStatus") or "")


def element_text(text: str, longest: int) -> str:
    """An element's JSON in one line, as people read it, without its extensions."""
    value = read_value(text)
    return _short(_line(rendered(write_value(_without_extensions(value)))), longest)


def apart_text(one: str | None, other: str | None, longest: int) -> tuple[str | None, str | None]:
    """Two values of an element that differ, told so that they look different."""
    shown = side_by_side({"one": one, "other": other})
    first, second = (None if text is None else _short(_line(text), longest) for text in shown.values())
    return first, second


def _line(text: str | None) -> str:
    return "; ".join(part.strip() for part in (text or "").splitlines() if part.strip())


def _without_extensions(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _without_extensions(one) for name, one in value.items() if name != "extension"}
        return {name: one for name, one in kept.items() if not (name.startswith("_") and _is_empty(one))}
    return [_without_extensions(one) for one in value] if isinstance(value, list) else value


def _is_empty(value: Any) -> bool:
    """Of what stands beside a primitive, nothing is left but the places of its neighbours."""
    return all(one in (None, {}) for one in value) if isinstance(value, list) else value in (None, {})


def _concept(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next((found for found in map(_concept, value) if found), "")
    if not isinstance(value, dict):
        return ""
    coded = value.get("coding")
    text = value.get("text") or value.get("display")
    return str(text) if text else _concept(coded) if coded else str(value.get("code", "") or "")


def _value(document: Document) -> str:
    quantity = document.get("valueQuantity")
    if isinstance(quantity, dict):
        return f"{quantity.get('value', '')} {quantity.get('unit') or quantity.get('code') or ''}".strip()
    for name in ("valueCodeableConcept", "valueString", "valueInteger", "valueBoolean", "valueDateTime"):
        if name in document:
            return _concept(document[name]) or str(document[name])
    parts = document.get("component")
    return " / ".join(filter(None, map(_value, parts))) if isinstance(parts, list) else ""


def _short(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
