"""A person's decision: what it was made on, and what it says of each unit.

Law: it is applied only to the values the person saw (sync-protocol.md §8.2 I10).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holovitals_pipelines.fhir.exact import read_value, write_value
from holovitals_pipelines.sync.facts import HeldConflict, Verdict
from holovitals_pipelines.sync.merge import MISSING, Unit
from holovitals_pipelines.sync.sides import Side, same
from holovitals_pipelines.sync.unit_paths import WHOLE


def as_json(value: Any) -> str | None:
    """A unit's value as JSON text with members sorted; None where it is not there."""
    return None if value is MISSING else write_value(value)


def from_json(text: str | None) -> Any:
    return MISSING if text is None else read_value(text)


def is_bound(held: HeldConflict, units: Sequence[Unit], local: Side | None, remote: Side | None) -> bool:
    """Whether the units in conflict, and their values, are exactly those the decision was made on.

    A whole resource is what its content says: a vendor's new time stamp on the same content is no other value.
    """
    if [unit.name for unit in units] == [WHOLE]:
        return held.units.keys() == {WHOLE} and same(held.local, local) and same(held.remote, remote)
    now = {unit.name: (as_json(unit.local), as_json(unit.remote)) for unit in units}
    return now == dict(held.units)


def choices_of(verdict: Verdict, units: Sequence[Unit]) -> dict[str, Any]:
    """The value to hold for each unit. Units the verdict says nothing of are not among them."""
    choices: dict[str, Any] = {}
    for unit in units:
        side = verdict.sides.get(unit.name)
        if side == "value":
            choices[unit.name] = verdict.values[unit.name]
        elif side is not None:
            choices[unit.name] = unit.local if side == "local" else unit.remote
    return choices
