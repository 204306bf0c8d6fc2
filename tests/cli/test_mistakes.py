"""Mistakes people make: each ends with a sentence, a place and a remedy, and never with a stack trace."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from holovitals_pipelines.sandbox.credentials import demo_credentials
from tests.cli.conftest import GuardedVendor, Run, declare

OPEN = {"name": "clinic", "provider": "fhir", "base_url": "http://127.0.0.1:9/fhir", "read": {"max_retries": 0}}


def explained(ended: Result, code: str, *words: str, exit_code: int = 1) -> None:
    assert ended.exit_code == exit_code, ended.output
    assert "Traceback" not in ended.output
    assert isinstance(ended.exception, SystemExit)
    lines = ended.stderr.splitlines()
    [sentence] = [line for line in lines if code in line]
    for word in words:
        assert word in sentence
    remedy = lines[lines.index(sentence) + 1]
    assert remedy.startswith("  → ") and len(remedy) > 15


def test_an_unknown_connection_is_named_beside_the_known_ones(home: Path, run: Run) -> None:
    declare(home, OPEN)
    for command in (("sync", "klinic"), ("connections", "test", "klinic"), ("quarantine", "--connection", "klinic")):
        explained(run(*command), "settings.connection_unknown", "'klinic'", "known: clinic", "connections.yaml")


def test_bad_yaml_is_reported_with_file_and_line(home: Path, run: Run) -> None:
    (home / "connections.yaml").write_text("connections:\n  - name: clinic\n    provider: [fhir\n    base_url: x\n")
    explained(run("sync"), "settings.connections_yaml", "connections.yaml:4")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"provider": "epik"}, ("connection 'clinic'", "provider", "'epic'")),
        ({"base_url": "ehr.example.org"}, ("connection 'clinic'", "base_url")),
        ({"name": "St. Mary"}, ("connection 'St. Mary'", "name")),
        ({"pasword": "x"}, ("connection 'clinic'", "pasword")),
        ({"auth": {"kind": "smart_backend", "client_id": "c", "keys": []}}, ("connection 'clinic'", "keys")),
    ],
)
def test_a_wrong_entry_is_reported_with_connection_and_field(
    home: Path, run: Run, wrong: dict[str, Any], words: tuple[str, ...]
) -> None:
    declare(home, OPEN | wrong)
    explained(run("sync"), "settings.connections_invalid", "connections.yaml", *words)


def test_a_missing_key_file_is_named(home: Path, run: Run, guarded: GuardedVendor) -> None:
    declare(home, guarded.connection(keys=[{"file": "/nowhere/key.json"}]))
    explained(run("sync"), "settings.secret_missing", "/nowhere/key.json", "No such file")
    explained(run("connections", "test", "clinic"), "settings.secret_missing", "/nowhere/key.json")


def test_a_missing_environment_variable_is_named(home: Path, run: Run, guarded: GuardedVendor) -> None:
    declare(home, guarded.connection(keys=[{"env": "NOT_SET_ANYWHERE"}]))
    explained(run("sync"), "settings.secret_missing", "NOT_SET_ANYWHERE")


def test_a_key_the_vendor_does_not_know_is_an_authentication_error(
    home: Path, run: Run, guarded: GuardedVendor, tmp_path: Path
) -> None:
    stranger = demo_credentials(tmp_path / "stranger")
    declare(home, guarded.connection(keys=[{"file": str(stranger.ec_key)}]))
    ended = run("connections", "test", "clinic", "--json")
    assert ended.exit_code == 1
    error = json.loads(ended.stdout)["error"]
    assert error["code"].startswith(("auth.", "http.40")) and "connection clinic" in error["place"]
    assert "key" in error["remedy"]
    explained(run("sync"), error["code"], "connection clinic")


def test_an_unreachable_host_is_said_to_be_unreachable(home: Path, run: Run) -> None:
    declare(home, OPEN)
    explained(run("sync"), "http.unreachable", "connection clinic", "GET metadata")
    explained(run("connections", "test", "clinic"), "http.unreachable", "connection clinic")


def test_with_json_every_error_is_json_on_standard_output_alone(home: Path, run: Run) -> None:
    declare(home, OPEN)
    for command in (("sync", "klinic"), ("connections", "test", "clinic"), ("jobs", "show", "7")):
        ended = run(*command, "--json")
        assert ended.exit_code == 1 and ended.stderr == ""
        assert set(json.loads(ended.stdout)["error"]) == {"code", "message", "place", "remedy"}
    [report] = json.loads(run("sync", "--json").stdout)
    assert (report["status"], report["errors"][0]["code"]) == ("FAILED", "http.unreachable")


def test_an_unknown_job_is_reported_with_where_to_look(run: Run) -> None:
    for command in (("jobs", "show", "nope"), ("jobs", "cancel", "nope")):
        explained(run(*command), "job.unknown", "nope")


def test_the_demo_refuses_a_home_with_real_connections_and_leaves_them_alone(home: Path, run: Run) -> None:
    declare(home, OPEN)
    before = (home / "connections.yaml").read_bytes()
    explained(run("demo"), "demo.home_in_use", "clinic")
    assert (home / "connections.yaml").read_bytes() == before


def test_the_demo_refuses_an_unknown_vendor_and_data_that_is_not_there(run: Run) -> None:
    for arguments in (("--provider", "nobody"), ("--data", "/nowhere.ndjson")):
        ended = run("demo", *arguments)
        assert ended.exit_code == 2 and "Traceback" not in ended.output


def test_a_port_that_is_taken_is_said_so(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        explained(run("ui", "--port", str(taken.getsockname()[1])), "up.port_taken")


def test_a_wrong_setting_names_its_variable(run: Run) -> None:
    for command in (("doctor",), ("jobs", "list"), ("demo",)):
        explained(run(*command, batch_rows="many"), "settings.invalid", "HOLOVITALS_BATCH_ROWS")


def test_a_home_that_cannot_be_made_is_said_so(run: Run) -> None:
    explained(run("jobs", "list", home="/proc/nowhere"), "system.refused", "/proc/nowhere")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:Ki7-Secret@127.0.0.1:9/holovitals",
        "postgresql://reader:Ki7@Secret/word@127.0.0.1:9/holovitals",
        "postgresql://127.0.0.1:9/holovitals?user=reader&password=Ki7-Secret",
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_doctor_never_shows_a_database_password(run: Run, url: str, options: tuple[str, ...]) -> None:
    ended = run("doctor", *options, database_url=url)
    assert ended.exit_code == 1, "nothing listens there"
    assert "Secret" not in ended.output and "Ki7" not in ended.output
    assert "127.0.0.1:9" in ended.output and "store.unreachable" in ended.output
    explained(run("jobs", "list", database_url=url), "store.unreachable")
    assert "Secret" not in run("jobs", "list", database_url=url).output


def test_doctor_lists_every_setting_even_when_a_store_cannot_be_opened(run: Run) -> None:
    ended = run("doctor", database_url="oracle://x")
    assert ended.exit_code == 1
    for name in ("HOME", "DATABASE_URL", "LANDING_URL", "CONNECTIONS_FILE", "BATCH_ROWS", "LEASE_SECONDS"):
        assert f"HOLOVITALS_{name} = " in ended.stdout


def test_an_exception_nobody_expected_is_shown_without_what_it_says() -> None:
    broken = (
        "from holovitals_pipelines.cli import app, upkeep_commands\n"
        "def fail(*_): raise ValueError('family name of a patient')\n"
        "upkeep_commands.open_home = fail\n"
        "import sys; sys.argv = ['holovitals', 'sweep']; app.main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "engine.unexpected unexpected ValueError" in ended.stderr and "in fail" in ended.stderr
    assert "family name" not in ended.stderr + ended.stdout
