"""LOOKUP: a value from a versioned table with unique keys."""

from __future__ import annotations

from holovitals_pipelines.transform.columns import ColumnType, Row
from holovitals_pipelines.transform.kinds.prepared import Join, Made, Names, Prepared, RuleMistake, Sql, quoted
from holovitals_pipelines.transform.rule_set import Lookup

NOT_IN_TABLE = "not_in_table"


def prepare(rule: Lookup, names: Names) -> Prepared:
    names.need(rule.source, (ColumnType.STRING,))
    table = names.tables.get(rule.table)
    if rule.value not in table.columns:
        raise RuleMistake("value", f"table {rule.table} has no column {rule.value!r}")
    found = {row[table.key]: row[rule.value] for row in table.rows}
    name, passes = rule.source, rule.on_missing == "pass"
    failure = NOT_IN_TABLE if rule.on_missing == "error" else None

    def record(row: Row) -> Made:
        key = row[name]
        if key is None:
            return (None,), None
        if key in found:
            return (found[key] or None,), None
        return ((key if passes else None),), failure

    join = Join(f"lookup {rule.id}", rule.table, (table.key, rule.value), name)
    source, key = quoted(name), quoted(join.column_of(table.key))
    value = f"nullif({quoted(join.column_of(rule.value))}, '')"
    if passes:
        value = f"case when {key} is null then {source} else {value} end"
    return Prepared(
        (ColumnType.STRING,),
        record,
        Sql(
            (value, f"{source} is not null and {key} is null"),
            (lambda made: f"case when {made[1]} then '{NOT_IN_TABLE}' end") if failure else None,
            (join,),
        ),
        frozenset({name}),
        (NOT_IN_TABLE,) if failure else (),
    )
