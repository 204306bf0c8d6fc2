"""Functions that rules call: typed, versioned, boxed in time; ours say the same in SQL."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.functions import CODES, Function, Functions, Refused
from holovitals_pipelines.transform.shipped_functions import shipped_functions

TEXT, INTEGER = ColumnType.STRING, ColumnType.INTEGER
SECRET = "Zyxwvut"
SHIPPED = shipped_functions()
DATABASE = duckdb.connect()


def over(scalar: Callable[..., Any], values: Sequence[Any], **other: Any) -> tuple[list[Any], list[str | None]]:
    declared = {"arguments": (TEXT,), "returns": TEXT, "seconds": 5.0} | other
    return Function("mine", 1, scalar=scalar, **declared).over_rows([values])


def test_a_function_is_called_for_every_row() -> None:
    function = Function("mine", 1, (TEXT, INTEGER), TEXT, scalar=lambda text, count: text * count)
    assert function.over_rows([["a", "b"], [2, 3]]) == (["aa", "bbb"], [None, None])
    assert function.over_rows([[], []]) == ([], [])


def test_a_null_policy_says_whether_nulls_are_seen() -> None:
    assert over(lambda text: text or "none", ["a", None]) == (["a", None], [None, None])
    assert over(lambda text: text or "none", ["a", None], null_policy="sees_null") == (["a", "none"], [None, None])


def test_an_exception_is_a_code_of_its_row_and_its_text_is_nowhere() -> None:
    def fails(text: str) -> str:
        if text == "bad":
            raise ValueError(SECRET)
        if text == "worse":
            raise SystemExit(SECRET)
        return text

    answer = over(fails, ["a", "bad", "worse", "b"])
    assert answer == (["a", None, None, "b"], [None, "failed", "failed", None])
    assert SECRET not in repr(answer)


def test_a_function_refuses_with_the_codes_it_declares_and_no_others() -> None:
    def refuses(text: str) -> str:
        raise Refused(text)

    assert over(refuses, ["too_long", SECRET], codes=("too_long",)) == ([None, None], ["too_long", "failed"])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ColumnType.STRING, 1),
        (ColumnType.STRING, "\ud800"),
        (ColumnType.INTEGER, True),
        (ColumnType.INTEGER, 2**63),
        (ColumnType.INTEGER, 1.0),
        (ColumnType.DECIMAL, 1),
        (ColumnType.DECIMAL, Decimal("NaN")),
        (ColumnType.DECIMAL, Decimal(10**19)),
        (ColumnType.NUMBER, "1."),
        (ColumnType.NUMBER, "NaN"),
        (ColumnType.BOOLEAN, 1),
        (ColumnType.DATE, "2024-01-01"),
        (ColumnType.DATE, datetime(2024, 1, 1)),  # noqa: DTZ001
        (ColumnType.DATETIME, "2024-01-01T10:00:00"),
        (ColumnType.DATETIME, "2024-01-01 "),
        (ColumnType.JSON, "{"),
    ],
)
def test_a_result_of_another_type_is_a_code_of_its_row(kind: ColumnType, value: Any) -> None:
    assert over(lambda text: value, ["a"], returns=kind) == ([None], ["wrong_type"])


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        (ColumnType.INTEGER, -(2**63), -(2**63)),
        (ColumnType.DECIMAL, Decimal("1.0000000005"), Decimal("1.000000001")),
        (ColumnType.DECIMAL, Decimal("-1.0000000005"), Decimal("-1.000000001")),
        (ColumnType.DECIMAL, Decimal("-0"), Decimal("0")),
        (ColumnType.NUMBER, "7.40", "7.40"),
        (ColumnType.DATE, date(2024, 1, 1), date(2024, 1, 1)),
        (ColumnType.DATETIME, "2024-01-01T10:00:00.5-05:00", "2024-01-01T10:00:00.5-05:00"),
        (ColumnType.JSON, '{"a":[1]}', '{"a":[1]}'),
        (ColumnType.STRING, None, None),
    ],
)
def test_a_result_of_its_type_is_held_as_columns_hold_it(kind: ColumnType, value: Any, held: Any) -> None:
    [made], codes = over(lambda text: value, ["a"], returns=kind)
    assert codes == [None] and made == held and type(made) is type(held)
    if kind is ColumnType.DECIMAL:
        assert made.as_tuple().exponent == -9 and made.is_signed() == (held < 0)


def test_a_row_that_runs_on_is_stopped_and_the_others_are_answered() -> None:
    def runs_on(text: str) -> str:
        while text == "hang":
            pass
        return text

    started = time.monotonic()
    values, codes = over(runs_on, ["a", "hang", "b", "hang", "c"], seconds=0.05)
    assert values == ["a", None, "b", None, "c"]
    assert codes == [None, "timed_out", None, "timed_out", None]
    assert time.monotonic() - started < 5


def test_a_row_that_cannot_be_stopped_is_left_behind() -> None:
    gate = threading.Event()

    def waits(text: str) -> str:
        if text == "hang":
            gate.wait()
        return text

    function = Function("mine", 1, (TEXT,), TEXT, scalar=waits, seconds=0.02)
    try:
        assert function.over_rows([["a", "hang", "b"]]) == (["a", None, "b"], [None, "timed_out", None])
        assert function.over_rows([["hang", "hang", "c"]]) == ([None] * 3, ["timed_out"] * 3)
        assert function.over_rows([["d"]]) == ([None], ["timed_out"]), "three are left behind: it is not called"
    finally:
        gate.set()
    for thread in threading.enumerate():
        if thread.name == "transform function":
            thread.join()
    assert function.over_rows([["d"]]) == (["d"], [None])


def test_a_batch_ends_however_many_rows_run_on() -> None:
    def runs_on(text: str) -> str:
        while True:
            pass

    values, codes = over(runs_on, ["x"] * 100_000, seconds=0.005)
    assert set(values) == {None} and set(codes) == {"timed_out"}


def test_many_quick_rows_may_take_longer_than_one() -> None:
    def slow(text: str) -> str:
        end = time.monotonic() + 0.002
        while time.monotonic() < end:
            pass
        return text

    assert over(slow, ["x"] * 100, seconds=0.05) == (["x"] * 100, [None] * 100)


def vectorised(function: Callable[..., Any], values: Sequence[Any], **other: Any) -> tuple[list[Any], list[str | None]]:
    return Function("mine", 1, (TEXT,), TEXT, vectorised=function, **other).over_rows([values])


def test_a_vectorised_function_takes_arrays_without_the_nulls_it_does_not_see() -> None:
    seen: list[int] = []

    def upper(texts: pa.Array) -> pa.Array:
        seen.append(texts.null_count)
        return pc.utf8_upper(texts)

    values, codes = vectorised(upper, ["a", None, "b"] * 1000)
    assert values == ["A", None, "B"] * 1000 and set(codes) == {None} and sum(seen) == 0 and len(seen) == 2


def test_a_vectorised_function_that_fails_is_tried_row_by_row() -> None:
    def fails(texts: pa.Array) -> pa.Array:
        if "bad" in texts.to_pylist():
            raise ValueError(SECRET)
        return texts

    assert vectorised(fails, ["a", "bad", "b"]) == (["a", None, "b"], [None, "failed", None])
    assert vectorised(fails, ["a", "bad"], scalar=lambda text: "one", seconds=None) == (["one", "one"], [None, None])


def test_a_vectorised_function_of_another_type_or_length_is_a_code_of_every_row() -> None:
    for wrong in (
        lambda texts: pa.array([1] * len(texts)),
        lambda texts: texts.to_pylist(),
        lambda texts: pa.array([]),
    ):
        assert vectorised(wrong, ["a", "b"]) == ([None, None], ["wrong_type", "wrong_type"])


@pytest.mark.parametrize(
    "declared",
    [
        {"name": "Mine"},
        {"version": 0},
        {"arguments": ()},
        {"scalar": None},
        {"seconds": 0},
        {"codes": ("Too long",)},
        {"codes": ("failed",)},
        {"codes": ("too_long",), "sql": "{0}"},
        {"sql": "{0}", "sql_code": "NULL"},
        {"sql_code": "NULL"},
    ],
)
def test_a_declaration_that_means_nothing_is_refused(declared: dict[str, Any]) -> None:
    right: dict[str, Any] = {"name": "mine", "version": 1, "arguments": (TEXT,), "returns": TEXT, "scalar": str}
    Function(**right)
    with pytest.raises(ConfigurationError) as refused:
        Function(**right | declared)
    assert refused.value.code == "functions.declaration"


def test_a_function_takes_the_arguments_it_declares() -> None:
    unit_convert, sha256_id = SHIPPED.get("unit_convert@1"), SHIPPED.get("sha256_id@1")
    assert unit_convert.argument_types(3) == (ColumnType.DECIMAL, TEXT, TEXT)
    assert unit_convert.argument_types(2) is None and unit_convert.argument_types(4) is None
    assert sha256_id.argument_types(3) == (TEXT, TEXT, TEXT) and sha256_id.argument_types(0) is None
    assert unit_convert.failures == ("unknown_unit", "incommensurable", "out_of_range", *CODES)


def test_no_version_is_registered_twice_and_unknown_names_are_answered_with_near_ones() -> None:
    functions = shipped_functions()
    with pytest.raises(ConfigurationError) as taken:
        functions.register(Function("digits_only", 1, (TEXT,), TEXT, scalar=str))
    assert taken.value.code == "functions.taken"
    functions.register(Function("digits_only", 2, (TEXT,), TEXT, scalar=str))
    assert "digits_only@2" in functions and "digits_only@2" not in SHIPPED
    for name, near in [("phone_e146@1", "phone_e164@1"), ("phone_e164@7", "phone_e164@1")]:
        with pytest.raises(ConfigurationError) as unknown:
            functions.get(name, "rules.yml:3")
        assert (unknown.value.code, unknown.value.place) == ("functions.unknown", "rules.yml:3")
        assert near in unknown.value.remedy
    assert Functions().names() == ()


def call(name: str, *arguments: Any) -> Any:
    """The value, or the code with an exclamation mark."""
    [value], [code] = SHIPPED.get(name).over_rows([[argument] for argument in arguments])
    return f"!{code}" if code else value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(555) 555-0123", "+15555550123"),
        ("1-555-555-0123", "+15555550123"),
        ("+1 555.555.0123", "+15555550123"),
        ("011 1 555 555 0123", "+15555550123"),
        ("+44 20 7946 0958", "+442079460958"),
        ("011 44 20 7946 0958", "+442079460958"),
        ("555\u2011555\u00a00123", "+15555550123"),
        ("  ", None),
        ("555-0123", "!not_a_phone_number"),
        ("155-555-0123", "!not_a_phone_number"),
        ("555-055-0123", "!not_a_phone_number"),
        ("555-555-0123 x9", "!not_a_phone_number"),
        ("+1 555 555 01234", "!not_a_phone_number"),
        ("+0 555 555 0123", "!not_a_phone_number"),
        ("５５５5550123", "!not_a_phone_number"),
    ],
)
def test_phone_numbers_become_e164_or_are_refused(text: str, expected: str | None) -> None:
    assert call("phone_e164@1", text) == expected


def test_the_other_shipped_functions_do_what_they_are_called() -> None:
    assert call("digits_only@1", "12-3 ab٣") == "123" and call("digits_only@1", "ab") is None
    assert [call("mrn_strip_zeros@1", text) for text in (" 00120 ", "000", "A01", " ")] == ["120", "0", "A01", None]
    assert call("luhn_check@1", "808401234567893") is True and call("luhn_check@1", "808401234567890") is False
    assert call("luhn_check@1", "12a") == "!not_digits"
    assert call("base64_text@1", "né") == "bsOp"
    assert call("reference@1", "Patient", "e.63-a") == "Patient/e.63-a"
    assert call("reference@1", "Patient", "a/b") == call("reference@1", "patient", "a") == "!not_a_reference"
    assert call("unit_convert@1", Decimal("98.6"), "[degF]", "Cel") == Decimal("37")
    assert call("unit_convert@1", Decimal(1), "[degF]", "kg") == "!incommensurable"
    assert call("unit_convert@1", Decimal(1), "lbs", "kg") == "!unknown_unit"


def test_ids_are_stable_and_parts_do_not_run_together() -> None:
    assert call("sha256_id@1", "a", "bc") == hashlib.sha256(b"1:a2:bc").hexdigest()
    ids = {
        call("sha256_id@1", *parts) for parts in [("a", "bc"), ("ab", "c"), ("a", None), ("a", ""), (None, "a"), ("a",)]
    }
    assert len(ids) == 6 and all(re.fullmatch("[0-9a-f]{64}", one) for one in ids)
    assert call("sha256_id@1", None, None) is None


TEXTS = st.none() | st.text("0123456789+()-./ \t\n\u00a0\u2011xaA٣é\x00", max_size=18) | st.text(max_size=8)
TWINS = [function for function in SHIPPED if function.sql is not None]


def twin(function: Function, row: Sequence[Any]) -> tuple[Any, Any]:
    names = [f"t{place}" for place in range(len(row))]
    value, code = function.value_sql(names), function.code_sql(names) or "NULL"
    columns = ", ".join(f"?::VARCHAR AS {name}" for name in names)
    found = DATABASE.execute(f"SELECT {value}, {code} FROM (SELECT {columns})", list(row)).fetchone()
    assert found is not None
    return found


@pytest.mark.parametrize("function", TWINS, ids=lambda function: function.full_name)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_twin_in_sql_answers_as_the_function_does(function: Function, data: st.DataObject) -> None:
    count = 3 if function.variadic else len(function.arguments)
    row = [data.draw(TEXTS) for _ in range(count)]
    [value], [code] = function.over_rows([[argument] for argument in row])
    assert twin(function, row) == (value, code)


PHONES = st.from_regex(r"(\+|011 ?)?1?[ -.]?\(?[0-9]{3}\)?[ -][0-9]{3}[-.][0-9]{4}\n?", fullmatch=True)


@settings(max_examples=80, deadline=None)
@given(PHONES)
@example("(555) 555-0123")
def test_the_twin_reads_phone_numbers_as_the_function_does(text: str) -> None:
    function = SHIPPED.get("phone_e164@1")
    [value], [code] = function.over_rows([[text]])
    assert twin(function, [text]) == (value, code)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["Patient", "patient", "P", "Observation"]), st.from_regex(r"[a-z0-9.-]{0,70}\n?", fullmatch=True)
)
def test_the_twin_makes_references_as_the_function_does(resource_type: str, id: str) -> None:
    function = SHIPPED.get("reference@1")
    [value], [code] = function.over_rows([[resource_type], [id]])
    assert twin(function, [resource_type, id]) == (value, code)
