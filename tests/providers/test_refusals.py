"""What answers to writes mean: the tables, by status, words of the body, and whether a condition was sent."""

from __future__ import annotations

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holovitals_pipelines.model.errors import (
    AuthenticationError,
    ConfigurationError,
    DuplicateError,
    GoneError,
    HoloVitalsError,
    NotFoundError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    ProtocolError,
    TransientError,
    VendorError,
    VersionConflictError,
)
from holovitals_pipelines.providers.answers import NO_TABLE, Answer
from holovitals_pipelines.providers.epic_errors import EPIC_ERRORS
from holovitals_pipelines.providers.refusals import (
    R4_REFUSALS,
    Refusal,
    RefusalRule,
    RefusalTable,
    Write,
    refused,
)

from .loopback import outcome

CERNER_LIKE: RefusalTable = (
    RefusalRule(Refusal.CONDITION_MISSING, statuses=frozenset({412}), condition=False),
    RefusalRule(Refusal.STALE, statuses=frozenset({409}), condition=True),
    *R4_REFUSALS,
)
"""A vendor that answers 412 to a missing If-Match and 409 to a stale one (vendors.md §4.3): a table is all."""


def answer(status: int, body: object = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, httpx.Headers(sent), raw, httpx.URL("http://x"))


def said(
    given: Answer, write: Write, *, condition: bool, table: RefusalTable = R4_REFUSALS, epic: bool = False
) -> HoloVitalsError | None:
    codes = EPIC_ERRORS if epic else NO_TABLE
    return refused(given, write, condition=condition, table=table, codes=codes, place="p")


@pytest.mark.parametrize("table", [R4_REFUSALS, CERNER_LIKE], ids=["r4", "cerner-like"])
@pytest.mark.parametrize("write", [Write.UPDATE, Write.DELETE])
@pytest.mark.parametrize(
    ("status", "condition", "error"),
    [
        (412, True, VersionConflictError),
        (409, True, VersionConflictError),
        (412, False, ConfigurationError),
        (428, False, ConfigurationError),
        (428, True, PermanentError),
        (409, False, PermanentError),
        (400, True, PermanentError),
        (400, False, PermanentError),
        (404, True, NotFoundError),
        (410, False, GoneError),
    ],
)
def test_a17_a_status_means_what_was_sent_with_it(
    table: RefusalTable, write: Write, status: int, condition: bool, error: type[HoloVitalsError]
) -> None:
    assert type(said(answer(status), write, condition=condition, table=table)) is error


@pytest.mark.parametrize("write", [Write.UPDATE, Write.DELETE])
def test_a17_a_412_without_if_match_is_our_configuration_and_no_conflict(write: Write) -> None:
    error = said(answer(412, outcome(code="conflict")), write, condition=False)
    assert isinstance(error, ConfigurationError) and not isinstance(error, VendorError)
    assert error.code == "write.condition_missing" and "If-Match" in error.remedy


def test_a_400_demands_a_condition_only_where_it_says_so() -> None:
    wants = outcome(severity="error", code="required")
    wants["issue"][0]["diagnostics"] = "IF-MATCH header is missing"
    assert isinstance(said(answer(400, wants), Write.UPDATE, condition=False), ConfigurationError)
    assert type(said(answer(400, wants), Write.UPDATE, condition=True)) is PermanentError
    assert type(said(answer(400, wants), Write.CREATE, condition=False)) is PermanentError


@pytest.mark.parametrize(
    ("status", "issue", "condition", "error"),
    [
        (409, "duplicate", False, DuplicateError),
        (422, "duplicate", False, DuplicateError),
        (412, "multiple-matches", True, DuplicateError),
        (409, "lock-error", False, TransientError),
        (423, "processing", False, TransientError),
        (409, "conflict", False, PermanentError),
        (422, "business-rule", False, PermanentError),
        (400, "not-found", False, PermanentError),
        (422, "deleted", False, PermanentError),
        (404, "not-supported", False, NotPermittedError),
        (404, "not-found", False, NotPermittedError),
        (405, "not-supported", False, NotPermittedError),
        (403, "forbidden", False, NotPermittedError),
        (401, "login", False, AuthenticationError),
    ],
)
def test_a_refused_create_never_reads_as_a_resource_that_is_gone(
    status: int, issue: str, condition: bool, error: type[HoloVitalsError]
) -> None:
    refusal = said(answer(status, outcome(severity="error", code=issue)), Write.CREATE, condition=condition)
    assert type(refusal) is error


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer(429), TransientError),
        (answer(425), TransientError),
        (answer(503, retry_after="3"), TransientError),
        (answer(503), OutcomeUnknownError),
        (answer(500), OutcomeUnknownError),
        (answer(502), OutcomeUnknownError),
        (answer(504), OutcomeUnknownError),
        (answer(408), OutcomeUnknownError),
        (answer(202), OutcomeUnknownError),
        (answer(200, outcome(severity="error", code="timeout")), OutcomeUnknownError),
        (answer(201, outcome(severity="error", code="processing")), OutcomeUnknownError),
        (answer(501), NotPermittedError),
        (answer(307), ProtocolError),
    ],
)
def test_only_what_proves_that_nothing_happened_may_be_sent_again(given: Answer, error: type[HoloVitalsError]) -> None:
    assert type(said(given, Write.CREATE, condition=False)) is error


def test_a_good_status_with_a_refusing_body_is_a_refusal() -> None:
    refusing = said(answer(200, outcome(severity="error", code="business-rule")), Write.UPDATE, condition=True)
    assert type(refusing) is PermanentError and "business-rule" in refusing.message
    for harmless in ("warning", "information"):
        assert said(answer(200, outcome(severity=harmless)), Write.UPDATE, condition=True) is None


@pytest.mark.parametrize("body", [b"<html>not found</html>", b"Service not registered with API gateway.", b"{}"])
@pytest.mark.parametrize("write", list(Write))
def test_absence_is_believed_from_the_server_and_not_from_a_gateway(write: Write, body: bytes) -> None:
    for status in (404, 410):
        assert type(said(answer(status, body), write, condition=True)) is ProtocolError


@pytest.mark.parametrize(
    ("code", "status", "write", "error"),
    [
        ("59141", 400, Write.CREATE, DuplicateError),
        ("59141", 500, Write.CREATE, DuplicateError),
        ("59102", 400, Write.CREATE, PermanentError),
        ("59144", 400, Write.CREATE, PermanentError),
        ("59188", 400, Write.CREATE, PermanentError),
        ("59177", 400, Write.CREATE, OutcomeUnknownError),
        ("4118", 403, Write.UPDATE, NotPermittedError),
        ("4130", 403, Write.UPDATE, NotPermittedError),
        ("4103", 404, Write.UPDATE, GoneError),
        ("4102", 404, Write.UPDATE, NotFoundError),
        ("4102", 400, Write.UPDATE, PermanentError),
        ("4102", 404, Write.CREATE, PermanentError),
    ],
)
def test_epics_own_codes_come_before_the_status(
    code: str, status: int, write: Write, error: type[HoloVitalsError]
) -> None:
    refusal = said(answer(status, outcome(code)), write, condition=False, epic=True)
    assert type(refusal) is error
    if isinstance(refusal, VendorError) and not isinstance(refusal, OutcomeUnknownError):
        assert refusal.vendor_code == code


def test_no_error_repeats_what_the_server_wrote() -> None:
    body = outcome("Smith", severity="error", code="Smith")
    body["issue"][0]["diagnostics"] = "Smith, John: duplicate"
    for status in (200, 400, 404, 409, 410, 412, 422, 428, 500, 503):
        for condition in (True, False):
            for write in Write:
                error = said(answer(status, body), write, condition=condition)
                assert error is not None and "Smith" not in f"{error} {vars(error)}"


@given(
    status=st.integers(200, 599),
    issue=st.none() | st.sampled_from(["duplicate", "conflict", "lock-error", "timeout", "not-found", "processing"]),
    write=st.sampled_from(Write),
    condition=st.booleans(),
)
def test_every_answer_has_exactly_one_meaning_and_5xx_never_says_that_nothing_happened(
    status: int, issue: str | None, write: Write, condition: bool
) -> None:
    body = outcome(severity="error", code=issue) if issue else b""
    error = said(answer(status, body), write, condition=condition)
    assert (error is None) == (status < 300 and status != 202 and issue is None)
    if status >= 500 and status != 501 and issue not in ("duplicate",):
        assert isinstance(error, OutcomeUnknownError)
    if isinstance(error, VersionConflictError):
        assert condition and write is not Write.CREATE
    if isinstance(error, NotFoundError | GoneError):
        assert write is not Write.CREATE
