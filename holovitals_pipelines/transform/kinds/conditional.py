"""CONDITIONAL: the first case that holds."""

from __future__ import annotations

from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.expressions import Expression, parse_expression
from holovitals_pipelines.transform.expressions.tree import Choice, Constant, Node
from holovitals_pipelines.transform.kinds.computed import computed
from holovitals_pipelines.transform.kinds.prepared import Names, Prepared, RuleMistake
from holovitals_pipelines.transform.rule_set import Conditional


def prepare(rule: Conditional, names: Names) -> Prepared:
    conditions = [parse_expression(case.when, names.types) for case in rule.cases]
    values = [parse_expression(case.then, names.types) for case in rule.cases]
    otherwise = parse_expression(rule.otherwise, names.types) if rule.otherwise is not None else None
    for condition in conditions:
        if condition.type is not ColumnType.BOOLEAN:
            raise RuleMistake("cases", f"{condition.text!r} is a {condition.type}; a case holds or it does not")
    parts = [*values, *([otherwise] if otherwise is not None else [])]
    kind = parts[0].type
    for part in parts:
        if part.type is not kind:
            raise RuleMistake("cases", f"{part.text!r} is a {part.type}, the first value a {kind}; make them alike")
    root: Node = otherwise.root if otherwise is not None else Constant(kind, None)
    for condition, value in reversed(list(zip(conditions, values, strict=True))):
        root = Choice(kind, condition.root, value.root, root)
    read = frozenset[str]().union(*(one.names for one in (*conditions, *parts)))
    return computed(Expression("", root, read))
