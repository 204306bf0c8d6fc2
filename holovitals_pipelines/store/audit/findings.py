"""What a verification of the audit log finds, told for the person who has to act on it.

Law: it names entries, records and files, never a value of a resource.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable and greppable; `seq` is the entry it was found at, where there is one."""

    code: str
    message: str
    remedy: str
    seq: int | None = None
