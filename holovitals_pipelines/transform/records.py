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

    def transform(document: Document) -> Transformed:
        source, problems = ready.record.reader.read(document)
        result = run(source, problem_numbers(ready.record.plan, problems))
        findings = [Finding(ready.record.plan.problems[number]) for number in result.errors]
        rejected = result.rejected
        items: dict[str, list[Row]] = {}
        for one, run_item in lists:
            rows = items.setdefault(one.id, [])
            for index, item in enumerate(one.each.all(document)):
                fields, wrong = one.reader.read(item, document)
                made = run_item(fields, problem_numbers(one.plan, wrong))
                findings += [Finding(one.plan.problems[number], one.id, index) for number in made.errors]
                rejected = rejected or made.rejected
                rows.append(row_of(made))
        whole = finished(ready, document, ready.assembly.document(row_of(result), items))
        return Transformed(whole, tuple(findings), rejected)

    return transform


def problem_numbers(plan: Plan, problems: Sequence[FieldProblem]) -> list[int]:
    """The plan's numbers of what reading the fields found."""
    return [plan.source_problems[problem.field, problem.code] for problem in problems]


def row_of(result: Result) -> dict[str, Any]:
    """The targets' columns, for the assembly."""
    return {target_column(number): value for number, value in enumerate(result.values)}


def finished(ready: RuleSetReady, source: Document, made: Document) -> Document:
    """The document with what the options add: what no rule read, and the rule set it was made by."""
    options = ready.rules.options
    if options.preserve_unmapped:
        made = keep_unmapped(made, unmapped(source, _places(ready, source)))
    if options.include_metadata:
        meta = made.get("meta", {})
        tag = {"system": RULE_SET, "code": ready.hash, "display": ready.name}
        made = {**made, "meta": {**meta, "tag": [*meta.get("tag", ()), tag]}}
    return made


def _places(ready: RuleSetReady, source: Document) -> list[Place]:
    """Where the values stand that rules have read. A field with a problem took nothing: its value is in the rest."""
    reader = ready.record.reader
    found = reader.places(source, problems=reader.read(source)[1])
    for one in ready.lists:
        for at in one.each.places(source):
            item = _at(source, at)
            found += one.reader.places(item, record=source, at=at, problems=one.reader.read(item, source)[1])
    return found


def _at(document: Any, place: Place) -> Any:
    for step in place:
        document = document[step]
    return document
