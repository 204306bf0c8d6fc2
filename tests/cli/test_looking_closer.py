"""For a closer look: what is wrong with a refused resource, which keys to register, whether the parts are whole."""

from __future__ import annotations

import json
from pathlib import Path

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType
from holovitals_pipelines.settings import Settings
from tests.cli.conftest import GuardedVendor, Run, declare
from tests.engine.ndjson_source import NdjsonSource

BROKEN = b'{"resourceType":"Observation","id":"o1","status":"MARKER","code":{"text":"MARKER"},"valueInteger":"MARKER"}'


def test_a_refused_resource_is_explained_element_by_element_without_its_values(home: Path, run: Run) -> None:
    declare(home, {"name": "clinic", "provider": "fhir", "base_url": "http://127.0.0.1:9/fhir"})
    (home / "vendor").mkdir()
    (home / "vendor" / "Observation.ndjson").write_bytes(BROKEN + b"\n")
    with open_home(Settings(home=home)) as opened:
        source = NdjsonSource(home / "vendor")
        run_sync(opened, SyncRequest("clinic", JobType.FULL_SYNC), adapter_for=lambda _: source)
    [held] = json.loads(run("quarantine", "--json").stdout)

    explained = json.loads(run("quarantine", "--explain", str(held["quarantineId"]), "--json").stdout)
    said = run("quarantine", "--explain", str(held["quarantineId"])).stdout

    issues = explained["issues"]
    assert (explained["state"], explained["format"]) == ("held", "FHIR_R4")
    assert {"Observation.status", "Observation.valueInteger"} <= {issue["path"] for issue in issues}
    assert all(issue["remedy"] for issue in issues)
    assert "Observation.status" in said and "MARKER" not in said

    unknown = run("quarantine", "--explain", "999")
    assert unknown.exit_code == 1 and "quarantine.unknown" in unknown.stderr


def test_the_public_keys_to_register_are_printed_and_no_private_half(
    home: Path, guarded: GuardedVendor, run: Run
) -> None:
    declare(home, guarded.connection(), {"name": "open", "provider": "fhir", "base_url": "http://127.0.0.1:9/fhir"})

    [key] = json.loads(run("connections", "keys", "clinic").stdout)["keys"]

    assert key["kty"] == "EC" and key["kid"] and "d" not in key
    refused = run("connections", "keys", "open")
    assert refused.exit_code == 1 and "auth.no_keys" in refused.stderr


def test_doctor_names_damaged_parts_when_asked_to_read_them(home: Path, guarded: GuardedVendor, run: Run) -> None:
    declare(home, guarded.connection())
    run("sync")
    assert run("doctor", "--verify").exit_code == 0
    part = sorted((home / "landing").rglob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:-1] + b"\0")

    ended = run("doctor", "--verify")

    assert ended.exit_code == 1
    assert "landing.damaged" in ended.stdout + ended.stderr and part.name in ended.stdout + ended.stderr
