"""Reading who a resource is, from bytes as vendors send them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from holovitals_pipelines.fhir.wire import Head, MalformedResource, read_head, read_heads
from holovitals_pipelines.model.errors import HoloVitalsError, ProtocolError


def test_a_head_is_read_wherever_its_members_stand() -> None:
    body = (
        b'{ "name": [{"id": "inner", "resourceType": "Other"}],'
        b' "meta": {"lastUpdated": "2020-03-01T12:00:00.250+02:00",'
        b' "versionId": "7", "tag": []},\n "id": "p1", "resourceType": "Patient" }'
    )
    assert read_head(body) == Head("Patient", "p1", "7", datetime(2020, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b'"2020-01-01T00:00:00Z"', datetime(2020, 1, 1, tzinfo=UTC)),
        (b'"2020-01-01T00:00:00.1234567Z"', datetime(2020, 1, 1, 0, 0, 0, 123_457, tzinfo=UTC)),
        (b'"2020-01-01T00:00Z"', datetime(2020, 1, 1, tzinfo=UTC)),
        (b'"2020-01-01T00:00:00"', None),
        (b'"2020-01-01"', None),
        (b'"0001-01-01T00:00:00+14:00"', None),
        (b'"yesterday"', None),
        (b'""', None),
        (b"1577836800", None),
        (b"null", None),
        (b"{}", None),
    ],
)
def test_an_unreadable_time_is_no_time(written: bytes, read: datetime | None) -> None:
    head = read_head(b'{"resourceType":"Patient","id":"p1","meta":{"versionId":"1","lastUpdated":%s}}' % written)
    assert head == Head("Patient", "p1", "1", read)


@pytest.mark.parametrize(
    ("written", "version"),
    [(b'"1"', "1"), (b"3", "3"), (b"true", None), (b"null", None), (b'""', None), (b'"%s"' % (b"v" * 129), None)],
)
def test_a_version_is_a_token_the_store_can_keep(written: bytes, version: str | None) -> None:
    head = read_head(b'{"resourceType":"Patient","id":"p1","meta":{"versionId":%s}}' % written)
    assert head.version_id == version


@pytest.mark.parametrize("meta", [b"null", b"[]", b'"x"', b"{}", b"7"])
def test_a_strange_meta_does_not_hide_the_resource(meta: bytes) -> None:
    assert read_head(b'{"resourceType":"Patient","id":"p1","meta":%s}' % meta) == Head("Patient", "p1", None, None)


REFUSED = {
    "truncated": (b'{"resourceType":"Patient","id":"p1","name":[{"fam', "json.truncated", 45),
    "not JSON": (b"resourceType=Patient", "json.malformed", 0),
    "broken further down": (b'{"resourceType":"Patient","id":"p1","a":[}', "json.malformed", 41),
    "HTML": (b"<html><body>Sign in</body></html>", "json.markup", 0),
    "empty": (b" \n", "json.empty", None),
    "a list": (b'[{"resourceType":"Patient"}]', "json.not_an_object", None),
    "no type": (b'{"id":"p1"}', "resource.no_type", None),
    "a type that is no text": (b'{"resourceType":7,"id":"p1"}', "resource.no_type", None),
    "no id": (b'{"resourceType":"Patient"}', "resource.no_id", None),
    "a null id": (b'{"resourceType":"Patient","id":null}', "resource.no_id", None),
    "an empty id": (b'{"resourceType":"Patient","id":""}', "resource.no_id", None),
    "a numeric id": (b'{"resourceType":"Patient","id":12}', "resource.id_not_text", None),
    "a long id": (b'{"resourceType":"Patient","id":"%s"}' % (b"i" * 257), "resource.id_too_long", None),
    "a surrogate in the id": (b'{"resourceType":"Patient","id":"\\ud800"}', "json.lone_surrogate", None),
    "bytes in the id": (b'{"resourceType":"Patient","id":"\xff"}', "json.invalid_utf8", 32),
    "endless nesting": (b'{"resourceType":"Patient","id":"p1","a":' + b"[" * 100_000, "json.too_deep", None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bytes_that_are_no_resource_say_why(name: str) -> None:
    body, code, offset = REFUSED[name]
    with pytest.raises(MalformedResource) as refusal:
        read_head(body)
    assert (refusal.value.code, refusal.value.offset) == (code, offset)
    assert isinstance(refusal.value, ProtocolError) and isinstance(refusal.value, HoloVitalsError)
    assert refusal.value.remedy
    assert refusal.value.__context__ is None


def test_an_id_of_256_characters_is_kept() -> None:
    assert read_head(b'{"resourceType":"Patient","id":"%s"}' % (b"i" * 256)).id == "i" * 256


def test_one_bad_resource_does_not_spoil_the_batch() -> None:
    good = b'{"resourceType":"Patient","id":"p1"}'
    first, bad, last = read_heads([good, b'{"resourceType":', good])
    assert first == last == Head("Patient", "p1", None, None)
    assert isinstance(bad, MalformedResource) and bad.code == "json.truncated"
