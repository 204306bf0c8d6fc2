"""Rule sets read from YAML: checked, typed and planned before any record is seen.

Law: a mistake is refused with file and line; a rule set that was read can be carried out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import SourceFormat
from holovitals_pipelines.model.yaml_lines import Lined, Path, read_yaml
from holovitals_pipelines.transform.assembly import Assembly, ListTargets, Targets
from holovitals_pipelines.transform.fields import FieldReader
from holovitals_pipelines.transform.functions import Functions
from holovitals_pipelines.transform.paths import SourcePath, compile_path
from holovitals_pipelines.transform.plan import MistakeAt, Plan, make_plan, target_column
from holovitals_pipelines.transform.rule_set import ListGroup, RuleGroup, RuleSet
from holovitals_pipelines.transform.tables import Tables


@dataclass(frozen=True)
class Relation:
    """A group of rules, ready: how its rows are read, and what becomes of them."""

    reader: FieldReader
    plan: Plan


@dataclass(frozen=True)
class ListRelation(Relation):
    """The rows are the items of a list."""

    id: str
    each: SourcePath


@dataclass(frozen=True)
class RuleSetReady:
    """A rule set that can be carried out."""

    rules: RuleSet
    hash: str
    """Of everything that decides what comes out: the rules, and the lookup tables they name."""
    record: Relation
    lists: tuple[ListRelation, ...]
    assembly: Assembly
    volatile: tuple[SourcePath, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.rules.rule_set}@{self.rules.version}"


def read_rule_set(text: str, place: str, functions: Functions, tables: Tables) -> RuleSetReady:
    """Read and plan a rule set. Raises ConfigurationError naming `place` and the line."""
    lined = read_yaml(text, place=place, code="rules.invalid", remedy="see docs/rules.md for how rules are written")
    rules = lined.validated(RuleSet)
    _check_types(rules, lined)
    if rules.options.base_on_source and rules.groups:
        raise lined.refusal(
            ("groups",), "a document that begins as its source keeps its lists: write rules for their items by position"
        )
    record = _relation(rules, (), lined, functions, tables, rules)
    lists: list[ListRelation] = []
    for index, group in enumerate(rules.groups):
        path: Path = ("groups", index)
        if group.id in {one.id for one in lists}:
            raise lined.refusal((*path, "id"), f"{group.id!r} is the name of another group")
        ready = _relation(group, path, lined, functions, tables, rules)
        lists.append(ListRelation(ready.reader, ready.plan, group.id, _path(group, path, lined)))
    volatile = tuple(_volatile(path, index, lined) for index, path in enumerate(rules.volatile))
    assembly = _assembly(rules, record, lists, lined)
    return RuleSetReady(rules, _hash(rules, tables), record, tuple(lists), assembly, volatile)


def _volatile(path: str, index: int, lined: Lined) -> SourcePath:
    try:
        return compile_path(path)
    except ConfigurationError as error:
        raise lined.refusal(("volatile", index), error.message) from None


def _check_types(rules: RuleSet, lined: Lined) -> None:
    if rules.target_format is SourceFormat.FHIR_R4 and rules.resource_type not in RESOURCE_TYPES:
        raise lined.refusal(("resourceType",), f"{rules.resource_type!r} is no resource type of FHIR R4")


def _relation(
    group: RuleGroup, path: Path, lined: Lined, functions: Functions, tables: Tables, rules: RuleSet
) -> Relation:
    for name, field in group.source.items():
        if not name.isidentifier() or name.startswith("_"):
            raise lined.refusal(
                (*path, "source", name), "a field's name is letters, digits and underscores, and begins with a letter"
            )
        try:
            compile_path(field.path)
        except ConfigurationError as error:
            raise lined.refusal((*path, "source", name), error.message) from None
    try:
        plan = make_plan(group, functions, tables, strict=rules.options.strict_mode)
    except MistakeAt as error:
        raise lined.refusal((*path, *error.path), error.message) from None
    return Relation(FieldReader(group.source), plan)


def _path(group: ListGroup, path: Path, lined: Lined) -> SourcePath:
    try:
        return compile_path(group.each)
    except ConfigurationError as error:
        raise lined.refusal((*path, "each"), error.message) from None


def _assembly(rules: RuleSet, record: Relation, lists: list[ListRelation], lined: Lined) -> Assembly:
    fhir = rules.target_format in (SourceFormat.FHIR_R4, SourceFormat.FHIR_STU3, SourceFormat.FHIR_DSTU2)
    into = {one.id: group.into for one, group in zip(lists, rules.groups, strict=True)}
    try:
        return Assembly(
            rules.resource_type if fhir else None,
            _targets(record.plan),
            {one.id: ListTargets(into[one.id], _targets(one.plan)) for one in lists},
        )
    except ConfigurationError as error:
        raise lined.refusal(_misplaced(rules, record, lists), error.message) from None


def _misplaced(rules: RuleSet, record: Relation, lists: Sequence[ListRelation]) -> Path:
    """The target that makes the targets before it impossible together: of the record, then of each list."""
    found: dict[str, ListTargets] = {}
    for number, (one, group) in enumerate([(record, rules), *zip(lists, rules.groups, strict=True)]):
        path: Path = ("groups", number - 1) if number else ()
        for count in range(len(one.plan.targets) + 1):
            targets = dict(list(_targets(one.plan).items())[:count])
            if number:
                found[str(number)] = ListTargets(rules.groups[number - 1].into, targets)
            try:
                Assembly(None, _targets(record.plan) if number else targets, found)
            except ConfigurationError:
                if not count:
                    return (*path, "into")
                rule = one.plan.rules[one.plan.targets[count - 1].rules[0]].rule
                return (*path, "rules", group.rules.index(rule), "target")
    return ("resourceType",)


def _targets(plan: Plan) -> Targets:
    return {target_column(number): (target.path, target.type) for number, target in enumerate(plan.targets)}


def _hash(rules: RuleSet, tables: Tables) -> str:
    """Of the meaning: comments, order of members and spelling of YAML do not count."""
    said: dict[str, Any] = rules.model_dump(mode="json", by_alias=True)
    for words in ("owner", "description"):
        said.pop(words)
    named = sorted({name for group in (rules, *rules.groups) for name in _tables_of(group)})
    said["tables"] = {name: tables.get(name).content_hash for name in named}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _tables_of(group: RuleGroup) -> list[str]:
    found = [table for rule in group.rules if (table := getattr(rule, "table", None)) is not None]
    return found + [one.exists for one in group.validations if one.exists is not None]
