"""DATA_TYPE_CONVERSION: a text read as another type, or a value written as text.

Law: what is not exactly of the type is a failure; nothing is guessed, cut or rounded unless the rule says how.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from holovitals_pipelines.transform.columns import SCALE, ColumnType, Row
from holovitals_pipelines.transform.kinds.prepared import (
    Batch,
    Made,
    Names,
    Prepared,
    RuleMistake,
    Sql,
    literal,
    quoted,
)
from holovitals_pipelines.transform.letter_case import ascii_lower, ascii_lower_sql
from holovitals_pipelines.transform.rule_set import DataTypeConversion
from holovitals_pipelines.transform.texts import TEXTUAL, text_sql, to_text, trimmed, trimmed_sql
from holovitals_pipelines.transform.times import (
    DATETIME_CODES,
    check_date_formats,
    check_datetime_options,
    date_sql,
    read_date,
    read_datetime,
)

INTEGER = r"[+-]?[0-9]{1,18}"
EXACT = r"[+-]?([0-9]{1,18}(\.[0-9]{0,9})?|\.[0-9]{1,9})"
"""A number that needs no rounding."""
LONG = r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})"
"""One that may be rounded to the rule's scale."""
READABLE = (ColumnType.STRING, ColumnType.NUMBER)

Read = Callable[[Any], Any]
"""A text's value, or None where it has none."""


def prepare(rule: DataTypeConversion, names: Names) -> Prepared:
    _check_options(rule)
    if rule.to is ColumnType.STRING:
        return _to_string(rule, names)
    if rule.to is ColumnType.DATETIME:
        return _to_datetime(rule, names)
    if rule.to is ColumnType.JSON:
        raise RuleMistake("to", "json is what sources hold; nothing is converted to it")
    names.need(rule.source, READABLE)
    read, sql = _READERS[rule.to](rule)
    code, name = f"not_a_{rule.to}", rule.source
    source = quoted(name)

    def record(row: Row) -> Made:
        text = row[name]
        if text is None:
            return (None,), None
        value = read(text)
        return (value,), (code if value is None else None)

    def failure(made: Sequence[str]) -> str:
        return f"case when {source} is not null and {made[0]} is null then '{code}' end"

    return Prepared((rule.to,), record, Sql((sql,), failure), frozenset({name}), (code,))


def _check_options(rule: DataTypeConversion) -> None:
    if rule.scale is not None and rule.to not in (ColumnType.DECIMAL, ColumnType.NUMBER):
        raise RuleMistake("scale", "only decimal and number have digits after the point")
    if rule.format and rule.to not in (ColumnType.DATE, ColumnType.DATETIME, ColumnType.STRING):
        raise RuleMistake("format", f"a {rule.to} has no format")
    if rule.timezone is not None and rule.to is not ColumnType.DATETIME:
        raise RuleMistake("timezone", f"a {rule.to} has no time zone")


def _integer(rule: DataTypeConversion) -> tuple[Read, str]:
    pattern = re.compile(INTEGER)

    def read(text: str) -> int | None:
        text = trimmed(text)
        return int(text) if pattern.fullmatch(text) else None

    text = trimmed_sql(quoted(rule.source))
    return read, f"case when regexp_full_match({text}, '{INTEGER}') then cast({text} as bigint) end"


def _decimal(rule: DataTypeConversion) -> tuple[Read, str]:
    shape = EXACT if rule.scale is None else LONG
    pattern, step = re.compile(shape), Decimal(1).scaleb(-(SCALE if rule.scale is None else rule.scale))
    held = Decimal(1).scaleb(-SCALE)

    def read(text: str) -> Decimal | None:
        text = trimmed(text)
        return Decimal(text).quantize(step, ROUND_HALF_UP).quantize(held) + 0 if pattern.fullmatch(text) else None

    return read, f"cast({_rounded_sql(rule, shape)} as decimal(28, {SCALE}))"


def _rounded_sql(rule: DataTypeConversion, shape: str) -> str:
    text = trimmed_sql(quoted(rule.source))
    digits = SCALE if rule.scale is None else rule.scale
    number = f"cast(cast({text} as decimal(38, 18)) as decimal({19 + digits}, {digits}))"
    return f"case when regexp_full_match({text}, '{shape}') then {number} end"


def _number(rule: DataTypeConversion) -> tuple[Read, str]:
    """The text itself as JSON writes numbers, or, with a scale, exactly so many digits after the point."""
    pattern = re.compile(EXACT if rule.scale is None else LONG)
    scale = rule.scale

    def read(text: str) -> str | None:
        text = trimmed(text)
        if not pattern.fullmatch(text):
            return None
        if scale is not None:
            rounded = Decimal(text).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP) + 0
            return format(rounded, "f")
        return _JSON_NUMBER.sub(_as_json, text)

    if scale is not None:
        return read, f"cast({_rounded_sql(rule, LONG)} as varchar)"
    text = trimmed_sql(quoted(rule.source))
    parts = [f"regexp_extract({text}, '{_JSON_NUMBER.pattern}', {group})" for group in (1, 2, 3)]
    sign, whole, fraction = parts
    point = f"case when {fraction} = '' then '' else '.' || {fraction} end"
    json = f"replace({sign}, '+', '') || case when {whole} = '' then '0' else {whole} end || {point}"
    return read, f"case when regexp_full_match({text}, '{EXACT}') then {json} end"


_JSON_NUMBER = re.compile(r"^([+-]?)0*([0-9]*)\.?([0-9]*)$")


def _as_json(found: re.Match[str]) -> str:
    sign, whole, fraction = found.groups()
    return sign.replace("+", "") + (whole or "0") + (f".{fraction}" if fraction else "")


def _boolean(rule: DataTypeConversion) -> tuple[Read, str]:
    known = {ascii_lower(text): value for texts, value in ((rule.true_values, True), (rule.false_values, False))
             for text in texts}  # fmt: skip
    if len(known) < len(rule.true_values) + len(rule.false_values):
        raise RuleMistake("trueValues", "a text cannot be listed twice")
    text = ascii_lower_sql(trimmed_sql(quoted(rule.source)))
    whens = " ".join(f"when {literal(key)} then {'true' if value else 'false'}" for key, value in known.items())
    return (lambda value: known.get(ascii_lower(trimmed(value)))), f"case {text} {whens} end"


def _date(rule: DataTypeConversion) -> tuple[Read, str]:
    formats = rule.format or ("%Y-%m-%d",)
    check_date_formats(formats)

    def read(text: str) -> date | None:
        return read_date(trimmed(text), formats)

    return read, date_sql(trimmed_sql(quoted(rule.source)), formats)


_READERS: dict[ColumnType, Callable[[DataTypeConversion], tuple[Read, str]]] = {
    ColumnType.INTEGER: _integer,
    ColumnType.DECIMAL: _decimal,
    ColumnType.NUMBER: _number,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.DATE: _date,
}


def _to_string(rule: DataTypeConversion, names: Names) -> Prepared:
    kind = names.need(rule.source, TEXTUAL if not rule.format else (ColumnType.DATE,))
    write, name = to_text(kind), rule.source
    sql = text_sql(kind, quoted(name))
    if rule.format:
        if len(rule.format) > 1:
            raise RuleMistake("format", "a text is written in one format")
        [form] = rule.format
        check_date_formats(rule.format)
        write = _date_writer(form)
        sql = f"strftime({quoted(name)}, {literal(form)})"

    def record(row: Row) -> Made:
        value = row[name]
        return ((None if value is None else write(value)),), None

    return Prepared((ColumnType.STRING,), record, Sql((sql,)), frozenset({name}))


def _date_writer(form: str) -> Callable[[date], str]:
    """Python writes the year 33 in two digits, DuckDB in four."""
    pieces = re.split("(%%|%Y)", form)

    def write(value: date) -> str:
        return "".join(f"{value.year:04}" if piece == "%Y" else value.strftime(piece) for piece in pieces)

    return write


def _to_datetime(rule: DataTypeConversion, names: Names) -> Prepared:
    """Zones, gaps and folds are read by one function for rows and batches alike: no two libraries agree on them."""
    names.need(rule.source, READABLE)
    name, formats, zone, ambiguous = rule.source, rule.format, rule.timezone, rule.on_ambiguous
    check_datetime_options(formats, zone)

    def read(text: str | None) -> tuple[str | None, str | None]:
        return (None, None) if text is None else read_datetime(trimmed(text), formats, zone, ambiguous)

    def record(row: Row) -> Made:
        value, code = read(row[name])
        return (value,), code

    def run(columns: Sequence[Sequence[Any]]) -> tuple[list[Any], list[str | None]]:
        pairs = [read(text) for text in columns[0]]
        return [value for value, _ in pairs], [code for _, code in pairs]

    return Prepared((ColumnType.DATETIME,), record, Batch((name,), run), frozenset({name}), DATETIME_CODES)
