"""How probable it is that two Patient records are one person: Splink's Fellegi–Sunter model on DuckDB.

Law: what it says is proposed to people and joins nothing; the same records give the same scores, and nothing leaves
this machine.

The probabilities below are engineering input, not estimates: a single installation is too small and too uneven for
Splink's expectation maximisation to find them (with a few hundred records it does not converge, and what it finds
depends on the blocking). `m`: how often the records of one person are so alike; `u`: how often two persons' are by
chance. How frequent a name is counts beside them. docs/identity.md has the measured effect.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import duckdb
    from splink import SettingsCreator

FEWEST = 10_000
"""A smaller installation is taken for a part of one of this size: else chance would count for too little."""

FREQUENCY_FROM = 1_000
"""Of fewer records one cannot tell how frequent a name is: two Okafors of three would make it the commonest of all."""


class PatientRow(NamedTuple):
    """One record, normalised (sync/identity/demographics.py). Health data: it stays in this process."""

    unique_id: str
    person: str
    family: str | None
    given: str | None
    former: str | None
    birth_date: str | None
    gender: str | None
    phone: str | None
    street: str | None
    postal_code: str | None


def probable_pairs(
    rows: Sequence[PatientRow], threshold: float, *, scratch: Path, memory: str
) -> list[tuple[str, str, float]]:
    """(record, record, probability) of records of two persons that are one at least so probably, by record ids."""
    if len(rows) < 2:
        return []
    from splink import DuckDBAPI, Linker  # a second of CPU

    with _database(scratch, memory) as connection, _silent():
        _load(connection, rows)
        api = DuckDBAPI(connection)
        patients = api.register("patients")
        linker = Linker(patients, _model(len(rows)), log_level=None)
        found = linker.inference.predict(threshold_match_probability=threshold, warning_mode="never")
        relation = found.as_duckdbpyrelation()
        pairs = relation.project("unique_id_l, unique_id_r, match_probability").fetchall()
    return sorted((min(one, other), max(one, other), round(float(score), 6)) for one, other, score in pairs)


def _model(records: int) -> SettingsCreator:
    import splink.comparison_level_library as levels
    import splink.comparison_library as comparisons
    from splink import SettingsCreator

    def level(sql: str, m: float, u: float, label: str) -> Any:
        return levels.CustomLevel(sql, label_for_charts=label).configure(m_probability=m, u_probability=u)

    def same(column: str, m: float, u: float, *, by_frequency: bool = False) -> Any:
        made = levels.ExactMatchLevel(column, term_frequency_adjustments=by_frequency)
        return made.configure(m_probability=m, u_probability=u)

    def otherwise(m: float, u: float) -> Any:
        return levels.ElseLevel().configure(m_probability=m, u_probability=u)

    def comparison(column: str, *graded: Any) -> Any:
        return comparisons.CustomComparison([levels.NullLevel(column), *graded], output_column_name=column)

    frequent = records >= FREQUENCY_FROM
    similar = "jaro_winkler_similarity({0}_l, {0}_r) >= 0.9 or damerau_levenshtein({0}_l, {0}_r) <= 1"
    begins = "starts_with(given_l, given_r) or starts_with(given_r, given_l)"
    turned = (
        "(length(birth_date_l) = 10 and birth_date_l = left(birth_date_r, 4) || '-' || right(birth_date_r, 2) || '-' "
        "|| substr(birth_date_r, 6, 2)) or damerau_levenshtein(birth_date_l, birth_date_r) <= 1"
    )
    return SettingsCreator(
        link_type="dedupe_only",
        probability_two_random_records_match=1 / max(records, FEWEST),
        comparisons=[
            comparison(
                "family",
                same("family", 0.88, 0.006, by_frequency=frequent),
                level("family_l = former_r or former_l = family_r", 0.03, 0.0005, "a former name"),
                level(similar.format("family"), 0.05, 0.006, "similar"),
                otherwise(0.04, 0.9875),
            ),
            comparison(
                "given",
                same("given", 0.86, 0.008, by_frequency=frequent),
                level(begins, 0.05, 0.006, "one begins with the other"),
                level(similar.format("given"), 0.04, 0.012, "similar"),
                otherwise(0.05, 0.974),
            ),
            comparison(
                "birth_date",
                same("birth_date", 0.93, 0.00004),
                level(turned, 0.05, 0.0015, "turned, or one slip"),
                otherwise(0.02, 0.99846),
            ),
            comparison("gender", same("gender", 0.99, 0.5), otherwise(0.01, 0.5)),
            comparison("phone", same("phone", 0.7, 0.0001), otherwise(0.3, 0.9999)),
            comparison("street", same("street", 0.7, 0.0003), otherwise(0.3, 0.9997)),
            comparison("postal_code", same("postal_code", 0.85, 0.05), otherwise(0.15, 0.95)),
        ],
        blocking_rules_to_generate_predictions=_blocking(),
        retain_matching_columns=False,
    )


def _blocking() -> list[Any]:
    """Which pairs are compared at all; of one person nobody asks any more."""
    from splink.blocking_rule_library import CustomRule

    other = "l.person <> r.person"
    return [
        CustomRule(f"l.birth_date = r.birth_date and l.given = r.given and {other}"),
        CustomRule(f"l.birth_date = r.birth_date and left(l.family, 1) = left(r.family, 1) and {other}"),
        CustomRule(
            f"l.family = r.family and l.given = r.given and left(l.birth_date, 3) = left(r.birth_date, 3) and {other}"
        ),
        CustomRule(f"l.phone = r.phone and {other}"),
    ]


def _load(connection: duckdb.DuckDBPyConnection, rows: Iterable[PatientRow]) -> None:
    import pyarrow as pa

    columns = list(zip(*rows, strict=True))
    table = pa.table(
        {name: pa.array(cells, pa.string()) for name, cells in zip(PatientRow._fields, columns, strict=True)}
    )
    connection.register("arrow", table)
    connection.execute("create table patients as select * from arrow order by unique_id")
    connection.unregister("arrow")


@contextmanager
def _database(scratch: Path, memory: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """In memory; beyond its limit it spills to the home's own volume."""
    import duckdb

    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": memory, "temp_directory": str(scratch)}
    connection = duckdb.connect(":memory:", config=config)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _silent() -> Iterator[None]:
    """Splink tells of its steps, and of values in its warnings: nothing of that is to be seen or kept."""
    told = logging.getLogger("splink")
    before = told.level, told.propagate
    told.setLevel(logging.CRITICAL)
    told.propagate = False
    try:
        yield
    finally:
        told.setLevel(before[0])
        told.propagate = before[1]
