"""FHIR search parameters against resource bytes: dates with prefixes and precision, tokens, strings, references.

The law: a parameter that is not understood is named, never silently applied.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from holovitals_pipelines.sandbox.clock import parse_instant

Params = Sequence[tuple[str, str]]
Test = Callable[[dict[str, Any]], bool]

DATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("AllergyIntolerance", "date"): ("recordedDate",),
    ("Appointment", "date"): ("start",),
    ("Condition", "recorded-date"): ("recordedDate",),
    ("Condition", "onset-date"): ("onsetDateTime", "onsetPeriod"),
    ("Condition", "abatement-date"): ("abatementDateTime", "abatementPeriod"),
    ("DiagnosticReport", "date"): ("effectiveDateTime", "effectivePeriod"),
    ("DiagnosticReport", "issued"): ("issued",),
    ("DocumentReference", "date"): ("date",),
    ("DocumentReference", "period"): ("context.period",),
    ("Encounter", "date"): ("period",),
    ("ExplanationOfBenefit", "created"): ("created",),
    ("Goal", "start-date"): ("startDate",),
    ("Immunization", "date"): ("occurrenceDateTime",),
    ("MedicationRequest", "date"): ("authoredOn",),
    ("MedicationRequest", "authoredon"): ("authoredOn",),
    ("Observation", "date"): ("effectiveDateTime", "effectivePeriod", "effectiveInstant"),
    ("Observation", "issued"): ("issued",),
    ("Patient", "birthdate"): ("birthDate",),
    ("Procedure", "date"): ("performedDateTime", "performedPeriod"),
    ("ServiceRequest", "authored"): ("authoredOn",),
}
STRINGS: dict[str, tuple[str, ...]] = {
    "family": ("name.family",),
    "given": ("name.given",),
    "name": ("name.family", "name.given", "name.text", "name"),
    "address": ("address.line", "address.city", "address.state", "address.postalCode"),
    "address-city": ("address.city",),
    "address-state": ("address.state",),
    "address-postalcode": ("address.postalCode",),
    "telecom": ("telecom.value",),
    "phone": ("telecom.value",),
    "email": ("telecom.value",),
}
REFERENCES = {
    "encounter": ("encounter", "context.encounter"),
    "subject": ("subject",),
    "patient": ("patient", "subject"),
}
TOKENS = {
    "category", "class", "clinical-status", "code", "docstatus", "gender", "identifier", "intent", "lifecycle-status",
    "status", "type", "vaccine-code", "verification-status",
}  # fmt: skip
_SPELLING = {"docstatus": "docStatus", "vaccine-code": "vaccineCode"}
_SEPARATOR, _BAR = re.compile(r"(?<!\\),"), re.compile(r"(?<!\\)\|")
_ESCAPED = re.compile(r"\\(.)")
_PREFIX = re.compile(r"(eq|ne|ge|gt|le|lt|sa|eb|ap)?(.*)\Z", re.DOTALL)


def is_searchable(kind: str, name: str) -> bool:
    bare = name.split(":")[0]
    return bare in TOKENS or bare in STRINGS or bare in REFERENCES or (kind, bare) in DATES


def matcher(kind: str, params: Params) -> Callable[[bytes], bool] | None:
    """A test on resource bytes for the content parameters, None without any. Raises ValueError for a bad value."""
    tests = [_test(kind, name.split(":")[0], value) for name, value in params]
    if not tests:
        return None

    def keep(body: bytes) -> bool:
        resource = orjson.loads(body)
        return all(test(resource) for test in tests)

    return keep


def time_window(values: Iterable[str]) -> tuple[float, float]:
    """[low, high) in ms that all `ge2024…`, `lt2024…` values allow. Raises ValueError."""
    low, high = float("-inf"), float("inf")
    for value in values:
        prefix, (first, last) = _prefixed(value)
        if prefix in ("eq", "ge"):
            low = max(low, first)
        if prefix in ("gt", "sa"):
            low = max(low, last)
        if prefix in ("eq", "le"):
            high = min(high, last)
        if prefix in ("lt", "eb"):
            high = min(high, first)
    return low, high


def date_span(text: str) -> tuple[int, int]:
    """[start, end) in ms of a FHIR date or time of any precision. Raises ValueError."""
    if re.fullmatch(r"\d{4}", text):
        return parse_instant(f"{text}-01-01"), parse_instant(f"{int(text) + 1}-01-01")
    if re.fullmatch(r"\d{4}-\d\d", text):
        year, month = int(text[:4]), int(text[5:])
        start = parse_instant(f"{text}-01")
        return start, start + monthrange(year, month)[1] * 86_400_000
    start = parse_instant(text.replace(" ", "+"))  # a plus sign that was not escaped in the query
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return start, start + 86_400_000
    return start, start + (1 if "." in text else 60_000 if text.count(":") < 2 + (text[-3:-2] == ":") else 1000)


def values_at(resource: Any, path: str) -> list[Any]:
    """What a dotted element path leads to, through lists."""
    found = [resource]
    for step in path.split("."):
        inner = [item[step] for item in found if isinstance(item, dict) and step in item]
        found = [each for item in inner for each in (item if isinstance(item, list) else [item])]
    return found


def _prefixed(value: str) -> tuple[str, tuple[int, int]]:
    parts = _PREFIX.match(value)
    assert parts is not None
    return parts[1] or "eq", date_span(parts[2])


def _test(kind: str, name: str, value: str) -> Test:
    wanted = value.split(",")
    if (kind, name) in DATES:
        return _date_test(DATES[kind, name], value)
    if name in STRINGS:
        folded = [text.casefold() for text in wanted]
        return lambda resource: any(
            isinstance(text, str) and text.casefold().startswith(start)
            for path in STRINGS[name]
            for text in values_at(resource, path)
            for start in folded
        )
    if name in REFERENCES:
        ids = {text.rpartition("/")[2] for text in wanted}
        return lambda resource: any(
            isinstance(item, dict) and str(item.get("reference", "")).rpartition("/")[2] in ids
            for path in REFERENCES[name]
            for item in values_at(resource, path)
        )
    first, *rest = name.split("-")
    element = _SPELLING.get(name) or first + "".join(part.title() for part in rest)
    pairs = [_token(text) for text in _SEPARATOR.split(value)]
    return lambda resource: any(_is_token(item, pairs) for item in values_at(resource, element))


def _token(text: str) -> tuple[str | None, str]:
    """(system, code) of `system|code`; a system of None is any. A backslash escapes what separates."""
    system, *code = (_ESCAPED.sub(r"\1", part) for part in _BAR.split(text, maxsplit=1))
    return (system, code[0]) if code else (None, system)


def _is_token(item: Any, pairs: Sequence[tuple[str | None, ...]]) -> bool:
    if isinstance(item, str):
        return any(code == item for _, code in pairs)
    candidates = item.get("coding", [item]) if isinstance(item, dict) else []
    return any(
        system in (None, candidate.get("system", "")) and code in ("", candidate.get("code"), candidate.get("value"))
        for candidate in candidates
        for system, code in pairs
    )


def _date_test(paths: Sequence[str], value: str) -> Test:
    prefix, (first, last) = _prefixed(value)

    def test(resource: dict[str, Any]) -> bool:
        for path in paths:
            for item in values_at(resource, path):
                if isinstance(item, dict):
                    start = date_span(item["start"])[0] if "start" in item else first
                    end = date_span(item["end"])[1] if "end" in item else last
                else:
                    start, end = date_span(item)
                if (
                    (prefix == "eq" and first <= start and end <= last)
                    or (prefix == "ge" and end > first)
                    or (prefix == "gt" and end > last)
                    or (prefix == "le" and start < last)
                    or (prefix == "lt" and start < first)
                ):
                    return True
        return False

    return test
