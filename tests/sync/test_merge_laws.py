"""Laws of the three-way merge, over generated documents, shadows, write capabilities and vendors."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from holovitals_pipelines.fhir.exact import exactly_equal
from holovitals_pipelines.model.writing import WriteCapability, unchanged
from holovitals_pipelines.sync.merge import MISSING, UnitKind
from tests.sync.merge_cases import (
    Case,
    Round,
    canonical,
    capabilities,
    edited,
    from_one_base,
    from_two_shadows,
    rounds,
    types,
    unordered,
)

pytestmark = pytest.mark.long(by_examples=True)
MANY = settings(max_examples=4 * settings.default.max_examples, deadline=None, suppress_health_check=list(HealthCheck))
MOVES = {UnitKind.PUSHED, UnitKind.PULLED, UnitKind.CONFLICT}


def group(document: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}


@MANY
@given(from_one_base())
def test_conflicts_are_symmetric_and_so_is_the_result(case: Case) -> None:
    merged = case.merged()
    mirrored = replace(case, local=case.remote, remote=case.local).merged()
    assert [unit.name for unit in merged.conflicts] == [unit.name for unit in mirrored.conflicts]
    assert unordered(merged.local) == unordered(mirrored.local)
    assert unordered(merged.local) == unordered(merged.remote)
    if not merged.conflicts:
        assert canonical(merged.local) == canonical(merged.remote)


@MANY
@given(from_one_base())
def test_where_one_side_changed_nothing_both_hold_the_other_side(case: Case) -> None:
    base = deepcopy(case.base_local)
    assert base is not None
    pulled = replace(case, local=base).merged()
    assert (
        canonical(pulled.local) == canonical(pulled.remote) == canonical(pulled.shadow_local) == canonical(case.remote)
    )
    assert {unit.kind for unit in pulled.units} <= {UnitKind.PULLED}
    pushed = replace(case, remote=base).merged()
    assert canonical(pushed.local) == canonical(pushed.remote) == canonical(case.local)
    assert {unit.kind for unit in pushed.units} <= {UnitKind.PUSHED}
    twice = replace(case, remote=deepcopy(case.local)).merged()
    assert canonical(twice.local) == canonical(twice.remote) == canonical(twice.shadow_local) == canonical(case.local)
    assert {unit.kind for unit in twice.units} <= {UnitKind.AGREED}


@MANY
@given(from_one_base())
def test_nothing_is_lost_and_nothing_torn_without_a_conflict(case: Case) -> None:
    merged = case.merged()
    base, conflicts = case.base_local or {}, {unit.name for unit in merged.conflicts}
    for name in ("gender", "active"):
        if name in conflicts:
            continue
        here, there, before = (document.get(name) for document in (case.local, case.remote, base))
        held = merged.local.get(name)
        assert exactly_equal(here, before) or exactly_equal(held, here)
        assert exactly_equal(there, before) or exactly_equal(held, there)
    groups = [("birthDate", "_birthDate"), ("deceasedBoolean", "deceasedDateTime"), ("valueQuantity", "valueString")]
    if case.resource_type == "Observation":
        groups.append(("valueQuantity", "valueString", "dataAbsentReason", "interpretation"))
    for names in groups:
        sides = [group(document, names) for document in (case.local, case.remote, base)]
        assert any(exactly_equal(group(merged.local, names), side) for side in sides)


@MANY
@given(from_two_shadows())
def test_a_merge_is_deterministic_and_changes_no_argument(case: Case) -> None:
    before = deepcopy(case)
    merged = case.merged()
    assert case == before
    assert merged == before.merged()
    names = [unit.name for unit in merged.units]
    assert len(set(names)) == len(names), "every unit has a name of its own"
    assert not any(unit.element in ("id", "text", "resourceType") or "versionId" in unit.name for unit in merged.units)
    for unit in merged.units:
        if unit.kind in MOVES or unit.kind is UnitKind.STANDING:
            assert not exactly_equal(unit.local, unit.remote), "no unit is made of what is the same"
    for name in ("id", "text"):
        assert merged.local.get(name) == case.local.get(name) and merged.remote.get(name) == case.remote.get(name)


@MANY
@given(from_two_shadows())
def test_what_is_to_be_pushed_is_what_differs_from_the_shadow(case: Case) -> None:
    merged = case.merged()
    kinds = {unit.kind for unit in merged.units}
    is_pushed = UnitKind.PUSHED in kinds
    assert (canonical(merged.shadow_local) != canonical(merged.local)) == is_pushed
    if not merged.conflicts:
        assert (canonical(case.stored(merged.remote)) != canonical(case.remote)) == is_pushed
    if not case.capability.update and not merged.conflicts:
        assert canonical(merged.remote) == canonical(case.remote), "nothing is ever sent to who takes no writes"


@MANY
@given(from_two_shadows())
def test_merging_again_changes_nothing_and_a_confirmed_push_is_quiet(case: Case) -> None:
    merged = case.merged()
    assume(not merged.conflicts)
    again = replace(case, base_local=merged.shadow_local, base_remote=case.remote, local=merged.local).merged()
    assert {unit.kind for unit in again.units} <= {UnitKind.PUSHED, UnitKind.STANDING}
    for before, after in zip(
        (merged.local, merged.remote, merged.shadow_local), (again.local, again.remote, again.shadow_local), strict=True
    ):
        assert canonical(before) == canonical(after)
    stored = case.stored(merged.remote)
    quiet = replace(case, base_local=merged.local, base_remote=stored, local=merged.local, remote=stored).merged()
    assert {unit.kind for unit in quiet.units} <= {UnitKind.STANDING}
    assert canonical(quiet.local) == canonical(quiet.shadow_local) == canonical(merged.local)
    assert canonical(quiet.remote) == canonical(stored)


@MANY
@given(from_two_shadows(contradicting=True))
def test_a_choice_ends_every_conflict(case: Case) -> None:
    merged = case.merged()
    assume(merged.conflicts)
    for side in ("local", "remote"):
        choices = {unit.name: getattr(unit, side) for unit in merged.conflicts}
        chosen = case.merged(choices=choices)
        assert not chosen.conflicts
        others = {unit.name: unit.kind for unit in chosen.units if unit.name not in choices}
        assert others == {unit.name: unit.kind for unit in merged.units if unit.name not in choices}
        assert {unit.kind for unit in chosen.units if unit.name in choices} <= (
            {UnitKind.PULLED} if side == "remote" else {UnitKind.PUSHED, UnitKind.STANDING}
        )
        stored = case.stored(chosen.remote)
        quiet = replace(case, base_local=chosen.local, base_remote=stored, local=chosen.local, remote=stored).merged()
        assert {unit.kind for unit in quiet.units} <= {UnitKind.STANDING}
    removed = case.merged(choices={unit.name: MISSING for unit in merged.conflicts})
    assert not removed.conflicts
    assert (canonical(removed.shadow_local) == canonical(removed.local)) == (
        canonical(case.stored(removed.remote)) == canonical(case.remote)
    )


@MANY
@given(from_two_shadows())
def test_what_only_the_vendor_knows_survives_in_what_it_is_sent(case: Case) -> None:
    unknown = {"vendorOnly": {"kept": [1, None, {"deep": True}]}, "_vendorOnly2": {"x": "y"}}
    known = replace(case, base_remote={**(case.base_remote or {}), **unknown}, remote={**case.remote, **unknown})
    merged = known.merged()
    assert {name: merged.remote.get(name) for name in unknown} == unknown
    assert not unknown.keys() & merged.local.keys()


@MANY
@given(types, capabilities, rounds)
def test_a18_no_vendor_echoes_and_both_sides_come_to_rest(
    resource_type: str, capability: WriteCapability, history: list[Round]
) -> None:
    """Whatever a vendor makes of what it is sent, one push is enough; and an exact one ends up with the very same."""
    case = Case(resource_type, capability, None, None, {"id": "1"}, {"id": "r1"})
    for happened in [*history, Round([], [], "local", True)]:
        case = replace(
            case,
            local=edited(case.local, happened.here),
            remote=case.stored(edited(case.remote, happened.there)),
        )
        conflicts = case.merged().conflicts
        merged = case.merged(choices={unit.name: getattr(unit, happened.preferred) for unit in conflicts})
        stored = case.stored(merged.remote)
        case = replace(case, base_local=merged.shadow_local, base_remote=case.remote, local=merged.local)
        if happened.is_pushed and canonical(stored) != canonical(case.remote):
            case = replace(case, base_local=merged.local, base_remote=stored, remote=stored)
    rest = case.merged()
    assert {unit.kind for unit in rest.units} <= {UnitKind.STANDING}
    assert canonical(rest.local) == canonical(rest.shadow_local) == canonical(case.local)
    assert canonical(case.stored(rest.remote)) == canonical(case.remote)
    if capability.update and not capability.elements and capability.project is unchanged:
        assert canonical(rest.local) == canonical(rest.remote)
