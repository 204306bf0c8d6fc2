"""A canary patient travels through every failure we know: its name and id stay in the stores made for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holovitals_pipelines.sandbox.credentials import demo_credentials
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.store.warehouse import open_current
from tests.end_to_end.commands import Ended, declare, environment, holovitals
from tests.end_to_end.resources import CLINICAL_TYPES, clinical, line, patient
from tests.end_to_end.stored import counted, rows
from tests.local_http import LOCAL

NAME, IDENTITY = "Quetzalcanary", "quetzal-0815"
AS_A_DAGSTER_RUN = """
import sys
from pathlib import Path
from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.orchestration.launch.in_process import RunInProcess
from holovitals_pipelines.settings import Settings
settings = Settings()
runner = RunInProcess(prepare_dagster_home(settings.dagster_home))
for connection in sys.argv[1:]:
    print(runner.sync(settings, connection, full=True).status)
"""
"""Several commands in one process: what they say is the same, and the imports cost once."""
LOOK_AROUND = """
import json, sys
import typer
from holovitals_pipelines.cli.app import app
for arguments in json.loads(sys.argv[1]):
    print(arguments[0], app(arguments, standalone_mode=False))
"""


@dataclass
class Journey:
    """The home, and everything any command said on the way."""

    home: Path
    said: list[Ended] = field(default_factory=list)

    def run(self, *arguments: str) -> Ended:
        ended = holovitals(self.home, *arguments)
        self.said.append(ended)
        return ended


def canaries(folder: Path) -> Path:
    """The canary's chart: sound resources, and ones that break rules with the canary's name in the broken place."""
    folder.mkdir()
    broken = [
        patient(1, NAME, gender=NAME),
        patient(2, NAME, birthDate=f"born as {NAME}"),
        {"resourceType": "Observation", "id": f"{IDENTITY}-bad", "status": NAME, "code": {"text": NAME}},
        {"resourceType": "Condition", "id": f"{IDENTITY}-{'x' * 80}", "subject": {"reference": f"Patient/{IDENTITY}"}},
        {"resourceType": "Encounter", "id": IDENTITY, NAME: True, "subject": {"reference": f"Patient/{IDENTITY}"}},
    ]
    sound = [patient(0, NAME) | {"id": IDENTITY}]
    for name in CLINICAL_TYPES:
        sound.append(clinical(name, 0, IDENTITY) | {"id": f"{IDENTITY}-{name.lower()}", "language": "en"})
    (folder / "canaries.ndjson").write_bytes(b"".join(line(resource) + b"\n" for resource in [*sound, *broken]))
    return folder


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp("canary")
    credentials = demo_credentials(folder / "keys")
    stranger = demo_credentials(folder / "stranger")
    knobs = {"fhir": {"polls": 0}, "epic": {"polls": 0}}
    with start_sandbox(data=canaries(folder / "data"), credentials=credentials, settings=knobs) as vendors:
        (folder / "patients.txt").write_text(f"{IDENTITY}\n")

        def auth(key: Path, algorithm: str) -> dict[str, object]:
            scopes = "system/*.cruds" if algorithm == "ES384" else None
            signed = {"kind": "smart_backend", "client_id": credentials.client_id, "scopes": scopes}
            return signed | {"keys": [{"file": str(key)}], "algorithm": algorithm}

        hurry = {"retry_delay_ms": 1, "max_retries": 1}
        crawl = hurry | {"mode": "search", "patient_ids": {"file": str(folder / "patients.txt")}}
        fhir, epic = vendors.base_urls["fhir"], vendors.base_urls["epic"]
        home = declare(
            folder / "home",
            {
                "name": "fhir",
                "provider": "fhir",
                "base_url": fhir,
                "auth": auth(credentials.ec_key, "ES384"),
                "read": hurry,
            },
            {
                "name": "epic",
                "provider": "epic",
                "base_url": epic,
                "auth": auth(credentials.rsa_key, "RS384"),
                "read": crawl,
            },
            {
                "name": "locked",
                "provider": "fhir",
                "base_url": fhir,
                "auth": auth(stranger.ec_key, "ES384"),
                "read": hurry,
            },
        )
        journey = Journey(home)
        _order(
            vendors,
            {"kind": "invalid_utf8", "path": "bulk/files/{id}/Procedure"},
            {"kind": "truncated", "path": "bulk/files/{id}/Immunization"},
            {"kind": "status", "status": 503, "path": "Condition*", "dialect": "epic", "times": 0},
            {"kind": "truncated", "path": "Observation*", "dialect": "epic", "times": 0},
            {"kind": "html", "path": "Encounter*", "dialect": "epic", "times": 0},
        )  # fmt: skip
        assert journey.run("sync").code == 1
        ids = [job_id for (job_id,) in rows(home, "select job_id from sync_job")]
        looks = [
            ["jobs", "list"],
            ["jobs", "list", "--json"],
            ["quarantine"],
            ["quarantine", "--json"],
            ["stats"],
            ["doctor"],
        ]
        looks += [["jobs", "show", job_id, "--errors", *options] for job_id in ids for options in ([], ["--json"])]
        journey.said.append(_python(home, LOOK_AROUND, json.dumps([*looks, ["connections", "test", "locked"]])))
        _order(vendors, {"kind": "duplicate_ids", "changed": True, "path": "bulk/files/{id}/Patient"})
        journey.said.append(_python(home, AS_A_DAGSTER_RUN, "fhir"))
        _order(vendors, {"kind": "revoke_tokens", "path": "Observation*", "times": 0})
        journey.run("sync", "--full", "--json")
    journey.run("sync", "--full")  # the vendors are gone
    yield journey


def _order(vendors: RunningSandbox, *faults: dict[str, object]) -> None:
    LOCAL.delete(f"{vendors.admin_url}/faults").raise_for_status()
    LOCAL.post(f"{vendors.admin_url}/faults", json=list(faults)).raise_for_status()


def _python(home: Path, program: str, *arguments: str) -> Ended:
    command = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def test_the_canary_really_went_through_the_failures(journey: Journey) -> None:
    codes = {code for (code,) in rows(journey.home, "select distinct code from sync_error")}
    assert {"bulk.file_truncated", "crawl.incomplete", "json.invalid_utf8", "extract.duplicate_id"} <= codes
    assert {"code.unknown", "format.invalid", "http.401", "auth.invalid_client", "http.unreachable"} <= codes
    assert counted(journey.home, "quarantine") >= 5
    [(stored,)] = rows(journey.home, "select count(*) from link where remote_id = ?", IDENTITY)
    assert stored >= 2, "the canary has come in through both vendors"


def test_no_command_ever_says_the_canarys_name_or_id(journey: Journey) -> None:
    assert len(journey.said) == 5 and sum(len(ended.said) for ended in journey.said) > 10_000
    for ended in journey.said:
        assert NAME not in ended.said and IDENTITY not in ended.said


def test_no_file_of_the_home_holds_the_canary_but_the_operational_store_and_the_landing_zone(journey: Journey) -> None:
    markers = [NAME.encode(), IDENTITY.encode()]
    found, searched = set(), 0
    for folder, _, names in os.walk(journey.home):
        for name in names:
            path = Path(folder) / name
            searched += 1
            if any(marker in path.read_bytes() for marker in markers):
                found.add(path.relative_to(journey.home).parts[0])
    assert searched > 20 and (journey.home / "dagster").is_dir()
    assert {name for name in found if not name.startswith("operational.sqlite")} <= {"landing"}
    assert "operational.sqlite" in found, "ids lie there in the open, so the search finds what there is to find"


def test_no_value_in_the_warehouse_holds_the_canary(journey: Journey) -> None:
    with open_current(journey.home / "warehouse") as warehouse:
        tables = [name for (name,) in warehouse.execute("select table_name from duckdb_tables()").fetchall()]
        assert {"sync_errors", "sync_statistics"} <= set(tables)
        for table in tables:
            for row in warehouse.execute(f'select * from "{table}"').fetchall():
                text = str(row)
                assert NAME not in text and IDENTITY not in text, table


def test_everything_kept_is_readable_by_its_owner_only(journey: Journey) -> None:
    kept = [*journey.home.glob("operational.sqlite*"), *journey.home.glob("landing/**/*.parquet")]
    assert len(kept) > 5
    for path in kept:
        assert path.stat().st_mode & 0o077 == 0, path
