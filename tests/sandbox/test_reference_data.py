"""The simulator over real resources: `../shared/data/fhir-bulk-100`, and a small folder of this project's own."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from sandbox.loopback import Loopback, entries, lines, serving

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "fhir-bulk-100"
HERE = (
    b'{"resourceType":"Patient","id":"p-1","birthDate":"1970"}\n'
    b'{"resourceType":"Observation","id":"o-1","status":"final","code":{"text":"x"},'
    b'"subject":{"reference":"Patient/p-1"},"valueQuantity":{"value":1.10}}\n'
)


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, str | int]]:
    if not FOLDER.is_dir():
        pytest.skip(f"the reference data is not there: {FOLDER}")
    types: dict[str, dict[str, str | int]] = orjson.loads((FOLDER / "expected.json").read_bytes())["types"]
    return types


def hashed(ids: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def test_a_folder_of_ones_own_keeps_ids_and_digits_at_both_vendors(tmp_path: Path) -> None:
    (tmp_path / "all.ndjson").write_bytes(HERE)
    with serving(data=tmp_path) as sandbox:
        assert sandbox.ids("epic") == sandbox.ids("fhir") == ["p-1"]
        assert sandbox.get("epic", "Observation/o-1").content == HERE.splitlines()[1]
        plain = sandbox.get("fhir", "Observation/o-1").content
        assert b'"value":1.10' in plain and b'"versionId":"1"' in plain


def by_pages(sandbox: Loopback, kind: str) -> list[str]:
    return [r["id"] for page in sandbox.pages("fhir", f"{kind}?_count=2000") for r in entries(page)]


def by_export(sandbox: Loopback, kind: str) -> list[str]:
    manifest = sandbox.export("fhir", f"$export?_type={kind}")[1]
    return [r["id"] for output in manifest["output"] for r in lines(sandbox.http.get(output["url"]))]


@pytest.mark.parametrize("way", [by_pages, by_export])
def test_all_38483_resources_come_with_their_ids(
    expected: dict[str, dict[str, str | int]],
    way: Callable[[Loopback, str], list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    started = time.perf_counter()
    with serving(data=FOLDER / "all.ndjson.gz", dialects=("fhir",)) as sandbox:
        loaded = time.perf_counter()
        found = {kind: way(sandbox, kind) for kind in expected}
        seconds = time.perf_counter() - loaded
        assert sandbox.admin("GET", "counts")["fhir"] == {kind: facts["count"] for kind, facts in expected.items()}
    assert {kind: len(ids) for kind, ids in found.items()} == {kind: facts["count"] for kind, facts in expected.items()}
    assert {kind: hashed(ids) for kind, ids in found.items()} == {k: f["ids_sha256"] for k, f in expected.items()}
    with capsys.disabled():
        speed = f"{38483 / seconds:,.0f} resources/s, the client's parsing included"
        print(f"\n{way.__name__}: loaded in {loaded - started:.1f} s, read at {speed}")


def test_epic_serves_the_same_charts_by_patient(expected: dict[str, dict[str, str | int]]) -> None:
    with serving(data=FOLDER / "all.ndjson.gz", dialects=("epic",)) as sandbox:
        found: dict[str, list[str]] = defaultdict(list)
        for patient in sandbox.ids("epic"):
            for kind, more in (("Condition", ""), ("Encounter", ""), ("Immunization", ""), ("AllergyIntolerance", "")):
                for page in sandbox.pages("epic", f"{kind}?patient={patient}&_count=1000{more}"):
                    found[kind] += [r["id"] for r in entries(page)]
    assert {kind: hashed(ids) for kind, ids in found.items()} == {kind: expected[kind]["ids_sha256"] for kind in found}
    assert len(found) == 4
