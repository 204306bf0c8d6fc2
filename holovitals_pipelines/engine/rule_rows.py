"""The rules of a rule set as rows of the operational store, for whoever looks into it with SQL.

Law: rows are made of the rule set and nothing else, and nothing is read back from them: its text is what counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from holovitals_pipelines.transform.reading import Relation, RuleSetReady
from holovitals_pipelines.transform.rule_set import ListGroup, Rule, RuleGroup, Split

Row = dict[str, Any]


def rows_of(ready: RuleSetReady) -> tuple[list[Row], list[Row]]:
    """Rows of `transformation_rule`, and those of `field_mapping`; the same rule set makes the same keys."""
    rules: list[Row] = []
    mappings: list[Row] = []
    for group, relation in _groups(ready):
        for rule in group.rules:
            row = _rule_row(ready, group, rule, len(rules) + 1)
            rules.append(row)
            mappings += _mapping_rows(row["rule_id"], group, relation, rule)
    return rules, mappings


def _groups(ready: RuleSetReady) -> Iterator[tuple[RuleGroup, Relation]]:
    yield ready.rules, ready.record
    yield from zip(ready.rules.groups, ready.lists, strict=True)


def _rule_row(ready: RuleSetReady, group: RuleGroup, rule: Rule, position: int) -> Row:
    rules = ready.rules
    name = f"{group.id}.{rule.id}" if isinstance(group, ListGroup) else rule.id
    return {
        "rule_id": _key(f"{ready.name}/{name}"),
        "rule_set": rules.rule_set,
        "rule_set_version": rules.version,
        "name": name,
        "type": rule.type.value,
        "provider": rules.provider.value,
        "resource_type": rules.resource_type,
        "direction": rules.direction.value,
        "source_format": rules.source_format.value,
        "target_format": rules.target_format.value,
        "priority": rule.priority,
        "position": position,
        "enabled": rule.enabled,
        "definition": rule.model_dump(mode="json", by_alias=True),
    }


def _mapping_rows(rule_id: str, group: RuleGroup, relation: Relation, rule: Rule) -> Iterator[Row]:
    each, into = (f"{group.each}: ", f"{group.into}[].") if isinstance(group, ListGroup) else ("", "")
    read = dict.fromkeys(f"{each}{group.source[name].path}" for name in _fields(group, relation, rule))
    made = dict.fromkeys(rule.target if isinstance(rule, Split) else (rule.target,))
    for source in read or (None,):
        for target in made:
            if target is None:
                continue  # a part of a split that is not wanted
            yield {
                "mapping_id": _key(f"{rule_id}/{source}/{target}"),
                "rule_id": rule_id,
                "source_field": source,
                "target_field": f"{into}{target}",
                "required": rule.required,
                "default_value": None if isinstance(rule, Split) else rule.default_value,
            }


def _fields(group: RuleGroup, relation: Relation, rule: Rule) -> list[str]:
    """The fields its value and its condition rest on, through other rules too, as they are written in the group.

    A rule that is not enabled is in no plan: of that one the fields it names.
    """
    planned = next((one.fields for one in relation.plan.rules if one.rule.id == rule.id), None)
    if planned is None:
        named = getattr(rule, "source", ())
        planned = frozenset([named] if isinstance(named, str) else named)
    return [name for name in group.source if name in planned]


def _key(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"urn:holovitals:rule:{name}"))
