"""SPLIT: a text taken apart."""

from __future__ import annotations

from holovitals_pipelines.transform.columns import ColumnType, Row
from holovitals_pipelines.transform.kinds.prepared import Made, Names, Prepared, Sql, literal, quoted
from holovitals_pipelines.transform.rule_set import Split
from holovitals_pipelines.transform.texts import trimmed, trimmed_sql

PARTS = "number_of_parts"


def prepare(rule: Split, names: Names) -> Prepared:
    names.need(rule.source, (ColumnType.STRING,))
    wanted = [index for index, target in enumerate(rule.target) if target is not None]
    count, separator, name = len(rule.target), rule.separator, rule.source
    exactly, trim = rule.exactly, rule.trim
    nothing = (None,) * len(wanted)

    def record(row: Row) -> Made:
        text = row[name]
        if text is None:
            return nothing, None
        parts = text.split(separator) if exactly else text.split(separator, count - 1)
        if exactly and len(parts) != count:
            return nothing, PARTS
        parts = [trimmed(part) if trim else part for part in parts] + [""] * (count - len(parts))
        return [parts[index] or None for index in wanted], None

    return Prepared(
        (ColumnType.STRING,) * len(wanted), record, _sql(rule, wanted), frozenset({name}), (PARTS,) if exactly else ()
    )


def _sql(rule: Split, wanted: list[int]) -> Sql:
    source, separator, count = quoted(rule.source), literal(rule.separator), len(rule.target)
    parts = f"string_split({source}, {separator})"
    values = []
    for index in wanted:
        part = f"{parts}[{index + 1}]"
        if not rule.exactly and index == count - 1:
            part = f"nullif(array_to_string({parts}[{count}:], {separator}), '')"
        value = f"nullif({trimmed_sql(part) if rule.trim else part}, '')"
        values.append(f"case when len({parts}) = {count} then {value} end" if rule.exactly else value)
    if not rule.exactly:
        return Sql(tuple(values))
    return Sql(
        tuple(values),
        lambda made: f"case when {source} is not null and len({parts}) <> {count} then '{PARTS}' end",
    )
