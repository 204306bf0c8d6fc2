"""Vendors that tell their errors in words: tables of phrases as documented or recorded, and what they mean.

Law: what is shown of a phrase is the table's own text, where `…` stands for whatever the vendor puts in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from holovitals_pipelines.providers.answers import VendorRule
from holovitals_pipelines.providers.vendor_words import VALUE


@dataclass(frozen=True, slots=True)
class Phrase:
    """One line of a vendor's table: what it says, as documented or recorded, with which statuses, and what it means."""

    rule: VendorRule
    statuses: frozenset[int] = frozenset()
    """Any, where none is named."""

    def fits(self, status: int, text: str) -> bool:
        if self.statuses and status not in self.statuses:
            return False
        pattern = ".*".join(re.escape(part) for part in _even(self.rule.words).split(VALUE))
        return re.search(pattern, _even(text)) is not None


PhraseTable = Sequence[Phrase]


def phrase(rule: VendorRule, *statuses: int) -> Phrase:
    assert rule.words, "a phrase is told by the vendor's words"
    return Phrase(rule, frozenset(statuses))


def rule_for(table: PhraseTable, status: int, text: str) -> VendorRule | None:
    """The first phrase of the table that an answer says."""
    return next((one.rule for one in table if one.fits(status, text)), None)


def _even(text: str) -> str:
    return " ".join(text.lower().split())
