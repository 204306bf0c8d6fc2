"""The expression language's front: what is understood, of which type it is, and what is refused where."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.expressions import (
    EXPRESSION_CODES,
    FUNCTIONS,
    ExpressionError,
    check_pattern,
    compile_record,
    parse_expression,
)

T = ColumnType
COLUMNS = {
    "s": T.STRING, "i": T.INTEGER, "d": T.DECIMAL, "n": T.NUMBER, "b": T.BOOLEAN, "born": T.DATE, "at": T.DATETIME,
    "doc": T.JSON,
}  # fmt: skip


def refusal(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as raised:
        parse_expression(text, COLUMNS)
    return raised.value


TYPES = {
    "i": T.INTEGER, "n": T.NUMBER, "at": T.DATETIME, "doc": T.JSON, "'x'": T.STRING, "1": T.INTEGER, "1.0": T.DECIMAL,
    "True": T.BOOLEAN, "i + 1": T.INTEGER, "i + 1.0": T.DECIMAL, "i + n": T.DECIMAL, "n + n": T.DECIMAL,
    "i / i": T.DECIMAL, "-n": T.DECIMAL, "-i": T.INTEGER, "i < n": T.BOOLEAN, "n if b else n": T.NUMBER,
    "n if b else 1": T.DECIMAL, "None if b else i": T.INTEGER, "coalesce(n, n)": T.NUMBER, "coalesce(n, i)": T.DECIMAL,
    "doc if b else None": T.JSON, "round(i, 1)": T.DECIMAL, "floor(n)": T.INTEGER, "min(i, 2)": T.INTEGER,
    "max(i, d)": T.DECIMAL, "min(born, born)": T.DATE, "abs(i)": T.INTEGER, "abs(n)": T.DECIMAL,
    "length(s)": T.INTEGER, "to_text(n)": T.STRING, "to_number(s)": T.DECIMAL, "years_between(born, born)": T.INTEGER,
    "s in ('a', 'b')": T.BOOLEAN, "at == at and doc != doc": T.BOOLEAN, "at is not None": T.BOOLEAN,
    " (i +\n 1)": T.INTEGER,
}  # fmt: skip


@pytest.mark.parametrize("text", TYPES)
def test_every_expression_has_a_type(text: str) -> None:
    assert parse_expression(text, COLUMNS).type is TYPES[text]


def test_an_expression_knows_its_text_and_the_columns_it_reads() -> None:
    expression = parse_expression("i if b else length(s) + i", COLUMNS)
    assert expression.names == {"i", "b", "s"}
    assert expression.text == "i if b else length(s) + i"


def test_decimals_are_taken_from_the_text_exactly() -> None:
    expression = parse_expression("9999999999999999999.123456789", COLUMNS)
    assert compile_record(expression)({}) == (Decimal("9999999999999999999.123456789"), None)


REFUSALS = [
    ("s.value", 2, "not_in_language", "attributes are not part of the language"),
    (" s . value", 5, "not_in_language", "attributes are not part of the language"),
    ("lower(s.value)", 8, "not_in_language", "attributes are not part of the language"),
    ("s.lower()", 2, "not_in_language", "attributes are not part of the language"),
    ("s[0]", 1, "not_in_language", "subscripts are not part of the language"),
    ("s[0:1]", 1, "not_in_language", "subscripts are not part of the language"),
    ("lambda: 1", 0, "not_in_language", "lambdas are not part of the language"),
    ("[x for x in s]", 0, "not_in_language", "comprehensions are not part of the language"),
    ("{x for x in s}", 0, "not_in_language", "comprehensions are not part of the language"),
    ("{s: 1}", 0, "not_in_language", "dictionaries are not part of the language"),
    ("{x: 1 for x in s}", 0, "not_in_language", "comprehensions are not part of the language"),
    ("(x for x in s)", 0, "not_in_language", "comprehensions are not part of the language"),
    ("{1, 2}", 0, "not_in_language", "sets are not part of the language"),
    ('f"{s}"', 0, "not_in_language", "f-strings are not part of the language"),
    ("i + (x := 1)", 5, "not_in_language", "assignments (:=) are not part of the language"),
    ("concat(*s)", 7, "not_in_language", "stars before arguments are not part of the language"),
    ("round(d, n=1)", 9, "not_in_language", "keywords are not part of the language"),
    ("round(d, **d)", 9, "not_in_language", "keywords are not part of the language"),
    ('b"x"', 0, "not_in_language", "bytes are not part of the language"),
    ("1j", 0, "not_in_language", "imaginary numbers are not part of the language"),
    ("...", 0, "not_in_language", "this is not part of the language"),
    ("(yield)", 1, "not_in_language", "yield is not part of the language"),
    ("(await s)", 1, "not_in_language", "await is not part of the language"),
    ("[1]", 0, "not_in_language", "lists other than after `in` are not part of the language"),
    ("(1, 2)", 0, "not_in_language", "tuples other than after `in` are not part of the language"),
    ("i ** 2", 2, "not_in_language", "powers (**) are not part of the language"),
    ("i // 2", 2, "not_in_language", "whole divisions (//) are not part of the language"),
    ("i % 2", 2, "not_in_language", "remainders (%) are not part of the language"),
    ("i @ 2", 2, "not_in_language", "the operator @ is not part of the language"),
    ("i << 2", 2, "not_in_language", "the operator << is not part of the language"),
    ("i & 1", 2, "not_in_language", "the operator & is not part of the language"),
    ("i | 1", 2, "not_in_language", "the operator | is not part of the language"),
    ("i ^ 1", 2, "not_in_language", "the operator ^ is not part of the language"),
    ("~i", 0, "not_in_language", "the operator ~ is not part of the language"),
    ("+i", 0, "not_in_language", "plus signs before a value are not part of the language"),
    ("(i) ** 2", 4, "not_in_language", "powers (**) are not part of the language"),
    ("1 < i < 3", 6, "not_in_language", "chained comparisons are not part of the language"),
    ("i == 1 == b", 7, "not_in_language", "chained comparisons are not part of the language"),
    ("i is 1", 2, "not_in_language", "`is` is only for None"),
    ("i == None", 2, "type", "nothing is equal to None"),
    ("i in s", 5, "arguments", "after `in` comes a list of literals"),
    ("i in [i]", 6, "arguments", "a list holds literals"),
    ("i in []", 5, "arguments", "after `in` comes a list of literals"),
    ("i in [None]", 6, "type", "None is in no list: nothing is equal to it"),
    ('i in ["1"]', 6, "type", "this is a text, and what it goes with is an integer"),
    ('s in {"a"}', 5, "arguments", "after `in` comes a list of literals"),
    ("None", 0, "type", "None may stand only as a branch of if-else and after `is`"),
    ("None if b else None", 0, "type", "nothing here says what type this is"),
    ("None + 1", 0, "type", "None may stand only as a branch of if-else and after `is`"),
    ("i + None", 4, "type", "None may stand only as a branch of if-else and after `is`"),
    ("not None", 4, "type", "None may stand only as a branch of if-else and after `is`"),
    ("coalesce(None, i)", 9, "type", "None may stand only as a branch of if-else and after `is`"),
    ("lower(None)", 6, "type", "None may stand only as a branch of if-else and after `is`"),
    ("b if None else b", 5, "type", "None may stand only as a branch of if-else and after `is`"),
    ("x", 0, "unknown_name", "there is no column 'x' here"),
    ("lower", 0, "unknown_name", "there is no column 'lower' here"),
    ("i + weigth", 4, "unknown_name", "there is no column 'weigth' here"),
    ("foo(i)", 0, "unknown_function", "there is no function 'foo'"),
    ("lowr(s)", 0, "unknown_function", "there is no function 'lowr'"),
    ("(i)(1)", 0, "unknown_function", "there is no function 'i'"),
    ("round(d)", 0, "arguments", "round does not take 1 argument"),
    ("lower()", 0, "arguments", "lower does not take 0 arguments"),
    ("concat(s)", 0, "arguments", "concat does not take 1 argument"),
    ("min(i)", 0, "arguments", "min does not take 1 argument"),
    ("round(d, i)", 9, "arguments", "the number of digits is a literal from 0 to 9"),
    ("round(d, 10)", 9, "arguments", "the number of digits is a literal from 0 to 9"),
    ("round(d, -1)", 9, "arguments", "the number of digits is a literal from 0 to 9"),
    ("round(d, 1.0)", 9, "arguments", "the number of digits is a literal from 0 to 9"),
    ('replace(s, s, "a")', 11, "arguments", "what is replaced, and by what, are literals"),
    ('replace(s, "", "a")', 11, "arguments", "an empty text is nowhere to be replaced"),
    ("matches(s, s)", 11, "arguments", "a pattern is a literal"),
    ('matches(s, "a.*")', 13, "pattern", "'.' is not part of the patterns here, or means nothing at this place"),
    ('matches(s, "a+")', 13, "pattern", "a repetition has a limit"),
    ('matches(s, r"\\d+x")', 15, "pattern", "a repetition has a limit"),
    ('matches(s, "^a$")', 12, "pattern", "'^' is not part of the patterns here, or means nothing at this place"),
    ('matches(s, "(?i)a")', 13, "pattern", "groups are plain: (…)"),
    ('matches(s, "(a")', 12, "pattern", "this group is not closed"),
    ('matches(s, "a)")', 13, "pattern", "this parenthesis closes no group"),
    ('matches(s, "[a")', 12, "pattern", "this class is not closed"),
    ('matches(s, "[z-a]")', 13, "pattern", "this range does not go from a lesser to a greater character"),
    ('matches(s, "a{3,1}")', 13, "pattern", "this repetition is too long, or its limits are the wrong way round"),
    ('matches(s, "a{300}")', 13, "pattern", "this repetition is too long, or its limits are the wrong way round"),
    ('matches(s, "(a{20}){20}")', 19, "pattern", "this repetition is too long, or its limits are the wrong way round"),
    ('matches(s, "(a?){3}")', 16, "pattern", "what repeats may not itself hold a choice (?, {1,2} or |)"),
    ('matches(s, "(a|b){3}")', 17, "pattern", "what repeats may not itself hold a choice (?, {1,2} or |)"),
    ('matches(s, "a{2}{3}")', 16, "pattern", "a repetition is not repeated"),
    ('matches(s, "\\\\bx")', 13, "pattern", "this escape is not part of the patterns"),
    ('matches(s, "\\\\1")', 13, "pattern", "this escape is not part of the patterns"),
    ('matches(s, "[[:alpha:]]")', 13, "pattern", "'[' within a class is written with a backslash"),
    ('matches(s, "[]")', 12, "pattern", "this class has no characters"),
    ('matches(s, "a{1,}")', 13, "pattern", "a repetition has a limit"),
    ('matches(s, "é\\\\D")', 11, "pattern", "this escape is not part of the patterns"),
    ("s + s", 2, "type", "texts are not added"),
    ("s + 1", 2, "type", "texts are not added"),
    ("s - i", 0, "type", "this is a text, where a number is needed"),
    ("i * b", 4, "type", "this is true or false, where a number is needed"),
    ("-s", 1, "type", "this is a text, where a number is needed"),
    ("not i", 4, "type", "this is an integer, where true or false is needed"),
    ("i and b", 0, "type", "this is an integer, where true or false is needed"),
    ("b or s", 5, "type", "this is a text, where true or false is needed"),
    ("1 if i else 2", 5, "type", "this is an integer, where true or false is needed"),
    ('1 if b else "x"', 12, "type", "this is a text, and what it goes with is an integer"),
    ("i if b else born", 12, "type", "this is a date, and what it goes with is an integer"),
    ("s == i", 5, "type", "this is an integer, and what it goes with is a text"),
    ('i == "1"', 5, "type", "this is a text, and what it goes with is an integer"),
    ('born == "2020-01-01"', 8, "type", "this is a text, and what it goes with is a date"),
    ("born < at", 7, "type", "this is a dateTime, and what it goes with is a date"),
    ("at < at", 3, "type", "there is no order in which a dateTime comes before another"),
    ("doc < doc", 4, "type", "there is no order in which JSON comes before another"),
    ("b < b", 2, "type", "there is no order in which true or false comes before another"),
    ("b == 1", 5, "type", "this is an integer, and what it goes with is true or false"),
    ("at == s", 6, "type", "this is a text, and what it goes with is a dateTime"),
    ("doc == s", 7, "type", "this is a text, and what it goes with is JSON"),
    ("year(at)", 5, "type", "this is a dateTime, where a date is needed"),
    ("year(s)", 5, "type", "this is a text, where a date is needed"),
    ("length(i)", 7, "type", "this is an integer, where a text is needed"),
    ("substring(s, 0.5, 1)", 13, "type", "this is a decimal, where an integer is needed"),
    ("substring(s, d, 1)", 13, "type", "this is a decimal, where an integer is needed"),
    ("to_text(at)", 8, "type", "a dateTime is not made a text here"),
    ("to_text(doc)", 8, "type", "JSON is not made a text here"),
    ("to_number(i)", 10, "type", "this is an integer, where a text is needed"),
    ("min(s, s)", 4, "type", "this is a text, where a number is needed"),
    ("min(born, i)", 10, "type", "this is an integer, where a date is needed"),
    ("min(i, born)", 7, "type", "this is a date, where a number is needed"),
    ("abs(s)", 4, "type", "this is a text, where a number is needed"),
    ("concat(s, i)", 10, "type", "this is an integer, where a text is needed"),
    ("coalesce(s, i)", 12, "type", "this is an integer, and what it goes with is a text"),
    ("days_between(born, at)", 19, "type", "this is a dateTime, where a date is needed"),
    ("9223372036854775808", 0, "literal", "an integer has 64 bits"),
    ("-9223372036854775809", 1, "literal", "an integer has 64 bits"),
    ("1.0000000001", 0, "literal", "a decimal has 19 digits before the point and 9 after it"),
    ("12345678901234567890.5", 0, "literal", "a decimal has 19 digits before the point and 9 after it"),
    ("1e5", 0, "literal", "numbers are written as 12 or 0.5"),
    ("1_000", 0, "literal", "numbers are written as 12 or 0.5"),
    ("0x10", 0, "literal", "numbers are written as 12 or 0.5"),
    (".5", 0, "literal", "numbers are written as 12 or 0.5"),
    ("1.", 0, "literal", "numbers are written as 12 or 0.5"),
    ('"a\\0b"', 0, "literal", "a character that no text may hold"),
    ('"\\ud800"', 0, "literal", "a character that no text may hold"),
    ('"a\nb"', 0, "literal", "a text ends on the line it begins on"),
    ('"""a\nb"""', 0, "literal", "a text ends on the line it begins on"),
    ("i # the integer", 2, "not_in_language", "comments are not part of the language"),
    ("", 0, "syntax", "there is no expression"),
    ("i)", 1, "syntax", "this is not an expression from here on"),
    (" ", 0, "syntax", "there is no expression"),
    ("'é' + weigth", 6, "unknown_name", "there is no column 'weigth' here"),
    ("'🤦é', s.x", 0, "not_in_language", "tuples other than after `in` are not part of the language"),
    ("\n i ** 2", 4, "not_in_language", "powers (**) are not part of the language"),
]


@pytest.mark.parametrize(("text", "position", "code", "problem"), REFUSALS)
def test_a_mistake_is_told_in_plain_words_at_its_place(text: str, position: int, code: str, problem: str) -> None:
    error = refusal(text)
    assert (error.position, error.code, error.message.splitlines()[0]) == (position, f"expression.{code}", problem)
    assert error.remedy


@pytest.mark.parametrize("text", ["i +", "(i", "'a", "i b", "i if b", "i && b", "class", "i = 1", "((((", "\ti\0"])
def test_what_python_cannot_read_is_no_expression(text: str) -> None:
    error = refusal(text)
    assert error.code == "expression.syntax"
    assert 0 <= error.position <= len(text)


def test_the_caret_stands_under_the_mistake() -> None:
    problem, shown, caret = refusal("d + weigth").message.rstrip("\n").split("\n")
    assert problem == "there is no column 'weigth' here"
    assert shown[caret.index("^") :] == "weigth"


def test_the_caret_stands_under_the_mistake_in_a_long_text_of_several_lines() -> None:
    text = "concat('é',\n" + "s, " * 60 + "weigth, " + "s, " * 60 + "s)"
    _, shown, caret = refusal(text).message.rstrip("\n").split("\n")
    assert len(shown) < 110
    assert shown[caret.index("^") :].startswith("weigth")


def test_a_misspelt_name_is_guessed() -> None:
    assert "'born'" in refusal("borm is None").remedy
    assert "'lower'" in refusal("lowr(s)").remedy


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("i" + " " * 2000, 2000),
        (" or ".join(["b"] * 200), 5 * 199),
        ("not " * 40 + "b", 4 * 40),
        ("-" * 1999 + "i", 40),
    ],
)
def test_what_is_too_large_is_refused(text: str, position: int) -> None:
    error = refusal(text)
    assert (error.code, error.position) == ("expression.too_large", position)


def test_the_greatest_that_is_not_too_large_is_understood() -> None:
    assert parse_expression(" or ".join(["b"] * 199), COLUMNS).type is T.BOOLEAN
    assert parse_expression("not " * 39 + "b", COLUMNS).type is T.BOOLEAN


def test_patterns_of_validations_are_checked_alike() -> None:
    assert check_pattern(r"\d{2}/x?") == r"[0-9]{2,2}\/x{0,1}"
    with pytest.raises(ExpressionError) as raised:
        check_pattern("ab+")
    assert (raised.value.position, raised.value.code) == (2, "expression.pattern")


def test_failures_are_declared() -> None:
    assert EXPRESSION_CODES == ("division_by_zero", "overflow", "not_a_number")


PAGE = (Path(__file__).parents[2] / "docs" / "expressions.md").read_text(encoding="utf-8")


def test_the_page_for_analysts_shows_every_function() -> None:
    assert [function.usage for function in FUNCTIONS.values() if f"`{function.usage}`" not in PAGE] == []


def test_the_examples_of_the_page_are_understood_and_its_mistake_is_told_as_it_says() -> None:
    columns = dict.fromkeys(("weight_kg", "height_cm", "sbp", "dbp"), T.NUMBER) | {"born": T.DATE, "seen": T.DATE}
    example, shown = (PAGE.split(f"```{kind}\n")[1].split("```")[0] for kind in ("yaml", "text"))
    bmi, band, age = yaml.safe_load(example)
    texts = {bmi["expr"]: T.DECIMAL, age["expr"]: T.INTEGER, age["condition"]: T.BOOLEAN, band["else"]: T.STRING}
    texts |= {case["when"]: T.BOOLEAN for case in band["cases"]}
    for text, type_ in texts.items():
        assert parse_expression(text, columns).type is type_
    with pytest.raises(ExpressionError) as raised:
        parse_expression("round(weigth / 2, 1)", columns)
    assert f"{raised.value.message}Remedy: {raised.value.remedy}\n" == shown


def test_the_language_needs_no_database() -> None:
    code = "import sys, holovitals_pipelines.transform.expressions; print({'duckdb', 'dagster'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
