"""One record through a rule set: fields read, rules carried out, the document made, with what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.item_rules import ItemMade, ItemRules, target_columns
from holovitals_pipelines.transform.plan import Problem
from holovitals_pipelines.transform.reading import RuleSetReady
from holovitals_pipelines.transform.record_back_end import RecordRules, compile_records, problem_numbers
from holovitals_pipelines.transform.record_programs import Lists, Programs
from holovitals_pipelines.transform.taken_places import places_taken, taken_fields
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
    """A function that transforms one record. Slow parts happen here, once; what is known of records that are alike is
    found out as they come (record_programs.py)."""
    rules, lists = compile_records(ready.record.plan), _lists(ready)
    interpret = _interpreter(ready, rules, lists)
    programs = None if ready.rules.options.base_on_source else Programs(ready, rules, lists)

    def transform(document: Document) -> Transformed:
        made = None if programs is None else programs.made_of(document)
        return interpret(document) if made is None else Transformed(_tagged(ready, made), (), False)

    return transform


def interpret_rule_set(ready: RuleSetReady) -> Callable[[Document], Transformed]:
    """The same, each record by itself: what it says is what the rule set means."""
    return _interpreter(ready, compile_records(ready.record.plan), _lists(ready))


def _lists(ready: RuleSetReady) -> Lists:
    return [(one, ItemRules(one, keeps_rest=ready.rules.options.preserve_unmapped)) for one in ready.lists]


def _interpreter(ready: RuleSetReady, run: RecordRules, lists: Lists) -> Callable[[Document], Transformed]:
    plan = ready.record.plan
    columns = target_columns(plan)

    def transform(document: Document) -> Transformed:
        standing: list[str] = []
        source, problems = ready.record.reader.read(document, standing=standing)
        result = run(source, problem_numbers(plan, problems))
        findings = [Finding(plan.problems[number]) for number in result.errors]
        rejected = result.rejected
        items: list[list[ItemMade]] = []
        for one, rules in lists:
            of_list = [rules.made_of(item, document) for item in one.each.all(document)]
            for index, made in enumerate(of_list):
                findings += [Finding(one.plan.problems[number], one.id, index) for number in made.errors]
                rejected = rejected or made.rejected
            items.append(of_list)
        base = document if ready.rules.options.base_on_source else None
        rows = {one.id: [made.row for made in of_list] for (one, _), of_list in zip(lists, items, strict=True)}
        whole = ready.assembly.document(dict(zip(columns, result.values, strict=True)), rows, base)
        if ready.rules.options.preserve_unmapped:
            known = taken_fields(plan, standing, source, problems, result.makers)
            whole = keep_unmapped(whole, unmapped(document, places_taken(ready, document, known, items)))
        return Transformed(_tagged(ready, whole), tuple(findings), rejected)

    return transform


def _tagged(ready: RuleSetReady, made: Document) -> Document:
    """The document with the rule set it was made by."""
    if not ready.rules.options.include_metadata:
        return made
    meta = made.get("meta", {})
    others = [tag for tag in meta.get("tag", ()) if tag.get("system") != RULE_SET]
    tag = {"system": RULE_SET, "code": ready.hash, "display": ready.name}
    return {**made, "meta": {**meta, "tag": [*others, tag]}}
