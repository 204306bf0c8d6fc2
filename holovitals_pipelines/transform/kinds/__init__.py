"""The nine kinds of rules, a module each: what a rule of the kind means for one row and for a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holovitals_pipelines.model.vocabulary import RuleType
from holovitals_pipelines.transform.kinds import (
    calculation,
    concatenation,
    conditional,
    custom_function,
    data_type_conversion,
    field_mapping,
    lookup,
    split,
    value_mapping,
)
from holovitals_pipelines.transform.kinds.prepared import Names, Prepared
from holovitals_pipelines.transform.rule_set import Rule

_PREPARE: dict[RuleType, Callable[[Any, Names], Prepared]] = {
    RuleType.FIELD_MAPPING: field_mapping.prepare,
    RuleType.VALUE_MAPPING: value_mapping.prepare,
    RuleType.DATA_TYPE_CONVERSION: data_type_conversion.prepare,
    RuleType.CONCATENATION: concatenation.prepare,
    RuleType.SPLIT: split.prepare,
    RuleType.CALCULATION: calculation.prepare,
    RuleType.CONDITIONAL: conditional.prepare,
    RuleType.LOOKUP: lookup.prepare,
    RuleType.CUSTOM_FUNCTION: custom_function.prepare,
}


def prepare(rule: Rule, names: Names) -> Prepared:
    """The rule, typed. Raises RuleMistake, or ConfigurationError of what the rule refers to."""
    return _PREPARE[rule.type](rule, names)
