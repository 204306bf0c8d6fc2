"""CALCULATION: an expression's value."""

from __future__ import annotations

from holovitals_pipelines.transform.expressions import parse_expression
from holovitals_pipelines.transform.kinds.computed import computed
from holovitals_pipelines.transform.kinds.prepared import Names, Prepared
from holovitals_pipelines.transform.rule_set import Calculation


def prepare(rule: Calculation, names: Names) -> Prepared:
    return computed(parse_expression(rule.expr, names.types))
