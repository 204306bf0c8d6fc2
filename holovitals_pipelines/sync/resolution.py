"""The seven strategies, as the protocol defines them (sync-protocol.md §4.1): a value for one unit, or a deferral.

Law: same input, same output; and whatever goes wrong defers to a person, never picks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holovitals_pipelines.fhir.exact import exactly_equal
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType, ResolutionStrategy
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sync.merge import MISSING, Unit
from holovitals_pipelines.sync.merge_options import Misfit, combine
from holovitals_pipelines.sync.policy import Row, Step
from holovitals_pipelines.sync.resolver_runs import ABSTAIN, Failure
from holovitals_pipelines.sync.unit_paths import WHOLE

_DELETES = (ConflictType.UPDATE_DELETE, ConflictType.DELETE_UPDATE)


@dataclass(frozen=True, slots=True)
class ConflictView:
    """All that a strategy, and a custom resolver, may look at."""

    connection: str
    resource_type: str
    conflict_type: ConflictType
    severity: ConflictSeverity
    unit: Unit
    local: Document | None
    remote: Document | None
    base: Document | None
    local_written_at: datetime | None
    remote_written_at: datetime | None
    now: datetime
    """The decider's clock, from its caller."""
    tie_seconds: float = 2.0
    """Instants this close have no order: max(2 s, twice the vendor's clock skew)."""


@dataclass(frozen=True, slots=True)
class Resolved:
    value: Any
    """What both sides are to hold: a JSON value, or MISSING."""
    strategy: ResolutionStrategy
    """The one that gave the value; where a tie was broken, what it was broken by."""
    side: str
    """`local`, `remote` or `both` (a value made of the two)."""
    why: str
    """Names and counts only, never values."""


@dataclass(frozen=True, slots=True)
class Deferred:
    why: str


def resolve(view: ConflictView, row: Row) -> Resolved | Deferred:
    """Walk the row's chain until a strategy yields a value. CRITICAL always defers. Never raises for a resolver."""
    if view.severity is ConflictSeverity.CRITICAL:
        return Deferred("critical: a person decides")
    for step in row.chain:
        outcome = _apply(step, view, row)
        if outcome is not None:
            return outcome
    return Deferred(f"the chain of policy row {row.name} gave no value")


def _apply(step: Step, view: ConflictView, row: Row) -> Resolved | Deferred | None:
    """The step's value, a deferral, or None: the next step's turn."""
    match step.strategy:
        case ResolutionStrategy.MANUAL:
            return Deferred(f"policy row {row.name} leaves it to a person")
        case ResolutionStrategy.LOCAL_WINS | ResolutionStrategy.REMOTE_WINS:
            return _side(view, step.strategy, f"policy row {row.name}")
        case ResolutionStrategy.LAST_WRITE_WINS | ResolutionStrategy.FIRST_WRITE_WINS:
            return _by_time(step.strategy, view, row)
        case ResolutionStrategy.MERGE:
            return _merged(step, view, row)
        case ResolutionStrategy.CUSTOM:
            return _custom(step, view, row)


def _side(view: ConflictView, strategy: ResolutionStrategy, why: str) -> Resolved:
    if strategy is ResolutionStrategy.LOCAL_WINS:
        return Resolved(view.unit.local, strategy, "local", why)
    return Resolved(view.unit.remote, strategy, "remote", why)


def _by_time(strategy: ResolutionStrategy, view: ConflictView, row: Row) -> Resolved | Deferred:
    lead = _remote_lead(view)
    if lead is None or abs(lead) <= view.tie_seconds:
        return _tie(strategy, view, row, "the times have no order" if lead is None else "the times are a tie")
    remote_is_later = lead > 0
    if remote_is_later == (strategy is ResolutionStrategy.LAST_WRITE_WINS):
        return Resolved(view.unit.remote, strategy, "remote", f"policy row {row.name}")
    return Resolved(view.unit.local, strategy, "local", f"policy row {row.name}")


def _remote_lead(view: ConflictView) -> float | None:
    """Seconds by which remote was written after local; None where that cannot be known (§2.6)."""
    local, remote = view.local_written_at, view.remote_written_at
    if local is None or remote is None or local.tzinfo is None or remote.tzinfo is None:
        return None
    if any((instant - view.now).total_seconds() > view.tie_seconds for instant in (local, remote)):
        return None
    return (remote - local).total_seconds()


def _tie(strategy: ResolutionStrategy, view: ConflictView, row: Row, why: str) -> Resolved | Deferred:
    severe = view.severity in (ConflictSeverity.CRITICAL, ConflictSeverity.HIGH)
    breaker = row.tie or (ResolutionStrategy.MANUAL if severe else ResolutionStrategy.REMOTE_WINS)
    if breaker in (ResolutionStrategy.LOCAL_WINS, ResolutionStrategy.REMOTE_WINS):
        return _side(view, breaker, f"{strategy.value} of policy row {row.name}: {why}")
    return Deferred(f"{strategy.value} of policy row {row.name}: {why}")


def _merged(step: Step, view: ConflictView, row: Row) -> Resolved | Deferred | None:
    unit = view.unit
    if unit.name == WHOLE and view.conflict_type in _DELETES:
        return _content(view, row)
    if step.option is None:
        return None
    if step.option == "custom":
        return _custom(step, view, row)
    value = combine(step.option, unit, step.separator)
    why = f"{step.option} of policy row {row.name}"
    return Deferred(f"{why}: {value.why}") if isinstance(value, Misfit) else _made(value, step, unit, why)


def _content(view: ConflictView, row: Row) -> Resolved | None:
    """An update and a delete merged: what has content stays, the delete is recorded (§4.1)."""
    sides = {"local": view.unit.local, "remote": view.unit.remote}
    kept = [side for side, value in sides.items() if value is not MISSING]
    if len(kept) != 1:
        return None
    return Resolved(sides[kept[0]], ResolutionStrategy.MERGE, kept[0], f"policy row {row.name}: content beats a delete")


def _custom(step: Step, view: ConflictView, row: Row) -> Resolved | Deferred | None:
    name = step.resolver or ""
    value = row.resolvers.run(name, view)
    if value is ABSTAIN:
        return None
    if isinstance(value, Failure):
        return Deferred(f"resolver {name} {value.why}")
    return _made(value, step, view.unit, f"resolver {name} by policy row {row.name}")


def _made(value: Any, step: Step, unit: Unit, why: str) -> Resolved:
    side = "local" if exactly_equal(value, unit.local) else "remote" if exactly_equal(value, unit.remote) else "both"
    return Resolved(value, step.strategy, side, why)
