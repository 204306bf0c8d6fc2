"""The smallest things that may change on their own, and what a merge found about each.

Law: a unit is named by elements and by what names an item, never by an item's place (sync-protocol.md §2.1, §4.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final


class Missing(Enum):
    """The value of a unit that is not there."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class UnitKind(StrEnum):
    PUSHED = "pushed"
    """Only local changed it, and the vendor's API can take it."""
    PULLED = "pulled"
    """Only the vendor changed it."""
    AGREED = "agreed"
    """One or both changed it, and both hold the same now, as far as the vendor can hold it: nothing to exchange."""
    CONFLICT = "conflict"
    """Both changed it differently; or the vendor changed what had been standing apart, and never saw ours."""
    STANDING = "standing"
    """The sides differ and stay so: it cannot be written at the vendor (§2.7), or nobody changed it since it stood."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest thing that may change on its own: an element, a keyed list item's member, or a consistency group.

    Values are JSON values, or MISSING. A consistency group's value (also a primitive with its `_sidecar`) is an object
    of the group's elements that are present; an absent group is `{}`.
    """

    name: str
    """Unique in the resource: `birthDate`, `telecom[phone|555].use`, `clinicalStatus+verificationStatus`, `value[x]`.

    Keys hold content of the resource, so names are stored and shown, never logged. Characters that structure names are
    percent-encoded inside keys. A list that changed in its order alone, or that is one unit, goes by the list's name.
    """
    element: str
    """The top-level element it belongs to (the first one of a group)."""
    kind: UnitKind
    base_local: Any
    base_remote: Any
    local: Any
    remote: Any
