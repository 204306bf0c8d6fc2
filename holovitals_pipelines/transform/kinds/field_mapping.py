"""FIELD_MAPPING: the source's value as it is."""

from __future__ import annotations

from operator import itemgetter

from holovitals_pipelines.transform.columns import Row
from holovitals_pipelines.transform.kinds.prepared import Made, Names, Prepared, Sql, quoted
from holovitals_pipelines.transform.rule_set import FieldMapping


def prepare(rule: FieldMapping, names: Names) -> Prepared:
    kind = names.type_of(rule.source)
    take = itemgetter(rule.source)

    def record(row: Row) -> Made:
        return (take(row),), None

    return Prepared((kind,), record, Sql((quoted(rule.source),)), frozenset({rule.source}))
