"""Oracle Health's errors: few have codes, so they are told by status and words (vendors.md §4.4)."""

from __future__ import annotations

from holovitals_pipelines.model.errors import ErrorAction, VendorError
from holovitals_pipelines.providers.answers import Answer, Meaning, VendorRule, outcome_issues, rule_error

REQUIRED_MISSING = VendorRule(
    Meaning.TRANSIENT,
    "cerner.required_missing",
    "the vendor cannot show a record that lacks a mandatory element",
    "ask the site to complete the record; it is asked for again by every read and holds up nothing else",
    words="500 with an issue of the type `required`",
    action=ErrorAction.POISON,
)
"""500 with the issue `required`: it stays until somebody corrects the record, so it is repeated a few times only."""

_NO_TENANT = VendorRule(
    Meaning.NOT_PERMITTED,
    "cerner.tenant",
    "the tenant in base_url is not valid, or not accessible to this client",
    "check the tenant in base_url, and that the site has activated the system account for it",
    words="Tenant not valid or accessible",
)
_NO_PARAMETERS = VendorRule(
    Meaning.PERMANENT,
    "cerner.no_parameters",
    "the vendor refuses a search without a parameter it supports",
    "report it as a defect of this product",
    words="no supported search parameters provided",
)
_THROTTLED = VendorRule(
    Meaning.TRANSIENT,
    "cerner.throttled",
    "the vendor has an export of this client in progress, or too many requests",
    "wait for the job that started the export, or resume it: one is allowed for each client and tenant",
    words="429 with an issue of the type `throttled`",
    action=ErrorAction.WAIT,
)

_BY_WORDS = (
    (403, b"tenant not valid or accessible", _NO_TENANT),
    (400, b"no supported search parameters provided", _NO_PARAMETERS),
)

CERNER_RULES = (REQUIRED_MISSING, _NO_TENANT, _NO_PARAMETERS, _THROTTLED)


def judge(answer: Answer, place: str) -> VendorError | None:
    """The error of an answer whose meaning its status alone does not give."""
    if answer.status < 400:
        return None
    issues = {issue.code for issue in outcome_issues(answer.body)}
    if answer.status == 500 and "required" in issues:
        return rule_error(REQUIRED_MISSING, place=place, status=answer.status)
    if answer.status == 429 and "throttled" in issues:
        return rule_error(_THROTTLED, place=place, status=answer.status)
    for status, words, rule in _BY_WORDS:
        if answer.status == status and words in answer.body[:1000].lower():
            return rule_error(rule, place=place, status=answer.status)
    return None


THROTTLED = _THROTTLED.code
