"""A real server's whole export goes through the FHIR core: every resource is read, hashed and passes validation.

Uses `../shared/data/fhir-bulk-100` beside the project (38,483 Synthea resources of 19 types) where that folder is
present; the small resources of `test_seeded_errors` show the same behaviour everywhere.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import defaultdict
from pathlib import Path

import pytest
from test_seeded_errors import CONTROLS

from holovitals_pipelines.fhir import canonical
from holovitals_pipelines.fhir.canonical import canonical_bytes, canonical_hash
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.fhir.wire import Head, read_bundle, read_heads

EXPORT = Path(__file__).parents[3] / "shared" / "data" / "fhir-bulk-100"


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    if not EXPORT.is_dir():
        pytest.skip("the reference export ../shared/data/fhir-bulk-100 is not on this machine")
    with gzip.open(EXPORT / "all.ndjson.gz") as stream:
        return stream.read().splitlines()


def test_every_head_is_read(lines: list[bytes]) -> None:
    ids = defaultdict(list)
    for head in read_heads(lines):
        assert isinstance(head, Head)
        ids[head.resource_type].append(head.id)
    expected = json.loads((EXPORT / "expected.json").read_text())["types"]
    assert {name: len(found) for name, found in ids.items()} == {name: row["count"] for name, row in expected.items()}
    for name, found in ids.items():
        assert hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest() == expected[name]["ids_sha256"], name


def test_every_resource_passes_the_fast_tier(lines: list[bytes]) -> None:
    heads = read_heads(lines)
    refused = [issue for line, head in zip(lines, heads, strict=True) for issue in check(line, head)]
    assert refused == []


def check(line: bytes, head: object) -> tuple[object, ...]:
    assert isinstance(head, Head)
    return check_structure(line, head.resource_type)


def test_both_readers_agree_on_every_form(lines: list[bytes]) -> None:
    for line in lines[::25]:
        assert canonical._canonical_fast(line) == canonical._canonical_strictly(line)


def test_the_form_keeps_the_content(lines: list[bytes]) -> None:
    """Numbers by their text; these resources have no null and no empty member, so only bookkeeping may be missing."""
    for line in lines[::25]:
        before = json.loads(line, parse_float=str, parse_int=str)
        for name in ("versionId", "lastUpdated", "source"):
            before.get("meta", {}).pop(name, None)
        if not before.get("meta"):
            before.pop("meta", None)
        before.pop("text", None)
        assert json.loads(canonical_bytes(line), parse_float=str, parse_int=str) == before


def test_no_two_resources_share_a_hash(lines: list[bytes]) -> None:
    assert len({canonical_hash(line) for line in lines}) == len(lines)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_resource_in_a_bundle_keeps_bytes_and_hash(indent: int | None) -> None:
    bodies = [json.dumps(resource, indent=indent).encode() for resource in CONTROLS.values()]
    page = b'{"resourceType":"Bundle","entry":[%s]}' % b",\n".join(b'{"resource": %s }' % body for body in bodies)
    assert [entry.body for entry in read_bundle(page).entries] == bodies
    compact = [json.dumps(resource, separators=(",", ":")).encode() for resource in CONTROLS.values()]
    assert [canonical_hash(body) for body in bodies] == [canonical_hash(body) for body in compact]
