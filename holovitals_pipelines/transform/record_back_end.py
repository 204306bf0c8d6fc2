"""The record-at-a-time back end: for single records, previews, and as the reference that SQL is held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from holovitals_pipelines.transform.columns import Row
from holovitals_pipelines.transform.expressions import compile_record
from holovitals_pipelines.transform.plan import REQUIRED, Plan, PlannedRule
from holovitals_pipelines.transform.rule_set import Split


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


Apply = Callable[[dict[str, Any], list[int], list[list[Any]]], None]
"""Carries out one rule: reads and extends the row, adds errors, fills its values by rule."""


def compile_records(plan: Plan) -> Callable[[Row, Sequence[int]], Result]:
    """A function of a row of source fields and the problems found in reading them. Slow parts happen here, once."""
    rules = [_rule(plan, place, rule) for place, rule in enumerate(plan.rules)]
    checks = [(one.target, one.check.fails, one.number, plan.is_error(one.number)) for one in plan.checks]
    makers = [[(maker, plan.rules[maker].targets.index(place)) for maker in target.rules]
              for place, target in enumerate(plan.targets)]  # fmt: skip
    strict = plan.strict

    def run(source: Row, problems: Sequence[int] = ()) -> Result:
        row, errors = dict(source), list(problems)
        made: list[list[Any]] = []
        for apply in rules:
            apply(row, errors, made)
        values: list[Any] = []
        chosen: list[int | None] = []
        for asked in makers:
            for rule, output in asked:
                value = made[rule][output]
                if value is not None:
                    values.append(value)
                    chosen.append(rule)
                    break
            else:
                values.append(None)
                chosen.append(None)
        failed: list[int] = []
        for target, fails, number, is_error in checks:
            if fails(values[target]):
                errors.append(number)
                if is_error:
                    failed.append(target)
        rejected = strict and any(plan.is_error(number) for number in errors)
        if not strict:
            for target in failed:
                values[target] = chosen[target] = None
        return Result(tuple(values), tuple(chosen), tuple(sorted(errors)), rejected)

    return run


def _rule(plan: Plan, place: int, planned: PlannedRule) -> Apply:
    record, numbers, default = planned.prepared.record, planned.numbers, planned.default
    holds = compile_record(planned.condition) if planned.condition is not None else None
    rivals = [(rival, plan.rules[rival].targets.index(planned.targets[0])) for rival in planned.rivals]
    required = numbers.get(REQUIRED)
    name = None if isinstance(planned.rule, Split) else planned.rule.id
    nothing = [None] * len(planned.targets)

    def apply(row: dict[str, Any], errors: list[int], made: list[list[Any]]) -> None:
        values: list[Any] = nothing
        applied = all(made[rival][output] is None for rival, output in rivals)
        if applied and (holds is None or holds(row)[0]):
            found, code = record(row)
            if code is not None:
                errors.append(numbers[code])
            else:
                values = list(found)
                if values[0] is None and default is not None:
                    values[0] = default
                if required is not None and all(value is None for value in values):
                    errors.append(required)
        made.append(values)
        if name is not None:
            row[name] = values[0]

    return apply
