"""Rule sets as data: the JSON Schema by which editors check and complete them, and what two of them say differently.

Law: the schema is made from the rule model, and no list of members is kept beside it; the model has the last word.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from holovitals_pipelines.transform import rule_set
from holovitals_pipelines.transform.rule_set import RuleGroup, RuleSet

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SHORT_FORMS = {
    "DataTypeConversion": ("format",),
    "CustomFunction": ("source",),
}
"""Members that take one text for a list of one."""


def rule_set_schema() -> dict[str, Any]:
    """The schema of one rule-set file, its members spelled as files spell them."""
    schema = RuleSet.model_json_schema(by_alias=True)
    models: dict[str, Any] = schema["$defs"]
    for name, one in (("RuleSet", schema), *models.items()):
        model = getattr(rule_set, name, None)
        if inspect.isclass(model) and issubclass(model, BaseModel):
            _describe(one, model)
    for name in ("RuleSet", "ListGroup"):
        fields = (schema if name == "RuleSet" else models[name])["properties"]["source"]
        fields["additionalProperties"] = _or_text(fields["additionalProperties"])
    for name, members in _SHORT_FORMS.items():
        for member in members:
            properties = models[name]["properties"]
            properties[member] = _or_text(properties[member])
    models["ColumnType"]["description"] = "What a field or a rule's value is."
    return {"$schema": _DIALECT, **_without_titles(schema), "title": "HoloVitals rule set"}


def _or_text(schema: dict[str, Any]) -> dict[str, Any]:
    """The description stays outside, where editors look for it."""
    outside: dict[str, Any] = {name: schema[name] for name in ("description", "default") if name in schema}
    inside = {name: value for name, value in schema.items() if name not in outside}
    return {"anyOf": [{"type": "string"}, inside], **outside}


def _describe(schema: dict[str, Any], model: type[BaseModel]) -> None:
    if "description" in schema:
        schema["description"] = _for_readers(schema["description"])
    texts = _texts(model)
    for name, field in model.model_fields.items():
        if name in texts:
            member = schema["properties"][field.validation_alias or field.alias or name]
            member["description"] = _for_readers(texts[name])


def _texts(model: type[BaseModel]) -> dict[str, str]:
    """By field, the text that stands below it in the source, of this model and of those it extends."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if part.__module__ != rule_set.__name__:
            continue
        [written] = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        assert isinstance(written, ast.ClassDef)
        for one, below in pairwise(written.body):
            if (
                isinstance(one, ast.AnnAssign)
                and isinstance(one.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                found[one.target.id] = inspect.cleandoc(below.value.value)
    return found


def _for_readers(text: str) -> str:
    """As who writes rules knows things: members by their names in files, and no modules."""
    text = re.sub(r" \(transform/\w+\.py\)", "", text)
    return re.sub(r"`([a-z]+(?:_[a-z]+)+)`", lambda found: f"`{to_camel(found[1])}`", text)


def _without_titles(schema: Any) -> Any:
    """Titles repeat the names; a member that is called title stays."""
    if isinstance(schema, list):
        return [_without_titles(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _without_titles(value)
        for name, value in schema.items()
        if not (name == "title" and isinstance(value, str))
    }


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a rule (or of another part) that is not the same; None where it is not there."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Change:
    kind: str
    """`added`, `removed` or `changed`."""
    place: str
    """`rules.<id>`, `source.<field>`, `validate.<target>`, after `groups.<id>.` in a group; `options`, `rule set`."""
    members: tuple[Member, ...] = ()


def compare_rules(old: RuleSet, new: RuleSet) -> list[Change]:
    """What is not the same in two rule sets, by rule id; what is merely written otherwise is the same."""
    before, after = _parts(old), _parts(new)
    changes = []
    for place in {**before, **after}:
        if place not in after:
            changes.append(Change("removed", place))
        elif place not in before:
            changes.append(Change("added", place))
        elif members := _members(before[place], after[place]):
            changes.append(Change("changed", place, members))
    return changes + _moved(old, new)


def _parts(rules: RuleSet) -> dict[str, dict[str, Any]]:
    """Everything a rule set says, by place."""
    said: dict[str, Any] = rules.model_dump(mode="json", by_alias=True)
    groups: list[dict[str, Any]] = said.pop("groups")
    found: dict[str, dict[str, Any]] = {"options": said.pop("options")}
    _add_group(found, "", said)
    for group in groups:
        prefix = f"groups.{group.pop('id')}"
        _add_group(found, f"{prefix}.", group)
        found[prefix] = group
    return {"rule set": said, **found}


def _add_group(found: dict[str, dict[str, Any]], prefix: str, group: dict[str, Any]) -> None:
    """Takes the group's fields, rules and validations out of it."""
    for name, field in group.pop("source").items():
        found[f"{prefix}source.{name}"] = field
    for part, key in (("rules", "id"), ("validate", "target")):
        for one in group.pop(part):
            name = f"{prefix}{part}.{one[key]}"
            again = sum(1 for known in found if known == name or known.startswith(f"{name} ("))
            found[f"{name} ({again + 1})" if again else name] = one


def _members(old: dict[str, Any], new: dict[str, Any]) -> tuple[Member, ...]:
    names = {**old, **new}
    changed = (Member(name, old.get(name), new.get(name)) for name in names)
    return tuple(one for one in changed if one.old != one.new)


def _moved(old: RuleSet, new: RuleSet) -> list[Change]:
    """Rules of equal priority are asked in the order they are written."""
    pairs: list[tuple[str, RuleGroup, RuleGroup]] = [("", old, new)]
    others = {group.id: group for group in new.groups}
    pairs += [(f"groups.{group.id}.", group, others[group.id]) for group in old.groups if group.id in others]
    changes = []
    for prefix, one, other in pairs:
        ids, new_ids = [rule.id for rule in one.rules], [rule.id for rule in other.rules]
        kept, now = [name for name in ids if name in new_ids], [name for name in new_ids if name in ids]
        if kept != now:
            changes.append(Change("changed", f"{prefix}rules", (Member("order", kept, now),)))
    return changes
