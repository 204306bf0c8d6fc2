"""What an expression makes: the common part of the rules that are written as expressions."""

from __future__ import annotations

from holovitals_pipelines.transform.columns import Row
from holovitals_pipelines.transform.expressions import EXPRESSION_CODES, Expression, compile_record, compile_sql
from holovitals_pipelines.transform.kinds.prepared import Made, Prepared, Sql, quoted


def computed(expression: Expression) -> Prepared:
    evaluate = compile_record(expression)
    text = compile_sql(expression, quoted)
    failed = text.failed

    def record(row: Row) -> Made:
        value, code = evaluate(row)
        return (value,), code

    # Beside the value, of which DuckDB then computes what both share once.
    sql = Sql((text.value,)) if failed is None else Sql((text.value, failed), lambda made: made[1])
    return Prepared(
        (expression.type,),
        record,
        sql,
        expression.names,
        tuple(map(str, EXPRESSION_CODES)) if failed is not None else (),
    )
