"""What other installed packages add to this one: vendors, their rule sets and their simulations, by entry points.

Law: a package is looked for only where a name is not one of ours, and its code is loaded only when it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint, entry_points

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class PlugIn(StrEnum):
    """The groups of entry points; the name of each entry is the vendor's (docs/adapters.md)."""

    PROVIDERS = "holovitals.providers"
    """Leads to a `Vendor` of providers/vendor.py."""
    RULE_SETS = "holovitals.rule_sets"
    """Leads to a package whose folder has the vendor's rule sets."""
    DIALECTS = "holovitals.dialects"
    """Leads to a `Dialect` of sandbox/site.py."""


@cache
def plugged_in(group: PlugIn) -> Mapping[str, EntryPoint]:
    """What is installed, by the vendor's name: lower-case letters, digits and underscores."""
    return {entry.name: entry for entry in entry_points(group=group.value) if _NAME.fullmatch(entry.name)}
