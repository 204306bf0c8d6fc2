"""What each type of rule makes of a value, and of what is none: the same by record and in batches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.engine.rule_batches import RuleBatches
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.functions import Function
from holovitals_pipelines.transform.plan import make_plan
from holovitals_pipelines.transform.rule_set import RuleGroup
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.tables import LookupTable, read_csv_table

from .plans import Outcome, agreed, plan_of, source_table, tables


@pytest.fixture(scope="module")
def analysis() -> Iterator[Analysis]:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield Analysis(connection)


def made(
    analysis: Analysis,
    rules: list[dict[str, Any]],
    *rows: dict[str, Any],
    types: dict[str, str] | None = None,
    validate: list[dict[str, Any]] | None = None,
    strict: bool = False,
) -> list[Outcome]:
    """The outcomes of rows, whose columns are strings unless `types` says what they are."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    source = {name: {"path": name, "type": (types or {}).get(name, "string")} for name in names}
    named = [{"id": f"r{number}", **rule} for number, rule in enumerate(rules, start=1)]
    plan = plan_of({"source": source, "rules": named, "validate": validate or []}, strict=strict)
    return agreed(analysis, plan, [{name: row.get(name) for name in names} for row in rows])


# ---- nine types ---------------------------------------------------------------------------------------------------

TYPES: dict[str, tuple[dict[str, Any], dict[str, tuple[Any, Any, str | None]]]] = {
    # By state: what comes in, what is made, the error's code.
    "FIELD_MAPPING": (
        {"required": True},
        {
            "null": (None, None, "required"),
            "empty": ("", "", None),
            "bad": ("\x00", "\x00", None),
            "good": ("a", "a", None),
        },
    ),
    "VALUE_MAPPING": (
        {"map": {"M": "male"}},
        {
            "null": (None, None, None),
            "empty": ("", None, "not_in_map"),
            "bad": ("m", None, "not_in_map"),
            "good": ("M", "male", None),
        },
    ),
    "DATA_TYPE_CONVERSION": (
        {"to": "date", "format": "%m/%d/%Y"},
        {
            "null": (None, None, None),
            "empty": ("", None, "not_a_date"),
            "bad": ("13/01/2020", None, "not_a_date"),
            "good": ("02/29/2020", date(2020, 2, 29), None),
        },
    ),
    "CONCATENATION": (
        {"source": ["x", "x"], "separator": "-"},
        {
            "null": (None, None, None),
            "empty": ("", "-", None),
            "bad": ("\t", "\t-\t", None),
            "good": ("a", "a-a", None),
        },
    ),
    "SPLIT": (
        {"target": ["t"], "separator": ","},
        {
            "null": (None, None, None),
            "empty": ("", None, None),
            "bad": ("a,", None, "number_of_parts"),
            "good": (" a ", "a", None),
        },
    ),
    "CALCULATION": (
        {"expr": "1 / to_number(x)", "source": None},
        {
            "null": (None, None, None),
            "empty": ("", None, "not_a_number"),
            "bad": ("0", None, "division_by_zero"),
            "good": ("8", Decimal("0.125000000"), None),
        },
    ),
    "CONDITIONAL": (
        {"cases": [{"when": "to_number(x) > 1", "then": "'many'"}], "else": "'few'", "source": None},
        {
            "null": (None, "few", None),
            "empty": ("", None, "not_a_number"),
            "bad": ("two", None, "not_a_number"),
            "good": ("2", "many", None),
        },
    ),
    "LOOKUP": (
        {"table": "codes@1", "value": "display"},
        {
            "null": (None, None, None),
            "empty": ("", None, "not_in_table"),
            "bad": ("a", None, "not_in_table"),
            "good": ("ß", "Eszett", None),
        },
    ),
    "CUSTOM_FUNCTION": (
        {"function": "phone_e164@1"},
        {
            "null": (None, None, None),
            "empty": ("", None, None),
            "bad": ("12", None, "not_a_phone_number"),
            "good": ("(212) 555-0199", "+12125550199", None),
        },
    ),
}
STATES = ("null", "empty", "bad", "good")


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", TYPES)
def test_a34_every_type_makes_the_same_of_every_state_on_both_back_ends(
    analysis: Analysis, kind: str, state: str, strict: bool
) -> None:
    members, states = TYPES[kind]
    given, value, code = states[state]
    rule = {"type": kind, "source": "x", "target": "t"} | members
    rule = {name: member for name, member in rule.items() if member is not None}
    errors = (f"r1: {code}",) if code else ()
    assert made(analysis, [rule], {"x": given}, strict=strict) == [Outcome((value,), errors, strict and bool(errors))]


def converted(analysis: Analysis, members: dict[str, Any], *texts: str | None) -> list[Any]:
    """Values, with the code where there is an error."""
    rule = {"type": "DATA_TYPE_CONVERSION", "source": "x", "target": "t", **members}
    return [one.errors[0].removeprefix("r1: ") if one.errors else one.values[0]
            for one in made(analysis, [rule], *({"x": text} for text in texts))]  # fmt: skip


def test_whole_numbers_are_read_without_any_guessing(analysis: Analysis) -> None:
    texts = (" 7 ", "+7", "-007", "1.0", "1e3", "1_0", "٣", "999999999999999999", "9999999999999999999")
    bad = "not_a_integer"
    assert converted(analysis, {"to": "integer"}, *texts) == [7, 7, -7, bad, bad, bad, bad, 999999999999999999, bad]


def test_decimals_are_exact_or_rounded_half_away_from_zero_where_the_rule_says_so(analysis: Analysis) -> None:
    assert converted(analysis, {"to": "decimal"}, "7.40", ".5", "5.", "-0", "0.1234567891") == [
        Decimal("7.400000000"), Decimal("0.500000000"), Decimal("5.000000000"), Decimal("0E-9"), "not_a_decimal",
    ]  # fmt: skip
    assert converted(analysis, {"to": "decimal", "scale": 1}, "0.25", "-0.25", "0.35", "2.5", "-0.04") == [
        Decimal("0.3"), Decimal("-0.3"), Decimal("0.4"), Decimal("2.5"), Decimal("0"),
    ]  # fmt: skip


def test_a_decimal_has_nine_digits_after_the_point_whatever_it_was_rounded_to(analysis: Analysis) -> None:
    """Record by record it had as many as the rule's scale; hypothesis found it."""
    [value] = converted(analysis, {"to": "decimal", "scale": 1}, "1.0000000005")
    assert str(value) == "1.000000000"


def test_numbers_keep_the_digits_they_were_written_with(analysis: Analysis) -> None:
    assert converted(analysis, {"to": "number"}, "7.40", "007.0", "+.5", "1e3") == [
        "7.40",
        "7.0",
        "0.5",
        "not_a_number",
    ]
    assert converted(analysis, {"to": "number", "scale": 2}, "7", "-0.005", "-0.004") == ["7.00", "-0.01", "0.00"]


def test_yes_and_no_are_what_the_rule_lists_in_any_case_of_ascii_letters(analysis: Analysis) -> None:
    texts = ("YES", " n ", "Ｙ", "2")
    assert converted(analysis, {"to": "boolean"}, *texts) == [True, False, "not_a_boolean", "not_a_boolean"]


def test_dates_are_read_by_the_first_format_that_yields_a_day(analysis: Analysis) -> None:
    members = {"to": "date", "format": ["%m/%d/%Y", "%d/%m/%Y", "%b %d, %Y"]}
    texts = ("03/04/2020", "31/12/2020", "feb 29, 2020", "02/29/2021", "3/4/2020", "03/04/2020 ", "03/04/20")
    assert converted(analysis, members, *texts) == [
        date(2020, 3, 4), date(2020, 12, 31), date(2020, 2, 29),
        "not_a_date", "not_a_date", date(2020, 3, 4), "not_a_date",
    ]  # fmt: skip


def test_times_a_clock_shows_twice_or_never_are_told_apart(analysis: Analysis) -> None:
    members = {"to": "dateTime", "format": "%Y-%m-%d %H:%M", "timezone": "America/New_York"}
    texts = ("2020-07-01 12:00", "2020-03-08 02:30", "2020-11-01 01:30", "noon")
    noon = "2020-07-01T12:00:00-04:00"
    assert converted(analysis, members, *texts) == [noon, "nonexistent_time", "ambiguous_time", "unreadable"]
    assert converted(analysis, {**members, "onAmbiguous": "later"}, texts[2]) == ["2020-11-01T01:30:00-05:00"]
    assert converted(analysis, {**members, "timezone": None}, texts[0]) == ["no_timezone"]


def test_values_of_every_type_are_written_as_text(analysis: Analysis) -> None:
    types = {"i": "integer", "d": "decimal", "n": "number", "b": "boolean", "day": "date"}
    row = {"i": -5, "d": Decimal("100.500000000"), "n": "7.40", "b": False, "day": date(33, 1, 2)}
    to_text = {"type": "DATA_TYPE_CONVERSION", "to": "string"}
    rules = [{**to_text, "source": name, "target": name} for name in types]
    rules.append({**to_text, "source": "day", "target": "written", "format": "%d.%m.%Y"})
    [outcome] = made(analysis, rules, row, types=types)
    assert outcome.values == ("-5", "100.5", "7.40", "false", "0033-01-02", "02.01.0033")


@pytest.mark.parametrize(
    ("form", "text"), [("{0} %Y{year}-%m-%d", "{0} 0033{year}-01-02"), ("%Y%%Y %d %b", "0033%Y 02 Jan")]
)
def test_what_a_format_holds_beside_its_directives_stands_as_it_is(analysis: Analysis, form: str, text: str) -> None:
    """Record by record `{0}` ended the run, and `%%Y` became a year; hypothesis found it."""
    rule = {"type": "DATA_TYPE_CONVERSION", "to": "string", "source": "day", "target": "t", "format": form}
    [outcome] = made(analysis, [rule], {"day": date(33, 1, 2)}, types={"day": "date"})
    assert outcome.values == (text,)


@pytest.mark.parametrize(
    ("on_missing", "value", "errors"), [("error", None, ("r1: not_in_map",)), ("null", None, ()), ("pass", "X", ())]
)
def test_a_code_that_is_not_in_the_map_is_an_error_nothing_or_itself(
    analysis: Analysis, on_missing: str, value: str | None, errors: tuple[str, ...]
) -> None:
    rule = {"type": "VALUE_MAPPING", "source": "x", "target": "t", "map": {"M": "male"}, "onMissing": on_missing}
    assert made(analysis, [rule], {"x": "X"}) == [Outcome((value,), errors)]


def test_case_is_ignored_of_ascii_letters_only(analysis: Analysis) -> None:
    rule = {
        "type": "VALUE_MAPPING",
        "source": "x",
        "target": "t",
        "map": {"kß": "y"},
        "ignoreCase": True,
        "onMissing": "null",
    }
    values = [
        one.values[0] for one in made(analysis, [rule], {"x": "Kß"}, {"x": "\u212aß"}, {"x": "KẞS"}, {"x": "KSS"})
    ]
    assert values == ["y", None, None, None]


def split(analysis: Analysis, members: dict[str, Any], *texts: str) -> list[tuple[tuple[Any, ...], tuple[str, ...]]]:
    rule = {"type": "SPLIT", "source": "x", "separator": ",", **members}
    return [(one.values, one.errors) for one in made(analysis, [rule], *({"x": text} for text in texts))]


def test_a_text_is_split_into_exactly_so_many_parts(analysis: Analysis) -> None:
    wrong = ((None, None), ("r1: number_of_parts",))
    assert split(analysis, {"target": ["a", "b"]}, "1, 2", "1,", ",", "1", "1,2,", "1,2,3") == [
        (("1", "2"), ()), (("1", None), ()), ((None, None), ()), wrong, wrong, wrong,
    ]  # fmt: skip


def test_a_split_that_is_not_exact_leaves_what_is_missing_and_keeps_what_is_too_much(analysis: Analysis) -> None:
    members = {"target": ["a", "b"], "exactly": False, "trim": False}
    assert split(analysis, members, "1", "1, 2", "1,2,3,", ",,") == [
        (("1", None), ()), (("1", " 2"), ()), (("1", "2,3,"), ()), ((None, ","), ()),
    ]  # fmt: skip


def test_a_part_that_nobody_wants_is_left_out_but_counted(analysis: Analysis) -> None:
    found = split(analysis, {"target": [None, "b"]}, "1,2", "2")
    assert found == [(("2",), ()), ((None,), ("r1: number_of_parts",))]


def test_an_overlapping_separator_is_taken_from_the_left(analysis: Analysis) -> None:
    members = {"target": ["a", "b"], "separator": "aa"}
    assert split(analysis, members, "xaaay", "e\u0301aa🤦") == [(("x", "ay"), ()), (("e\u0301", "🤦"), ())]


def test_a_split_that_is_required_wants_one_part_at_least(analysis: Analysis) -> None:
    found = split(analysis, {"target": ["a", "b"], "required": True}, ",1", ",", "1")
    assert [errors for _, errors in found] == [(), ("r1: required",), ("r1: number_of_parts",)]


def test_without_skip_null_a_missing_part_is_missing_of_the_whole(analysis: Analysis) -> None:
    joined = {"type": "CONCATENATION", "source": ["x", "y"], "separator": " "}
    rules = [{**joined, "target": "some"}, {**joined, "target": "all", "skipNull": False}]
    outcomes = made(analysis, rules, {"x": "a", "y": "b"}, {"x": "a", "y": None}, {"x": None, "y": None})
    assert [one.values for one in outcomes] == [("a b", "a b"), ("a", None), (None, None)]


# ---- rules beside one another -------------------------------------------------------------------------------------


def test_of_rivals_the_first_by_priority_that_yields_a_value_makes_the_target(analysis: Analysis) -> None:
    mapping = {"type": "FIELD_MAPPING", "target": "t"}
    rules = [{**mapping, "source": "x", "priority": 2}, {**mapping, "source": "y", "priority": 1}]
    outcomes = made(analysis, rules, {"x": "x", "y": "y"}, {"x": "x", "y": None}, {"x": None, "y": None})
    assert [one.values for one in outcomes] == [("y",), ("x",), (None,)]


def test_a_rival_that_is_not_asked_makes_no_error(analysis: Analysis) -> None:
    rules = [
        {"type": "FIELD_MAPPING", "source": "x", "target": "t"},
        {"type": "LOOKUP", "source": "y", "target": "t", "table": "codes@1", "value": "display", "required": True},
    ]
    outcomes = made(analysis, rules, {"x": "x", "y": "?"}, {"x": None, "y": "?"}, {"x": None, "y": None})
    assert [one.errors for one in outcomes] == [(), ("r2: not_in_table",), ("r2: required",)]


def test_a_rule_is_applied_where_its_condition_is_true_and_not_where_it_is_null(analysis: Analysis) -> None:
    rule = {
        "type": "VALUE_MAPPING",
        "source": "x",
        "target": "t",
        "map": {"a": "A"},
        "condition": "y == 'go'",
        "required": True,
    }
    outcomes = made(analysis, [rule], {"x": "?", "y": "go"}, {"x": "?", "y": "no"}, {"x": "?", "y": None}, strict=True)
    assert [(one.errors, one.rejected) for one in outcomes] == [(("r1: not_in_map",), True), ((), False), ((), False)]


def test_a_default_stands_for_no_value_but_never_for_an_error(analysis: Analysis) -> None:
    rule = {
        "type": "VALUE_MAPPING",
        "source": "x",
        "target": "t",
        "map": {"a": "A"},
        "defaultValue": "none",
        "required": True,
    }
    outcomes = made(analysis, [rule], {"x": "a"}, {"x": None}, {"x": "?"})
    assert outcomes == [Outcome(("A",)), Outcome(("none",)), Outcome((None,), ("r1: not_in_map",))]


def test_a_rule_that_is_not_enabled_is_not_there(analysis: Analysis) -> None:
    mapping = {"type": "FIELD_MAPPING", "source": "x", "required": True}
    [outcome] = made(analysis, [{**mapping, "target": "t", "enabled": False}, {**mapping, "target": "u"}], {"x": None})
    assert outcome == Outcome((None,), ("r2: required",))


def test_a_rule_reads_what_earlier_rules_made_with_their_defaults(analysis: Analysis) -> None:
    rules = [
        {"type": "LOOKUP", "source": "x", "target": "t", "table": "codes@1", "value": "region", "defaultValue": "ß"},
        {"type": "CUSTOM_FUNCTION", "source": "r1", "target": "u", "function": "base64_text@1"},
        {"type": "CUSTOM_FUNCTION", "source": ["r1", "r2"], "target": "v", "function": "reference@1"},
        {"type": "CALCULATION", "expr": "length(r2) if r1 == 'ß' else 0", "target": "w"},
    ]
    outcomes = made(analysis, rules, {"x": "A"}, {"x": "B"})
    assert [one.values for one in outcomes] == [("north", "bm9ydGg=", None, 0), ("ß", "w58=", None, 4)]


@pytest.mark.parametrize("name", ["p", "x", "o", "rule_input", "select", "rowid", "é"])
def test_a_field_may_have_a_name_that_sql_uses_itself(analysis: Analysis, name: str) -> None:
    rules = [
        {"type": "FIELD_MAPPING", "source": name, "target": "t"},
        {"type": "LOOKUP", "source": name, "target": "u", "table": "codes@1", "value": "display"},
        {"type": "CALCULATION", "expr": f"concat({name}, 'x')", "target": "v"},
    ]
    validate = [{"target": "t", "exists": "codes@1"}]
    [outcome] = made(analysis, rules, {name: "A"}, validate=validate)
    assert outcome == Outcome(("A", "Alpha", "Ax"))


# ---- validations --------------------------------------------------------------------------------------------------

CHECKS: list[tuple[str, dict[str, Any], str, list[Any], list[Any]]] = [
    # The type, the check, its code, what passes, what fails.
    ("string", {"required": True}, "missing", ["", "a"], [None]),
    ("integer", {"range": [0, 100]}, "out_of_range", [None, 0, 100], [-1, 101, -(2**63)]),
    ("integer", {"range": [None, 7]}, "out_of_range", [-(2**63), 7], [8, 2**63 - 1]),
    ("decimal", {"range": [0.1, 0.3]}, "out_of_range", [Decimal("0.100000000")], [Decimal("0.300000001")]),
    (
        "number",
        {"range": [0, 7.4]},
        "out_of_range",
        [None, "7.40", "0e9", "-0", "74e-1", "1e-400"],
        ["7.5", "1e400", "-1e-18"],
    ),
    (
        "date",
        {"range": ["1900-01-01", "2020-02-29"]},
        "out_of_range",
        [date(2020, 2, 29)],
        [date.min, date(2020, 3, 1)],
    ),
    ("string", {"in": ["a", "ß", "'"]}, "not_allowed", [None, "ß", "'"], ["", "A", "ẞ", "a "]),
    ("integer", {"in": [1, -1]}, "not_allowed", [1, -1], [0]),
    ("boolean", {"in": [True]}, "not_allowed", [True, None], [False]),
    ("string", {"pattern": r"[A-Z]\d{1,3}"}, "pattern", [None, "A12"], ["", "A1234", "A1\n", "A٣", "a1"]),
    ("string", {"exists": "codes@1"}, "unknown_reference", [None, "A", "ß"], ["", "a", "A "]),
]


@pytest.mark.parametrize(("kind", "check", "code", "passing", "failing"), CHECKS)
def test_a_check_fails_what_it_says_and_nothing_else(
    analysis: Analysis, kind: str, check: dict[str, Any], code: str, passing: list[Any], failing: list[Any]
) -> None:
    rule = {"type": "FIELD_MAPPING", "source": "x", "target": "t"}
    rows = [{"x": value} for value in (*passing, *failing)]
    outcomes = made(analysis, [rule], *rows, types={"x": kind}, validate=[{"target": "t", **check}], strict=True)
    wrong = (f"validate.t: {code}",)
    assert outcomes == [Outcome((value,)) for value in passing] + [Outcome((value,), wrong, True) for value in failing]


def test_without_strict_mode_a_value_that_fails_is_left_out_and_the_record_kept(analysis: Analysis) -> None:
    rules = [{"type": "FIELD_MAPPING", "source": name, "target": name} for name in ("x", "y")]
    validate = [{"target": "x", "in": ["a"]}, {"target": "x", "pattern": "[a-c]"}]
    [outcome] = made(analysis, rules, {"x": "d", "y": "y"}, validate=validate)
    assert outcome == Outcome((None, "y"), ("validate.x: not_allowed", "validate.x: pattern"), rejected=False)


@pytest.mark.parametrize("strict", [True, False])
def test_a_warning_is_recorded_and_changes_nothing(analysis: Analysis, strict: bool) -> None:
    rule = {"type": "FIELD_MAPPING", "source": "x", "target": "t"}
    validate = [{"target": "t", "in": ["a"], "severity": "warning"}]
    assert made(analysis, [rule], {"x": "d"}, validate=validate, strict=strict) == [
        Outcome(("d",), ("validate.t: not_allowed",))
    ]


# ---- batches ------------------------------------------------------------------------------------------------------


def test_a36_every_row_that_comes_in_comes_out_or_is_quarantined(analysis: Analysis) -> None:
    """More rows than are carried through together, out of order, with a join, a function in Python and errors."""
    rules = [
        {"id": "lookup", "type": "LOOKUP", "source": "x", "target": "t", "table": "codes@1", "value": "display"},
        {"id": "check", "type": "CUSTOM_FUNCTION", "source": "y", "target": "u", "function": "luhn_check@1"},
    ]
    source = {"x": {"path": "x"}, "y": {"path": "y"}}
    plan = plan_of({"source": source, "rules": rules}, strict=True)
    count = 120_000
    rows = source_table(
        plan, [{"x": "A" if number % 3 else "?", "y": "18" if number % 5 else "1"} for number in range(count)]
    )
    out = RuleBatches(analysis, plan, tables()).run(rows.take(list(reversed(range(count)))))
    assert out.column("_row").to_pylist() == list(range(count))
    rejected = out.column("_rejected").to_pylist()
    assert rejected == [not (number % 3 and number % 5) for number in range(count)]
    assert rejected == [bool(errors) for errors in out.column("_errors").to_pylist()]


def test_no_rows_are_no_rows(analysis: Analysis) -> None:
    rule = {"id": "r", "type": "CUSTOM_FUNCTION", "source": "x", "target": "t", "function": "luhn_check@1"}
    plan = plan_of({"source": {"x": {"path": "x"}}, "rules": [rule]})
    assert RuleBatches(analysis, plan, tables()).run(source_table(plan, [])).num_rows == 0


def test_two_plans_in_one_database_may_use_one_table(analysis: Analysis) -> None:
    rule = {"type": "LOOKUP", "source": "x", "target": "t", "table": "codes@1", "value": "display"}
    assert made(analysis, [rule], {"x": "A"}) == made(analysis, [rule], {"x": "A"}) == [Outcome(("Alpha",))]


def test_what_was_wrong_with_the_source_is_an_error_of_the_record(analysis: Analysis) -> None:
    rule = {"id": "r", "type": "FIELD_MAPPING", "source": "x", "target": "t", "required": True}
    plan = plan_of({"source": {"x": {"path": "x"}}, "rules": [rule]}, strict=True)
    number = plan.source_problems["x", "several_values"]
    outcomes = agreed(analysis, plan, [{"x": None}, {"x": "a"}], [[number], []])
    assert outcomes == [Outcome((None,), ("source.x: several_values", "r: required"), True), Outcome(("a",))]


def test_a37_a_lookup_table_with_a_key_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="line 2 and line 4"):
        read_csv_table("code,display\nA,Alpha\nB,Beta\nA,Again\n", "twice", "1")
    with pytest.raises(ConfigurationError, match="row 1 and row 2"):
        LookupTable("twice", "1", "code", ("code",), ({"code": "A"}, {"code": "A"}))


def _sleepy(text: str) -> str:
    if text == "slow":
        until = time.monotonic() + 20
        while time.monotonic() < until:
            pass
    return text.upper()


def test_a38_a_custom_function_that_takes_too_long_costs_its_row_only(analysis: Analysis) -> None:
    functions = shipped_functions()
    functions.register(Function("sleepy", 1, (ColumnType.STRING,), ColumnType.STRING, scalar=_sleepy, seconds=0.1))
    rule = {"id": "r", "type": "CUSTOM_FUNCTION", "source": "x", "target": "t", "function": "sleepy@1"}
    group = RuleGroup.model_validate({"source": {"x": {"path": "x"}}, "rules": [rule]})
    plan = make_plan(group, functions, tables(), strict=True)
    outcomes = agreed(analysis, plan, [{"x": "a"}, {"x": "slow"}, {"x": "b"}, {"x": None}])
    assert outcomes == [Outcome(("A",)), Outcome((None,), ("r: timed_out",), True), Outcome(("B",)), Outcome((None,))]
