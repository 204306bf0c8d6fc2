"""The decider: from the facts of one link to what local, shadows, outbox and conflict list are to hold.

Law: a value is replaced by a side that had seen it, by a recorded decision, or not at all (sync-protocol.md §2, §4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.model.vocabulary import (
    ConflictSeverity,
    ConflictStatus,
    ConflictType,
    ErrorSeverity,
    ResolutionStrategy,
)
from holovitals_pipelines.model.writing import READ_ONLY, Document
from holovitals_pipelines.sync.facts import (
    ConflictRecord,
    Decision,
    Facts,
    HeldConflict,
    Intent,
    Operation,
    Outcome,
    RecordedUnit,
    Rules,
    Shadows,
    Verdict,
)
from holovitals_pipelines.sync.grading import grade_units, resolve_units
from holovitals_pipelines.sync.merge import MISSING, Merged, Unit, UnitKind, merge
from holovitals_pipelines.sync.settlement import settle_in_flight
from holovitals_pipelines.sync.severity import GradedUnit
from holovitals_pipelines.sync.sides import Side, same, side_of
from holovitals_pipelines.sync.unit_paths import WHOLE
from holovitals_pipelines.sync.verdicts import choices_of, is_bound

BY_A_PERSON = "decided by a person"
NOT_VALID = "the merged resource would not be valid FHIR"
NO_CONTRADICTION = "the sides no longer contradict each other"
CREATED_TWICE = "created on both sides, with different content"
NO_CASCADE = "deleted at this vendor, kept here because other vendors have it"
VALUES_CHANGED = "the values have changed since the decision"


def decide(facts: Facts, rules: Rules) -> Decision:
    """Decide one link. Pure and deterministic: the same facts give the same decision."""
    before = Shadows(facts.base_local, facts.base_remote)
    facts = settle_in_flight(facts)
    local_changed = not same(facts.local, facts.base_local)
    remote_changed = not same(facts.remote, facts.base_remote)
    if facts.held is None and not local_changed and not remote_changed:
        agreed = _as_it_is(facts)
        return agreed if agreed.shadows == before else replace(agreed, outcome=Outcome.PUSH)
    if facts.local is None and facts.remote is None:
        record = _dissolved(facts.held, rules, "both sides have deleted it") if facts.held else None
        return Decision(Outcome.DISSOLVE if record else Outcome.ADOPT, None, Shadows(None, None), conflict=record)
    if facts.local is None or facts.remote is None:
        return _one_absent(facts, rules, local_changed, remote_changed)
    return _both_present(facts, rules, local_changed, remote_changed)


def _as_it_is(facts: Facts) -> Decision:
    return Decision(Outcome.NOTHING, facts.local, Shadows(facts.base_local, facts.base_remote), standing=None)


# one side absent


def _one_absent(facts: Facts, rules: Rules, local_changed: bool, remote_changed: bool) -> Decision:
    held = facts.held
    if held is None:
        if facts.remote is None and facts.base_remote is None:
            return _create_there(facts)
        if facts.local is None and facts.base_local is None and facts.base_remote is None:
            return Decision(Outcome.CREATE_HERE, facts.remote, Shadows(facts.remote, facts.remote))
        if facts.remote is None and facts.base_remote is not None and facts.living_elsewhere:
            return _unlink(facts, rules)
        if facts.remote is None and not local_changed and not _holds_more_than_the_vendor(facts):
            return Decision(Outcome.DELETE_HERE, None, Shadows(None, None))
        if facts.local is None and not remote_changed:
            return _delete_there(facts)
    elif held.verdict is None and _says_the_same(held, facts):
        return _as_it_is(facts)
    kind = ConflictType.UPDATE_DELETE if facts.remote is None else ConflictType.DELETE_UPDATE
    unit = _whole(facts)
    grade = grade_units(facts, rules, kind, [unit])
    if held is not None and held.verdict is not None:
        if not is_bound(held, [unit], facts.local, facts.remote):
            return _hold(facts, rules, kind, [unit], VALUES_CHANGED)
        side = held.verdict.sides[WHOLE]
        units = [_by_a_person(unit, held.verdict, grade.units.get(WHOLE), None)]
        record = _resolved(facts, rules, kind, [unit], units, held.verdict.strategy, BY_A_PERSON, held.verdict.actor)
        return _keep_or_delete(facts, record, keep=side == ("local" if facts.remote is None else "remote"))
    answer = resolve_units(facts, rules, kind, grade, [unit])
    if answer.deferred:
        return _hold(facts, rules, kind, [unit], answer.why, units=answer.units)
    record = _resolved(facts, rules, kind, [unit], answer.units, answer.strategy, answer.why, _policy(rules))
    return _keep_or_delete(facts, record, keep=answer.choices[WHOLE] is not MISSING)


def _unlink(facts: Facts, rules: Rules) -> Decision:
    unit = _whole(facts)
    grade = grade_units(facts, rules, ConflictType.UPDATE_DELETE, [unit])
    units = [RecordedUnit(unit, grade.units.get(WHOLE), ResolutionStrategy.LOCAL_WINS, "local", why=NO_CASCADE)]
    record = ConflictRecord(
        ConflictType.UPDATE_DELETE, ConflictStatus.RESOLVED, ConflictSeverity.HIGH, "no_cascade", units,
        ResolutionStrategy.LOCAL_WINS, NO_CASCADE, _policy(rules),
    )  # fmt: skip
    return Decision(Outcome.UNLINK, facts.local, Shadows(None, None), conflict=record)


def _keep_or_delete(facts: Facts, record: ConflictRecord, *, keep: bool) -> Decision:
    if facts.remote is None and keep:
        return replace(_create_there(facts), outcome=Outcome.RESOLVE, conflict=record)
    if facts.remote is None:
        return Decision(Outcome.RESOLVE, None, Shadows(None, None), conflict=record)
    if keep:
        return Decision(Outcome.RESOLVE, facts.remote, Shadows(facts.remote, facts.remote), conflict=record)
    return replace(_delete_there(facts), outcome=Outcome.RESOLVE, conflict=record)


def _create_there(facts: Facts) -> Decision:
    """The vendor has nothing (any more): what local holds is to be created there, where that is allowed."""
    assert facts.local is not None
    if not facts.capability.create:
        # Agreed to disagree: local has it, the vendor cannot get it.
        shadows = Shadows(facts.local, None)
        return Decision(Outcome.NOTHING, facts.local, shadows, standing=[_whole(facts, UnitKind.STANDING)])
    document = side_of(facts.capability.project(facts.local.document), facts.local)
    return Decision(Outcome.CREATE_THERE, facts.local, Shadows(None, None), Intent(Operation.CREATE, document))


def _delete_there(facts: Facts) -> Decision:
    if not facts.capability.delete:
        shadows = Shadows(None, facts.remote)
        return Decision(Outcome.NOTHING, None, shadows, standing=[_whole(facts, UnitKind.STANDING)])
    # Local's shadow stays the vendor's document, so that the deletion stays a change until it is confirmed.
    return Decision(Outcome.DELETE_THERE, None, Shadows(facts.remote, facts.remote), Intent(Operation.DELETE, None))


def _holds_more_than_the_vendor(facts: Facts) -> bool:
    """Whether local's agreed content has something the deleter's system never kept (§2.2)."""
    base_local, base_remote = facts.base_local, facts.base_remote
    if base_local is None or base_remote is None or same(base_local, base_remote):
        return False
    unexplained = _merge(facts, base_local, base_remote, base_local, base_remote).units
    if any(unit.local is not MISSING and unit.local != {} for unit in unexplained):
        return True
    # What the adapter says the vendor never keeps is nowhere but here.
    apart = _merge(replace(facts, capability=READ_ONLY), base_local, base_remote, base_local, base_remote).units
    return any(_says_more(unit.local, unit.remote) for unit in apart)


def _says_more(local: Any, remote: Any) -> bool:
    """Whether a local value has parts that the vendor's has not, however the vendor spells the rest."""
    if local is MISSING or local == {}:
        return False
    if isinstance(local, dict) and isinstance(remote, dict):
        return any(_says_more(value, remote.get(name, MISSING)) for name, value in local.items())
    if isinstance(local, list) and isinstance(remote, list):
        return len(local) > len(remote) or any(map(_says_more, local, remote))
    return remote is MISSING


def _whole(facts: Facts, kind: UnitKind = UnitKind.CONFLICT) -> Unit:
    sides = (facts.base_local, facts.base_remote, facts.local, facts.remote)
    values = (side.document if side is not None else MISSING for side in sides)
    return Unit(WHOLE, WHOLE, kind, *values)


# both sides present


def _both_present(facts: Facts, rules: Rules, local_changed: bool, remote_changed: bool) -> Decision:
    merged = _merged(facts)
    held = facts.held
    new = facts.base_local is None and facts.base_remote is None
    kind = held.type if held else ConflictType.CREATE_CREATE if new else ConflictType.UPDATE_UPDATE
    invalid = _joins_both(merged) and not merged.conflicts and _is_invalid(merged.local, facts.resource_type)
    # The units a person is to decide: the contradictions, or the whole where no merge is possible.
    whole = invalid or (held is not None and WHOLE in held.units and _stays_whole(held, facts))
    open_units = [_whole(facts)] if whole else list(merged.conflicts)
    if held is not None and held.verdict is not None and open_units:
        return _with_verdict(facts, rules, kind, merged, open_units, held)
    if held is not None and open_units and _says_the_same(held, facts):
        return _as_it_is(facts)
    if whole:
        return _hold(facts, rules, kind, open_units, NOT_VALID if invalid else CREATED_TWICE)
    if open_units:
        return _by_policy(facts, rules, kind, merged)
    if held is not None:
        return _carried_out(facts, merged, Outcome.DISSOLVE, _dissolved(held, rules, NO_CONTRADICTION))
    if new and not _exchanges(merged):
        return _carried_out(facts, merged, Outcome.ADOPT, None)
    if new and grade_units(facts, rules, kind, [_whole(facts)]).severity is ConflictSeverity.CRITICAL:
        return _hold(facts, rules, kind, [_whole(facts)], CREATED_TWICE)
    if local_changed and remote_changed:
        return _carried_out(facts, merged, Outcome.MERGE, _clean(facts, kind, merged, rules))
    return _carried_out(facts, merged, Outcome.PULL if remote_changed else Outcome.PUSH, None)


def _by_policy(facts: Facts, rules: Rules, kind: ConflictType, merged: Merged) -> Decision:
    conflicts = merged.conflicts
    grade = grade_units(facts, rules, kind, conflicts)
    answer = resolve_units(facts, rules, kind, grade, merged.units)
    if answer.deferred:
        return _hold(facts, rules, kind, conflicts, answer.why, units=answer.units, proposal=_proposal(facts, merged))
    final = _merged(facts, answer.choices)
    if _is_invalid(final.local, facts.resource_type):
        return _hold(facts, rules, kind, [_whole(facts)], NOT_VALID)
    record = _resolved(facts, rules, kind, conflicts, answer.units, answer.strategy, answer.why, _policy(rules), merged)
    return _carried_out(facts, final, Outcome.RESOLVE, record)


def _with_verdict(
    facts: Facts, rules: Rules, kind: ConflictType, merged: Merged, open_units: list[Unit], held: HeldConflict
) -> Decision:
    """A person has decided: apply it to the values that were seen, or open the conflict again (I10)."""
    verdict = held.verdict
    assert verdict is not None and facts.local is not None and facts.remote is not None
    proposal = _proposal(facts, merged)
    if not is_bound(held, open_units, facts.local, facts.remote):
        return _hold(facts, rules, kind, open_units, VALUES_CHANGED, proposal=proposal)
    grades = grade_units(facts, rules, kind, open_units).units
    choices = choices_of(verdict, open_units)
    if open_units[0].name == WHOLE:
        # As if the other side had never moved: against its own document, one side's change is all there is.
        kept = facts.local if verdict.sides[WHOLE] == "local" else facts.remote
        facts = replace(facts, local=kept, base_local=facts.remote, base_remote=facts.remote)
        final = _merged(facts)
    else:
        final = _merged(facts, choices)
    if _is_invalid(final.local, facts.resource_type):
        return _hold(facts, rules, kind, [_whole(facts)], NOT_VALID)
    listed = open_units if open_units[0].name == WHOLE else merged.units
    units = [_by_a_person(unit, verdict, grades.get(unit.name), choices.get(unit.name)) for unit in listed]
    record = _resolved(facts, rules, kind, open_units, units, verdict.strategy, BY_A_PERSON, verdict.actor, merged)
    return _carried_out(facts, final, Outcome.RESOLVE, record)


def _carried_out(facts: Facts, merged: Merged, outcome: Outcome, record: ConflictRecord | None) -> Decision:
    """Local, shadows and intent of a merge without open conflicts."""
    assert facts.local is not None and facts.remote is not None
    local = side_of(merged.local, facts.local, facts.remote)
    shadow = side_of(merged.shadow_local, local, facts.remote, facts.base_local)
    intent = None
    if facts.capability.update:
        document = side_of(facts.capability.project(merged.remote), facts.remote)
        if not same(document, facts.remote):
            intent = Intent(Operation.UPDATE, document)
    standing = [unit for unit in merged.units if unit.kind is UnitKind.STANDING]
    return Decision(outcome, local, Shadows(shadow, facts.remote), intent, record, standing)


def _merged(facts: Facts, choices: dict[str, Any] | None = None) -> Merged:
    assert facts.local is not None and facts.remote is not None
    return _merge(facts, facts.base_local, facts.base_remote, facts.local, facts.remote, choices)


def _merge(
    facts: Facts,
    base_local: Side | None,
    base_remote: Side | None,
    local: Side,
    remote: Side,
    choices: dict[str, Any] | None = None,
) -> Merged:
    return merge(
        facts.resource_type,
        base_local=base_local.document if base_local else None,
        base_remote=base_remote.document if base_remote else None,
        local=local.document,
        remote=remote.document,
        capability=facts.capability,
        choices=choices,
    )


def _joins_both(merged: Merged) -> bool:
    """Whether the result takes something from each side, so that no side has ever held it as a whole."""
    kinds = {unit.kind for unit in merged.units}
    return UnitKind.PULLED in kinds and (UnitKind.PUSHED in kinds or UnitKind.STANDING in kinds)


def _exchanges(merged: Merged) -> bool:
    """Whether anything has to move from one side to the other."""
    return any(unit.kind in (UnitKind.PULLED, UnitKind.PUSHED) for unit in merged.units)


def _is_invalid(document: Document, resource_type: str) -> bool:
    issues = check_structure(side_of(document).body, resource_type)
    return any(issue.severity is ErrorSeverity.ERROR for issue in issues)


def _proposal(facts: Facts, merged: Merged) -> Side:
    return side_of(merged.local, facts.base_local, facts.local, facts.remote)


# records


def _hold(
    facts: Facts,
    rules: Rules,
    kind: ConflictType,
    open_units: Sequence[Unit],
    why: str,
    *,
    units: Sequence[RecordedUnit] | None = None,
    proposal: Side | None = None,
) -> Decision:
    """Neither side moves; the conflict is recorded, or its next revision."""
    grade = grade_units(facts, rules, kind, open_units)
    recorded = units or [RecordedUnit(unit, grade.units.get(unit.name)) for unit in open_units]
    record = ConflictRecord(
        kind, ConflictStatus.PENDING_REVIEW, grade.severity, grade.rule, recorded, None, why, None,
        grade.two_person, proposal, reopened=facts.held is not None and facts.held.verdict is not None,
    )  # fmt: skip
    shadows = Shadows(facts.base_local, facts.base_remote)
    return Decision(Outcome.HOLD, facts.local, shadows, conflict=record, standing=None)


def _resolved(
    facts: Facts,
    rules: Rules,
    kind: ConflictType,
    open_units: Sequence[Unit],
    units: Sequence[RecordedUnit],
    strategy: ResolutionStrategy | None,
    why: str,
    actor: str,
    merged: Merged | None = None,
) -> ConflictRecord:
    grade = grade_units(facts, rules, kind, open_units)
    proposal = _proposal(facts, merged) if merged is not None else None
    return ConflictRecord(
        kind, ConflictStatus.RESOLVED, grade.severity, grade.rule, units, strategy, why, actor,
        grade.two_person, proposal,
    )  # fmt: skip


def _by_a_person(unit: Unit, verdict: Verdict, grade: GradedUnit | None, chosen: Any) -> RecordedUnit:
    side = verdict.sides.get(unit.name)
    if side is None:
        return RecordedUnit(unit, grade)
    return RecordedUnit(unit, grade, verdict.strategy, side, chosen, BY_A_PERSON)


def _clean(facts: Facts, kind: ConflictType, merged: Merged, rules: Rules) -> ConflictRecord:
    units = [RecordedUnit(unit) for unit in merged.units if unit.kind is not UnitKind.STANDING]
    return ConflictRecord(
        kind, ConflictStatus.RESOLVED, ConflictSeverity.LOW, "clean_merge", units, ResolutionStrategy.MERGE,
        "both sides changed without contradiction", _policy(rules),
    )  # fmt: skip


def _dissolved(held: HeldConflict, rules: Rules, why: str) -> ConflictRecord:
    return ConflictRecord(
        held.type, ConflictStatus.RESOLVED, ConflictSeverity.LOW, "dissolved", [], None, why, _policy(rules)
    )


def _policy(rules: Rules) -> str:
    return f"policy:{rules.policy.version}"


def _stays_whole(held: HeldConflict, facts: Facts) -> bool:
    """Whether a conflict shown as a whole is still that one: what makes it a whole is not seen in its units."""
    return held.type is ConflictType.CREATE_CREATE or _says_the_same(held, facts)


def _says_the_same(held: HeldConflict, facts: Facts) -> bool:
    return same(held.local, facts.local) and same(held.remote, facts.remote)
