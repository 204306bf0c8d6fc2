"""What a validation says: the list of rules, each with its remedy and severity, and the issue that names one.

Law: nothing here repeats a value from a resource. A path holds element names and positions only, and a name that does
not look like an element's is replaced by `?`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.vocabulary import ErrorSeverity


@dataclass(frozen=True, slots=True)
class Issue:
    """One broken rule. `path` is FHIRPath-like (`Patient.name[0].given[1]`); `rule` is a key of `RULES`, or a `json.*`
    code of `strict_json` for bytes that are no JSON. Severity ERROR means quarantine; WARNING is only recorded."""

    path: str
    rule: str
    message: str
    remedy: str
    severity: ErrorSeverity = ErrorSeverity.ERROR


@dataclass(frozen=True, slots=True)
class Rule:
    message: str
    remedy: str
    severity: ErrorSeverity = ErrorSeverity.ERROR


_AT_THE_SOURCE = "Correct it at the vendor, or let a transformation rule do so, then release it from quarantine."
_LEAVE_OUT = "The vendor must leave the element out instead; a transformation rule can remove it."

RULES: dict[str, Rule] = {
    "structure.wrong_type": Rule(
        "the resource is of another type than the one asked for", "Check the file or search it came from."
    ),
    "structure.unknown_type": Rule(
        "the resource type is none of FHIR R4", "Check the server's FHIR version: this product reads R4 (4.0.1)."
    ),
    "structure.unknown_element": Rule(
        "FHIR R4 has no such element here",
        "It is kept as it came; if it matters, ask the vendor to send it as an extension.",
        ErrorSeverity.WARNING,
    ),
    "structure.required_missing": Rule("a required element is missing", _AT_THE_SOURCE),
    "structure.wrong_kind": Rule("the element is of another JSON kind than FHIR gives it", _AT_THE_SOURCE),
    "structure.duplicate_key": Rule(
        "an object has two members of this name", "Read the held bytes and ask the vendor which one is meant."
    ),
    "structure.several_choices": Rule("the element is given in more than one of its types", _AT_THE_SOURCE),
    "structure.null": Rule("null stands where FHIR allows none", _LEAVE_OUT),
    "structure.empty": Rule("an empty string or list stands where FHIR allows none", _LEAVE_OUT),
    "structure.misaligned_lists": Rule(
        "a list of primitives and its sidecar of extensions differ in length", _AT_THE_SOURCE
    ),
    "structure.other": Rule("the element breaks a structural rule of FHIR R4", _AT_THE_SOURCE),
    "format.invalid": Rule("the value has not the form of its FHIR type", _AT_THE_SOURCE),
    "code.unknown": Rule(
        "the code is not in the value set FHIR requires here",
        "Map the code to one of the value set with a transformation rule, then release it from quarantine.",
    ),
    "id.illegal": Rule("the id has characters FHIR does not allow in ids", "Ask the vendor for the logical id."),
    "id.too_long": Rule(
        "the id is longer than FHIR's 64 characters",
        "It is used as it came; other systems may refuse it.",
        ErrorSeverity.WARNING,
    ),
    "date.impossible": Rule("the date is in no calendar", _AT_THE_SOURCE),
    "reference.wrong_type": Rule("the reference points at a type FHIR does not allow here", _AT_THE_SOURCE),
    "period.reversed": Rule("the period ends before it starts", _AT_THE_SOURCE),
    "explain.unavailable": Rule(
        "the explaining tier has no model for this resource type",
        "Only the fast tier judged the resource.",
        ErrorSeverity.WARNING,
    ),
}

MAX_ISSUES = 50
"""A resource that breaks more rules than this shows the first ones, errors before warnings."""

_SAFE_PATH = re.compile(
    r"(?:[A-Za-z_][A-Za-z0-9_]{0,63}(?:\[x\]|\[\d+\])?)(?:\.[A-Za-z_][A-Za-z0-9_]{0,63}(?:\[x\]|\[\d+\])?)*"
)
_BOOKKEEPING = re.compile(r"[A-Za-z]+\.(?:meta\._?(?:versionId|lastUpdated|source)|text)(?:[.\[]|$)").match


def issue(path: str, rule: str, message: str | None = None) -> Issue:
    """An issue under a rule of `RULES`; `message` only where a fixed text says more than the rule's own.

    What is no content (narrative, the server's bookkeeping in `meta`) cannot make content unusable: a warning there.
    """
    known = RULES[rule]
    path = _without_values(path)
    severity = ErrorSeverity.WARNING if _BOOKKEEPING(path) else known.severity
    return Issue(path, rule, message or known.message, known.remedy, severity)


def unreadable(error: MalformedResource, resource_type: str) -> Issue:
    where = "" if error.offset is None else f" (at byte {error.offset})"
    return Issue(_without_values(resource_type), error.code, error.message + where, error.remedy)


def is_refused(issues: Iterable[Issue]) -> bool:
    """Whether the resource belongs in quarantine."""
    return any(found.severity is not ErrorSeverity.WARNING for found in issues)


def tidy(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """Errors first, one issue a path (later words on it follow from the first), at most `MAX_ISSUES`."""
    by_path: dict[str, Issue] = {}
    for found in sorted(issues, key=lambda found: found.severity is ErrorSeverity.WARNING):
        by_path.setdefault(found.path, found)
    return tuple(by_path.values())[:MAX_ISSUES]


def _without_values(path: str) -> str:
    safe = _SAFE_PATH.match(path)
    if safe is None:
        return "?"
    return path if safe.end() == len(path) else f"{safe[0]}.?"
