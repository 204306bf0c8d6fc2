"""One record through a rule set: fields read, rules carried out, the document made, with what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.columns import Row
from holovitals_pipelines.transform.fields import FieldProblem
from holovitals_pipelines.transform.paths import Place
from holovitals_pipelines.transform.plan import Plan, Problem, target_column
from holovitals_pipelines.transform.reading import RuleSetReady
from holovitals_pipelines.transform.record_back_end import Result, compile_records
from holovitals_pipelines.transform.unmapped import keep_unmapped, unmapped

RULE_SET = "urn:holovitals:rule-set"
"""The system of the tag by which every document made names the rule set's hash."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a record: which rule found it where; never what stood there."""

    problem: Problem
    group: str | None = None
    item: int | None = None
    """The list's item, from 0."""


@dataclass(frozen=True, slots=True)
class Transformed:
    document: Document
    findings: tuple[Finding, ...]
    rejected: bool
    """Strict mode, and an error: the record goes to quarantine; the document shows how far it came."""


def compile_rule_set(ready: RuleSetReady) -> Callable[[Document], Transformed]:
    """A function that transforms one record. Slow parts happen here, once."""
    run = compile_records(ready.record.plan)
    lists = [(one, compile_records(one.plan)) for one in ready.lists]
    keeps_rest = ready.rules.options.preserve_unmapped

    def transform(document: Document) -> Transformed:
        source, problems = ready.record.reader.read(document)
        result = run(source, problem_numbers(ready.record.plan, problems))
        findings = [Finding(ready.record.plan.problems[number]) for number in result.errors]
        rejected = result.rejected
        taken: list[Place] = []
        if keeps_rest:
            known = taken_fields(ready.record.plan, source, problems, result)
            taken = ready.record.reader.places(document, known)
            taken += [place for path in ready.volatile for place in path.places(document)]
        items: dict[str, list[Row]] = {}
        for one, run_item in lists:
            rows = items.setdefault(one.id, [])
            at = one.each.places(document) if keeps_rest else ()
            for index, item in enumerate(one.each.all(document)):
                fields, wrong = one.reader.read(item, document)
                made = run_item(fields, problem_numbers(one.plan, wrong))
                findings += [Finding(one.plan.problems[number], one.id, index) for number in made.errors]
                rejected = rejected or made.rejected
                rows.append(row_of(made))
                if keeps_rest:
                    known = taken_fields(one.plan, fields, wrong, made)
                    taken += one.reader.places(item, known, record=document, at=at[index])
        base = document if ready.rules.options.base_on_source else None
        whole = ready.assembly.document(row_of(result), items, base)
        if keeps_rest:
            whole = keep_unmapped(whole, unmapped(document, taken))
        return Transformed(_tagged(ready, whole), tuple(findings), rejected)

    return transform


def problem_numbers(plan: Plan, problems: Sequence[FieldProblem]) -> list[int]:
    """The plan's numbers of what reading the fields found."""
    return [plan.source_problems[problem.field, problem.code] for problem in problems]


def row_of(result: Result) -> dict[str, Any]:
    """The targets' columns, for the assembly."""
    return {target_column(number): value for number, value in enumerate(result.values)}


def taken_fields(plan: Plan, row: Row, problems: Sequence[FieldProblem], result: Result) -> set[str]:
    """The fields whose values are in the targets, and those that hold nothing. One that was read for nothing (its rule
    was not applied, yielded no value or failed) is not taken: its value belongs to the rest."""
    wrong = {problem.field for problem in problems}
    blank = {name for name, value in row.items() if value is None and name not in wrong}
    return blank.union(*(plan.rules[maker].fields for maker in result.makers if maker is not None))


def _tagged(ready: RuleSetReady, made: Document) -> Document:
    """The document with the rule set it was made by."""
    if not ready.rules.options.include_metadata:
        return made
    meta = made.get("meta", {})
    others = [tag for tag in meta.get("tag", ()) if tag.get("system") != RULE_SET]
    tag = {"system": RULE_SET, "code": ready.hash, "display": ready.name}
    return {**made, "meta": {**meta, "tag": [*others, tag]}}
