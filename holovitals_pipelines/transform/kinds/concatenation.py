"""CONCATENATION: texts joined."""

from __future__ import annotations

from holovitals_pipelines.transform.columns import ColumnType, Row
from holovitals_pipelines.transform.kinds.prepared import Made, Names, Prepared, Sql, literal, quoted
from holovitals_pipelines.transform.rule_set import Concatenation
from holovitals_pipelines.transform.texts import TEXTUAL, text_sql, to_text


def prepare(rule: Concatenation, names: Names) -> Prepared:
    kinds = [names.need(name, TEXTUAL) for name in rule.source]
    texts = [to_text(kind) for kind in kinds]
    parts = list(zip(rule.source, texts, strict=True))
    separator, skip_null = rule.separator, rule.skip_null

    def record(row: Row) -> Made:
        found = [text(value) for name, text in parts if (value := row[name]) is not None]
        whole = found and (skip_null or len(found) == len(parts))
        return ((separator.join(found) if whole else None),), None

    columns = [text_sql(kind, quoted(name)) for kind, name in zip(kinds, rule.source, strict=True)]
    joined = f"concat_ws({literal(separator)}, {', '.join(columns)})"
    missing = " and " if skip_null else " or "
    absent = missing.join(f"{quoted(name)} is null" for name in rule.source)
    return Prepared(
        (ColumnType.STRING,),
        record,
        Sql((f"case when {absent} then null else {joined} end",)),
        frozenset(rule.source),
    )
