"""The batch back end: the plan as DuckDB SQL over a relation, with Python in between where SQL cannot say a rule.

Each level of the plan is a few nested selects: what its rules make, where they fail, their values, their errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from holovitals_pipelines.transform.columns import ARROW, SQL, ColumnType
from holovitals_pipelines.transform.expressions import compile_sql
from holovitals_pipelines.transform.kinds.prepared import Batch, Join, Sql, literal, quoted
from holovitals_pipelines.transform.plan import REQUIRED, Plan, PlannedRule, target_column
from holovitals_pipelines.transform.rule_set import Split

ROW, PROBLEMS, ERRORS, REJECTED = "_row", "_problems", "_errors", "_rejected"
"""Of the relation that comes in: a number for each row, and what reading its fields found (a list). Of the one that
goes out: the row's number, the problems of the record, and whether it is rejected."""
INPUT = "rule_input"
"""The name of the relation that goes in."""


@dataclass(frozen=True)
class SqlStage:
    """One statement over `rule_input`."""

    text: str
    tables: tuple[str, ...]
    """The lookup tables it reads, as relations of these names."""


@dataclass(frozen=True)
class BatchStage:
    """A rule that Python carries out: `run` gets the columns `reads` and answers values and failures' codes, which
    become the columns `value` and `code`."""

    reads: tuple[str, ...]
    run: Callable[[Sequence[Sequence[Any]]], tuple[list[Any], list[str | None]]]
    value: str
    code: str
    type: Any
    """Arrow's type of the value."""


Stage = SqlStage | BatchStage


def compile_stages(plan: Plan) -> list[Stage]:
    """The stages in order. Each works on what the one before left, the first on a relation of the source fields with
    `_row` and `_problems`; the last leaves `_row`, a column for each target by number, `_errors` and `_rejected`."""
    return list(_Stages(plan).stages())


def _raw(place: int, output: int) -> str:
    return f"#raw{place}.{output}"


def _value(place: int, output: int) -> str:
    return f"#value{place}.{output}"


def _code(place: int) -> str:
    return f"#code{place}"


def _error(place: int) -> str:
    return f"#error{place}"


def _applied(place: int) -> str:
    return f"#applied{place}"


@dataclass
class _Stages:
    plan: Plan
    text: str = INPUT
    tables: tuple[str, ...] = ()

    def stages(self) -> Iterator[Stage]:
        by_level: dict[int, list[int]] = {}
        for place, rule in enumerate(self.plan.rules):
            by_level.setdefault(rule.level, []).append(place)
        for _, places in sorted(by_level.items()):
            batches = [place for place in places if isinstance(self.plan.rules[place].prepared.batch, Batch)]
            if batches and self.text != INPUT:
                yield self._cut()
            for place in batches:
                yield self._batch(place)
            self._level(places)
        self._outcome()
        yield self._cut()

    def _cut(self) -> SqlStage:
        stage = SqlStage(self.text, tuple(dict.fromkeys(self.tables)))
        self.text, self.tables = INPUT, ()
        return stage

    def _batch(self, place: int) -> BatchStage:
        prepared = self.plan.rules[place].prepared
        assert isinstance(prepared.batch, Batch)
        batch = prepared.batch
        return BatchStage(batch.reads, batch.run, _raw(place, 0), _code(place), ARROW[prepared.types[0]])

    def _also(self, columns: Sequence[tuple[str, str]], joins: str = "") -> None:
        """Another select around: everything there is, and more columns."""
        if columns:
            listed = ", ".join(f"{text} as {quoted(name)}" for text, name in columns)
            self.text = f"select p.*, {listed} from ({self._from()}) p{joins}"

    def _from(self) -> str:
        return f"select * from {INPUT}" if self.text == INPUT else self.text

    def _level(self, places: Sequence[int]) -> None:
        rules = [(place, self.plan.rules[place]) for place in places]
        joins = ""
        made: list[tuple[str, str]] = []
        for place, rule in rules:
            batch = rule.prepared.batch
            if isinstance(batch, Sql):
                made += [(text, _raw(place, output)) for output, text in enumerate(batch.values)]
                for join in batch.joins:
                    self.tables += (join.table,)
                    joins += _joined(join)
            made.append((self._applies(rule), _applied(place)))
        self._also(made, joins)
        self._also([one for place, rule in rules for one in self._failure(place, rule)])
        self._also([one for place, rule in rules for one in self._values(place, rule)])
        self._also([(self._number(place, rule), _error(place)) for place, rule in rules if rule.numbers])

    def _applies(self, rule: PlannedRule) -> str:
        tests = [f"{quoted(self._made(rival, rule.targets[0]))} is null" for rival in rule.rivals]
        if rule.condition is not None:
            tests.append(f"coalesce({compile_sql(rule.condition, quoted).value}, false)")
        return " and ".join(tests) or "true"

    def _made(self, place: int, target: int) -> str:
        """The column that holds what a rule made for a target."""
        return _value(place, self.plan.rules[place].targets.index(target))

    def _failure(self, place: int, rule: PlannedRule) -> Iterator[tuple[str, str]]:
        batch = rule.prepared.batch
        if isinstance(batch, Batch):
            return  # the column is there already
        names = [quoted(_raw(place, output)) for output in range(len(batch.values))]
        failure = batch.failure(names) if batch.failure is not None else "null::varchar"
        yield failure, _code(place)

    def _values(self, place: int, rule: PlannedRule) -> Iterator[tuple[str, str]]:
        fine = f"{quoted(_applied(place))} and {quoted(_code(place))} is null"
        for output, kind in enumerate(rule.prepared.types):
            value = quoted(_raw(place, output))
            if rule.default is not None and output == 0:
                value = f"coalesce({value}, {_constant(rule.default, kind)})"
            name = _value(place, output)
            yield f"cast(case when {fine} then {value} end as {SQL[kind]})", name
            if output == 0 and not isinstance(rule.rule, Split):
                yield f"cast(case when {fine} then {value} end as {SQL[kind]})", rule.rule.id

    def _number(self, place: int, rule: PlannedRule) -> str:
        """The number of what is wrong, if anything."""
        applied = quoted(_applied(place))
        whens = [
            f"when {applied} and {quoted(_code(place))} = {literal(code)} then {number}"
            for code, number in rule.numbers.items()
            if code != REQUIRED
        ]
        if REQUIRED in rule.numbers:
            values = [quoted(_value(place, output)) for output in range(len(rule.prepared.types))]
            missing = " and ".join(f"{value} is null" for value in values)
            empty = f"{applied} and {quoted(_code(place))} is null and {missing}"
            whens.append(f"when {empty} then {rule.numbers[REQUIRED]}")
        return f"cast(case {' '.join(whens)} end as integer)"

    def _outcome(self) -> None:
        """Targets, checks on them, and the list of errors."""
        plan = self.plan
        self._also(
            [
                (f"coalesce({', '.join(quoted(self._made(maker, number)) for maker in target.rules)})",
                 target_column(number))
                for number, target in enumerate(plan.targets)
            ]
        )  # fmt: skip
        self.tables += tuple(one.check.table for one in plan.checks if one.check.table is not None)
        self._also(
            [
                (f"case when {one.check.sql(f'p.{quoted(target_column(one.target))}')} then {one.number} end",
                 f"#check{one.number}")
                for one in plan.checks
            ]
        )  # fmt: skip
        columns = [quoted(_error(place)) for place, rule in enumerate(plan.rules) if rule.numbers]
        columns += [quoted(f"#check{one.number}") for one in plan.checks]
        found = f"[{', '.join(columns)}]::integer[]"
        errors = f"list_sort(list_concat({quoted(PROBLEMS)}, list_filter({found}, lambda x: x is not null)))"
        worst = [quoted(_error(place)) for place, rule in enumerate(plan.rules) if rule.numbers]
        worst += [quoted(f"#check{one.number}") for one in plan.checks if plan.is_error(one.number)]
        wrong = f"len({quoted(PROBLEMS)}) > 0"
        if worst:
            wrong += f" or coalesce({', '.join(worst)}) is not null"
        values = [f"{self._kept(number)} as {quoted(target_column(number))}" for number in range(len(plan.targets))]
        listed = [
            quoted(ROW), *values, f"{errors} as {quoted(ERRORS)}",
            f"{wrong if plan.strict else 'false'} as {quoted(REJECTED)}",
        ]  # fmt: skip
        self.text = f"select {', '.join(listed)} from ({self._from()}) p"

    def _kept(self, target: int) -> str:
        """The target's value; without strict mode nothing where it failed a check."""
        column = quoted(target_column(target))
        failed = [
            quoted(f"#check{one.number}")
            for one in self.plan.checks
            if one.target == target and self.plan.is_error(one.number)
        ]
        if self.plan.strict or not failed:
            return column
        return f"case when coalesce({', '.join(failed)}) is null then {column} end"


def _joined(join: Join) -> str:
    columns = ", ".join(f"{quoted(name)} as {quoted(join.column_of(name))}" for name in dict.fromkeys(join.columns))
    on = f"{quoted(join.column_of(join.columns[0]))} = p.{quoted(join.column)}"
    return f" left join (select {columns} from {quoted(join.table)}) on {on}"


def _constant(value: Any, kind: ColumnType) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"cast({value} as bigint)"
    if isinstance(value, Decimal):
        return f"cast({literal(format(value, 'f'))} as {SQL[kind]})"
    return f"cast({literal(str(value))} as {SQL[kind]})"
