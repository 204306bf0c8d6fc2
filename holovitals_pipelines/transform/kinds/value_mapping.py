"""VALUE_MAPPING: one code for another."""

from __future__ import annotations

from holovitals_pipelines.transform.columns import ColumnType, Row
from holovitals_pipelines.transform.kinds.prepared import Made, Names, Prepared, RuleMistake, Sql, literal, quoted
from holovitals_pipelines.transform.letter_case import ascii_lower, ascii_lower_sql
from holovitals_pipelines.transform.rule_set import ValueMapping

NOT_IN_MAP = "not_in_map"


def prepare(rule: ValueMapping, names: Names) -> Prepared:
    names.need(rule.source, (ColumnType.STRING,))
    known = {ascii_lower(key) if rule.ignore_case else key: value for key, value in rule.map.items()}
    if len(known) < len(rule.map):
        raise RuleMistake("map", "two keys are the same when letter case is ignored")
    codes = (NOT_IN_MAP,) if rule.on_missing == "error" else ()
    failure = NOT_IN_MAP if rule.on_missing == "error" else None
    passes, ignore_case, name = rule.on_missing == "pass", rule.ignore_case, rule.source

    def record(row: Row) -> Made:
        value = row[name]
        if value is None:
            return (None,), None
        found = known.get(ascii_lower(value) if ignore_case else value)
        if found is None:
            return ((value if passes else None),), failure
        return (found,), None

    return Prepared((ColumnType.STRING,), record, _sql(rule, known), frozenset({name}), codes)


def _sql(rule: ValueMapping, known: dict[str, str]) -> Sql:
    source = quoted(rule.source)
    compared = ascii_lower_sql(source) if rule.ignore_case else source
    whens = " ".join(f"when {literal(key)} then {literal(value)}" for key, value in known.items())
    value = f"case {compared} {whens} {f'else {source} ' if rule.on_missing == 'pass' else ''}end"
    if rule.on_missing != "error":
        return Sql((value,))
    return Sql((value,), lambda made: f"case when {source} is not null and {made[0]} is null then '{NOT_IN_MAP}' end")
