"""What a vendor's answer to a write means: tables of data, because vendors answer alike with unlike statuses.

Law: an answer that does not prove that nothing happened means that the outcome is unknown, and of an answer's text only
words that can name nobody end up in an error (`vendor_words`: diagnostics name patients).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from holovitals_pipelines.fhir.wire import OutcomeIssue
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    ConfigurationError,
    DuplicateError,
    ErrorAction,
    GoneError,
    HoloVitalsError,
    NotFoundError,
    NotPermittedError,
    PermanentError,
    ProtocolError,
    TransientError,
    VendorError,
    VersionConflictError,
)
from holovitals_pipelines.providers import vendor_words
from holovitals_pipelines.providers.answers import (
    Answer,
    Meaning,
    VendorTable,
    outcome_issues,
    rule_error,
    vendor_rule,
)
from holovitals_pipelines.providers.exchange import outcome_unknown


class Write(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Refusal(StrEnum):
    """What a refused write tells the writer."""

    STALE = "stale"
    CONDITION_MISSING = "condition_missing"
    DUPLICATE = "duplicate"
    BUSY = "busy"
    """Certainly not carried out, and worth repeating."""
    GONE = "gone"
    NOT_FOUND = "not_found"
    NOT_PERMITTED = "not_permitted"
    AUTHENTICATION = "authentication"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """It may have been carried out."""


@dataclass(frozen=True, slots=True)
class RefusalRule:
    """One line of a table; what is None matches anything. `condition`: whether If-Match or If-None-Exist was sent.

    `issues` are FHIR issue types, any of which the answer has to give; `mentions` is text the answer's body has to hold
    (lower case), where a vendor tells apart by words only. A rule without `statuses` also judges a good status with a
    refusing body.
    """

    refusal: Refusal
    statuses: frozenset[int] | None = None
    writes: frozenset[Write] | None = None
    condition: bool | None = None
    issues: frozenset[str] | None = None
    mentions: bytes | None = None

    def matches(self, answer: Answer, write: Write, *, condition: bool, issues: Sequence[str]) -> bool:
        return (
            (self.statuses is None or answer.status in self.statuses)
            and (self.writes is None or write in self.writes)
            and (self.condition is None or self.condition is condition)
            and (self.issues is None or not self.issues.isdisjoint(issues))
            and (self.mentions is None or self.mentions in answer.body.lower())
        )


RefusalTable = tuple[RefusalRule, ...]
"""The first rule that matches decides; what none matches is judged by its status alone (`_by_status`)."""


def _rule(
    refusal: Refusal,
    *statuses: int,
    writes: Sequence[Write] = (),
    condition: bool | None = None,
    issues: Sequence[str] = (),
    mentions: bytes | None = None,
) -> RefusalRule:
    return RefusalRule(
        refusal, frozenset(statuses) or None, frozenset(writes) or None, condition, frozenset(issues) or None, mentions
    )


_EXISTING = (Write.UPDATE, Write.DELETE)

R4_REFUSALS: RefusalTable = (
    _rule(Refusal.BUSY, 409, 423, issues=["lock-error"]),
    _rule(Refusal.BUSY, 423),
    _rule(Refusal.DUPLICATE, writes=[Write.CREATE], issues=["duplicate"]),
    # R4 says 412 for another version; STU3 said 409, and servers still do (hl7.org/fhir/R4/http.html#concurrency).
    _rule(Refusal.STALE, 409, 412, writes=_EXISTING, condition=True),
    _rule(Refusal.CONDITION_MISSING, 412, 428, writes=_EXISTING, condition=False),
    # R4 lets a server demand If-Match by a plain 400, so only its words tell that from any other mistake.
    _rule(Refusal.CONDITION_MISSING, 400, writes=_EXISTING, condition=False, mentions=b"if-match"),
    # If-None-Exist that several resources fit: they are there.
    _rule(Refusal.DUPLICATE, 412, writes=[Write.CREATE], condition=True),
    _rule(Refusal.NOT_PERMITTED, 404, 410, writes=[Write.CREATE]),
    _rule(Refusal.UNKNOWN, issues=["transient", "timeout", "incomplete", "exception"]),
    _rule(Refusal.NOT_PERMITTED, 400, 403, 404, 405, 422, 501, issues=["not-supported", "forbidden", "suppressed"]),
)
"""What FHIR R4 says, and what servers that say less precisely cannot mean otherwise."""


def _not_now(answer: Answer) -> bool:
    """Whether the server turned the request away unread: too many, too early, or closed until a time it names."""
    return answer.status in (425, 429) or (answer.status == 503 and "retry-after" in answer.headers)


def _by_status(status: int) -> Refusal:
    if status in (403, 405, 501):
        return Refusal.NOT_PERMITTED
    if status == 408 or status >= 500:
        return Refusal.UNKNOWN
    return {401: Refusal.AUTHENTICATION, 404: Refusal.NOT_FOUND, 410: Refusal.GONE}.get(status, Refusal.REFUSED)


@dataclass(frozen=True, slots=True)
class _Word:
    """How a refusal is told: the error, its code, and what to do."""

    error: type[VendorError]
    code: str
    remedy: str
    action: ErrorAction | None = None


_WORDS = {
    Refusal.STALE: _Word(
        VersionConflictError, "write.stale", "nothing: the vendor's newer version is read and decided on"
    ),
    Refusal.DUPLICATE: _Word(
        DuplicateError, "write.duplicate", "nothing: the resource that is there is looked up and linked, or reviewed"
    ),
    Refusal.BUSY: _Word(
        TransientError, "write.busy", "nothing: it is sent again later, nothing was changed", ErrorAction.WAIT
    ),
    Refusal.GONE: _Word(GoneError, "write.gone", "nothing: the deletion is confirmed by a read and decided on"),
    Refusal.NOT_FOUND: _Word(NotFoundError, "write.not_found", "nothing: the vendor is read and decided on"),
    Refusal.NOT_PERMITTED: _Word(
        NotPermittedError,
        "write.not_permitted",
        "ask the site to grant this client the write, or leave the type out of write.resource_types",
    ),
    Refusal.AUTHENTICATION: _Word(
        AuthenticationError, "write.not_authenticated", "check the client id, its key, and the scopes for writing"
    ),
    Refusal.REFUSED: _Word(
        PermanentError,
        "write.refused",
        "read what the vendor's documentation says of the codes; sending the same again cannot help",
        ErrorAction.FIX_DATA,
    ),
}

_OF_MEANING = {
    Meaning.TRANSIENT: Refusal.UNKNOWN,
    Meaning.NOT_FOUND: Refusal.NOT_FOUND,
    Meaning.DELETED: Refusal.GONE,
    Meaning.SESSION_EXPIRED: Refusal.REFUSED,
}
"""Meanings of a vendor's code that on a write ask for more thought than their usual error."""

_FHIR_ISSUE_TYPES = frozenset({
    "invalid", "structure", "required", "value", "invariant", "security", "login", "unknown", "expired", "forbidden",
    "suppressed", "processing", "not-supported", "duplicate", "multiple-matches", "not-found", "deleted", "too-long",
    "code-invalid", "extension", "too-costly", "business-rule", "conflict", "transient", "lock-error", "no-store",
    "exception", "timeout", "incomplete", "throttled", "informational",
})  # fmt: skip
"""hl7.org/fhir/R4/valueset-issue-type.html: only codes of this set are repeated in an error."""


def refused(
    answer: Answer,
    write: Write,
    *,
    condition: bool,
    table: RefusalTable,
    codes: VendorTable,
    place: str,
    words: str = "",
) -> HoloVitalsError | None:
    """The error an answer to a write stands for; None when the write was carried out.

    The body is asked first, then the table, then the status. `words` are the vendor's, where its body is no
    OperationOutcome; they are shown as far as they name nobody. ConfigurationError when the vendor wants a condition
    and none was sent.
    """
    issues = [issue for issue in outcome_issues(answer.body) if issue.severity in ("fatal", "error")]
    if answer.status < 300 and answer.status != 202 and not issues:
        return None
    told = _told(answer, issues, words)
    known = vendor_rule(issues, codes)
    if known is not None and known[1].meaning not in (Meaning.IGNORE, Meaning.NOTICE, Meaning.PARTIAL):
        number, rule = known
        ours = _about_itself(_OF_MEANING.get(rule.meaning), answer.status, write)
        if ours is None:
            text = next((issue.diagnostics for issue in issues if issue.diagnostics), None)
            return rule_error(rule, place=place, status=answer.status, vendor_code=number, text=text)
        return _error(ours, told, answer, place=place, vendor_code=number)
    if 300 <= answer.status < 400:
        return _redirected(answer, place)
    if answer.status == 202:
        return outcome_unknown("the server took the request to carry it out later", place=place, status=202)
    if answer.status in (404, 410) and not says_so_itself(answer):
        return not_the_servers_word(answer, place=place)
    if answer.status == 201:
        return outcome_unknown("the server says that it created and that it refused", place=place, status=201)
    refusal = Refusal.BUSY if _not_now(answer) else _by_table(answer, write, issues, condition=condition, table=table)
    vendor_code = next((issue.vendor_code for issue in issues if _is_code(issue.vendor_code)), None)
    return _error(refusal, told, answer, place=place, vendor_code=vendor_code)


def _by_table(
    answer: Answer, write: Write, issues: Sequence[OutcomeIssue], *, condition: bool, table: RefusalTable
) -> Refusal:
    named = [issue.code for issue in issues if issue.code is not None]
    matching = (rule.refusal for rule in table if rule.matches(answer, write, condition=condition, issues=named))
    return next(matching, _by_status(answer.status))


def says_so_itself(answer: Answer) -> bool:
    """Whether a 404 or 410 is the FHIR server's own word: nothing, or an OperationOutcome. A gateway's page is not."""
    return not answer.body.strip() or bool(outcome_issues(answer.body))


def not_the_servers_word(answer: Answer, *, place: str) -> ProtocolError:
    return ProtocolError(
        f"{answer.status} was answered by something that is not the FHIR server",
        code="http.not_fhir",
        place=place,
        remedy="check base_url and the gateway before the server; nothing is taken as deleted",
        status=answer.status,
    )


def _about_itself(refusal: Refusal | None, status: int, write: Write) -> Refusal | None:
    """Absence is the resource's own only at 404 and 410: elsewhere it is of something the resource refers to."""
    if refusal in (Refusal.NOT_FOUND, Refusal.GONE) and (status not in (404, 410) or write is Write.CREATE):
        return Refusal.REFUSED
    return refusal


def _error(refusal: Refusal, told: str, answer: Answer, *, place: str, vendor_code: str | None) -> HoloVitalsError:
    if refusal is Refusal.UNKNOWN:
        return outcome_unknown(told, place=place, status=answer.status)
    if refusal is Refusal.CONDITION_MISSING:
        return ConfigurationError(
            f"{told} because the write named no version",
            code="write.condition_missing",
            place=place,
            remedy="leave the type out of write.resource_types and report it: the server takes writes only with "
            "If-Match, but neither its CapabilityStatement nor its answers to reads show versions to name",
        )
    word = _WORDS[refusal]
    return word.error(
        told,
        code=word.code,
        place=place,
        remedy=word.remedy,
        status=answer.status,
        vendor_code=vendor_code,
        action=word.action,
    )


def _told(answer: Answer, issues: Sequence[OutcomeIssue], words: str) -> str:
    types = dict.fromkeys(issue.code for issue in issues if issue.code in _FHIR_ISSUE_TYPES)
    codes = dict.fromkeys(issue.vendor_code for issue in issues if _is_code(issue.vendor_code))
    said = f" with issue type {', '.join(map(str, types))}" if types else ""
    said += f" and vendor code {', '.join(map(str, codes))}" if codes else ""
    own = words or next((issue.diagnostics for issue in issues if issue.diagnostics), "")
    return f"the server answered {answer.status}{said}{vendor_words.said(own)}"


def _is_code(text: str | None) -> bool:
    """Vendors number their errors; a word in that place may be a name."""
    return text is not None and len(text) <= 40 and text.isascii() and any(map(str.isdigit, text)) and " " not in text


def _redirected(answer: Answer, place: str) -> ProtocolError:
    return ProtocolError(
        f"the server answered {answer.status}, and a write is not sent elsewhere",
        code="http.redirect",
        place=place,
        remedy="set base_url to the address the server redirects to; nothing was written",
        status=answer.status,
    )


WriteJudge = Callable[[Answer, str], HoloVitalsError | None]


def judge(write: Write, *, condition: bool, table: RefusalTable, codes: VendorTable) -> WriteJudge:
    """What the HTTP client asks of each answer to a write."""

    def judged(answer: Answer, place: str) -> HoloVitalsError | None:
        return refused(answer, write, condition=condition, table=table, codes=codes, place=place)

    return judged
