"""The fast tier: the structural rules of FHIR R4 by a compiled checker, and the few it lacks by our own.

Law: fhirkit-rs is a first release by one author, so only `_compiled_check` knows it. Its messages quote values; they
are recognised, never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import orjson

from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.fhir.strict_json import diagnose, not_an_object
from holovitals_pipelines.fhir.validation.issues import Issue, issue, tidy, unreadable
from holovitals_pipelines.fhir.validation.own_rules import check_own_rules


def check_structure(body: bytes, resource_type: str) -> tuple[Issue, ...]:
    """What the fast tier finds wrong with a resource that should be a `resource_type`; () for most of them.

    Never raises for bad bytes: text that is no JSON is an issue too.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return (unreadable(diagnose(body), resource_type),)
    if type(document) is not dict:
        return (unreadable(not_an_object(), resource_type),)
    actual = document.get("resourceType")
    if actual != resource_type:
        return (issue(resource_type, "structure.wrong_type"),)
    if actual not in RESOURCE_TYPES:
        return (issue(resource_type, "structure.unknown_type"),)
    issues = check_own_rules(document, body, resource_type)
    try:
        found = _compiled_check(body)
    except ValueError:  # what the compiled reader refuses and orjson does not: nesting, chiefly
        return (unreadable(diagnose(body), resource_type),)
    except CheckerFailure:
        from holovitals_pipelines.fhir.validation.models import check_models

        return tidy([*check_models(body, resource_type), *issues])
    if not found and not issues:
        return ()
    return tidy([*_translate(found), *issues])


class CheckerFailure(Exception):
    """The compiled checker itself broke down on a resource."""


def _compiled_check(body: bytes) -> list[tuple[str, str]]:
    """Each structural problem as (path, the checker's message).

    Raises ValueError for text that is no JSON, CheckerFailure when the checker breaks down.
    """
    import fhirkit

    try:
        return [(problem.path, problem.message) for problem in fhirkit.validate(body)]
    except (ValueError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  (a Rust panic is no Exception; one resource must not end a batch)
        raise CheckerFailure(type(error).__name__) from None


_KINDS = {
    "a string": "a string",
    "a number": "a number",
    "a whole number": "a whole number",
    "an array": "a list",
    "an object": "an object",
    "true or false": "true or false",
    "a single value": "a single value",
    "a boolean": "true or false",
    "null": "null",
}
_wrong_kind = re.compile(r"expected ([a-z ]+?), found ([a-z ]+)").fullmatch
_TYPES = frozenset(
    [
        "base64Binary",
        "boolean",
        "canonical",
        "code",
        "date",
        "dateTime",
        "decimal",
        "id",
        "instant",
        "integer",
        "markdown",
        "oid",
        "positiveInt",
        "string",
        "time",
        "unsignedInt",
        "uri",
        "url",
        "uuid",
        "xhtml",
    ]
)
_invalid_value = re.compile(r"(?s).* is not a (?:valid|FHIR) ([A-Za-z0-9]+)").fullmatch
_invalid_number = re.compile(r"(?s).* is not an? (positiveInt|unsignedInt) \(\d or more\)").fullmatch

_BY_END: tuple[tuple[str, str], ...] = (
    ("the key appears more than once", "structure.duplicate_key"),
    ("; the two arrays must line up", "structure.misaligned_lists"),
    (" is not a FHIR R4 resource type this build knows", "structure.unknown_type"),
    ("null with no extension in its place", "structure.null"),
)
_BY_START: tuple[tuple[str, str], ...] = (
    ("required element missing", "structure.required_missing"),
    ("unknown element", "structure.unknown_element"),
    ("only one type may be given", "structure.several_choices"),
    ("null is not allowed", "structure.null"),
    ("an empty ", "structure.empty"),
    ("a resource needs a resourceType", "structure.required_missing"),
)


def _translate(found: Iterable[tuple[str, str]]) -> list[Issue]:
    issues: list[Issue] = []
    choices: list[str] = []
    for path, message in found:
        issues.append(_one(path, message))
        if issues[-1].rule == "structure.several_choices":
            choices.append(path.removesuffix("[x]"))
    if choices:
        # The checker calls each further type of the choice an unknown element, which it is not.
        return [
            one for one in issues if one.rule != "structure.unknown_element" or not one.path.startswith(tuple(choices))
        ]
    return issues


def _one(path: str, message: str) -> Issue:
    """The issue for one of the checker's messages, by recognising it: values stand only at the start of a message."""
    for start, rule in _BY_START:
        if message.startswith(start):
            return issue(path, rule)
    for end, rule in _BY_END:
        if message.endswith(end):
            return issue(path, rule)
    kind = _wrong_kind(message)
    if kind:
        wanted, got = _KINDS.get(kind[1]), _KINDS.get(kind[2])
        if wanted and got:
            return issue(path, "structure.wrong_kind", f"FHIR has {wanted} here, and {got} came")
        return issue(path, "structure.wrong_kind")
    invalid = _invalid_value(message) or _invalid_number(message)
    if invalid and invalid[1] in _TYPES:
        return issue(path, "format.invalid", f"the value has not the form of the FHIR type {invalid[1]}")
    return issue(path, "structure.other")
