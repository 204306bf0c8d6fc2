"""The places of a target document as a tree, so that targets that exclude each other are found before any record.

Law: a place is a value, an object or a list, never two of them, and has one maker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NoReturn

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.targets import Keyed, Member, Position, TargetStep


class Spot:
    """One place of the target; what it is shows when the first target needs it. `owner` is that target, in words."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.kind: Literal["value", "object", "list"] | None = None
        self.column: tuple[str, ColumnType] | None = None
        """Of a value: the column it is taken from. None where it is a constant."""
        self.constant: str | None = None
        self.groups: list[tuple[str, Spot]] = []
        """Of a list: each group that adds to it, and the place of its item."""
        self._inner: dict[TargetStep, Spot] = {}

    @property
    def constants(self) -> dict[str, str]:
        """Of an object: the members whose value is known."""
        return {
            step.name: inner.constant
            for step, inner in self._inner.items()
            if isinstance(step, Member) and inner.constant is not None
        }

    @property
    def members(self) -> dict[str, Spot]:
        """Of an object: the others."""
        return {
            step.name: inner
            for step, inner in self._inner.items()
            if isinstance(step, Member) and inner.constant is None
        }

    @property
    def items(self) -> list[tuple[Position | Keyed, Spot]]:
        """Of a list: the items by their position, then those with keys."""
        positions = [(step, inner) for step, inner in self._inner.items() if isinstance(step, Position)]
        keyed = [(step, inner) for step, inner in self._inner.items() if isinstance(step, Keyed)]
        return [*sorted(positions, key=lambda item: item[0].index), *keyed]

    def descend(self, steps: Sequence[TargetStep], owner: str) -> Spot:
        """The place at the end of the steps; those in between become objects and lists."""
        place = self
        for step in steps:
            place._become("object" if isinstance(step, Member) else "list", owner)
            if step not in place._inner:
                place._inner[step] = _keyed(step, owner) if isinstance(step, Keyed) else Spot(owner)
            place = place._inner[step]
        return place

    def become_constant(self, value: str) -> None:
        self.kind, self.constant = "value", value

    def become_value(self, owner: str, column: str, kind: ColumnType) -> None:
        if self.kind is not None:
            self._conflict(owner)
        self.kind, self.column = "value", (column, kind)

    def become_list(self, owner: str, group: str) -> Spot:
        """The place of the group's item."""
        self._become("list", owner)
        item = Spot(owner)
        item.kind = "object"
        self.groups.append((group, item))
        return item

    def put_first(self, names: Iterable[str]) -> None:
        first = [Member(name) for name in names if Member(name) in self._inner]
        self._inner = {step: self._inner[step] for step in [*first, *self._inner]}

    def _become(self, kind: Literal["object", "list"], owner: str) -> None:
        if self.kind is not None and self.kind != kind:
            self._conflict(owner)
        self.kind = kind

    def _conflict(self, owner: str) -> NoReturn:
        raise ConfigurationError(
            f"{owner} and {self.owner} exclude each other: the same place cannot be both",
            code="target.conflict",
            remedy="Give one of them another place; a list's items have positions, as in name[0].",
        )


def _keyed(step: Keyed, owner: str) -> Spot:
    item = Spot(f"the key of {owner}")
    item.descend((Member(step.member),), item.owner).become_constant(step.value)
    return item
