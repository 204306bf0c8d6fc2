"""The rules the compiled checker lacks: ids, required codes, who a fact is about, real dates, periods in order.

Law: each rule is an error of the specification itself (R4 4.0.1), cheap, and silent where it is not certain: a partial
date, an unknown reference form or an absent list never makes an issue.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.fhir.validation.bindings import DATE_ELEMENTS, REFERENCE_TARGETS, REQUIRED_CODES
from holovitals_pipelines.fhir.validation.issues import Issue, issue

_legal_id = re.compile(r"[A-Za-z0-9.\-]+").fullmatch
_suspect_day = re.compile(rb"-(?:02-(?:29|3[01])|(?:0[469]|11)-31)").search
_period = re.compile(rb'"start"\s*:\s*"([^"\\]*)"\s*,\s*"end"\s*:\s*"([^"\\]*)"').findall
_starts_with_day = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T|$)").match


def check_own_rules(document: dict[str, Any], body: bytes, resource_type: str) -> list[Issue]:
    """`document` is `body` parsed. The tree is walked only when the bytes hold something that could be wrong."""
    issues: list[Issue] = []
    identity = document.get("id")
    if type(identity) is str and identity:
        if not _legal_id(identity):
            issues.append(issue(f"{resource_type}.id", "id.illegal"))
        elif len(identity) > 64:
            issues.append(issue(f"{resource_type}.id", "id.too_long"))
    codes = REQUIRED_CODES.get(resource_type)
    if codes is not None:
        for element, allowed in codes.items():
            value = document.get(element)
            if value is not None and not (type(value) is str and value in allowed):
                issues.extend(_code_issues(value, allowed, f"{resource_type}.{element}"))
    for element, types, usual in _TARGETS.get(resource_type, ()):
        reference = document.get(element)
        if type(reference) is dict:
            target = reference.get("reference")
            if not (type(target) is str and target.startswith(usual)) and _wrong_target(reference, types):
                issues.append(issue(f"{resource_type}.{element}", "reference.wrong_type"))
    if _worth_walking(body):
        _walk(document, resource_type, issues)
    return issues


_TARGETS = {
    resource_type: [
        (element, types, tuple(f"{name}/" for name in sorted(types))) for element, types in elements.items()
    ]
    for resource_type, elements in REFERENCE_TARGETS.items()
}
"""`REFERENCE_TARGETS` with the beginnings of the usual, relative references."""


def _worth_walking(body: bytes) -> bool:
    """Whether a date or period may be wrong; a search of the bytes is ten times cheaper than a walk of the tree."""
    if _suspect_day(body) or (b"\\" in body and b"\\u" in body):  # an escaped name or value hides from the search
        return True
    if b'"end"' not in body:
        return False
    periods = _period(body)
    return len(periods) != body.count(b'"end"') or any(
        _ends_before(start.decode(errors="replace"), end.decode(errors="replace")) for start, end in periods
    )


def _code_issues(value: Any, allowed: frozenset[str], path: str) -> list[Issue]:
    """Values of another kind are the compiled checker's business."""
    if type(value) is str:
        return [issue(path, "code.unknown")] if value and value not in allowed else []
    if type(value) is list:
        return [
            issue(f"{path}[{position}]", "code.unknown")
            for position, code in enumerate(value)
            if type(code) is str and code and code not in allowed
        ]
    return []


def _wrong_target(reference: dict[str, Any], allowed: frozenset[str]) -> bool:
    target = reference.get("reference")
    if type(target) is not str:
        named = reference.get("type")
        return named in RESOURCE_TYPES and named not in allowed if type(named) is str else False
    parts = target.split("/")
    if len(parts) > 2:  # absolute, or with a version: …/Type/id/_history/version
        if parts[-2] == "_history":
            del parts[-2:]
        parts = parts[-2:]
    if len(parts) == 2:
        kind = parts[0]
    else:  # a conditional reference, a urn, or a contained resource
        kind, found, _ = target.partition("?")
        if not found:
            return False
    return kind not in allowed and kind in RESOURCE_TYPES


_Link = tuple[Any, Any] | None
"""Where a node hangs: (its parent's link, its name or position); None at the top."""


def _walk(document: dict[str, Any], resource_type: str, issues: list[Issue]) -> None:
    stack: list[tuple[Any, _Link]] = [(document, None)]
    while stack:
        node, link = stack.pop()
        if type(node) is list:
            for position, element in enumerate(node):
                if type(element) is dict or type(element) is list:
                    stack.append((element, (link, position)))
                elif link is not None and type(element) is str and link[1] in DATE_ELEMENTS and _impossible(element):
                    issues.append(issue(_path(resource_type, (link, position)), "date.impossible"))
            continue
        for name, value in node.items():
            if type(value) is dict or type(value) is list:
                stack.append((value, (link, name)))
            elif type(value) is str and name in DATE_ELEMENTS and _impossible(value):
                issues.append(issue(_path(resource_type, (link, name)), "date.impossible"))
        end = node.get("end")
        if type(end) is str:
            start = node.get("start")
            if type(start) is str and _ends_before(start, end):
                issues.append(issue(_path(resource_type, link), "period.reversed"))


def _path(resource_type: str, link: _Link) -> str:
    steps: list[str] = []
    while link is not None:
        link, step = link
        steps.append(f"[{step}]" if type(step) is int else f".{step}")
    return resource_type + "".join(reversed(steps))


def _impossible(text: str) -> bool:
    """Whether the text is written as a day that no calendar has; other forms are the compiled checker's business."""
    day = _starts_with_day(text)
    if day is None or int(day[3]) <= 28:
        return False
    try:
        date(int(day[1]), int(day[2]), int(day[3]))
    except ValueError:
        return True
    return False


_LONGEST_OFFSET = timedelta(hours=14)


def _ends_before(start: str, end: str) -> bool:
    """Whether the end is certainly before the start: partial dates and days without time zone get all their room."""
    if len(start) <= 10 and len(end) <= 10:
        precision = min(len(start), len(end))
        return end[:precision] < start[:precision]
    if start[:10] < end[:10] and start[-6:] == end[-6:]:
        return False
    earliest, latest = _earliest(start), _latest(end)
    return earliest is not None and latest is not None and latest < earliest


def _earliest(text: str) -> datetime | None:
    try:
        if len(text) > 10:
            return _instant(text)
        year, month, day = _digits(text, 1, 1)
        return datetime(year, month, day, tzinfo=UTC) - _LONGEST_OFFSET
    except (ValueError, OverflowError):
        return None


def _latest(text: str) -> datetime | None:
    """The instant after the last one the text can mean; for a full instant, itself."""
    try:
        if len(text) > 10:
            return _instant(text)
        year, month, day = _digits(text, 12, 31)
        if len(text) == 7:
            day = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
        return datetime(year, month, day, tzinfo=UTC) + timedelta(days=1) + _LONGEST_OFFSET
    except (ValueError, OverflowError):
        return None


def _instant(text: str) -> datetime | None:
    moment = datetime.fromisoformat(text)
    return None if moment.tzinfo is None else moment


def _digits(text: str, month: int, day: int) -> tuple[int, int, int]:
    parts = [int(part) for part in text.split("-")]
    return parts[0], parts[1] if len(parts) > 1 else month, parts[2] if len(parts) > 2 else day
