"""Judges a records batch against its suite; what comes out is counts, never a value, an id or a row (design.md §11).

Structural claims are answered by DuckDB in milliseconds; row-level claims by Great Expectations on narrow data frames.
Great Expectations costs seconds to import, so it and pandas are imported where they are used, never with the module.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pyarrow as pa

from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.quality import CheckOutcome
from holovitals_pipelines.quality.expectations import Column, DaysFromToday, Expectation
from holovitals_pipelines.quality.projection import Batches, body_as_text, connect, project, slices
from holovitals_pipelines.quality.suites import row_level_for, structural_for
from holovitals_pipelines.quality.thresholds import default_thresholds

FRAME_ROWS = 200_000
"""Rows judged by Great Expectations at a time; counts of the frames are added up."""


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    judged: int = 0
    unexpected: int = 0

    def outcome(self, claim: Expectation) -> CheckOutcome:
        return CheckOutcome(
            name=claim.name,
            expectation=claim.expectation_type,
            severity=claim.severity,
            blocking=claim.blocking,
            passed=self.unexpected <= claim.tolerance * self.judged,
            rows=self.rows,
            unexpected=self.unexpected,
            description=claim.description,
            holds_write_back=claim.holds_write_back,
        )


def run_structural(resource_type: str, batches: Batches) -> list[CheckOutcome]:
    """The blocking claims alone, without Great Expectations: ids present, ids unique, bodies of the type."""
    with connect() as connection:
        structure = _Structure(connection, resource_type)
        for piece in slices(batches):
            structure.add(piece)
        return structure.outcomes()


def run_suite(
    resource_type: str, batches: Batches, *, now: datetime | None = None, claims: Sequence[Expectation] | None = None
) -> list[CheckOutcome]:
    """Every claim of the type's suite, the structural ones first, in one pass over `batches`.

    `claims` are the row-level ones as an installation's thresholds have them; left out, as they are shipped. `now` is
    the clock of claims about the future (default: the wall clock). Raises HoloVitalsError
    (`quality.expectation_broken`) when an expectation itself cannot be evaluated: a fault of the suite, not the data.
    """
    if claims is None:
        names = {claim.name for claim in row_level_for(resource_type)}
        claims = [claim for claim in default_thresholds().reported("", resource_type) if claim.name in names]
    tallies = {claim.name: _Tally() for claim in claims}
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    with connect() as connection:
        structure = _Structure(connection, resource_type)
        columns = _distinct_columns(claims)

        def narrow() -> Iterator[pa.Table]:
            for piece in slices(batches):
                structure.add(piece)
                if columns:
                    yield project(connection, piece, columns)

        for frame in _frames(narrow()):
            for name, (rows, missing, unexpected) in _judge(frame, claims, today).items():
                tally = tallies[name]
                tally.rows += rows
                tally.judged += rows - missing
                tally.unexpected += unexpected
        return structure.outcomes() + [tallies[claim.name].outcome(claim) for claim in claims]


class _Structure:
    """The three structural claims, tallied slice by slice.

    Uniqueness holds across all slices: a 128-bit digest of every id stays in DuckDB, 16 bytes a record.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, resource_type: str) -> None:
        self._connection = connection
        self._resource_type = resource_type
        self._rows = self._without_id = self._not_of_type = 0
        connection.execute("CREATE OR REPLACE TEMP TABLE seen (id UHUGEINT NOT NULL)")

    def add(self, piece: pa.RecordBatch) -> None:
        self._connection.register("piece", piece)
        try:
            rows, without_id, not_of_type = self._fetch(
                f"""
                SELECT
                    count(*),
                    count(*) FILTER (remote_id IS NULL OR remote_id = ''),
                    count(*) FILTER (
                        try(json_extract_string({body_as_text(piece)}, '$.resourceType')) IS DISTINCT FROM $type
                    )
                FROM piece
                """,  # noqa: S608 - the only part put in is one of two constants
                {"type": self._resource_type},
            )
            self._connection.execute(
                "INSERT INTO seen SELECT md5_number(remote_id) FROM piece WHERE coalesce(remote_id, '') <> ''"
            )
        finally:
            self._connection.unregister("piece")
        self._rows += rows
        self._without_id += without_id
        self._not_of_type += not_of_type

    def outcomes(self) -> list[CheckOutcome]:
        (repeated,) = self._fetch(
            """
            SELECT coalesce(sum(times), 0)::BIGINT
            FROM (SELECT count(*) AS times FROM seen GROUP BY id HAVING times > 1)
            """
        )
        unexpected = {
            "ids_are_present": self._without_id,
            "ids_are_unique": repeated,
            "bodies_are_of_the_type": self._not_of_type,
        }
        return [
            _Tally(self._rows, self._rows, unexpected[claim.name]).outcome(claim)
            for claim in structural_for(self._resource_type)
        ]

    def _fetch(self, sql: str, parameters: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        (row,) = self._connection.execute(sql, parameters).fetchall()
        return tuple(row)


def _distinct_columns(claims: Sequence[Expectation]) -> list[Column]:
    return list(dict.fromkeys(column for claim in claims for column in claim.columns))


def _frames(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The narrow pieces gathered into frames, so that a frame's fixed cost (0.1 s) is paid once in FRAME_ROWS rows."""
    gathered: list[pa.Table] = []
    rows = 0
    for piece in pieces:
        gathered.append(piece)
        rows += piece.num_rows
        if rows >= FRAME_ROWS:
            yield pa.concat_tables(gathered)
            gathered, rows = [], 0
    if rows:
        yield pa.concat_tables(gathered)


def _judge(frame: pa.Table, claims: Sequence[Expectation], today: date) -> dict[str, tuple[int, int, int]]:
    """(rows, missing, unexpected) by claim, from one ephemeral Great Expectations context.

    `exclude_unexpected_values` keeps the values out of the results; nothing but the counts is read from them.
    """
    with _without_unused():
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        ),
    )
    asset = context.data_sources.add_pandas("records").add_dataframe_asset("batch")
    batch = asset.add_batch_definition_whole_dataframe("frame").get_batch({"dataframe": frame.to_pandas()})
    suite = gx.ExpectationSuite("suite", expectations=[_built(gx.expectations, claim, today) for claim in claims])
    verdict = batch.validate(
        suite,
        result_format={"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True},
    )
    counts = {}
    for result in verdict.results:
        configuration = result.expectation_config
        assert configuration is not None
        name = (configuration.meta or {})["claim"]
        if "unexpected_count" not in result.result:
            raise HoloVitalsError(
                f"the expectation {configuration.type} could not be evaluated",
                code="quality.expectation_broken",
                place=f"claim {name}",
                remedy="compare the claim's column and arguments in quality/suites.py with the expectation's own",
            )
        missing = result.result.get("missing_count", 0)
        counts[name] = (frame.num_rows, missing, result.result["unexpected_count"])
    return counts


_UNUSED = ("rfc3987_syntax", "boto3", "botocore")
"""What Great Expectations imports if it is there and nobody asks for here. A check of IRIs, by way of jsonschema, that
compiles a grammar at each import: 1.6 of the 4 seconds that Great Expectations takes. A client of AWS: 0.5."""


@contextmanager
def _without_unused() -> Iterator[None]:
    absent = [name for name in _UNUSED if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way of saying that there is no such module
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _built(expectations: Any, claim: Expectation, today: date) -> Any:
    columns = {"column": claim.column.name}
    if claim.beside is not None:
        columns = {"column_A": claim.column.name, "column_B": claim.beside.name}
    args = {name: _resolved(value, today) for name, value in claim.args.items()}
    return getattr(expectations, claim.expectation_type)(**columns, **args, meta={"claim": claim.name})


def _resolved(value: Any, today: date) -> Any:
    if isinstance(value, DaysFromToday):
        return float((today - date(1970, 1, 1)).days + value.days)
    return list(value) if isinstance(value, tuple) else value
