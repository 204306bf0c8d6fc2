"""Laws of the canonical form, over generated resources and every way to spell them.

On some examples of each law; on a thousand with `--long`, as `make proof` runs it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holovitals_pipelines.fhir import canonical
from holovitals_pipelines.fhir.canonical import canonical_bytes, canonical_hash
from holovitals_pipelines.fhir.strict_json import MalformedResource


@dataclass(frozen=True)
class Number:
    """A JSON number by its text."""

    text: str


numbers = st.from_regex(r"-?(?:0|[1-9][0-9]{0,24})(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?", fullmatch=True).map(
    Number
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["null", "{}", '":null', '":{}', "\\", '"', "\\u0022", "1.0", "-0", ' -0,"', "/", "\u2028", "\x7f", "\x00"]
)
names = st.sampled_from(
    ["id", "text", "meta", "value", "_value", "extension", "contained", "code", "versionId", "source", "vendorThing"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=14,
)
metas = st.fixed_dictionaries(
    {}, optional={"versionId": texts, "lastUpdated": texts, "source": texts, "tag": values, "profile": values}
)
narratives = st.fixed_dictionaries({"status": texts, "div": texts})
resources = st.fixed_dictionaries(
    {"resourceType": st.sampled_from(["Patient", "Observation"]), "id": texts},
    optional={"meta": metas | values, "text": narratives | texts, "valueQuantity": values, "contained": values},
).flatmap(lambda fixed: st.dictionaries(names, values, max_size=4).map(lambda more: {**more, **fixed}))


def plain(value: Any) -> str:
    """The one compact spelling, members in the order they stand."""
    return spell(value, lambda names: names, "", lambda text: json.dumps(text, ensure_ascii=False))


def spell(value: Any, order: Any, blank: str, quote: Any) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, str):
        return str(quote(value))
    if isinstance(value, dict):
        members = [
            f"{quote(name)}{blank}:{blank}{spell(value[name], order, blank, quote)}" for name in order(list(value))
        ]
        return "{" + blank + f"{blank},{blank}".join(members) + blank + "}"
    if isinstance(value, list):
        return "[" + blank + f"{blank},{blank}".join(spell(item, order, blank, quote) for item in value) + blank + "]"
    return json.dumps(value)


@st.composite
def spellings(draw: st.DrawFn, value: Any) -> bytes:
    """Any JSON text of the value: other order, whitespace and escapes."""
    randomly = draw(st.randoms(use_true_random=False))
    blank = draw(st.sampled_from(["", " ", "\n  ", "\t", "\r\n"]))
    quote = draw(
        st.sampled_from(
            [
                lambda text: json.dumps(text, ensure_ascii=False),
                json.dumps,
                lambda text: json.dumps(text, ensure_ascii=False).replace("/", "\\/"),
                lambda text: '"' + "".join(f"\\u{unit:04X}" for unit in utf16(text)) + '"',
            ]
        )
    )

    def shuffled(members: list[str]) -> list[str]:
        randomly.shuffle(members)
        return members

    return spell(value, shuffled, blank, quote).encode()


def utf16(text: str) -> list[int]:
    raw = text.encode("utf-16-be")
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]


def read(text: bytes) -> Any:
    return json.loads(text, parse_float=Number, parse_int=Number)


def expected(resource: dict[str, Any]) -> Any:
    """The law, written plainly and independently of the code under test."""
    content = dict(resource)
    if isinstance(content.get("text"), dict):
        del content["text"]
    if isinstance(content.get("meta"), dict):
        content["meta"] = {
            name: value for name, value in content["meta"].items() if name not in ("versionId", "lastUpdated", "source")
        }
    return without_empty_members(content)


def without_empty_members(value: Any) -> Any:
    if isinstance(value, list):
        return [without_empty_members(item) for item in value]
    if isinstance(value, dict):
        members = {name: without_empty_members(member) for name, member in value.items()}
        return {
            name: member for name, member in members.items() if member is not None and member != {} and member != []
        }
    return value


def in_order(value: Any) -> str:
    return spell(value, sorted, "", lambda text: json.dumps(text, ensure_ascii=False))


pytestmark = pytest.mark.long(by_examples=True)
MANY = settings(deadline=None)


@MANY
@given(st.data(), resources)
def test_spelling_does_not_matter(data: st.DataObject, resource: dict[str, Any]) -> None:
    assert canonical_bytes(data.draw(spellings(resource))) == canonical_bytes(plain(resource).encode())


@MANY
@given(st.data(), resources)
def test_the_form_is_the_content_in_order_and_nothing_else(data: st.DataObject, resource: dict[str, Any]) -> None:
    """Byte for byte what the plain statement of the law gives, whichever of the two readers decided."""
    form = canonical_bytes(data.draw(spellings(resource)))
    assert form == in_order(expected(resource)).encode()
    assert read(form) == expected(resource)


@MANY
@given(resources)
def test_the_form_of_the_form_is_itself(resource: dict[str, Any]) -> None:
    form = canonical_bytes(plain(resource).encode())
    assert canonical_bytes(form) == form


@MANY
@given(resources, st.fixed_dictionaries({"versionId": texts, "lastUpdated": texts, "source": texts}), narratives)
def test_bookkeeping_does_not_matter(resource: dict[str, Any], bookkeeping: dict[str, Any], narrative: Any) -> None:
    meta = resource.get("meta", {})
    assume(isinstance(meta, dict))
    assume(not isinstance(resource.get("text"), str))
    bare = {name: value for name, value in resource.items() if name != "text"}
    noted = {**bare, "meta": {**meta, **bookkeeping}, "text": narrative}
    assert canonical_hash(plain(noted).encode()) == canonical_hash(plain(bare).encode())


@MANY
@given(numbers, numbers, st.sampled_from(["%s", "[%s]", '{"value":%s}', "[null,{}, %s ]"]))
def test_every_digit_matters(one: Number, other: Number, shape: str) -> None:
    assume(one != other)
    hashes = [canonical_hash(b'{"value":%s}' % (shape % number.text).encode()) for number in (one, other)]
    assert hashes[0] != hashes[1]


@MANY
@given(numbers, texts)
def test_a_number_never_equals_a_string(number: Number, text: str) -> None:
    for string in (text, number.text):
        quoted = json.dumps(string).encode()
        assert canonical_hash(b'{"a":%s}' % number.text.encode()) != canonical_hash(b'{"a":%s}' % quoted)


@MANY
@given(st.data(), resources, resources)
def test_equal_hashes_mean_equal_content(data: st.DataObject, one: dict[str, Any], other: dict[str, Any]) -> None:
    assume(expected(one) != expected(other))
    assert canonical_hash(data.draw(spellings(one))) != canonical_hash(data.draw(spellings(other)))


def objects_in(value: Any) -> list[dict[str, Any]]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [value] if isinstance(value, dict) and value else []
    return found + [child for item in inner for child in objects_in(item)]


@MANY
@given(st.data(), resources, values)
def test_a_twice_given_member_is_always_refused(data: st.DataObject, resource: dict[str, Any], second: Any) -> None:
    body = plain(resource)
    target = data.draw(st.sampled_from(objects_in(resource)))
    name = data.draw(st.sampled_from(sorted(target)))
    blank = data.draw(st.sampled_from(["", " ", "\n"]))
    one = plain(target)
    where = body.index(one)
    member = data.draw(st.sampled_from([json.dumps(name), '"' + "".join(f"\\u{u:04x}" for u in utf16(name)) + '"']))
    twice = f"{body[: where + 1]}{blank}{member}:{blank}{plain(second)},{blank}{body[where + 1 :]}"
    with pytest.raises(MalformedResource) as refusal:
        canonical_bytes(twice.encode())
    assert refusal.value.code == "json.duplicate_key"


@MANY
@given(st.data(), resources)
def test_any_cut_is_refused(data: st.DataObject, resource: dict[str, Any]) -> None:
    body = data.draw(spellings(resource)).rstrip()
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(MalformedResource) as refusal:
        canonical_bytes(body[:cut])
    assert refusal.value.code in ("json.truncated", "json.empty")


def test_compact_resources_never_need_the_slow_reader() -> None:
    """Nor indented ones: the strict reader is three times slower and is for suspects only."""
    resource = {"resourceType": "Patient", "meta": {"versionId": "1"}, "text": {"div": 'a"b'}, "x": [Number("1.0")]}
    fast = canonical._canonical_fast
    assert fast(plain(resource).encode()) == b'{"resourceType":"Patient","x":[1.0]}'
    indented = spell(resource, list, "\n  ", json.dumps).encode()
    assert fast(indented) == b'{"resourceType":"Patient","x":[1.0]}'
    assert fast(b'{"a":1,"a":2}') is None and fast(b'{ "a":-0 }') is None
