"""What a vendor's answer means: the body is asked first, the status second (vendors.md §13.6).

The law: of the answer's text only words that can name nobody end up in an error (`vendor_words`): diagnostics name
patients; codes and statuses do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import httpx

from holovitals_pipelines.fhir.wire import OutcomeIssue, read_outcome
from holovitals_pipelines.model.errors import (
    AuthenticationError,
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


class Meaning(StrEnum):
    """What an issue asks of the reader."""

    IGNORE = "ignore"
    """Nothing is wrong (`no results`)."""
    NOTICE = "notice"
    """Worth telling, the answer is good."""
    PARTIAL = "partial"
    """The answer is good, but there is more that it does not show."""
    PERMANENT = "permanent"
    TRANSIENT = "transient"
    NOT_PERMITTED = "not_permitted"
    AUTHENTICATION = "authentication"
    NOT_FOUND = "not_found"
    DELETED = "deleted"
    MERGED = "merged"
    SESSION_EXPIRED = "session_expired"
    DEFERRED = "deferred"
    """Not now and not in a minute: another day."""
    DUPLICATE = "duplicate"
    """A create of what is there already."""
    STALE = "stale"
    """A write that named another version than the current one."""


_ACTIONS = {
    Meaning.TRANSIENT: ErrorAction.RETRY,
    Meaning.DEFERRED: ErrorAction.WAIT,
    Meaning.AUTHENTICATION: ErrorAction.REAUTHENTICATE,
    Meaning.SESSION_EXPIRED: ErrorAction.RETRY,
    Meaning.STALE: ErrorAction.CONFLICT,
    Meaning.NOT_FOUND: ErrorAction.CONFLICT,
    Meaning.DELETED: ErrorAction.CONFLICT,
    Meaning.MERGED: ErrorAction.CONFLICT,
    Meaning.DUPLICATE: ErrorAction.DUPLICATE,
    Meaning.NOT_PERMITTED: ErrorAction.NOT_PERMITTED,
    Meaning.PERMANENT: ErrorAction.POISON,
}
"""What a meaning asks for where a rule does not say; IGNORE, NOTICE and PARTIAL are no errors and ask for nothing."""


@dataclass(frozen=True, slots=True)
class VendorRule:
    """One line of a vendor's error registry: what its code means, in our words, and what to do.

    `words` are the vendor's own, as its documentation or its recorded answers have them: they are shown. `action` is
    said where the meaning alone does not say it (`next_action`).
    """

    meaning: Meaning
    code: str
    message: str
    remedy: str = ""
    words: str = ""
    action: ErrorAction | None = None

    @property
    def next_action(self) -> ErrorAction | None:
        """None for what is no error."""
        return self.action or _ACTIONS.get(self.meaning)

    @property
    def told(self) -> str:
        """The message with the vendor's own words."""
        return f"{self.message} ({self.words})" if self.words else self.message


VendorTable = Mapping[str, VendorRule]
NO_TABLE: VendorTable = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete HTTP answer. `url` is where it finally came from: it may hold ids and is never shown."""

    status: int
    headers: httpx.Headers
    body: bytes
    url: httpx.URL

    @property
    def media_type(self) -> str:
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    def looks_like_html(self) -> bool:
        return "html" in self.media_type or self.body.lstrip()[:1] == b"<"


_ERRORS: dict[Meaning, type[VendorError]] = {
    Meaning.PERMANENT: PermanentError,
    Meaning.TRANSIENT: TransientError,
    Meaning.NOT_PERMITTED: NotPermittedError,
    Meaning.AUTHENTICATION: AuthenticationError,
    Meaning.NOT_FOUND: NotFoundError,
    Meaning.DELETED: GoneError,
    Meaning.MERGED: PermanentError,
    Meaning.SESSION_EXPIRED: GoneError,
    Meaning.DEFERRED: PermanentError,
    Meaning.DUPLICATE: DuplicateError,
    Meaning.STALE: VersionConflictError,
}

_ISSUE_CODES = {
    "transient": Meaning.TRANSIENT,
    "throttled": Meaning.TRANSIENT,
    "timeout": Meaning.TRANSIENT,
    "lock-error": Meaning.TRANSIENT,
    "no-store": Meaning.TRANSIENT,
    "login": Meaning.AUTHENTICATION,
    "expired": Meaning.AUTHENTICATION,
    "unknown": Meaning.AUTHENTICATION,
    "forbidden": Meaning.NOT_PERMITTED,
    "not-supported": Meaning.NOT_PERMITTED,
    "not-found": Meaning.NOT_FOUND,
    "deleted": Meaning.DELETED,
}
"""FHIR issue types that say more than the status does (hl7.org/fhir/R4/valueset-issue-type.html)."""

_CODE = re.compile(r"[A-Za-z0-9._-]{1,40}")

_SECURITY_CODES = frozenset({"login", "expired", "unknown"})
"""Issue types that speak of credentials only where the status does too: `expired` on a search is a page session."""

_REMEDIES = {
    Meaning.TRANSIENT: "run the job again; if it keeps failing, ask the vendor about the server's state",
    Meaning.AUTHENTICATION: "check the client id, the registered public key and that the site has activated the client",
    Meaning.NOT_PERMITTED: "ask the site to grant this client the interaction, or leave the type out of resource_types",
    Meaning.NOT_FOUND: "check base_url and the ids the job was given",
    Meaning.DELETED: "nothing: the vendor has deleted it",
    Meaning.PERMANENT: "read the vendor's registry entry for the code; repeating the request cannot help",
}


def _status_meaning(status: int) -> Meaning:
    if status == 401:
        return Meaning.AUTHENTICATION
    if status in (403, 405, 501):
        return Meaning.NOT_PERMITTED
    if status == 404:
        return Meaning.NOT_FOUND
    if status == 410:
        return Meaning.DELETED
    if status in (408, 425, 429) or status >= 500:
        return Meaning.TRANSIENT
    return Meaning.PERMANENT


def outcome_issues(body: bytes) -> Sequence[OutcomeIssue]:
    """The issues of an OperationOutcome body; empty when the body is anything else."""
    return read_outcome(body) or ()


def vendor_rule(issues: Sequence[OutcomeIssue], table: VendorTable) -> tuple[str, VendorRule] | None:
    """The first issue whose vendor code the table knows, with that code."""
    for issue in issues:
        if issue.vendor_code is not None and (rule := table.get(issue.vendor_code)) is not None:
            return issue.vendor_code, rule
    return None


def _text_of(issues: Sequence[OutcomeIssue]) -> str | None:
    return next((issue.diagnostics for issue in issues if issue.diagnostics), None)


def meaning_of(error: VendorError, table: VendorTable) -> Meaning | None:
    """What the vendor's own code says an error means; None without a code the table knows."""
    rule = table.get(error.vendor_code) if error.vendor_code is not None else None
    return rule.meaning if rule is not None else None


def rule_error(
    rule: VendorRule, *, place: str, status: int | None = None, vendor_code: str | None = None, text: str | None = None
) -> VendorError:
    """The error of a rule; `text` is what the answer said, for where the rule has no words of the vendor's own."""
    return _ERRORS.get(rule.meaning, PermanentError)(
        rule.told if rule.words else f"{rule.message}{vendor_words.said(text)}",
        code=rule.code,
        place=place,
        remedy=rule.remedy,
        status=status,
        vendor_code=vendor_code,
        action=rule.next_action,
    )


def classify(answer: Answer, *, place: str, table: VendorTable = NO_TABLE) -> VendorError | None:
    """The error an answer stands for, None when it is one to use."""
    if answer.status < 300:
        return None
    issues = [issue for issue in outcome_issues(answer.body) if issue.severity in ("fatal", "error")]
    known = vendor_rule(issues, table)
    if known is not None and known[1].meaning in _ERRORS:
        return rule_error(known[1], place=place, status=answer.status, vendor_code=known[0], text=_text_of(issues))
    if answer.status < 400:
        return ProtocolError(
            f"the server answered {answer.status}, a redirect that cannot be followed",
            code="http.redirect",
            place=place,
            remedy="set base_url to the address the server redirects to",
            status=answer.status,
        )
    meaning = _status_meaning(answer.status)
    # The codes below are shown, so they have to be codes and not sentences.
    issue_code = next((issue.code for issue in issues if issue.code in _ISSUE_CODES), None)
    if issue_code is not None and (issue_code not in _SECURITY_CODES or answer.status in (401, 403)):
        meaning = _ISSUE_CODES[issue_code]
    vendor_code = next((code for issue in issues if (code := issue.vendor_code) and _CODE.fullmatch(code)), None)
    said = f" with issue code {issue_code}" if issue_code else ""
    said += f" and vendor code {vendor_code}" if vendor_code else ""
    said += vendor_words.said(_text_of(issues))
    told_to_wait = answer.status in (425, 429) or (answer.status == 503 and "retry-after" in answer.headers)
    return _ERRORS[meaning](
        f"the server answered {answer.status}{said}",
        code=f"http.{answer.status}",
        place=place,
        remedy=_REMEDIES[meaning],
        status=answer.status,
        vendor_code=vendor_code,
        action=ErrorAction.WAIT if told_to_wait and meaning is Meaning.TRANSIENT else None,
    )


Judge = Callable[[Answer, str], HoloVitalsError | None]
"""A second opinion on an answer, before `classify`: (answer, place) → the error it stands for, or None to go on."""


def transport_error(error: Exception, *, place: str) -> VendorError:
    """The error for a request that got no complete answer."""
    if isinstance(error, httpx.TimeoutException):
        return TransientError(
            "the server did not answer in time",
            code="http.timeout",
            place=place,
            remedy="run the job again; raise read.timeout_seconds if the server is known to be slow",
        )
    if isinstance(error, httpx.ConnectError):
        if "certificate" in str(error).lower() or "ssl" in str(error).lower():
            return PermanentError(
                "the TLS connection could not be made: the server's certificate or protocol is not acceptable",
                code="http.tls",
                place=place,
                remedy="check base_url, and the certificate authority the site uses",
            )
        return TransientError(
            "the server cannot be reached",
            code="http.unreachable",
            place=place,
            remedy="check base_url, the network and the firewall, then run the job again",
        )
    if isinstance(error, httpx.DecodingError):
        return ProtocolError(
            "the answer's content encoding is damaged",
            code="http.encoding",
            place=place,
            remedy="report it to the vendor: Content-Encoding and body disagree",
        )
    return TransientError(
        "the connection was dropped before the answer was complete",
        code="http.dropped",
        place=place,
        remedy="run the job again; what was received is kept",
    )
