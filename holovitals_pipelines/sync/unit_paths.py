"""What a unit's name says about where it lies in a resource, and patterns that people write to mean such places.

Law: a key's content (`telecom[phone|555]`) is never read as a path or as a wildcard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from holovitals_pipelines.sync.merge import MISSING, Unit

WHOLE = "*"
"""The name of the pseudo-unit that stands for a whole document where a delete met an update."""


@lru_cache(maxsize=4096)
def members(name: str) -> tuple[tuple[str, ...], ...]:
    """The places a unit's name stands for, keys left out; the members of a group lie beside its first.

    `name[official|Doe].period` → (("name", "period"),); `clinicalStatus+verificationStatus` → two of one step each.
    """
    first, *others = _without_keys(name).split("+")
    place = tuple(first.split("."))
    return (place, *((*place[:-1], other) for other in others))


def last_step(name: str) -> str:
    """The element a unit's value is of: `name[official|Doe].family` → `family`."""
    return members(name)[-1][-1]


def _without_keys(name: str) -> str:
    kept: list[str] = []
    depth = 0
    for index, character in enumerate(name):
        choice = depth == 0 and name.startswith("[x]", index)
        if character == "[" and not choice:
            depth += 1
        elif depth == 0:
            kept.append(character)
        elif character == "]":
            depth -= 1
    return "".join(kept)


def places(unit: Unit) -> Iterator[tuple[str, ...]]:
    """Every place a unit covers: those of its name, its element, and what any side has of a consistency group."""
    named = members(unit.name)
    yield from named
    if unit.name == WHOLE:
        return
    if all(place[0] != unit.element for place in named):
        yield (unit.element,)
    if is_group(unit.name):
        for element in sorted(_elements(unit)):
            yield (*named[0][:-1], element)


def is_group(name: str) -> bool:
    """Whether the unit's value is an object of elements; a primitive with its sidecar is not called a group here."""
    return len(members(name)) > 1 or last_step(name).endswith("[x]")


def has_sidecar(unit: Unit) -> bool:
    """Whether the unit is a primitive with its `_sidecar`, whose value is an object of the two."""
    return _elements(unit) == {last_step(unit.name)}


def _elements(unit: Unit) -> set[str]:
    sides = (unit.base_local, unit.base_remote, unit.local, unit.remote)
    return {key.lstrip("_") for value in sides if isinstance(value, dict) for key in value}


@dataclass(frozen=True)
class UnitPattern:
    """A place as a rule names it.

    `*` is every unit; `telecom` the element and all within it; `name.period` a part; `deceased[x]` every type of a
    choice; `telecom[phone|*]` the items whose keys it describes, and all within them. `*` is the only wildcard.
    """

    text: str

    @property
    def names_keys(self) -> bool:
        """Whether it means list items by their keys, so that only a unit's full name can match it."""
        return "[" in self.text.replace("[x]", "")

    def covers(self, place: tuple[str, ...]) -> bool:
        """Whether `place` is the pattern's place or within it."""
        steps = self._steps
        return len(place) >= len(steps) and all(
            re.fullmatch(step, part) for step, part in zip(steps, place, strict=False)
        )

    def matches(self, unit: str) -> bool:
        """Whether it means the unit of this name."""
        if self.text == WHOLE:
            return True
        if self.names_keys:
            return re.fullmatch(rf"{_expression(self.text)}(?:\..*)?", unit) is not None
        return unit != WHOLE and any(self.covers(place) for place in members(unit))

    def reaches_into(self, place: tuple[str, ...]) -> bool:
        """Whether it means a part of the top-level element `place`."""
        steps = self._steps
        return len(place) == 1 < len(steps) and re.fullmatch(steps[0], place[0]) is not None

    def differs_within(self, place: tuple[str, ...], unit: Unit) -> bool:
        """Whether the sides differ in the part it means of `place`, although the unit is larger than that."""
        local, remote = (
            value.get(place[0], value) if isinstance(value, dict) else value for value in (unit.local, unit.remote)
        )
        rest = self._steps[1:]
        return self.reaches_into(place) and _descend(local, rest) != _descend(remote, rest)

    @property
    def _steps(self) -> tuple[str, ...]:
        return _steps(self.text)


@lru_cache(maxsize=1024)
def _steps(text: str) -> tuple[str, ...]:
    return tuple(_expression(step) for step in text.split("."))


def _expression(text: str) -> str:
    """A regular expression: `value[x]` is itself and `valueQuantity`, `*` anything, all else literal."""
    escaped = re.escape(text).replace(r"\*", ".*")
    return escaped.replace(r"\[x\]", r"(?:\[x\]|[A-Z][A-Za-z0-9]*)")


def _descend(value: Any, steps: tuple[str, ...]) -> list[Any]:
    if not steps:
        return [value] if value is not MISSING else []
    if isinstance(value, list):
        return [found for item in value for found in _descend(item, steps)]
    if not isinstance(value, dict):
        return []
    return [found for key in value if re.fullmatch(steps[0], key) for found in _descend(value[key], steps[1:])]
