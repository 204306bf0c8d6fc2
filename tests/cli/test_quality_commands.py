"""`holovitals quality` and the ends of quarantine: what failed, what it holds back, and how it is let go."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType
from holovitals_pipelines.settings import Settings
from tests.cli.conftest import Run, declare
from tests.engine.ndjson_source import NdjsonSource

BROKEN = b'{"resourceType":"Observation","id":"o1","status":"MARKER","code":{"text":"x"}}'
NO_ID = b'{"resourceType":"Observation","status":"final","code":{"text":"MARKER"}}'
TWO = [
    f'{{"resourceType":"Patient","id":"p{n}","identifier":[{{"system":"urn:mrn","value":"MARKER"}}]}}'.encode()
    for n in (1, 2)
]


@pytest.fixture
def filled(home: Path) -> Path:
    declare(home, {"name": "clinic", "provider": "fhir", "base_url": "http://127.0.0.1:9/fhir"})
    (home / "vendor").mkdir()
    (home / "vendor" / "Observation.ndjson").write_bytes(BROKEN + b"\n" + NO_ID + b"\n")
    (home / "vendor" / "Patient.ndjson").write_bytes(b"\n".join(TWO) + b"\n")
    with open_home(Settings(home=home)) as opened:
        source = NdjsonSource(home / "vendor")
        run_sync(opened, SyncRequest("clinic", JobType.FULL_SYNC), adapter_for=lambda _: source)
    return home


def test_what_is_held_back_is_listed_accepted_and_shown_on_a_page_without_values(filled: Path, run: Run) -> None:
    [held] = json.loads(run("quality", "list", "--held", "--json").stdout)
    assert (held["connection"], held["resourceType"], held["checkName"], held["unexpected"], held["heldBack"]) == (
        "clinic", "Patient", "identifiers_name_one_patient", 2, True,
    )  # fmt: skip
    assert "held back" in run("quality", "list", "--failed").stdout

    page = Path(json.loads(run("quality", "docs", "--json").stdout)["page"]).read_text(encoding="utf-8")
    assert "write-back held" in page and "8867-4" in page and "MARKER" not in page
    assert "http://snomed.info/sct" in page, "a code system is named; nothing is loaded"
    assert not re.search(r"<script|<link|\bsrc=|@import|url\(|href=\"(?!#)", page)

    claim = ("clinic", "Patient", "identifiers_name_one_patient")
    accepted = run("quality", "accept", *claim, "--reason", "twins", "--actor", "ann")
    assert accepted.exit_code == 0 and "accepted" in accepted.stdout
    assert json.loads(run("quality", "list", "--held", "--json").stdout) == []
    assert "accepted by ann" in run("quality", "list").stdout
    again = run("quality", "accept", *claim, "--reason", "twins")
    assert again.exit_code == 1 and "quality.nothing_held" in again.stderr


def test_quarantine_is_released_when_todays_rules_take_it_and_dismissed_with_a_reason(filled: Path, run: Run) -> None:
    held = {row["rule"]: str(row["quarantineId"]) for row in json.loads(run("quarantine", "--json").stdout)}
    assert len(held) == 2
    for number in held.values():
        refused = run("quarantine", "--release", number)
        if refused.exit_code == 0:
            continue
        assert "quarantine.still_broken" in refused.stderr and "MARKER" not in refused.output
    for row in json.loads(run("quarantine", "--json").stdout):
        number = str(row["quarantineId"])
        assert "quarantine.reason_missing" in run("quarantine", "--dismiss", number).stderr
        done = json.loads(
            run("quarantine", "--dismiss", number, "--reason", "a test", "--actor", "ann", "--json").stdout
        )
        assert done == {"quarantineId": row["quarantineId"], "state": "dismissed", "jobId": None}
        assert "quarantine.not_held" in run("quarantine", "--dismiss", number, "--reason", "again").stderr
    assert json.loads(run("quarantine", "--json").stdout) == []
    told = run("quarantine", "--explain", number)
    assert told.exit_code == 0 and "FHIR R4" in told.stdout, "the bytes stay"
    assert "dismissed by ann" in told.stdout and "a test" in told.stdout
    closed = json.loads(run("quarantine", "--closed", "--connection", "clinic", "--json").stdout)
    assert {row["state"] for row in closed} <= {"dismissed", "released"} and len(closed) == 2
    assert [row["closedBy"] for row in closed if row["state"] == "dismissed"] == ["ann"] * sum(
        row["state"] == "dismissed" for row in closed
    )
    listed = run("quarantine", "--closed").stdout
    assert "dismissed by ann" in listed and "MARKER" not in listed and "a test" not in listed
    told = run("audit", "list", "--json").stdout
    assert "quarantine.dismissed" in told and "ann" in told
