"""A plan carried out over a batch of rows in DuckDB, with Python for what SQL cannot say."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.transform.kinds.prepared import quoted
from holovitals_pipelines.transform.plan import Plan
from holovitals_pipelines.transform.sql_back_end import (
    INPUT,
    PROBLEMS,
    ROW,
    BatchStage,
    SqlStage,
    Stage,
    compile_stages,
)
from holovitals_pipelines.transform.tables import Tables

ROWS = 100_000
"""Rows that are carried through all stages together: more would only take more memory."""
CHUNK = 10_000
"""Rows of an Arrow chunk, which is what DuckDB's threads share the work by."""


class RuleBatches:
    """One plan in one DuckDB; lookup tables are read in once."""

    def __init__(self, analysis: Analysis, plan: Plan, tables: Tables) -> None:
        self._analysis = analysis
        self._stages = compile_stages(plan)
        for name in dict.fromkeys(
            name for stage in self._stages if isinstance(stage, SqlStage) for name in stage.tables
        ):
            statement = f"create or replace temp table {quoted(name)} as select * from arrow"  # noqa: S608 quoted
            analysis.insert(statement, tables.get(name).to_arrow())

    def run(self, rows: pa.Table) -> pa.Table:
        """`rows` has `_row`, the plan's source fields and, where reading found something, `_problems`.

        Answers, in the order of `_row`: `_row`, a column for each target (`target_column`), `_errors`, `_rejected`.
        """
        if PROBLEMS not in rows.schema.names:
            rows = rows.append_column(PROBLEMS, _empty_lists(rows.num_rows))
        done = [_carried_out(self._analysis, self._stages, rows.slice(start, ROWS))
                for start in range(0, max(rows.num_rows, 1), ROWS)]  # fmt: skip
        return pa.concat_tables(done).sort_by(ROW)


def _empty_lists(count: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count + 1), pa.array([], pa.int32()))


def _carried_out(analysis: Analysis, stages: Sequence[Stage], rows: pa.Table) -> pa.Table:
    for stage in stages:
        rows = _queried(analysis, stage, rows) if isinstance(stage, SqlStage) else _computed(stage, rows)
    return rows


def _queried(analysis: Analysis, stage: SqlStage, rows: pa.Table) -> pa.Table:
    chunks = rows.to_batches(max_chunksize=CHUNK)
    return analysis.query(stage.text, INPUT, pa.Table.from_batches(chunks, rows.schema))


def _computed(stage: BatchStage, rows: pa.Table) -> pa.Table:
    values, codes = stage.run([rows.column(name).to_pylist() for name in stage.reads])
    rows = rows.append_column(stage.value, pa.array(values, stage.type))
    return rows.append_column(stage.code, pa.array(codes, pa.string()))
