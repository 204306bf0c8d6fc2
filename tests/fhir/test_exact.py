"""Documents as Python objects: nothing is lost in reading and writing, and equal means the same JSON."""

from __future__ import annotations

import gzip
import json
import traceback
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_canonical_laws import numbers, plain, resources, spellings, texts
from test_seeded_errors import CONTROLS

from holovitals_pipelines.fhir import exact
from holovitals_pipelines.fhir.canonical import canonical_bytes, canonical_hash
from holovitals_pipelines.fhir.exact import (
    Number,
    exactly_equal,
    read_document,
    read_value,
    unmistakable,
    write_document,
    write_value,
)
from holovitals_pipelines.fhir.strict_json import MalformedResource

EXPORT = Path(__file__).parents[3] / "shared" / "data" / "fhir-bulk-100"
MANY = settings(max_examples=2 * settings.default.max_examples, deadline=None)

pytestmark = pytest.mark.long(by_examples=True)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([Number("1.0"), Number("1.00"), Number("1e0")])
    | st.sampled_from(["", "1.0", "true"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@MANY
@given(st.data(), resources)
def test_writing_what_was_read_keeps_the_canonical_hash(data: st.DataObject, resource: dict[str, Any]) -> None:
    body = data.draw(spellings(resource))
    assert canonical_hash(write_document(read_document(body))) == canonical_hash(body)


@MANY
@given(resources)
def test_a_compact_document_is_written_as_it_was_read(resource: dict[str, Any]) -> None:
    """Members in their order, numbers in their text."""
    body = plain(resource).encode()
    assert write_document(read_document(body)) == body


@MANY
@given(numbers, texts)
def test_numbers_compare_by_their_text_and_never_equal_strings(number: Any, text: str) -> None:
    (read,) = read_document(b'{"a":%s}' % number.text.encode()).values()
    assert write_value(read) == number.text
    assert read != text and text != read and [read] != [text] and {"a": text} != {"a": read}
    assert isinstance(read, Number) or read == int(number.text)
    assert Decimal(str(read)) == Decimal(number.text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1", int), ("-7", int), ("18446744073709551615", int), ("-9223372036854775808", int),
        ("18446744073709551616", Number), ("-9223372036854775809", Number), ("9" * 5000, Number),
        ("1.0", Number), ("1.00", Number), ("1e2", Number), ("-0", Number), ("-0.0", Number), ("0.10", Number),
    ],
)  # fmt: skip
@pytest.mark.parametrize("blank", ["", " "])
def test_what_64_bits_cannot_hold_exactly_stays_text(text: str, kind: type, blank: str) -> None:
    (read,) = read_document(f'{{"a":{blank}{text}}}'.encode()).values()
    assert type(read) is kind
    assert write_document({"a": read}) == b'{"a":%s}' % text.encode()


def test_a_number_is_itself_and_nothing_else() -> None:
    one, same, other = Number("1.0"), Number("1.0"), Number("1.00")
    assert one == same and hash(one) == hash(same)
    assert (one != same) is False, "a str subclass inherits != apart from =="
    assert one != other and one != 1 and one != 1.0 and one != "1.0"
    assert len({one, same, other, "1.0"}) == 3
    assert repr(one) == "Number('1.0')"


@MANY
@given(json_values, json_values)
def test_equal_means_the_same_json(one: Any, other: Any) -> None:
    assert exactly_equal(one, other) == (write_value(one) == write_value(other))
    if unmistakable(one):
        assert (one == other) == exactly_equal(one, other)


@MANY
@given(json_values)
def test_a_value_is_read_back_as_it_was_written(value: Any) -> None:
    assert exactly_equal(read_value(write_value(value)), value)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "json.empty"),
        (b"<html></html>", "json.markup"),
        (b'{"a":1', "json.truncated"),
        (b'{"a":1,"a":2}', "json.duplicate_key"),
        (b'{ "a":{"b":-0, "b":0}}', "json.duplicate_key"),
        (b'{"a":NaN}', "json.not_finite"),
        (b'{"a":"\\ud800"}', "json.lone_surrogate"),
        (b'{"a":\xff}', "json.invalid_utf8"),
        (b"[1]", "json.not_an_object"),
        (b'"text"', "json.not_an_object"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "json.too_deep"),
    ],
)
def test_what_is_no_resource_is_refused_as_the_canonical_form_refuses_it(body: bytes, code: str) -> None:
    for read in (read_document, canonical_bytes):
        with pytest.raises(MalformedResource) as refusal:
            read(body)
        assert refusal.value.code == code


@pytest.mark.parametrize("value", ["half \ud800", 2**64, object(), Decimal("1.0")])
def test_what_json_cannot_carry_is_refused_without_showing_it(value: Any) -> None:
    secret = "Zyx" + "wvut"
    with pytest.raises(MalformedResource) as refusal:
        write_document({"family": secret, "a": value})
    assert refusal.value.code == "json.unwritable"
    assert refusal.value.__context__ is None
    assert secret not in "".join(traceback.format_exception(refusal.value))


def test_ordinary_resources_never_need_the_slow_reader() -> None:
    for resource in CONTROLS.values():
        for indent in (None, 2):
            body = json.dumps(resource, indent=indent).encode()
            assert exact._read_fast(body) is not None
    assert exact._read_fast(b'{ "a":-0 }') is None and exact._read_fast(b'{"a":1,"a":1}') is None


def test_a_whole_export_is_read_and_written_exactly() -> None:
    if not EXPORT.is_dir():
        pytest.skip("the reference export ../shared/data/fhir-bulk-100 is not on this machine")
    with gzip.open(EXPORT / "all.ndjson.gz") as stream:
        for line in stream.read().splitlines()[::5]:
            assert canonical_bytes(write_document(read_document(line))) == canonical_bytes(line)
