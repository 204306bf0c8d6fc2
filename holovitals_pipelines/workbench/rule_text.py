"""One rule of a rule set as text: cut out of the YAML, and put back with everything around it as it was written.

Law: comments, order and spelling of all other lines stay as they are.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import yaml

from holovitals_pipelines.model.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Span:
    """Where a part stands in the text, and how far its first line is indented."""

    start: int
    end: int
    column: int


def rule_text(text: str, name: str) -> str:
    """The rule as it is written, for a cell to edit. Raises ConfigurationError naming the rules there are."""
    span = _rule(text, name)
    return textwrap.dedent(" " * span.column + text[span.start : span.end])


def with_rule(text: str, name: str, rule: str) -> str:
    """The rule set with this rule in place of the one of that name; as a list item (`- {…}`) or without the dash."""
    span = _rule(text, name)
    lines = _undashed(textwrap.dedent(rule).strip()).splitlines()
    written = ("\n" + " " * span.column).join(lines)
    return text[: span.start] + written + text[span.end :]


def with_version(text: str, version: str) -> str:
    [span] = [_span(value) for key, value in _members(_root(text)) if key == "version"]
    return text[: span.start] + version + text[span.end :]


def _undashed(rule: str) -> str:
    if not rule.startswith("- "):
        return rule
    return textwrap.dedent("  " + rule.removeprefix("- "))


def _rule(text: str, name: str) -> Span:
    rules = _rules(_root(text))
    if name not in rules:
        raise ConfigurationError(
            f"there is no rule {name!r} (there are: {', '.join(rules)})",
            code="rules.no_rule",
            place="the rule set",
            remedy="name one of those; rules of a group after the group's id and a point",
        )
    return _span(rules[name])


def _root(text: str) -> yaml.Node | None:
    return yaml.compose(text, yaml.BaseLoader)


def _rules(root: yaml.Node | None) -> dict[str, yaml.Node]:
    """By the name that errors give them: the id, after its group's id and a point."""
    found: dict[str, yaml.Node] = {}
    for key, value in _members(root):
        if key == "rules":
            found |= {_id(rule): rule for rule in _items(value)}
        elif key == "groups":
            for group in _items(value):
                found |= {f"{_id(group)}.{name}": rule for name, rule in _rules(group).items()}
    return found


def _members(node: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    return [(key.value, value) for key, value in node.value] if isinstance(node, yaml.MappingNode) else []


def _items(node: yaml.Node) -> list[yaml.Node]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _id(node: yaml.Node) -> str:
    return next((str(value.value) for key, value in _members(node) if key == "id"), "")


def _span(node: yaml.Node) -> Span:
    return Span(node.start_mark.index, _end(node), node.start_mark.column)


def _end(node: yaml.Node) -> int:
    """Where its last value ends: a block itself ends where the next thing begins, after blank lines and comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)
