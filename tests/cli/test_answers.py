"""What the commands answer: JSON with keys that stay, tables that can be read, and nothing that moves in a pipe."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from holovitals_pipelines.cli.output import outcome_table
from holovitals_pipelines.model.job import JobReport, Outcome
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from tests.cli.conftest import GuardedVendor, Run, declare

REPORT_KEYS = {
    "jobId", "connection", "provider", "type", "status", "attempt", "startedAt", "seconds", "resourceTypes", "total",
    "errorCount", "errors",
}  # fmt: skip
OUTCOME_KEYS = {
    "extracted", "created", "updated", "unchanged", "conflicts", "quarantined", "duplicates", "superseded", "deletions",
    "absent", "bytes", "resolved", "held", "pushed", "removed", "refusedWrites", "missed",
    "extractSeconds", "transformSeconds", "reconcileSeconds", "writeBackSeconds",
}  # fmt: skip
ERROR_KEYS = {"severity", "code", "message", "remedy", "resourceType", "source", "line"}


@pytest.fixture
def synced(home: Path, guarded: GuardedVendor, run: Run) -> dict[str, Any]:
    """The report of a sync that has just ended."""
    declare(home, guarded.connection())
    [report] = json.loads(run("sync", "--json").stdout)
    assert isinstance(report, dict)
    return report


def test_json_answers_have_keys_that_scripts_can_rely_on(synced: dict[str, Any], run: Run) -> None:
    assert set(synced) == REPORT_KEYS
    assert set(synced["total"]) == set(synced["resourceTypes"]["Patient"]) == OUTCOME_KEYS
    assert (synced["status"], synced["total"]["quarantined"]) == ("COMPLETED", 0)

    def answer(*command: str) -> Any:
        ended = run(*command, "--json")
        assert ended.exit_code == 0
        return json.loads(ended.stdout)

    [listed] = answer("jobs", "list")
    shown = answer("jobs", "show", synced["jobId"])
    [newest] = answer("stats")
    assert listed.pop("job")["id"] == shown.pop("job")["id"] == synced["jobId"]
    assert listed == shown == newest == synced
    [connection] = answer("connections", "list")
    assert {"name", "provider", "base_url", "auth", "resource_types", "read", "incremental_cron"} <= set(connection)
    reached = answer("connections", "test", "clinic")
    assert reached["reachable"] and set(reached["mechanisms"]) == {"Patient", "Observation"}
    assert answer("quarantine") == []
    assert set(answer("doctor")) == {"settings", "found", "problem"}
    assert answer("sweep") == {"removed": []}


def test_a_job_is_found_by_the_beginning_of_its_id(synced: dict[str, Any], run: Run) -> None:
    listed = run("jobs", "list").stdout
    short = synced["jobId"][:8]
    assert short in listed
    assert synced["jobId"] in run("jobs", "show", short).stdout
    run("sync")
    assert "job.ambiguous" in run("jobs", "show", "").stderr


def test_connections_test_says_how_changes_are_found(synced: dict[str, Any], run: Run) -> None:
    ended = run("connections", "test", "clinic")
    assert ended.exit_code == 0
    assert "✓ clinic can be reached" in ended.stdout and "Patient: changes found by last updated" in ended.stdout


def test_empty_homes_say_what_to_do_first(run: Run) -> None:
    for command in (("sync",), ("jobs", "list"), ("stats",)):
        ended = run(*command)
        assert ended.exit_code == 0 and "holovitals demo" in ended.stdout
    assert "Nothing is in quarantine" in run("quarantine").stdout
    assert "connections.yaml" in run("connections", "list").stdout.replace("\n", "")


def test_without_a_terminal_nothing_moves_and_nothing_is_coloured(synced: dict[str, Any], run: Run) -> None:
    ended = run("sync", "--full")
    assert ended.exit_code == 0 and ended.stderr == ""
    assert "\x1b" not in ended.stdout and "\r" not in ended.stdout


def report(connection: str, rows: int, *types: str) -> JobReport:
    outcome = Outcome(extracted=rows, created=rows - 3, unchanged=1, conflicts=1, quarantined=1, extract_seconds=9.5)
    outcomes = dict.fromkeys(types, outcome)
    return JobReport("1", connection, "fhir", JobType.FULL_SYNC, JobStatus.COMPLETED, 1, outcomes, seconds=1234.5)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("rows", [16, 16_315, 999_999])
def test_the_table_shows_every_word_and_every_digit_at_80_and_at_120_columns(width: int, rows: int) -> None:
    console = Console(width=width, record=True, file=StringIO())
    shown = report("epic", rows, "Patient", "ExplanationOfBenefit")
    console.print(outcome_table("What the sync did", [shown], width=width))
    text = console.export_text()
    assert "…" not in text
    for word in (
        "ExplanationOfBenefit",
        "epic completed",
        "created",
        "updated",
        f"{rows:,}",
        f"{rows - 3:,}",
        "1,234",
    ):
        assert word in text
    for word in ("extracted", "unchanged", "conflicts", "quarantined"):
        assert word in text if width == 120 else word not in text, "narrow tables break these words in two lines"
    assert max(map(len, text.splitlines())) <= width
