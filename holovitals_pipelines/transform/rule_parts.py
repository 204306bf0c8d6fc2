"""A plan's rules in parts that share nothing, for rows of one shape: what a part makes of its fields is kept.

Law: a part makes of its fields what all the rules together would; where anything is wrong it answers nothing and keeps
nothing, so that only the rules themselves say what it is.

A code with its system, a unit, a day or a doctor come again and again in records that are all different.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holovitals_pipelines.transform.plan import Plan
from holovitals_pipelines.transform.record_back_end import RecordRules, first_made
from holovitals_pipelines.transform.row_shapes import Shape
from holovitals_pipelines.transform.rule_set import FieldMapping, Split

MOST_VALUES: Final = 1_024
"""Sets of values for which a part keeps what it made of them; then it begins again."""
LONGEST_KEPT: Final = 256
"""Signs of the longest text among them."""


@dataclass(frozen=True, slots=True)
class PartMade:
    """What a part made."""

    values: tuple[Any, ...]
    """By target of the part."""
    chosen: tuple[int | None, ...]
    """By target, the place of the rule whose value it is."""
    form: int
    """The number of what was chosen: the same for all that the same rules made."""


@dataclass(frozen=True, slots=True)
class PartOfRules:
    """Which rules belong together, what they read of the row, and the targets they make."""

    rules: tuple[int, ...]
    fields: tuple[str, ...]
    targets: tuple[int, ...]


class Part:
    """The rules of a part, at work."""

    def __init__(self, rules: RecordRules, shape: Shape, part: PartOfRules) -> None:
        self.targets = part.targets
        self._rules = rules
        self._part = part
        self._nothing: Mapping[str, Any] = {**dict.fromkeys(rules.plan.sources), **shape.row}
        self._made_of_nothing = shape.made
        self._made: dict[Any, PartMade] = {}
        self._forms: dict[tuple[int | None, ...], int] = {}

    def made_of(self, values: Any) -> PartMade | None:
        """What the part makes of its fields' values: a tuple, or the value where it has one field. None: something
        is wrong."""
        made = self._made.get(values)
        return self._make(values) if made is None else made

    def _make(self, values: Any) -> PartMade | None:
        given = values if type(values) is tuple else (values,)
        row: dict[str, Any] = {**self._nothing, **dict(zip(self._part.fields, given, strict=True))}
        errors: list[int] = []
        made = list(self._made_of_nothing)
        for place in self._part.rules:
            made[place] = self._rules.rules[place](row, errors, made)
        found = [first_made(self._rules.makers[target], made) for target in self.targets]
        passed = all(self._rules.passes(target, one[0]) for target, one in zip(self.targets, found, strict=True))
        if errors or not passed:
            return None
        chosen = tuple(rule for _, rule in found)
        done = PartMade(tuple(value for value, _ in found), chosen, self._forms.setdefault(chosen, len(self._forms)))
        if all(type(value) is not str or len(value) <= LONGEST_KEPT for value in given):
            if len(self._made) >= MOST_VALUES:
                self._made.clear()
            self._made[values] = done
        return done


def parts_of(plan: Plan, shape: Shape, fields: Sequence[str]) -> Iterator[PartOfRules]:
    """The parts of the rules that are left to do for rows of a shape: `fields` are those that hold anything."""
    names = {*fields, *(name for place in shape.rules if (name := _name(plan, place)) is not None)}
    groups: list[tuple[list[int], set[str | int]]] = []
    for place in shape.rules:
        rules, ties = [place], _ties(plan, place, names)
        apart = []
        for group in groups:
            if ties.isdisjoint(group[1]):
                apart.append(group)
            else:
                rules, ties = group[0] + rules, ties | group[1]
        groups = [*apart, (rules, ties)]
    for rules, ties in groups:
        targets = [target for target in shape.targets if target in ties]
        yield PartOfRules(tuple(sorted(rules)), tuple(name for name in fields if name in ties), tuple(targets))


def straight_field(plan: Plan, part: PartOfRules) -> str | None:
    """The field whose value the part's target has as it is, where that is all: most fields are not worth a call."""
    [place, *others] = part.rules
    planned = plan.rules[place]
    if others or not isinstance(planned.rule, FieldMapping) or planned.condition is not None:
        return None
    [target] = part.targets
    alone = plan.targets[target].rules == (place,) and all(one.target != target for one in plan.checks)
    return planned.rule.source if alone else None


def _ties(plan: Plan, place: int, names: set[str]) -> set[str | int]:
    """What a rule reads and makes, of what may be one thing or another: names, and places of targets."""
    planned = plan.rules[place]
    read = planned.prepared.reads | (planned.condition.names if planned.condition is not None else frozenset())
    own = _name(plan, place)
    return {*(read & names), *planned.targets, *(() if own is None else (own,))}


def _name(plan: Plan, place: int) -> str | None:
    rule = plan.rules[place].rule
    return None if isinstance(rule, Split) else rule.id
