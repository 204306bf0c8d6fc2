"""Which identifiers name one person everywhere, and which values and names name nobody.

Law: what is masked, made up or shared by everybody never matches anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from holovitals_pipelines.sync.identity.demographics import Demographics

US_SSN = "http://hl7.org/fhir/sid/us-ssn"
_SAME_SYSTEM = {"urn:oid:2.16.840.1.113883.4.1": US_SSN, "2.16.840.1.113883.4.1": US_SSN}
"""The OID that HL7 v2 and C-CDA name the SSN by."""

_SHORTEST = 5
_NOBODYS = frozenset({"123456789", "987654321", "078051120", "219099999", "457555462"})
"""Sequences people type, and numbers from advertisements that the US administration has withdrawn."""

_NOBODY_NAMES = frozenset(
    {
        "test", "testing", "testpatient", "zztest", "zzztest", "baby", "babyboy", "babygirl", "babya", "babyb",
        "newborn", "unknown", "unk", "unidentified", "anonymous", "noname", "donotuse", "xxx", "xxxx",
    }
)  # fmt: skip
_NOBODYS_FULL_NAMES = frozenset({("john", "doe"), ("jane", "doe"), ("baby", "doe")})


@dataclass(frozen=True, slots=True)
class Trust:
    """Identifier systems of which the installation says that a value names one person."""

    systems: frozenset[str]

    def key(self, system: str, value: str) -> tuple[str, bytes] | None:
        """(system, hash of system and value) of a value that can name a person; None for any other."""
        named = _SAME_SYSTEM.get(system, system)
        if named not in self.systems or "*" in value:
            return None
        plain = re.sub(r"[^0-9A-Za-z]", "", value).upper()
        if len(plain) < _SHORTEST or _is_placeholder(plain) or (named == US_SSN and not _can_be_ssn(plain)):
            return None
        return named, blake2b(f"{named}|{plain}".encode(), digest_size=16).digest()

    def keys(self, demographics: Demographics) -> frozenset[tuple[str, bytes]]:
        """Of everybody but those whose name says that it is nobody."""
        if is_nobody(demographics):
            return frozenset()
        found = (self.key(system, value) for system, value in demographics.identifiers)
        return frozenset(key for key in found if key is not None)


def trust_in(systems: Iterable[str]) -> Trust:
    return Trust(frozenset(_SAME_SYSTEM.get(system, system) for system in systems))


def is_nobody(demographics: Demographics) -> bool:
    """A placeholder: TEST, BABY BOY, UNKNOWN, JOHN DOE, or no name at all."""
    names = {name for name in (demographics.family, demographics.given) if name}
    full = (demographics.given or "", demographics.family or "")
    return not names or not names.isdisjoint(_NOBODY_NAMES) or full in _NOBODYS_FULL_NAMES


def _is_placeholder(plain: str) -> bool:
    return len(set(plain)) == 1 or plain in _NOBODYS or "XXX" in plain


def _can_be_ssn(plain: str) -> bool:
    """Nine digits, no part all zeros. Those that begin with 9 pass: taxpayer numbers are sent under this system too."""
    return bool(re.fullmatch(r"(?!000|666)\d{3}(?!00)\d{2}(?!0000)\d{4}", plain))
