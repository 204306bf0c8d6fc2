"""Rows of one shape, which is which of their fields hold nothing: what the rules make of nothing is found out once.

Law: a rule is left out only where everything it reads is the same for all rows of the shape, so that what it makes is.

Vendors' records fill a fifth of the fields that their rule sets know: four in five rules read nothing but nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from holovitals_pipelines.transform.columns import Row
from holovitals_pipelines.transform.rule_set import Split

if TYPE_CHECKING:
    from holovitals_pipelines.transform.plan import Plan
    from holovitals_pipelines.transform.record_back_end import Apply

MOST: Final = 512
"""Shapes kept of a plan; rows of further ones go through every rule."""
_Key = tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What is the same for all rows of a shape, and what is left to do for each."""

    row: Mapping[str, Any]
    """Results of rules, by name."""
    made: Sequence[list[Any]]
    errors: Sequence[int]
    rules: Sequence[int]
    """Places of the rules to be carried out."""
    values: Sequence[Any]
    chosen: Sequence[int | None]
    targets: Sequence[int]
    """Places of the targets to be decided."""


class Shapes:
    """The shapes of one plan's rows. A shape is worked out when it is seen for the second time."""

    def __init__(self, plan: Plan, rules: Sequence[Apply]) -> None:
        self._plan = plan
        self._rules = rules
        self._known: dict[_Key, Shape | None] = {}

    def of(self, source: Row) -> Shape | None:
        """None for a row that is to go through every rule."""
        key = tuple([value is None for value in source.values()])
        if key not in self._known:
            if len(self._known) < MOST:
                self._known[key] = None
            return None
        shape = self._known[key]
        if shape is None:
            shape = self._known[key] = self.worked_out(source)
        return shape

    def worked_out(self, source: Row) -> Shape:
        """The shape of a row, anew: every rule is carried out on it, noting what it reads."""
        row = _Watched(source)
        made: list[list[Any]] = [[]] * len(self._rules)
        same: list[bool] = []
        given: list[int] = []
        for place, (apply, planned) in enumerate(zip(self._rules, self._plan.rules, strict=True)):
            errors: list[int] = []
            row.reads_other = False
            made[place] = apply(cast(Any, row), errors, made)
            is_same = not row.reads_other and all(same[rival] for rival in planned.rivals)
            same.append(is_same)
            if is_same:
                given += errors
            elif not isinstance(planned.rule, Split):
                row.other.add(planned.rule.id)
        return self._shape(row, made, same, given)

    def _shape(self, row: _Watched, made: list[list[Any]], same: list[bool], errors: list[int]) -> Shape:
        plan = self._plan
        values: list[Any] = []
        chosen: list[int | None] = []
        undecided: list[int] = []
        for place, target in enumerate(plan.targets):
            outputs = [(rule, made[rule][plan.rules[rule].targets.index(place)]) for rule in target.rules]
            decided = all(same[rule] for rule in target.rules)
            found = next(((rule, value) for rule, value in outputs if value is not None), (None, None))
            chosen.append(found[0] if decided else None)
            values.append(found[1] if decided else None)
            undecided += [] if decided else [place]
        names = [None if isinstance(one.rule, Split) else one.rule.id for one in plan.rules]
        results = {name: row.held[name] for name, known in zip(names, same, strict=True) if name and known}
        left = [place for place, known in enumerate(same) if not known]
        return Shape(results, made, errors, left, values, chosen, undecided)


class _Watched:
    """A row that notes whether anything was read of it that may be another in another row of the shape."""

    def __init__(self, source: Row) -> None:
        self.held = dict(source)
        self.other = {name for name, value in source.items() if value is not None}
        self.reads_other = False

    def __getitem__(self, name: str) -> Any:
        self.reads_other = self.reads_other or name in self.other
        return self.held[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.held[name] = value
