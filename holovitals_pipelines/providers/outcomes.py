"""OperationOutcomes inside good answers, and rows that are not what was asked for, as problems with their bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from holovitals_pipelines.fhir.wire import MalformedResource, OutcomeIssue, read_head, read_outcome
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.providers.answers import Meaning, VendorRule, VendorTable


def issues_with_rules(
    outcomes: Iterable[bytes], table: VendorTable
) -> Iterator[tuple[bytes, OutcomeIssue, VendorRule | None]]:
    for outcome in outcomes:
        for issue in read_outcome(outcome):
            yield outcome, issue, table.get(issue.vendor_code) if issue.vendor_code else None


def outcome_problems(
    outcomes: Iterable[bytes], table: VendorTable, *, source: str, resource_type: str | None, line: int | None = None
) -> list[Problem]:
    """One problem an issue; issues that say nothing is wrong are left out."""
    problems = []
    for outcome, issue, rule in issues_with_rules(outcomes, table):
        if rule is not None and rule.meaning is Meaning.IGNORE:
            continue
        severe = issue.severity in ("fatal", "error")
        problems.append(
            Problem(
                code=rule.code if rule else "outcome.reported",
                message=rule.message if rule else f"the server reported an issue{described(issue)}",
                remedy=(rule.remedy if rule else "") or "read the OperationOutcome in quarantine",
                source=source,
                line=line,
                resource_type=resource_type,
                severity=ErrorSeverity.ERROR if severe else ErrorSeverity.WARNING,
                body=outcome,
            )
        )
    return problems


def tells_of_missing(outcomes: Iterable[bytes], table: VendorTable) -> bool:
    """Whether outcomes say that the answer holds less than there is, so that absence from it says nothing."""
    return any(
        rule.meaning is Meaning.PARTIAL or (rule.meaning not in _HARMLESS and issue.severity in ("fatal", "error"))
        if rule is not None
        else issue.severity in ("fatal", "error")
        for _, issue, rule in issues_with_rules(outcomes, table)
    )


_HARMLESS = (Meaning.IGNORE, Meaning.NOTICE)


def described(issue: OutcomeIssue) -> str:
    """The issue's codes in brackets, as far as they are codes; its texts may hold health data and are left out."""
    said = [
        f"{name} {value}"
        for name, value in (("severity", issue.severity), ("issue", issue.code), ("vendor code", issue.vendor_code))
        if value is not None and re.fullmatch(r"[A-Za-z0-9._-]{1,40}", value)
    ]
    return f" ({', '.join(said)})" if said else ""


def wrong_type(body: bytes, *, wanted: str, source: str, line: int | None = None) -> Problem:
    return Problem(
        code="resource.wrong_type",
        message=f"a resource of another type came where {wanted} was asked for",
        remedy="report it to the vendor; the resource is in quarantine",
        source=source,
        line=line,
        resource_type=wanted,
        body=body,
    )


def too_large(body: bytes, size: int, *, limit: int, source: str, wanted: str, line: int | None = None) -> Problem:
    cut = "" if len(body) >= size else f"; only its first {len(body):,} bytes are kept"
    return Problem(
        code="resource.too_large",
        message=f"a resource is larger than the {limit:,} bytes this connection takes{cut}",
        remedy="raise read.max_resource_bytes if the resource is genuine, then sync with --full",
        source=source,
        line=line,
        resource_type=wanted,
        body=body,
        remote_id=_identity(body),
    )


def _identity(body: bytes) -> str | None:
    try:
        return read_head(body).id
    except MalformedResource:
        return None
