"""Grade the units of a conflict and decide by policy those that may be decided so.

Law: a resource is decided whole or not at all; one unit left to a person holds the others too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from holovitals_pipelines.fhir.exact import exactly_equal
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType, ResolutionStrategy
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sync.facts import Facts, RecordedUnit, Rules
from holovitals_pipelines.sync.merge import MISSING, Unit, UnitKind
from holovitals_pipelines.sync.resolution import ConflictView, Deferred, resolve
from holovitals_pipelines.sync.severity import Case, Grade, GradedUnit
from holovitals_pipelines.sync.sides import Side
from holovitals_pipelines.sync.unit_paths import WHOLE

_NO_UNITS = frozenset({"resourceType", "id", "text"})


def grade_units(facts: Facts, rules: Rules, kind: ConflictType, units: Sequence[Unit]) -> Grade:
    if len(units) == 1 and units[0].name == WHOLE and facts.local is not None and facts.remote is not None:
        grade = grade_units(facts, rules, kind, _elements_apart(facts.local.document, facts.remote.document))
        return replace(grade, units={WHOLE: GradedUnit(grade.severity, grade.rule)})
    return rules.matrix.grade(
        Case(
            facts.resource_type,
            kind,
            units,
            _document(facts.local),
            _document(facts.remote),
            _document(facts.base_local),
            facts.conflicts_on_patient,
        )
    )


def _elements_apart(local: Document, remote: Document) -> list[Unit]:
    """The top-level elements in which two whole documents differ, as units in conflict."""
    return [
        Unit(name, name, UnitKind.CONFLICT, MISSING, MISSING, local.get(name, MISSING), remote.get(name, MISSING))
        for name in {**local, **remote}
        if name not in _NO_UNITS and not exactly_equal(local.get(name, MISSING), remote.get(name, MISSING))
    ]


@dataclass(frozen=True, slots=True)
class ByPolicy:
    """What the policy says of a conflict: every conflicted unit's value, or that a person is to decide."""

    units: tuple[RecordedUnit, ...]
    choices: dict[str, Any]
    deferred: bool
    strategy: ResolutionStrategy | None
    why: str


def resolve_units(facts: Facts, rules: Rules, kind: ConflictType, grade: Grade, units: Sequence[Unit]) -> ByPolicy:
    """Decide each conflicted unit; `units` may hold others, which are recorded as they are."""
    recorded: list[RecordedUnit] = []
    choices: dict[str, Any] = {}
    strategies: list[ResolutionStrategy] = []
    deferrals: list[str] = []
    for unit in units:
        if unit.kind is not UnitKind.CONFLICT:
            recorded.append(RecordedUnit(unit))
            continue
        graded = grade.units.get(unit.name) or GradedUnit(grade.severity, grade.rule)
        # An escalation of the whole conflict counts for each of its units.
        severity = ConflictSeverity.CRITICAL if grade.severity is ConflictSeverity.CRITICAL else graded.severity
        answer = _resolve_unit(facts, rules, kind, severity, unit)
        if isinstance(answer, Deferred):
            deferrals.append(answer.why)
            recorded.append(RecordedUnit(unit, graded, why=answer.why))
            continue
        choices[unit.name] = answer.value
        strategies.append(answer.strategy)
        recorded.append(RecordedUnit(unit, graded, answer.strategy, answer.side, answer.value, answer.why))
    if deferrals:
        return ByPolicy(tuple(recorded), {}, True, None, deferrals[0])
    strategy = strategies[0] if len(set(strategies)) == 1 else ResolutionStrategy.MERGE
    return ByPolicy(tuple(recorded), choices, False, strategy, f"{len(choices)} units decided by policy")


def _resolve_unit(facts: Facts, rules: Rules, kind: ConflictType, severity: ConflictSeverity, unit: Unit) -> Any:
    row = rules.policy.row_for(
        connection=facts.connection,
        resource_type=facts.resource_type,
        unit=unit.name,
        conflict_type=kind,
        severity=severity,
    )
    view = ConflictView(
        facts.connection,
        facts.resource_type,
        kind,
        severity,
        unit,
        _document(facts.local),
        _document(facts.remote),
        _document(facts.base_local),
        facts.local_written_at,
        facts.remote_written_at,
        facts.now,
        facts.tie_seconds,
    )
    return resolve(view, row)


def _document(side: Side | None) -> Any:
    return side.document if side is not None else None
