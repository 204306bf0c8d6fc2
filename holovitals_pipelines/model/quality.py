"""What became of a data-quality check: counts, never values."""

from __future__ import annotations

from dataclasses import dataclass

from holovitals_pipelines.model.vocabulary import ErrorSeverity


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What became of one expectation: `unexpected` of `rows` records broke it.

    `name` is the claim, `expectation` the Great Expectations class; `passed` allows for the claim's tolerance.
    """

    name: str
    expectation: str
    severity: ErrorSeverity
    blocking: bool
    passed: bool
    rows: int
    unexpected: int
    description: str
    holds_write_back: bool = False
