"""docs/vendor-errors.md is what the tables say, and the tables say of every error what to do."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from holovitals_pipelines.model.errors import (
    AuthenticationError,
    DuplicateError,
    ErrorAction,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    ProtocolError,
    TransientError,
    VendorError,
    VersionConflictError,
)
from holovitals_pipelines.providers.answers import Answer, Meaning, VendorRule, classify, rule_error
from holovitals_pipelines.providers.document_errors import ACTIONS, PAGE, vendor_errors_page
from holovitals_pipelines.providers.epic_errors import EPIC_ERRORS
from holovitals_pipelines.providers.phrases import phrase, rule_for
from holovitals_pipelines.providers.refusals import R4_REFUSALS, Write, refused
from holovitals_pipelines.providers.vendor_words import words_of

DOCS = Path(__file__).parents[2] / "docs"
HARMLESS = (Meaning.IGNORE, Meaning.NOTICE, Meaning.PARTIAL)


def test_the_page_is_what_the_code_says() -> None:
    assert (DOCS / PAGE).read_text(encoding="utf-8") == vendor_errors_page(), (
        "run: python -m holovitals_pipelines.providers.document_errors docs"
    )


def test_every_action_is_explained_and_every_code_of_epic_asks_for_one() -> None:
    assert set(ACTIONS) == set(ErrorAction)
    assert all((rule.next_action is None) is (rule.meaning in HARMLESS) for rule in EPIC_ERRORS.values())


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (TransientError, "retry"),
        (OutcomeUnknownError, "retry"),
        (AuthenticationError, "re-authenticate"),
        (VersionConflictError, "conflict"),
        (DuplicateError, "duplicate"),
        (NotPermittedError, "not permitted"),
        (PermanentError, "poison"),
        (ProtocolError, "poison"),
    ],
)
def test_an_error_tells_its_action_first_and_once(error: type[VendorError], action: str) -> None:
    told = error("it failed", code="x", remedy="do this")
    assert told.remedy == f"[{action}] do this" and f"Remedy: [{action}] do this" in str(told)
    assert error("again", code="x", remedy=told.remedy).remedy == told.remedy


def outcome(text: str, code: str = "processing") -> bytes:
    return b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"%s","diagnostics":"%s"}]}' % (
        code.encode(),
        text.encode(),
    )


@pytest.mark.parametrize(
    ("status", "headers", "action"),
    [
        (429, {}, "wait"),
        (503, {"retry-after": "9"}, "wait"),
        (503, {}, "retry"),
        (404, {}, "conflict"),
        (400, {}, "poison"),
    ],
)
def test_a_status_asks_for_its_action(status: int, headers: dict[str, str], action: str) -> None:
    error = classify(Answer(status, httpx.Headers(headers), b"", httpx.URL("http://x/")), place="here")
    assert error is not None and error.action == action


def test_the_vendors_own_words_are_shown_as_far_as_they_name_nobody() -> None:
    body = outcome("The patient Smith, John (MRN 12345) is locked by another user")
    answer = Answer(422, httpx.Headers(), body, httpx.URL("http://x/"))
    read = classify(answer, place="here")
    written = refused(answer, Write.UPDATE, condition=False, table=R4_REFUSALS, codes={}, place="here")
    for error in (read, written):
        assert isinstance(error, VendorError)
        assert 'the vendor says "The patient … is locked by another user"' in error.message
        assert not {"Smith", "John", "12345", "MRN"} & set(str(error).replace(",", " ").split())
    assert isinstance(written, VendorError) and written.action == ErrorAction.FIX_DATA


@pytest.mark.parametrize("text", ["Smith, John", "diabetes mellitus", "12345", "", None])
def test_of_a_text_without_words_of_errors_nothing_is_shown(text: str | None) -> None:
    assert words_of(text) == ""


def test_a_phrase_is_known_whatever_stands_in_it_and_is_shown_without_it() -> None:
    rule = VendorRule(Meaning.NOT_PERMITTED, "x.locked", "it is locked", words="The encounter '…' is locked.")
    table = (phrase(rule, 400),)
    assert rule_for(table, 400, "the  ENCOUNTER 'Smith 1' is locked.") is rule
    assert rule_for(table, 500, "The encounter '1' is locked.") is None
    assert rule_for(table, 400, "The encounter is open.") is None
    assert rule_error(rule, place="here").message == "it is locked (The encounter '…' is locked.)"
