"""The plan of one relation: rules typed and in order, everything that can go wrong numbered, ready for both back ends.

Law: both back ends carry out the same plan; what a plan cannot say, neither does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.transform.columns import SCALE, ColumnType
from holovitals_pipelines.transform.expressions import Expression, parse_expression
from holovitals_pipelines.transform.fields import codes_of
from holovitals_pipelines.transform.functions import Functions, fitting
from holovitals_pipelines.transform.kinds import prepare
from holovitals_pipelines.transform.kinds.prepared import Names, Prepared, RuleMistake
from holovitals_pipelines.transform.rule_set import Rule, RuleGroup, Scalar, Split, Validation
from holovitals_pipelines.transform.tables import Tables
from holovitals_pipelines.transform.texts import decimal_text
from holovitals_pipelines.transform.validations import Check, prepare_checks

REQUIRED = "required"


@dataclass(frozen=True)
class Problem:
    """Something that can be wrong with a record. A record's errors are numbers of these: no value is ever in them."""

    place: str
    """A rule's id, `source.<field>` or `validate.<target>`."""
    code: str
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    severity: ErrorSeverity = ErrorSeverity.ERROR


@dataclass(frozen=True)
class PlannedRule:
    rule: Rule
    prepared: Prepared
    targets: tuple[int, ...]
    """Of its outputs, places in `Plan.targets`."""
    condition: Expression | None
    default: Any
    numbers: Mapping[str, int]
    """The problem of each code it can fail with."""
    rivals: tuple[int, ...]
    """Places in `Plan.rules` of the earlier rules for its target: it is applied where none of them yields a value."""
    level: int
    """Greater than that of every rule it reads or follows; rules of one level do not see each other."""
    fields: frozenset[str]
    """The source fields that its values and its condition rest on, through other rules too."""


@dataclass(frozen=True)
class Target:
    """A column that comes out: where its value goes in the document, and what it is."""

    path: str
    type: ColumnType
    rules: tuple[int, ...]
    """Places of the rules that make it, in the order they are asked."""


@dataclass(frozen=True)
class PlannedCheck:
    check: Check
    target: int
    number: int


@dataclass(frozen=True)
class Plan:
    """A group of rules over one relation."""

    sources: Mapping[str, ColumnType]
    rules: tuple[PlannedRule, ...]
    targets: tuple[Target, ...]
    checks: tuple[PlannedCheck, ...]
    problems: tuple[Problem, ...]
    source_problems: Mapping[tuple[str, str], int]
    """By field and code, what reading a field can find wrong."""
    strict: bool

    def is_error(self, number: int) -> bool:
        return self.problems[number].severity is ErrorSeverity.ERROR


def target_column(number: int) -> str:
    """The name of a target's column in what comes out."""
    return f"#target{number}"


def make_plan(group: RuleGroup, functions: Functions, tables: Tables, *, strict: bool) -> Plan:
    """Type the group's rules. Raises MistakeAt, with the place in the group that is wrong."""
    return _Planner(group, functions, tables, strict).plan()


class MistakeAt(Exception):
    """What is wrong, and at which place of the group."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


@dataclass
class _Planner:
    group: RuleGroup
    functions: Functions
    tables: Tables
    strict: bool
    problems: list[Problem] = field(default_factory=list)
    rules: list[PlannedRule] = field(default_factory=list)
    makers: dict[str, list[int]] = field(default_factory=dict)
    """Places of the rules that make each target."""
    types: dict[str, ColumnType] = field(default_factory=dict)
    """Of targets."""

    def plan(self) -> Plan:
        sources = {name: one.type for name, one in self.group.source.items()}
        found: dict[tuple[str, str], int] = {}
        # Two columns of DuckDB differ in more than letter case.
        for name in [name for place, name in enumerate(sources) if name.lower() in map(str.lower, [*sources][:place])]:
            raise MistakeAt(("source", name), f"{name!r} is the name of another field, but for letter case")
        for name, kind in sources.items():
            for code in codes_of(kind):
                found[name, code] = self._problem(Problem(f"source.{name}", code, (), (name,)))
        names, levels = dict(sources), dict.fromkeys(sources, 0)
        for place, rule in _in_order(self.group.rules):
            try:
                self._add(rule, names, levels)
            except RuleMistake as error:
                raise MistakeAt(("rules", place, error.part), error.message) from None
            except ConfigurationError as error:
                raise MistakeAt(("rules", place), error.message) from None
        targets = tuple(Target(path, self.types[path], tuple(makers)) for path, makers in self.makers.items())
        return Plan(
            sources, tuple(self.rules), targets, tuple(self._checks()), tuple(self.problems), found, self.strict
        )

    def _problem(self, problem: Problem) -> int:
        self.problems.append(problem)
        return len(self.problems) - 1

    def _add(self, rule: Rule, names: dict[str, ColumnType], levels: dict[str, int]) -> None:
        if rule.id.lower() in map(str.lower, names):
            raise RuleMistake("id", f"{rule.id!r} is the name of a source field or of another rule")
        known = Names(dict(names), self.functions, self.tables)
        prepared = prepare(rule, known)
        condition = parse_expression(rule.condition, names) if rule.condition is not None else None
        if condition is not None and condition.type is not ColumnType.BOOLEAN:
            raise RuleMistake("condition", "a condition is true or false")
        paths = _targets(rule)
        if not paths or len(set(paths)) < len(paths):
            raise RuleMistake("target", "every part that is wanted goes to a place of its own, and one is wanted")
        rivals = tuple(maker for path in paths for maker in self.makers.get(path, ()))
        if rivals and len(paths) > 1:
            raise RuleMistake("target", "a part goes where an earlier rule's value goes; split into places of its own")
        read = prepared.reads | (condition.names if condition is not None else frozenset())
        before = [levels[name] for name in read] + [self.rules[rival].level for rival in rivals]
        place = len(self.rules)
        for path, kind in zip(paths, prepared.types, strict=True):
            if self.types.setdefault(path, kind) is not kind:
                raise RuleMistake("target", f"an earlier rule makes {path!r} a {self.types[path]}, this one a {kind}")
            self.makers.setdefault(path, []).append(place)
        order = {path: number for number, path in enumerate(self.makers)}
        codes = (*prepared.codes, *((REQUIRED,) if rule.required else ()))
        planned = PlannedRule(
            rule,
            prepared,
            tuple(order[path] for path in paths),
            condition,
            _default(rule, prepared),
            {code: self._problem(Problem(rule.id, code, paths, tuple(sorted(read)))) for code in codes},
            rivals,
            1 + max(before, default=0),
            self._fields(read),
        )
        self.rules.append(planned)
        if not isinstance(rule, Split):
            names[rule.id] = prepared.types[0]
            levels[rule.id] = planned.level

    def _fields(self, read: frozenset[str]) -> frozenset[str]:
        made = {one.rule.id: one.fields for one in self.rules}
        return frozenset().union(*(made.get(name, frozenset({name})) for name in read))

    def _checks(self) -> Iterator[PlannedCheck]:
        order = {path: number for number, path in enumerate(self.makers)}
        for place, validation in enumerate(self.group.validations):
            try:
                yield from self._checks_of(validation, order)
            except RuleMistake as error:
                raise MistakeAt(("validate", place, error.part), error.message) from None
            except ConfigurationError as error:
                raise MistakeAt(("validate", place), error.message) from None

    def _checks_of(self, validation: Validation, order: Mapping[str, int]) -> Iterator[PlannedCheck]:
        path = validation.target
        if path not in order:
            raise RuleMistake("target", f"no rule makes {path!r}")
        severity = ErrorSeverity(validation.severity.upper())
        checks = list(prepare_checks(validation, self.types[path], self.tables))
        if not checks:
            raise RuleMistake("target", f"nothing is said of {path!r}: required, range, in, pattern or exists")
        for check in checks:
            number = self._problem(Problem(f"validate.{path}", check.code, (path,), (), severity))
            yield PlannedCheck(check, order[path], number)


def _in_order(rules: Sequence[Rule]) -> list[tuple[int, Rule]]:
    """The rules that are enabled, by priority, then as they are written; with their places."""
    enabled = [(place, rule) for place, rule in enumerate(rules) if rule.enabled]
    return sorted(enabled, key=lambda one: one[1].priority)


def _targets(rule: Rule) -> tuple[str, ...]:
    if isinstance(rule, Split):
        return tuple(target for target in rule.target if target is not None)
    return (rule.target,)


def _default(rule: Rule, prepared: Prepared) -> Any:
    given: Scalar = None if isinstance(rule, Split) else rule.default_value
    if given is None:
        return None
    kind = prepared.types[0]
    try:
        return _DEFAULTS[kind](given)
    except (KeyError, ValueError, ArithmeticError):
        raise RuleMistake("defaultValue", f"is no {kind}") from None


def _text(given: Scalar) -> str:
    if not isinstance(given, str) or not given:
        raise ValueError
    return given


def _datetime(given: Scalar) -> str:
    value, code = fitting(given, ColumnType.DATETIME)
    if code is not None:
        raise ValueError
    return str(value)


def _integer(given: Scalar) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or abs(given) >= 2**63:
        raise ValueError
    return given


def _decimal(given: Scalar) -> Decimal:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ValueError
    return Decimal(str(given)).quantize(Decimal(1).scaleb(-SCALE))


def _boolean(given: Scalar) -> bool:
    if not isinstance(given, bool):
        raise ValueError
    return given


_DEFAULTS: dict[ColumnType, Any] = {
    ColumnType.STRING: _text,
    ColumnType.DATETIME: _datetime,
    ColumnType.INTEGER: _integer,
    ColumnType.DECIMAL: _decimal,
    ColumnType.NUMBER: lambda given: decimal_text(_decimal(given)),
    ColumnType.BOOLEAN: _boolean,
    ColumnType.DATE: lambda given: date.fromisoformat(_text(given)),
}
