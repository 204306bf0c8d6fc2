"""CUSTOM_FUNCTION: a registered function, typed, versioned and time-boxed."""

from __future__ import annotations

from holovitals_pipelines.transform.columns import Row
from holovitals_pipelines.transform.functions import Function
from holovitals_pipelines.transform.kinds.prepared import Batch, Made, Names, Prepared, RuleMistake, Sql, quoted
from holovitals_pipelines.transform.rule_set import CustomFunction


def prepare(rule: CustomFunction, names: Names) -> Prepared:
    function = names.functions.get(rule.function)
    sources = rule.source
    wanted = function.argument_types(len(sources))
    if wanted is None:
        raise RuleMistake("source", f"{rule.function} does not take {len(sources)} values")
    for name, kind in zip(sources, wanted, strict=True):
        names.need(name, (kind,))
    batch = _sql(function, sources)

    def record(row: Row) -> Made:
        values, codes = function.over_rows([[row[name]] for name in sources])
        return values, codes[0]

    return Prepared(
        (function.returns,),
        record,
        batch or Batch(sources, function.over_rows),
        frozenset(sources),
        function.codes if batch is not None else function.failures,
    )


def _sql(function: Function, sources: tuple[str, ...]) -> Sql | None:
    """The function's twin in SQL, where it has one."""
    arguments = [quoted(name) for name in sources]
    value, code = function.value_sql(arguments), function.code_sql(arguments)
    if value is None:
        return None
    return Sql((value,), (lambda made: code) if code is not None else None)
