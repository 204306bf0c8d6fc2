"""Faults on demand: which request goes wrong, how, and how often; counted, so that a test can name the third page.

The law: a fault is taken by the request that matches it, in the order of arrival, and by nothing else; no chance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import orjson

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.odd_rows import with_odd_row

BULK_ERRORS = "errors.ndjson"
"""The file of errors of an export that went wrong in part."""


class FaultKind(StrEnum):
    LATENCY = "latency"
    """Wait `seconds`, then answer properly."""
    STATUS = "status"
    """Answer `status` (default 503) instead."""
    THROTTLE = "throttle"
    """Answer 429 with `retry_after` as given; without it, no such header."""
    DROP = "drop"
    """Close the connection without an answer; nothing was done."""
    DROP_AFTER_COMMIT = "drop_after_commit"
    """Do the work, then close the connection without an answer."""
    STATUS_AFTER_COMMIT = "status_after_commit"
    """Do the work, then answer `status` (default 500) instead."""
    CUT = "cut"
    """Announce the whole body, send `fraction` of it (default half), close the connection."""
    TRUNCATED = "truncated"
    """Send `fraction` of the body as if it were all."""
    HTML = "html"
    """Answer 200 with a web page."""
    INVALID_UTF8 = "invalid_utf8"
    """Two bytes that are no UTF-8, inside the first text value of the last third of the body."""
    WRONG_TYPE = "wrong_type"
    """One more resource, of type Basic, among the rest."""
    DUPLICATE_IDS = "duplicate_ids"
    """The first resource again at the end; `changed`: with another content."""
    LONG_LINE = "long_line"
    """One more resource of `bytes` (default 10 MB)."""
    EXPIRE_SESSIONS = "expire_sessions"
    """All search sessions have expired."""
    REVOKE_TOKENS = "revoke_tokens"
    """All tokens have been revoked."""
    REPEAT_ROWS = "repeat_rows"
    """The page begins with the last `rows` (default 1) of the page before."""
    EDIT_PAGE = "edit_page"
    """Somebody edits (`edit`: update or delete) the page's first resource just before it is read; see the next."""
    EDIT_BEFORE_WRITE = "edit_before_write"
    """Somebody edits the resource just before a PUT or DELETE of it is processed: sets `element` to the JSON `value`
    (without one: takes it away; without `element`: adds a remark), or deletes the resource (`edit`: delete)."""
    MERGE_PATIENTS = "merge_patients"
    """Two patients, `retired` and `survivor`, are made one just before the request is answered."""
    CLOCK_SKEW = "clock_skew"
    """The answer's Date is `seconds` (default 300) ahead of the vendor's clock."""
    ROTATE_KEYS = "rotate_keys"
    """The vendor forgets the client's public key `kid`, as after a rotation that it has not seen."""
    PARTIAL_BULK = "partial_bulk"
    """A manifest lacks its last file and names one of errors instead."""
    SCHEMA_DRIFT = "schema_drift"
    """The first resource or record has a member nobody knows and, where `member` names one, a value nobody knows."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`path` is a glob over the path template below the vendor's base (`Observation`, `Observation/{id}`,
    `bulk/files/{id}/Condition`, `oauth2/token`); `skip` matching requests pass first, then `times` are hit (0: all)."""

    kind: FaultKind
    method: str = "*"
    path: str = "*"
    dialect: str = "*"
    skip: int = 0
    times: int = 1
    options: Mapping[str, Any] | None = None

    def option(self, name: str, default: Any) -> Any:
        return (self.options or {}).get(name, default)

    def matches(self, dialect: str, method: str, path: str) -> bool:
        return (
            fnmatchcase(dialect, self.dialect)
            and fnmatchcase(method, self.method)
            and fnmatchcase(path, _literal(self.path))
        )


def _literal(glob: str) -> str:
    """The glob with `[` taken literally, so that templates can be written as they are."""
    return glob.replace("[", "[[]")


_OWN = {"kind", "method", "path", "dialect", "skip", "times"}


def fault_from(declared: Mapping[str, Any]) -> Fault:
    """A fault from JSON: its own fields, anything else is an option. Raises ConfigurationError for an unknown kind."""
    try:
        kind = FaultKind(declared.get("kind", ""))
    except ValueError as error:
        raise ConfigurationError(
            "there is no such fault",
            code="sandbox.unknown_fault",
            remedy=f"choose a kind from {', '.join(FaultKind)}",
        ) from error
    own = {name: value for name, value in declared.items() if name in _OWN and name != "kind"}
    return Fault(kind, options={name: value for name, value in declared.items() if name not in _OWN}, **own)


def fault_from_header(text: str) -> Fault:
    """`X-Sandbox-Fault: status;status=503` or `throttle;retry_after=Wed, 21 Oct 2026 07:28:00 GMT`: this request."""
    kind, *options = (part.strip() for part in text.split(";"))
    declared: dict[str, Any] = {"kind": kind}
    for option in options:
        name, _, value = option.partition("=")
        declared[name] = _value(value)
    return fault_from({name: value for name, value in declared.items() if name == "kind" or name not in _OWN})


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class FaultPlan:
    """The faults waiting to happen. The first that matches is taken; every match of a fault counts for its `skip`."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, list[int]]] = []

    def add(self, fault: Fault) -> None:
        self._waiting.append((fault, [0]))

    def clear(self) -> None:
        self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        return [
            {"kind": f.kind, "method": f.method, "path": f.path, "dialect": f.dialect, "skip": f.skip, "times": f.times}
            | {"seen": seen[0]}
            for f, seen in self._waiting
        ]

    def take(self, dialect: str, method: str, path: str) -> Fault | None:
        """The fault this request suffers, if any."""
        taken: Fault | None = None
        for fault, seen in list(self._waiting):
            if not fault.matches(dialect, method, path):
                continue
            seen[0] += 1
            if taken is None and seen[0] > fault.skip:
                taken = fault
                if fault.times and seen[0] >= fault.skip + fault.times:
                    self._waiting.remove((fault, seen))
        return taken


def malformed(fault: Fault, body: bytes, ndjson: bool) -> bytes:
    """The body as the fault leaves it; for kinds that do not touch bodies, the body itself."""
    match fault.kind:
        case FaultKind.CUT | FaultKind.TRUNCATED:
            return body[: int(len(body) * float(fault.option("fraction", 0.5)))]
        case FaultKind.INVALID_UTF8:
            return _with_bad_bytes(body)
        case FaultKind.PARTIAL_BULK:
            return _partial_manifest(body)
        case FaultKind.WRONG_TYPE | FaultKind.LONG_LINE | FaultKind.DUPLICATE_IDS | FaultKind.SCHEMA_DRIFT:
            return with_odd_row(fault.kind, fault.options or {}, body, ndjson)
        case _:
            return body


_TEXT = re.compile(rb'"\s*:\s*"')


def _with_bad_bytes(body: bytes) -> bytes:
    found = _TEXT.search(body, len(body) * 2 // 3) or _TEXT.search(body)
    at = found.end() if found else len(body) // 2
    return body[:at] + b"\xff\xfe" + body[at:]


def _partial_manifest(body: bytes) -> bytes:
    manifest = orjson.loads(body) if body.startswith(b"{") else {}
    if not manifest.get("output"):
        return body
    missing = manifest["output"].pop()
    url = missing["url"].rpartition("/")[0]
    manifest["error"] = [{"type": "OperationOutcome", "url": f"{url}/{BULK_ERRORS}", "count": 1}]
    return orjson.dumps(manifest)
