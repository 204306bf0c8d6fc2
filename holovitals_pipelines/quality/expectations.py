"""What an expectation is, and the columns it may speak of: plain data, which names things and computes nothing.

A column is projected from a resource's JSON by DuckDB (projection.py); an expectation is a claim about a column, named
by the Great Expectations class that judges it (runner.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from holovitals_pipelines.model.vocabulary import ErrorSeverity

ColumnKind = Literal["text", "first_day", "day", "instant", "present", "together", "in_range", "known_system"]


@dataclass(frozen=True, slots=True)
class ValueRange:
    """Where a number with this LOINC code and this unit can lie at all, both ends among it."""

    loinc: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Column:
    """A narrow column: the first of `paths` (DuckDB JSON paths) that holds something, read as `kind` says.

    text       the string itself
    first_day  days since 1970-01-01 of a FHIR date or dateTime; a partial date counts as its first day
    day        the same, and missing for a partial date: to put two days in order both must be exact
    instant    seconds since 1970-01-01 of a dateTime with time and zone; anything less exact is missing, because
               «2020» is neither before nor after «2020-05-01T10:00:00Z»
    present    'yes' where any of the paths exists, missing otherwise; contents are never copied
    together   where any of `given` exists: 'yes' or 'no', whether any of `paths` does too; missing otherwise
    in_range   where one of the Quantities at `paths` (elements beside a `code`) is of a code and unit of `ranges`: 'no'
               if any such number lies outside, else 'yes'; missing otherwise
    known_system  whether one of the codings of the CodeableConcepts at `paths` is of one of `systems` ('yes', 'no');
               missing where there is no coding at all. A system that ends with `*` stands for all that begin so
    """

    name: str
    kind: ColumnKind
    paths: tuple[str, ...]
    given: tuple[str, ...] = ()
    ranges: tuple[ValueRange, ...] = ()
    systems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DaysFromToday:
    """An argument that is known only when the suite runs: today (UTC) plus `days`, in the unit of `first_day`."""

    days: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """One claim about the records of a resource type.

    `expectation_type` is a class of `great_expectations.expectations`; `args` are its arguments besides the columns.
    A blocking claim is about the shape of the batch: where it fails nothing downstream may run. One that holds
    write-back lets the batch in, and nothing of its type out. The others are reported, and the rows go on.
    """

    name: str
    expectation_type: str
    column: Column
    description: str
    args: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    beside: Column | None = None
    """The smaller column of a pair expectation."""
    severity: ErrorSeverity = ErrorSeverity.WARNING
    blocking: bool = False
    holds_write_back: bool = False
    tolerance: float = 0.0
    """The share of the judged rows (missing values left out) that may break the claim."""

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self.column,) if self.beside is None else (self.column, self.beside)
