"""Typed fields: a value is taken exactly or not at all, and a problem never shows what stood there."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.fhir.exact import Number, read_document
from holovitals_pipelines.transform.columns import ARROW, ColumnType
from holovitals_pipelines.transform.fields import FieldProblem, FieldReader, codes_of, fields_table
from holovitals_pipelines.transform.path_text import PathError
from holovitals_pipelines.transform.rule_set import SourceField

T = ColumnType
EVERY_TYPE = {f"as_{kind}": SourceField(path="a", type=kind) for kind in ColumnType}


def read(text: str, kind: ColumnType, path: str = "a") -> Any:
    """The value, or the code of the problem with it."""
    document = read_document(text.encode() if text.startswith("{") else f'{{"a":{text}}}'.encode())
    row, problems = FieldReader({"field": SourceField(path=path, type=kind)}).read(document)
    if not problems:
        return row["field"]
    assert row["field"] is None
    return problems[0]


def problem(code: str) -> FieldProblem:
    return FieldProblem("field", code)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (T.STRING, '"x y "', "x y "), (T.STRING, "7.40", "7.40"), (T.STRING, "12", "12"), (T.STRING, "true", "true"),
        (T.STRING, "false", "false"),
        (T.INTEGER, "7", 7), (T.INTEGER, "-9223372036854775808", -(2**63)), (T.INTEGER, "-0", 0),
        (T.NUMBER, "7.40", "7.40"), (T.NUMBER, "1E5", "1E5"), (T.NUMBER, "-0", "-0"), (T.NUMBER, "12", "12"),
        (T.NUMBER, "12345678901234567890.5", "12345678901234567890.5"),
        (T.DECIMAL, "7.40", Decimal("7.4")), (T.DECIMAL, "1E5", Decimal(100000)), (T.DECIMAL, "-0.0", Decimal(0)),
        (T.DECIMAL, "9999999999999999999.999999999", Decimal("9999999999999999999.999999999")),
        (T.DECIMAL, "1.00000000000000000000000000000000000", Decimal(1)), (T.DECIMAL, "0E-999999", Decimal(0)),
        (T.BOOLEAN, "true", True), (T.BOOLEAN, "false", False),
        (T.DATE, '"2024-02-29"', date(2024, 2, 29)), (T.DATE, '"0001-01-01"', date(1, 1, 1)),
        *((T.DATETIME, f'"{text}"', text) for text in (
            "2024", "2024-02", "2024-02-29", "2024-02-29T23:59:60Z", "2024-01-31T10:00:00.123456789+14:00",
            "2024-01-31T10:00:00-05:30",
        )),
        (T.JSON, '{"b":[1,7.40,null],"a":""}', '{"a":"","b":[1,7.40,null]}'),
        (T.JSON, '""', '""'), (T.JSON, "1.0", "1.0"),
        (T.JSON, "[]", "[]"), (T.JSON, '[{"x":1}]', '[{"x":1}]'), (T.JSON, "null", None),
    ],
)  # fmt: skip
def test_a_value_of_its_type_is_taken_exactly(kind: ColumnType, text: str, value: Any) -> None:
    taken = read(f'{{"a":{text}}}', kind)
    assert taken == value and type(taken) is type(value)
    if kind is T.DECIMAL:
        assert taken.as_tuple().exponent == -9 and not str(taken).startswith("-0")


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (T.STRING, ['{"b":1}', "{}"]),
        (T.INTEGER, ['"7"', "7.0", "1e3", "true", "{}", "-0.0"]),
        (T.NUMBER, ['"7.40"', "true", "{}"]),
        (T.DECIMAL, ['"7.40"', "true", "{}"]),
        (T.BOOLEAN, ['"true"', "1", "0", "{}"]),
        (T.DATE, ['"2023-02-29"', '"20240229"', '"2024-02"', '"2024-02-29T00:00:00Z"', '" 2024-02-29"', '"2024-W01-1"',
                  '"0000-01-01"', '"٢٠٢٤-01-01"', "20240229", "{}", '"2024-02-29\\n"']),
        (T.DATETIME, ['"2023-02-29"', '"2024-13"', '"2024-02-30T10:00:00Z"', '"2024-01-01T10:00:00"', '"2024-1-1"',
                      '"2024-01-01T10:00Z"', '"2024-01-01 10:00:00Z"', '"2024-01-01T24:00:00Z"', '"0000"', "2024", "{}",
                      '"2024-01-01T10:00:00+15:00"', '"2024-01-01T10:00:00.Z"', '"2024-01-01T10:00:00Z\\n"']),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_a_problem(kind: ColumnType, texts: list[str]) -> None:
    for text in texts:
        assert read(f'{{"a":{text}}}', kind) == problem(f"not_a_{kind}"), text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (T.INTEGER, "9223372036854775808"), (T.INTEGER, "-9223372036854775809"), (T.INTEGER, "9" * 5000),
        (T.DECIMAL, "10000000000000000000"), (T.DECIMAL, "1.0000000001"), (T.DECIMAL, "1E19"), (T.DECIMAL, "1E-10"),
        (T.DECIMAL, "1E99999999999999999999"), (T.DECIMAL, "9" * 5000), (T.DECIMAL, "9999999999999999999.9999999999"),
    ],
)  # fmt: skip
def test_a_number_that_does_not_fit_is_a_problem_and_is_not_rounded(kind: ColumnType, text: str) -> None:
    assert read(text, kind) == problem("overflow")


@pytest.mark.parametrize("kind", [kind for kind in ColumnType if kind is not T.JSON])
@pytest.mark.parametrize("text", ['""', '" \\t\\n"', '"\\u00a0"', "null", "[]", "[null]", '["", " "]'])
def test_blank_texts_and_nulls_are_no_value(kind: ColumnType, text: str) -> None:
    assert read(text, kind) is None


def test_several_values_are_a_problem_but_blank_ones_are_not_counted() -> None:
    for kind in ColumnType:
        if kind is not T.JSON:
            assert read("[1, 2]", kind) == problem("several_values")
    assert read('["x", ""]', T.STRING) == "x"
    assert read("[7]", T.INTEGER) == 7


def test_json_takes_a_list_whole_but_not_several_of_them() -> None:
    names = '{"name":[{"given":["A","B"]}]}'
    assert read(names, T.JSON, "name") == '[{"given":["A","B"]}]'
    assert read(names, T.JSON, "name.given") == '["A","B"]'
    assert read('{"name":[{"given":["A"]},{"given":["B"]}]}', T.JSON, "name.given") == problem("several_values")


def test_what_is_said_about_a_path_is_a_value() -> None:
    document = '{"name":[{"given":["A","B"]}]}'
    assert read(document, T.INTEGER, "name.given.count()") == 2
    assert read(document, T.BOOLEAN, "name.family.empty()") is True


def test_an_item_s_fields_read_the_item_and_the_record_where_they_say_so() -> None:
    record = {"id": "p1", "telecom": [{"value": "555"}, {"value": "556"}]}
    reader = FieldReader({"id": SourceField(path="%record.id"), "value": SourceField(path="value")})
    assert reader.read(record["telecom"][1], record) == ({"id": "p1", "value": "556"}, [])
    assert reader.read(record) == ({"id": "p1", "value": None}, [])
    assert reader.places(record["telecom"][1], ["id", "value"], record=record, at=("telecom", 1)) == [
        ("id",),
        ("telecom", 1, "value"),
    ]


def test_a_field_s_path_is_checked_before_any_record_is_read() -> None:
    with pytest.raises(PathError):
        FieldReader({"a": SourceField(path="name.select(x)")})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.dates().map(str) | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(json_values, max_size=4))
def test_every_row_fits_its_table_and_every_problem_is_one_that_is_declared(values: list[Any]) -> None:
    documents = [read_document(json.dumps({"a": value}).encode()) for value in values]
    reader = FieldReader(EVERY_TYPE)
    read_rows = [reader.read(document) for document in documents]
    for row, problems in read_rows:
        assert list(row) == list(EVERY_TYPE)
        for one in problems:
            assert one.code in codes_of(EVERY_TYPE[one.field].type) and row[one.field] is None
    rows = [row for row, _ in read_rows]
    table = fields_table(rows, EVERY_TYPE)
    assert table.schema == pa.schema(
        [("_row", pa.int64()), *((name, ARROW[field.type]) for name, field in EVERY_TYPE.items())]
    )
    assert table.to_pylist() == [{"_row": number, **row} for number, row in enumerate(rows)]


def test_the_text_of_a_number_is_plain_text() -> None:
    """A Number equals no string, so it would never match in a rule."""
    for kind in (T.STRING, T.NUMBER):
        value = read("7.40", kind)
        assert value == "7.40" and type(value) is str and not isinstance(value, Number)
