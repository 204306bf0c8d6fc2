"""The expression language of rules: parsed and typed once, then compiled for one row or for a batch."""

from holovitals_pipelines.transform.expressions.decimals import Failure
from holovitals_pipelines.transform.expressions.errors import ExpressionError
from holovitals_pipelines.transform.expressions.functions import FUNCTIONS, Function
from holovitals_pipelines.transform.expressions.parse import parse_expression
from holovitals_pipelines.transform.expressions.patterns import check_pattern
from holovitals_pipelines.transform.expressions.record import Outcome, compile_record
from holovitals_pipelines.transform.expressions.sql import SqlExpression, compile_sql
from holovitals_pipelines.transform.expressions.tree import Expression

EXPRESSION_CODES = tuple(Failure)
"""What an expression can fail with."""

__all__ = [
    "EXPRESSION_CODES",
    "FUNCTIONS",
    "Expression",
    "ExpressionError",
    "Failure",
    "Function",
    "Outcome",
    "SqlExpression",
    "check_pattern",
    "compile_record",
    "compile_sql",
    "parse_expression",
]
