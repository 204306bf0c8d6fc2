"""The record-at-a-time back end: for single records, previews, and as the reference that SQL is held to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from holovitals_pipelines.transform.columns import Row
from holovitals_pipelines.transform.expressions import compile_record
from holovitals_pipelines.transform.fields import FieldProblem
from holovitals_pipelines.transform.plan import REQUIRED, Plan, PlannedRule
from holovitals_pipelines.transform.row_shapes import Shapes
from holovitals_pipelines.transform.rule_set import Split

_NOTHING: list[Any] = []


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one record."""

    values: tuple[Any, ...]
    """By target, in the plan's order; of a rejected record too, for whoever looks into it."""
    makers: tuple[int | None, ...]
    """By target, the place in the plan of the rule whose value it is; None where there is no value."""
    errors: tuple[int, ...]
    """Numbers of the plan's problems, ascending."""
    rejected: bool
    """Strict mode, and an error: the record goes to quarantine whole."""


Apply = Callable[[dict[str, Any], list[int], list[list[Any]]], list[Any]]
"""Carries out one rule: reads and extends the row, adds errors, returns its values."""
Makers = Sequence[tuple[int, int]]
"""Of a target: each rule that may make it, and which of the rule's outputs it is, in the order they are asked."""


def compile_records(plan: Plan) -> RecordRules:
    """A function of a row of source fields and the problems found in reading them. Slow parts happen here, once."""
    return RecordRules(plan)


class RecordRules:
    """A plan's rules, targets and checks as functions of a row."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rules: Sequence[Apply] = [_rule(plan, place, rule) for place, rule in enumerate(plan.rules)]
        self.makers: Sequence[Makers] = [
            [(maker, plan.rules[maker].targets.index(place)) for maker in target.rules]
            for place, target in enumerate(plan.targets)
        ]
        self.shapes = Shapes(plan, self.rules)
        self._checks = [(one.target, one.check.fails, one.number, plan.is_error(one.number)) for one in plan.checks]

    def __call__(self, source: Row, problems: Sequence[int] = ()) -> Result:
        plan, rules = self.plan, self.rules
        shape = self.shapes.of(source)
        row, errors = dict(source), list(problems)
        made: list[list[Any]]
        if shape is None:
            made = [_NOTHING] * len(rules)
            for place, apply in enumerate(rules):
                made[place] = apply(row, errors, made)
            values: list[Any] = [None] * len(self.makers)
            chosen: list[int | None] = [None] * len(self.makers)
            undecided: Iterable[int] = range(len(self.makers))
        else:
            row |= shape.row
            errors += shape.errors
            made = list(shape.made)
            for place in shape.rules:
                made[place] = rules[place](row, errors, made)
            values, chosen, undecided = list(shape.values), list(shape.chosen), shape.targets
        for target in undecided:
            values[target], chosen[target] = first_made(self.makers[target], made)
        failed: list[int] = []
        for target, fails, number, is_error in self._checks:
            if fails(values[target]):
                errors.append(number)
                if is_error:
                    failed.append(target)
        rejected = plan.strict and any(plan.is_error(number) for number in errors)
        if not plan.strict:
            for target in failed:
                values[target] = chosen[target] = None
        return Result(tuple(values), tuple(chosen), tuple(sorted(errors)), rejected)

    def passes(self, target: int, value: Any) -> bool:
        """Whether no check fails a target's value."""
        return not any(fails(value) for checked, fails, _, _ in self._checks if checked == target)


def problem_numbers(plan: Plan, problems: Sequence[FieldProblem]) -> list[int]:
    """The plan's numbers of what reading the fields found."""
    return [plan.source_problems[problem.field, problem.code] for problem in problems]


def first_made(makers: Makers, made: Sequence[Sequence[Any]]) -> tuple[Any, int | None]:
    """A target's value, and the rule that made it: the first in their order that made any."""
    for rule, output in makers:
        value = made[rule][output]
        if value is not None:
            return value, rule
    return None, None


def _rule(plan: Plan, place: int, planned: PlannedRule) -> Apply:
    record, numbers, default = planned.prepared.record, planned.numbers, planned.default
    holds = compile_record(planned.condition) if planned.condition is not None else None
    rivals = [(rival, plan.rules[rival].targets.index(planned.targets[0])) for rival in planned.rivals]
    required = numbers.get(REQUIRED)
    name = None if isinstance(planned.rule, Split) else planned.rule.id
    nothing = [None] * len(planned.targets)

    def apply(row: dict[str, Any], errors: list[int], made: list[list[Any]]) -> list[Any]:
        values: list[Any] = nothing
        for rival, output in rivals:
            if made[rival][output] is not None:
                break
        else:
            if holds is None or holds(row)[0]:
                found, code = record(row)
                if code is not None:
                    errors.append(numbers[code])
                else:
                    values = list(found)
                    if values[0] is None and default is not None:
                        values[0] = default
                    if required is not None and all(value is None for value in values):
                        errors.append(required)
        if name is not None:
            row[name] = values[0]
        return values

    return apply
