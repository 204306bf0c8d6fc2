"""Both back ends of the expression language: for every expression and every row the same value and the same failure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holovitals_pipelines.transform.columns import ARROW, SQL, ColumnType
from holovitals_pipelines.transform.expressions import compile_record, compile_sql, parse_expression

T = ColumnType
COLUMNS = {
    "s": T.STRING, "t": T.STRING, "i": T.INTEGER, "j": T.INTEGER, "d": T.DECIMAL, "e": T.DECIMAL, "n": T.NUMBER,
    "m": T.NUMBER, "b": T.BOOLEAN, "c": T.BOOLEAN, "born": T.DATE, "seen": T.DATE, "at": T.DATETIME, "doc": T.JSON,
}  # fmt: skip
QUANTUM = Decimal("1e-9")


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    length = max(map(len, columns.values()))
    return [{name: columns[name][at] if name in columns else None for name in COLUMNS} for at in range(length)]


def table_of(rows: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows], ARROW[type_]) for name, type_ in COLUMNS.items()})


def quoted(name: str) -> str:
    return f'r."{name}"'


def by_sql(connection: duckdb.DuckDBPyConnection, texts: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[Any]:
    """For each expression its column's type, and value and failure of each row."""
    listed = []
    for text in texts:
        compiled = compile_sql(parse_expression(text, COLUMNS), quoted)
        listed += [compiled.value, compiled.failed or "null"]
    connection.register("rows", table_of(rows))
    relation = connection.execute(f"select {', '.join(listed)} from rows r")
    types = [str(column[1]) for column in relation.description]
    found = relation.fetchall()
    return [
        (types[2 * at], [(row[2 * at], row[2 * at + 1]) for row in found]) for at in range(len(texts))
    ]  # fmt: skip


def by_record(text: str, rows: Sequence[dict[str, Any]]) -> list[Any]:
    evaluate = compile_record(parse_expression(text, COLUMNS))
    return [evaluate(row) for row in rows]


def spelled(outcomes: Sequence[Any]) -> list[Any]:
    """Values with their types and all their digits."""
    return [(type(value), str(value), failure) for value, failure in outcomes]


def agreed(connection: duckdb.DuckDBPyConnection, texts: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[Any]:
    """The outcomes of each expression, in which both back ends have to agree."""
    results = []
    for text, (sql_type, from_sql) in zip(texts, by_sql(connection, texts, rows), strict=True):
        type_ = parse_expression(text, COLUMNS).type
        from_record = by_record(text, rows)
        assert spelled(from_record) == spelled(from_sql), text
        assert sql_type == SQL[type_], text
        results.append(from_record)
    return results


# ---- random expressions -------------------------------------------------------------------------------------------

TEXT = st.text(st.sampled_from("abAB ß İıſKÅǆᾳςΣ\t\r\n0'\"\\%_é́🤦\u0130"), max_size=6)
INTEGERS = st.one_of(
    st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**63 - 1, -(2**63), 10**9])
)
SCALED = st.one_of(
    st.just(0),
    st.integers(-30, 30).map(lambda value: value * 10**8),
    st.integers(-(10**12), 10**12),
    st.integers(-(10**28) + 1, 10**28 - 1),
    st.sampled_from([0, 1, -1, 5 * 10**8, 10**28 - 1, 1 - 10**28, 10**19, 10**19 - 1, -(10**19)]),
)
DECIMALS = SCALED.map(lambda value: Decimal(value).scaleb(-9))
NUMBERS = st.one_of(
    DECIMALS.map(lambda value: f"{value:f}"),
    st.sampled_from(["-0", "0.0", "7.40", "1e3", "1.5E-3", "1e400", "1e-400", "0e99", "9999999999999999999.9999999995",
                     "123456789012345678901234567890e-20", "1E+18", "-94991.5e14", "0.00000000049", "1e99999999999"]),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)  # fmt: skip
DATES = st.one_of(
    st.dates(), st.sampled_from([date(2000, 2, 29), date(2001, 2, 28), date(2001, 3, 1), date.min, date.max])
)
VALUES = {
    T.STRING: st.one_of(TEXT, st.sampled_from(["", "12", "-1.50", "1e2", "+7", " 7", "1_0", ".5", "٣"])),
    T.INTEGER: INTEGERS, T.DECIMAL: DECIMALS, T.NUMBER: NUMBERS, T.BOOLEAN: st.booleans(), T.DATE: DATES,
    T.DATETIME: st.sampled_from(["2020-01-01T00:00:00Z", "2020-01-01T00:00:00+00:00"]),
    T.JSON: st.sampled_from(['{"a":1}', "[]", "7.40"]),
}  # fmt: skip
ROWS = st.lists(
    st.fixed_dictionaries({name: st.one_of(st.none(), VALUES[type_]) for name, type_ in COLUMNS.items()}),
    min_size=4,
    max_size=8,
)


# One choice of hypothesis makes one expression: drawn part by part they would stay as small as its entropy.
SMALL = ["0", "1", "2", "-1", "3", "0.0", "0.5", "-2.5", "1.000000001", "9223372036854775807", "-9223372036854775808",
         "9999999999999999999.999999999"]  # fmt: skip
TEXTS = [repr(text) for text in ("", "a", "AB", "ß", "İ", "aa", "'", "%", "\\\\", "ΑΣ", "12", "-1.5e1", " x\\n", "🤦é")]
MATCHED = [r"r'[^a]{1,3}'", r"r'\w{0,4}'", r"'(a|b|ß)?'", r"r'\s?\d{2}'", r"r'[-+\s\w\.]{2,9}'"]
CALLS = {
    T.STRING: ["lower(S)", "upper(S)", "trim(S)", "concat(S, S)", "concat(S, S, S)", "substring(S, I, I)",
               "substring(S, L, L)", "replace(S, X, X)", "to_text(N)", "to_text(B)", "to_text(D)", "to_text(S)"],
    T.INTEGER: ["(I + I)", "(I - I)", "(I * I)", "(-I)", "abs(I)", "floor(N)", "ceil(N)", "min(I, I)", "max(I, I, I)",
                "length(S)", "year(D)", "month(D)", "day(D)", "years_between(D, D)", "days_between(D, D)", "(I + L)"],
    T.DECIMAL: ["(F + N)", "(N - F)", "(F * N)", "(N / N)", "(N / L)", "(N * 0.5)", "(-F)", "round(N, 0)",
                "round(N, 2)", "round(N, 9)", "abs(F)", "min(F, N)", "max(N, F, N)", "to_number(S)",
                "(I if B else F)", "coalesce(N, I, F)"],
    T.BOOLEAN: ["(S C S)", "(D C D)", "(N C N)", "(I C L)", "(B Q B)", "(dateTime Q dateTime)", "(json Q json)",
                "(B and B)", "(B or B)", "(B and B or B)", "(not B)", "(A is None)", "(A is not None)",
                "(S in [X, X])", "(S not in [X])", "(I in [0, 1, -1])", "(N not in [7.4, 0, 1000, 1.5])",
                "(B in [True])", "starts_with(S, S)", "ends_with(S, S)", "contains(S, S)", "matches(S, P)"],
    T.DATE: ["min(D, D)", "max(D, D, D)"],
    T.NUMBER: [], T.DATETIME: [], T.JSON: [],
}  # fmt: skip
OF = {
    "S": T.STRING,
    "I": T.INTEGER,
    "F": T.DECIMAL,
    "B": T.BOOLEAN,
    "D": T.DATE,
    "dateTime": T.DATETIME,
    "json": T.JSON,
}
HOLE = re.compile(r"\b(?:[SIFNBDALXPCQT]|dateTime|json)\b")


class Writer:
    """Writes an expression by filling the capital letters of a form, each with a part of its type."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def write(self, type_: ColumnType, depth: int) -> str:
        pick = self.random.choice
        if depth == 0 or self.random.random() < 0.1:
            if type_ in (T.INTEGER, T.DECIMAL) and self.random.random() < 0.3:
                return pick([text for text in SMALL if ("." in text) is (type_ is T.DECIMAL)])
            if type_ is T.STRING and self.random.random() < 0.3:
                return pick(TEXTS)
            return pick([name for name, one in COLUMNS.items() if one is type_])
        if not CALLS[type_] or self.random.random() < 0.2:
            forms = ["({} if {} else {})", "({} if {} else None)", "(None if {1} else {0})", "coalesce({0}, {2})"]
            parts = [self.write(one, depth - 1) for one in (type_, T.BOOLEAN, type_)]
            return pick(forms).format(*parts)
        return HOLE.sub(lambda hole: self.fill(hole[0], depth - 1), pick(CALLS[type_]))

    def fill(self, hole: str, depth: int) -> str:
        pick = self.random.choice
        literals = {
            "X": [text for text in TEXTS if text != "''"],
            "P": MATCHED,
            "L": ["0", "1", "-1", "2", "9223372036854775807"],
            "C": ["==", "!=", "<", "<=", ">", ">="],
            "Q": ["==", "!="],
        }
        if hole in literals:
            return pick(literals[hole])
        choices = {"N": [T.INTEGER, T.DECIMAL, T.NUMBER], "A": list(ColumnType)}
        return self.write(pick(choices[hole]) if hole in choices else OF[hole], depth)


def expressions(random: Random, count: int) -> list[str]:
    writer = Writer(random)
    texts = [writer.write(random.choice(list(ColumnType)), at % 4 + 1) for at in range(count)]
    return [text for text in texts if len(text) <= 900]


def ordinary_row(random: Random) -> dict[str, Any]:
    """Few nulls and small values, so that what is computed has results."""
    row: dict[str, Any] = {}
    for name, type_ in COLUMNS.items():
        values = {
            T.STRING: random.choice(["a", "ab", "AB", "ß", "12", "-1.5", "x y", "İı", "aa12 "]),
            T.INTEGER: random.randint(-3, 12),
            T.DECIMAL: dec(str(random.choice([0, 0.5, 25, -7.5, 3.3333, 1000000]))),
            T.NUMBER: random.choice(["0", "7.40", "-2.5", "1e3", "1.5E-3", "180", "72.0"]),
            T.BOOLEAN: random.random() < 0.5,
            T.DATE: date.fromordinal(random.randint(700000, 740000)),
            T.DATETIME: random.choice(["2020-01-01", "2020"]),
            T.JSON: random.choice(["{}", "[]"]),
        }
        row[name] = None if random.random() < 0.05 else values[type_]
    return row


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(seed=st.integers(0, 2**64), rows=ROWS)
def test_both_back_ends_say_the_same_of_every_expression_and_row(
    connection: duckdb.DuckDBPyConnection, seed: int, rows: list[dict[str, Any]]
) -> None:
    random = Random(seed)
    agreed(connection, expressions(random, 40), rows + [ordinary_row(random) for _ in range(12)])


# ---- what is known to differ between languages, pinned ------------------------------------------------------------

Pins = list[tuple[str, dict[str, Any], Any, str | None]]
LEAST, GREATEST, MOST = -(2**63), 2**63 - 1, Decimal("9999999999999999999.999999999")


def check_pins(connection: duckdb.DuckDBPyConnection, pins: Pins) -> None:
    """Text, the columns that have values, and what both back ends say."""
    rows = [dict.fromkeys(COLUMNS) | values for _, values, _, _ in pins]
    for place, outcomes in enumerate(agreed(connection, [text for text, *_ in pins], rows)):
        text, _, value, failure = pins[place]
        assert spelled([outcomes[place]]) == spelled([(value, failure)]), text


def dec(text: str) -> Decimal:
    return Decimal(text).quantize(QUANTUM)


def test_division_is_exact_and_never_of_integers(connection: duckdb.DuckDBPyConnection) -> None:
    check_pins(
        connection,
        [
            ("i / 2", {"i": 7}, dec("3.5"), None),
            ("i / 3", {"i": -2}, dec("-0.666666667"), None),
            ("1 / i", {"i": 2 * 10**9}, dec("0.000000001"), None),
            ("-1 / i", {"i": 2 * 10**9}, dec("-0.000000001"), None),
            ("1 / d", {"d": dec("2000000000.000000001")}, dec("0"), None),
            ("d / e", {"d": MOST, "e": dec("1")}, MOST, None),
            ("d / e", {"d": MOST, "e": dec("0.999999999")}, None, "overflow"),
            ("d / e", {"d": MOST, "e": dec("0.000000001")}, None, "overflow"),
            ("i / j", {"i": 1, "j": 0}, None, "division_by_zero"),
            ("i / j", {"i": None, "j": 0}, None, None),
            ("i / d", {"i": 0, "d": dec("-1")}, dec("0"), None),
        ],
    )


def test_halves_are_rounded_away_from_zero(connection: duckdb.DuckDBPyConnection) -> None:
    check_pins(
        connection,
        [
            ("round(n, 0)", {"n": "2.5"}, dec("3"), None),
            ("round(n, 0)", {"n": "-2.5"}, dec("-3"), None),
            ("round(n, 1)", {"n": "0.25"}, dec("0.3"), None),
            ("round(n, 1)", {"n": "0.249999999"}, dec("0.2"), None),
            ("d * e", {"d": dec("0.5"), "e": dec("0.000000001")}, dec("0.000000001"), None),
            ("d * e", {"d": dec("-0.5"), "e": dec("0.000000001")}, dec("-0.000000001"), None),
            ("d * e", {"d": dec("0.499999999"), "e": dec("0.000000001")}, dec("0"), None),
            ("n + 0.0", {"n": "-1.0000000005"}, dec("-1.000000001"), None),
            ("round(d, 0)", {"d": Decimal("9999999999999999999.5")}, None, "overflow"),
            ("floor(n)", {"n": "-2.5"}, -3, None),
            ("ceil(n)", {"n": "-2.5"}, -2, None),
            ("floor(n)", {"n": "9223372036854775807.9"}, GREATEST, None),
            ("ceil(n)", {"n": "9223372036854775807.1"}, None, "overflow"),
        ],
    )


def test_what_does_not_fit_is_an_overflow(connection: duckdb.DuckDBPyConnection) -> None:
    check_pins(
        connection,
        [
            ("i + 1", {"i": GREATEST}, None, "overflow"),
            ("i - 1", {"i": LEAST}, None, "overflow"),
            ("i * i", {"i": LEAST}, None, "overflow"),
            ("-i", {"i": LEAST}, None, "overflow"),
            ("abs(i)", {"i": LEAST}, None, "overflow"),
            ("i == -9223372036854775808", {"i": LEAST}, True, None),
            ("d + 0.000000001", {"d": MOST}, None, "overflow"),
            ("-d", {"d": MOST}, -MOST, None),
            ("d * 1.0", {"d": dec("9999999999.999999999")}, dec("9999999999.999999999"), None),
            ("d * 1.0", {"d": dec("10000000000")}, None, "overflow"),
            ("i + 0.5", {"i": GREATEST}, dec("9223372036854775807.5"), None),
            ("n + 1", {"n": "1e19"}, None, "overflow"),
            ("n + 1", {"n": "9999999999999999999.9999999995"}, None, "overflow"),
            ("n + 1", {"n": "1e-400"}, dec("1"), None),
            ("n is None", {"n": "1e19"}, False, None),
        ],
    )


def test_zero_has_no_sign(connection: duckdb.DuckDBPyConnection) -> None:
    check_pins(
        connection,
        [
            ("-d", {"d": dec("0")}, dec("0"), None),
            ("-0.0", {}, dec("0"), None),
            ("d * e", {"d": dec("0"), "e": dec("-1")}, dec("0"), None),
            ("round(d, 0)", {"d": dec("-0.1")}, dec("0"), None),
            ("to_text(n + 0)", {"n": "-0"}, "0", None),
            ("n", {"n": "-0"}, "-0", None),
            ("n == 0", {"n": "-0.0"}, True, None),
        ],
    )


def test_nulls_propagate_and_a_null_condition_is_false(connection: duckdb.DuckDBPyConnection) -> None:
    check_pins(
        connection,
        [
            ("i == j", {}, None, None),
            ("i in [1, 2]", {}, None, None),
            ("i not in [1, 2]", {}, None, None),
            ("b and False", {}, False, None),
            ("b and True", {}, None, None),
            ("b or True", {}, True, None),
            ("not b", {}, None, None),
            ("1 if b else 2", {}, 2, None),
            ("min(i, j)", {"i": 1}, None, None),
            ("concat(s, t)", {"s": "a"}, None, None),
            ("concat(s, t)", {"s": "", "t": ""}, "", None),
            ("s is None", {"s": ""}, False, None),
            ("coalesce(s, t)", {"s": "", "t": "x"}, "", None),
        ],
    )


def test_only_what_is_evaluated_fails_and_the_first_failure_is_told(connection: duckdb.DuckDBPyConnection) -> None:
    check_pins(
        connection,
        [
            ("1 / i if i != 0 else 0", {"i": 0}, dec("0"), None),
            ("1 / i if i != 1 else 0", {"i": 0}, None, "division_by_zero"),
            ("coalesce(d, 1 / i)", {"d": dec("1"), "i": 0}, dec("1"), None),
            ("coalesce(1 / i, d)", {"d": dec("1"), "i": 0}, dec("1"), "division_by_zero"),
            ("b or 1 / i > 0", {"b": True, "i": 0}, True, "division_by_zero"),
            ("b and 1 / i > 0", {"b": False, "i": 0}, False, "division_by_zero"),
            ("1 / i is None", {"i": 0}, True, "division_by_zero"),
            ("1 / i + j * j", {"i": 0, "j": 2**62}, None, "division_by_zero"),
            ("j * j + 1 / i", {"i": 0, "j": 2**62}, None, "overflow"),
            ("to_number(s) / i", {"s": "x", "i": 0}, None, "not_a_number"),
            ("s == 'x' if 1 / i > 0 else False", {"i": 0}, False, "division_by_zero"),
        ],
    )


def test_numbers_keep_their_text_until_they_are_computed_with(connection: duckdb.DuckDBPyConnection) -> None:
    check_pins(
        connection,
        [
            ("n", {"n": "7.40"}, "7.40", None),
            ("coalesce(n, m)", {"m": "7.40"}, "7.40", None),
            ("n if b else m", {"n": "7.40", "b": True}, "7.40", None),
            ("n + 0", {"n": "7.40"}, dec("7.4"), None),
            ("n == m", {"n": "7.40", "m": "7.4"}, True, None),
            ("n in [7.4]", {"n": "7.40"}, True, None),
            ("to_text(n)", {"n": "7.40"}, "7.40", None),
            ("to_text(n + 0)", {"n": "7.40"}, "7.4", None),
            ("to_text(d)", {"d": dec("-0.000000001")}, "-0.000000001", None),
            ("to_text(b)", {"b": True}, "true", None),
            ("to_text(born)", {"born": date(1, 2, 3)}, "0001-02-03", None),
        ],
    )


def test_only_plain_numbers_are_read_from_texts(connection: duckdb.DuckDBPyConnection) -> None:
    good = {"12": "12", "+7": "7", "-1.50": "-1.5", "007": "7", "1e2": "100", "15E-1": "1.5"}
    bad = ["", " 7", "7 ", "1_0", ".5", "5.", "1,5", "0x1", "inf", "NaN", "٣", "1e", "--1", "1e9999999999", "1\n"]
    check_pins(connection, [("to_number(s)", {"s": text}, dec(value), None) for text, value in good.items()])
    check_pins(connection, [("to_number(s)", {"s": text}, None, "not_a_number") for text in bad])
    check_pins(connection, [("to_number(s)", {"s": "1e99"}, None, "overflow")])


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(NUMBERS, min_size=50, max_size=150))
def test_a_number_with_an_exponent_is_the_number_without(
    connection: duckdb.DuckDBPyConnection, texts: list[str]
) -> None:
    exact = Context(prec=2000, rounding=ROUND_HALF_UP)
    [outcomes] = agreed(connection, ["n + 0.0"], rows_of({"n": texts}))
    for text, (value, _) in zip(texts, outcomes, strict=True):
        if len(text) < 60 and "99999999999" not in text.lower().partition("e")[2]:
            number = Decimal(text).quantize(QUANTUM, context=exact)
            assert value == (number if abs(number) <= MOST else None), text


def test_a_part_of_a_text_that_is_not_there_is_null(connection: duckdb.DuckDBPyConnection) -> None:
    check_pins(
        connection,
        [
            ("substring(s, 0, 2)", {"s": "abc"}, "ab", None),
            ("substring(s, 2, 5)", {"s": "abc"}, "c", None),
            ("substring(s, 1, i)", {"s": "🤦éx", "i": GREATEST}, "éx", None),
            ("substring(s, 3, 1)", {"s": "abc"}, None, None),
            ("substring(s, i, 1)", {"s": "abc", "i": GREATEST}, None, None),
            ("substring(s, -1, 2)", {"s": "abc"}, None, None),
            ("substring(s, i, i)", {"s": "abc", "i": LEAST}, None, None),
            ("substring(s, 0, 0)", {"s": "abc"}, None, None),
            ("substring(s, 0, 1)", {"s": ""}, None, None),
            ("substring(s, i, 1)", {"s": "abc"}, None, None),
            ("substring(s, 0, i)", {"s": "abc"}, None, None),
        ],
    )


def test_texts_are_sequences_of_code_points(connection: duckdb.DuckDBPyConnection) -> None:
    check_pins(
        connection,
        [
            ("length(s)", {"s": "🤦\U0001f3fc\u200d\u2642\ufe0fé"}, 6, None),
            ("length(s)", {"s": "e\u0301"}, 2, None),
            ("s == t", {"s": "\u00e9", "t": "e\u0301"}, False, None),
            ("s < t", {"s": "Z", "t": "a"}, True, None),
            ("s < t", {"s": "\uffff", "t": "\U00010000"}, True, None),
            ("trim(s)", {"s": " \t\r\n\u00a0x\u2003 "}, "\u00a0x\u2003", None),
            ("replace(s, 'aa', 'a')", {"s": "aaaa"}, "aa", None),
            ("contains(s, '')", {"s": ""}, True, None),
            ("starts_with(s, t)", {"s": "a", "t": "ab"}, False, None),
            ("ends_with(s, '\u00e9')", {"s": "caf\u00e9"}, True, None),
        ],
    )


def test_case_changes_one_code_point_into_one_over_all_of_unicode(connection: duckdb.DuckDBPyConnection) -> None:
    characters = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
    texts = [",".join(characters[at : at + 1000]) for at in range(0, len(characters), 1000)]
    for outcomes in agreed(connection, ["lower(s)", "upper(s)"], rows_of({"s": texts})):
        assert [len(value) for value, _ in outcomes] == [len(text) for text in texts]
    check_pins(
        connection,
        [
            ("upper(s)", {"s": "straße ŉ ﬁ ᾳ"}, "STRAẞE ŉ ﬁ ᾼ", None),
            ("lower(s)", {"s": "İ ΑΣ"}, "i ασ", None),
        ],
    )


def test_years_between_are_birthdays(connection: duckdb.DuckDBPyConnection) -> None:
    leap = date(2000, 2, 29)
    check_pins(
        connection,
        [
            ("years_between(born, seen)", {"born": leap, "seen": date(2001, 2, 28)}, 0, None),
            ("years_between(born, seen)", {"born": leap, "seen": date(2001, 3, 1)}, 1, None),
            ("years_between(born, seen)", {"born": leap, "seen": date(2004, 2, 29)}, 4, None),
            ("years_between(born, seen)", {"born": date(2001, 3, 1), "seen": leap}, -1, None),
            ("years_between(born, seen)", {"born": date(1980, 6, 15), "seen": date(2020, 6, 14)}, 39, None),
            ("years_between(born, seen)", {"born": date.min, "seen": date.max}, 9998, None),
            ("days_between(born, seen)", {"born": leap, "seen": date(2000, 3, 1)}, 1, None),
            ("year(born) * 10000 + month(born) * 100 + day(born)", {"born": leap}, 20000229, None),
        ],
    )


PATTERNS = {
    r"\d{3}-\d{4}": ["555-1234", "5551234", "٥55-1234", "555-1234\n"],
    r"[^a]": ["b", "\n", "é", "🤦", "a", ""],
    r"\s{0,9}": [" \t\r\n\f", "\v", "\u00a0", ""],
    r"\w{1,3}": ["aZ_", "é", "a1", ""],
    r"(a|ab)(c|bcd)?": ["abcd", "abc", "ac", "ab", "abd"],
    r"([A-Z]{2}){2}": ["ABCD", "ABC"],
    r"[-+\.\]]?x": ["-x", "+x", ".x", "]x", "x", "yx"],
    r"a||b": ["", "a", "b", "|"],
    r"ß[а-я]{2}": ["ßда", "ssда"],
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_the_same_in_both_back_ends(connection: duckdb.DuckDBPyConnection, pattern: str) -> None:
    [outcomes] = agreed(connection, [f"matches(s, r'{pattern}')"], rows_of({"s": PATTERNS[pattern]}))
    assert {value for value, _ in outcomes} == {True, False}


def test_the_collation_of_a_connection_changes_nothing() -> None:
    texts = ["s == 'a'", "s < t", "s in ['a']", "s not in ['a']", "at == at", "contains(s, 'a')", "matches(s, 'a')",
             "replace(s, 'a', 'x')", "starts_with(s, 'a')", "substring(s, 0, 1)", "lower(s) == 'a'"]  # fmt: skip
    rows = rows_of({"s": ["a", "A", "á", "b"], "t": ["B", "a", "a", "A"], "at": ["x", "X", "x", "x"]})
    with duckdb.connect() as connection:
        connection.execute("set default_collation = 'nocase.noaccent'")
        assert connection.execute("select 'a' = 'Á'").fetchall() == [(True,)]
        agreed(connection, texts, rows)


def test_a_column_may_be_called_anything() -> None:
    columns = dict.fromkeys(("text", "part", "traced", "t", "p", "s", "v", "k", "f", "o0"), ColumnType.STRING)
    row = dict.fromkeys(columns, "12")
    with duckdb.connect() as connection:
        connection.register("r", pa.table({name: [value] for name, value in row.items()}))
        for name in columns:
            expression = parse_expression(f"1 / to_number(substring({name}, 0, 9)) if {name} != '' else 1.0", columns)
            compiled = compile_sql(expression, lambda column: f'"{column}"')
            found = connection.execute(f"select {compiled.value}, {compiled.failed} from r").fetchall()
            assert found == [(dec("0.083333333"), None)] == [compile_record(expression)(row)]


def test_the_sql_grows_with_the_expression_and_not_with_its_powers(connection: duckdb.DuckDBPyConnection) -> None:
    forms = ["({} / n)", "(n / {})", "({} * d)", "min({}, n)", "(n if {} > 0 else n)", "coalesce({}, n / d)",
             "abs(-{})", "to_number(to_text({}))", "to_number(substring(to_text({}), 0, 9))", "round({}, 1)",
             "(n + years_between(born, seen if {} > 0 else born))"]  # fmt: skip
    row = dict.fromkeys(COLUMNS) | {"n": "2", "d": dec("3")}
    for form in forms:
        texts = ["n"]
        for _ in range(8):
            texts.append(form.replace("{}", texts[-1]))
        compiled = [compile_sql(parse_expression(texts[depth], COLUMNS), quoted) for depth in (4, 8)]
        lengths = [len(one.value) + len(one.failed or "") for one in compiled]
        assert lengths[1] < 3 * lengths[0], form
        agreed(connection, [texts[8]], [row])
