"""The canonical form, case by case: what counts as content, what does not, and what is refused."""

from __future__ import annotations

import json

import pytest

from holovitals_pipelines.fhir.canonical import HASH_VERSION, canonical_bytes, canonical_hash, content_hash
from holovitals_pipelines.fhir.strict_json import MalformedResource

OBSERVATION = b'{"resourceType":"Observation","id":"o1","valueQuantity":{"value":%s}}'


def test_the_form_is_sorted_compact_json_without_bookkeeping() -> None:
    body = (
        b'{"resourceType":"Patient","id":"p1","text":{"status":"generated","div":"<div>x</div>"},'
        b'"meta":{"versionId":"7","lastUpdated":"2020-01-01T00:00:00Z","source":"#a",'
        b'"tag":[{"code":"t"}],"security":[{"code":"R"}],"profile":["http://p"]},"active":true}'
    )
    assert canonical_bytes(body) == (
        b'{"active":true,"id":"p1","meta":{"profile":["http://p"],"security":[{"code":"R"}],"tag":[{"code":"t"}]},'
        b'"resourceType":"Patient"}'
    )


def test_the_hash_of_version_1_never_changes() -> None:
    """Stored shadows depend on it: whoever changes the form must raise HASH_VERSION."""
    body = '{"resourceType":"Patient","id":"p1","meta":{"versionId":"2"},"name":[{"family":"Müller"}],"x":1.50}'
    assert HASH_VERSION == 1
    assert canonical_hash(body.encode()).hex() == "e34ff2ea86f89da93e39afdccb4adb02"


def test_hashes_are_the_first_128_bits() -> None:
    body = OBSERVATION % b"1"
    assert len(canonical_hash(body)) == len(content_hash(body)) == 16


def test_content_hash_sees_every_byte() -> None:
    body = OBSERVATION % b"1"
    assert content_hash(body) != content_hash(body + b" ")
    assert canonical_hash(body) == canonical_hash(body + b" ")


NUMBERS = [
    b"0",
    b"-0",
    b"0.0",
    b"-0.0",
    b"0.00",
    b"0e0",
    b"1",
    b"1.0",
    b"1.00",
    b"1e0",
    b"1E0",
    b"1e+0",
    b"100",
    b"1e2",
]
NUMBERS += [b"10e1", b"18446744073709551615", b"18446744073709551616", b"18446744073709551617", b"-9223372036854775809"]
NUMBERS += [
    b"123456789012345678901234567890.12345678901234567890",
    b"123456789012345678901234567890.12345678901234567891",
]
NUMBERS += [b"1e400", b"1e401", b"9" * 5000]


def test_every_spelling_of_a_number_is_its_own_content() -> None:
    assert len({canonical_hash(OBSERVATION % number) for number in NUMBERS}) == len(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:24].decode())
@pytest.mark.parametrize("indent", [None, 2])
def test_a_number_is_written_as_it_came(number: bytes, indent: int | None) -> None:
    body = OBSERVATION % b'"@"'
    if indent:
        body = json.dumps(json.loads(body), indent=indent).encode()
    body = body.replace(b'"@"', number)
    assert b'"value":' + number + b"}" in canonical_bytes(body)


def test_no_string_passes_for_a_number() -> None:
    number = canonical_bytes(OBSERVATION % b"1.50")
    for forged in (b'"1.50"', b'"\\u00001.50"', b'{"":1.50}', b'["1.50"]', b"[1.50]", b'{"n":"1.50"}', b'"\\"1.50"'):
        assert canonical_bytes(OBSERVATION % forged) != number
    assert json.loads(number, parse_float=lambda text: ("number", text))["valueQuantity"]["value"] == ("number", "1.50")


def test_empty_members_are_dropped_at_every_depth() -> None:
    body = b'{"resourceType":"Patient","a":null,"b":{},"c":[],"d":{"e":{"f":null}},"g":[{"h":[],"i":1}]}'
    assert canonical_bytes(body) == b'{"g":[{"i":1}],"resourceType":"Patient"}'
    indented = json.dumps(json.loads(body), indent=1).encode()
    assert canonical_bytes(indented) == canonical_bytes(body)


def test_lists_keep_every_position() -> None:
    body = b'{"name":[{"_given":[null,{"id":"x"}],"given":["a",null]}],"z":[{},[],{"q":{}}]}'
    assert canonical_bytes(body) == b'{"name":[{"_given":[null,{"id":"x"}],"given":["a",null]}],"z":[{},[],{}]}'


def test_meta_that_holds_only_bookkeeping_counts_as_none() -> None:
    bare = canonical_hash(b'{"resourceType":"Patient","id":"p"}')
    assert canonical_hash(b'{"resourceType":"Patient","id":"p","meta":{"versionId":"1"}}') == bare
    assert canonical_hash(b'{"resourceType":"Patient","id":"p","meta":{}}') == bare
    assert canonical_hash(b'{"resourceType":"Patient","id":"p","meta":{"versionId":"1","tag":[]}}') == bare


def test_only_the_resources_own_narrative_is_dropped() -> None:
    """`text` of a CodeableConcept is content, and so is a text that is no narrative."""
    assert canonical_bytes(b'{"code":{"text":"a"},"text":{"div":"b"}}') == b'{"code":{"text":"a"}}'
    assert canonical_bytes(b'{"text":"clinical"}') == b'{"text":"clinical"}'
    contained = b'{"contained":[{"id":"c","text":{"div":"b"}}]}'
    assert canonical_bytes(contained) == contained


def test_a_nested_meta_is_content() -> None:
    body = b'{"contained":[{"meta":{"versionId":"1"}}],"x":{"meta":{"lastUpdated":"y"}}}'
    assert canonical_bytes(body) == body


def test_sidecars_extensions_contained_and_unknown_elements_stay() -> None:
    body = (
        b'{"_birthDate":{"extension":[{"url":"u","valueCode":"v"}]},"contained":[{"id":"1","resourceType":"Device"}],'
        b'"extension":[{"url":"w"}],"vendorSpecific":{"a":[1,2.0]}}'
    )
    assert canonical_bytes(body) == body


def test_names_are_sorted_by_code_point() -> None:
    """Not by UTF-16 unit, where U+10000 would come before U+FFFF."""
    body = '{"\U00010000":1,"\uffff":2,"é":3,"z":4,"Z":5,"_z":6}'.encode()
    assert canonical_bytes(body) == '{"Z":5,"_z":6,"z":4,"é":3,"\uffff":2,"\U00010000":1}'.encode()


def test_unicode_is_compared_by_code_point() -> None:
    composed, decomposed = '{"a":"é"}'.encode(), '{"a":"e\u0301"}'.encode()
    assert canonical_hash(composed) != canonical_hash(decomposed)
    assert canonical_hash(b'{"a":"\\u00e9"}') == canonical_hash(composed)
    assert canonical_hash(b'{"a":"\\ud83d\\ude00\\/"}') == canonical_hash('{"a":"😀/"}'.encode())


REFUSED = {
    "a twice-given member": (b'{"id":"a","id":"b"}', "json.duplicate_key"),
    "a twice-given member of equal value": (b'{"id":"a","id":"a"}', "json.duplicate_key"),
    "an indented one": (b'{\n "id": "a",\n "id": "b"\n}', "json.duplicate_key"),
    "a nested one": (b'{"x":[{"y":1,"y":2}]}', "json.duplicate_key"),
    "one spelled with an escape": (b'{"id":"a","\\u0069d":"b"}', "json.duplicate_key"),
    "one in what is dropped": (b'{"meta":{"versionId":"1","versionId":"2"}}', "json.duplicate_key"),
    "one whose narrative is dropped": (b'{"text":{"div":"1"},"text":{"div":"2"}}', "json.duplicate_key"),
    "one hidden behind escaped quotes": (b'{ "a":1,"a":2,"b":"\\u0022\\u0022"}', "json.duplicate_key"),
    "one hidden behind quotes and length": (b'{"a":1,"a":2,"b":"\\u0022\\u0022"}', "json.duplicate_key"),
    "one hidden by an empty one": (b'{"a":{},"a":{"b":1}}', "json.duplicate_key"),
    "invalid UTF-8": (b'{"a":"\xff"}', "json.invalid_utf8"),
    "invalid UTF-8 in a name": (b'{"\xff":1}', "json.invalid_utf8"),
    "an encoded surrogate": (b'{"a":"\xed\xa0\x80"}', "json.invalid_utf8"),
    "a lone high surrogate": (b'{"a":"\\ud800"}', "json.lone_surrogate"),
    "a lone low surrogate": (b'{"a":"x\\udc00y"}', "json.lone_surrogate"),
    "a surrogate in a name": (b'{"\\ud800":1}', "json.lone_surrogate"),
    "a surrogate in the narrative": (b'{"text":{"div":"\\ud800"}}', "json.lone_surrogate"),
    "NaN": (b'{"a":NaN}', "json.not_finite"),
    "Infinity": (b'{"a":[Infinity]}', "json.not_finite"),
    "negative Infinity": (b'{"a":-Infinity}', "json.not_finite"),
    "a list": (b"[1]", "json.not_an_object"),
    "a string": (b'"a"', "json.not_an_object"),
    "nothing": (b"", "json.empty"),
    "blanks": (b" " * 600, "json.empty"),
    "HTML": (b"\n<!DOCTYPE html><html>", "json.markup"),
    "XML": (b'<Patient xmlns="http://hl7.org/fhir"/>', "json.markup"),
    "a byte order mark": (b'\xef\xbb\xbf{"a":1}', "json.byte_order_mark"),
    "UTF-16": ('{"a":1}'.encode("utf-16-le"), "json.malformed"),
    "a cut object": (b'{"a":{"b":1', "json.truncated"),
    "a cut string": (b'{"a":"bc', "json.truncated"),
    "a cut literal": (b'{"a":tr', "json.truncated"),
    "a cut escape": (b'{"a":"\\u00', "json.truncated"),
    "a cut character": ('{"a":"é'.encode()[:-1], "json.truncated"),
    "two objects": (b'{"a":1}{"b":1}', "json.malformed"),
    "a trailing comma": (b'{"a":1,}', "json.malformed"),
    "a leading zero": (b'{"a":01}', "json.malformed"),
    "a control character": (b'{"a":"\x01"}', "json.malformed"),
    "single quotes": (b"{'a':1}", "json.malformed"),
    "too many levels": (b'{"a":' * 300 + b"1" + b"}" * 300, "json.too_deep"),
    "absurdly many levels": (b"[" * 100_000, "json.too_deep"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_single_meaning_is_refused(name: str) -> None:
    body, code = REFUSED[name]
    with pytest.raises(MalformedResource) as refusal:
        canonical_bytes(body)
    assert refusal.value.code == code
    assert refusal.value.remedy


def test_the_offset_is_in_bytes() -> None:
    with pytest.raises(MalformedResource) as refusal:
        canonical_bytes('{"é":"é",}'.encode())
    assert refusal.value.offset == len('{"é":"é",'.encode())


def test_an_error_shows_nothing_of_the_text() -> None:
    for body in (b'{"name":"SECRET","name":"SECRET"}', b'{"SECRET":SECRET}', b'{"SECRET":"\\ud800"}', b'{"SECRET'):
        with pytest.raises(MalformedResource) as refusal:
            canonical_bytes(body)
        assert "SECRET" not in str(refusal.value)
        assert refusal.value.__context__ is None, "the context would carry the text into tracebacks"


def test_escaped_quotes_alone_refuse_nothing() -> None:
    assert canonical_bytes(b'{ "b":"\\u0022","a":"\\""}') == b'{"a":"\\"","b":"\\""}'
