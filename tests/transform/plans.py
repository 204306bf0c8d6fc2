"""Rules carried out by both back ends, and what has to come of it: the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.engine.rule_batches import RuleBatches
from holovitals_pipelines.transform.columns import ARROW
from holovitals_pipelines.transform.functions import Functions
from holovitals_pipelines.transform.plan import Plan, make_plan, target_column
from holovitals_pipelines.transform.record_back_end import compile_records
from holovitals_pipelines.transform.rule_set import RuleGroup
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.tables import LookupTable, Tables, read_csv_table

CODES = "code,display,region\nA,Alpha,north\nB,Beta,\nß,Eszett,south\nab,Small,north\nAB,Great,north\n12,Dozen,west\n"


@dataclass(frozen=True)
class Outcome:
    """What came of a row: values by target, problems as `place: code`, and whether it is rejected."""

    values: tuple[Any, ...]
    errors: tuple[str, ...] = ()
    rejected: bool = False

    @property
    def exact(self) -> tuple[Any, ...]:
        """With types and all digits, to be compared."""
        return [(type(value), str(value)) for value in self.values], self.errors, self.rejected


def tables(*more: LookupTable) -> Tables:
    """A registry of `codes@1` and more."""
    found = Tables()
    for table in (read_csv_table(CODES, "codes", "1"), *more):
        found.register(table)
    return found


def plan_of(group: Mapping[str, Any], *, strict: bool = True, functions: Functions | None = None) -> Plan:
    return make_plan(RuleGroup.model_validate(group), functions or shipped_functions(), tables(), strict=strict)


def by_record(plan: Plan, rows: Sequence[Mapping[str, Any]], problems: Iterable[Sequence[int]] = ()) -> list[Outcome]:
    run = compile_records(plan)
    found = list(problems) or [()] * len(rows)
    results = [run(row, problem) for row, problem in zip(rows, found, strict=True)]
    return [Outcome(one.values, _named(plan, one.errors), one.rejected) for one in results]


def by_batch(
    analysis: Analysis, plan: Plan, rows: Sequence[Mapping[str, Any]], problems: Iterable[Sequence[int]] = ()
) -> list[Outcome]:
    table = RuleBatches(analysis, plan, tables()).run(source_table(plan, rows, problems))
    assert table.column("_row").to_pylist() == list(range(len(rows)))
    names = [target_column(number) for number in range(len(plan.targets))]
    assert [table.schema.field(name).type for name in names] == [ARROW[one.type] for one in plan.targets]
    return [
        Outcome(tuple(row[name] for name in names), _named(plan, row["_errors"]), row["_rejected"])
        for row in table.to_pylist()
    ]


def source_table(plan: Plan, rows: Sequence[Mapping[str, Any]], problems: Iterable[Sequence[int]] = ()) -> pa.Table:
    """The rows as batches get them."""
    columns = {"_row": pa.array(range(len(rows)), pa.int64())}
    for name, kind in plan.sources.items():
        columns[name] = pa.array([row[name] for row in rows], ARROW[kind])
    found = list(problems)
    if found:
        columns["_problems"] = pa.array(found, pa.list_(pa.int32()))
    return pa.table(columns)


def agreed(
    analysis: Analysis, plan: Plan, rows: Sequence[Mapping[str, Any]], problems: Iterable[Sequence[int]] = ()
) -> list[Outcome]:
    """The outcome of each row, in which both back ends have to agree."""
    found = list(problems)
    records, batch = by_record(plan, rows, found), by_batch(analysis, plan, rows, found)
    for number, (one, other) in enumerate(zip(records, batch, strict=True)):
        assert one.exact == other.exact, f"row {number}: {rows[number]}"
    return records


def _named(plan: Plan, numbers: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{plan.problems[number].place}: {plan.problems[number].code}" for number in numbers)
