"""`holovitals jobs`: a job is created, found, watched, cancelled and tried again from a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.job_queue import claim_next, run_claimed
from holovitals_pipelines.settings import Settings
from tests.cli.conftest import Run, declare
from tests.engine.ndjson_source import NdjsonSource

CANARY = "zzyzx-4711"


@pytest.fixture(autouse=True)
def declared(home: Path) -> None:
    declare(
        home, *({"name": name, "provider": "fhir", "base_url": "http://127.0.0.1:9"} for name in ("clinic", "ward"))
    )


def created(run: Run, *arguments: str) -> dict[str, Any]:
    said = run("jobs", "create", *arguments, "--json")
    assert said.exit_code == 0, said.output
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def listed(run: Run, *arguments: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(run("jobs", "list", "--json", *arguments).stdout)
    return answer


def test_a_created_job_has_all_that_was_asked_for_and_shows_no_patient(run: Run) -> None:
    made = created(
        run, "clinic", "--type", "PATIENT_SYNC", "--patient", CANARY, "--priority", "high", "--direction", "INBOUND",
        "-r", "Patient", "-r", "Condition", "--max-retries", "5", "--timeout", "60000", "--no-validate", "--notify",
        "--actor", "ann",
    )  # fmt: skip
    shown = run("jobs", "show", made["jobId"][:8], "--json")
    job = json.loads(shown.stdout)["job"]

    assert (job["type"], job["direction"], job["priority"], job["status"]) == ("PATIENT_SYNC", "INBOUND", 2, "PENDING")
    assert (job["resourceTypes"], job["requestedBy"], job["lane"]) == (["Patient", "Condition"], "ann", "worker")
    assert job["options"] == {
        "batchSize": None, "maxRetries": 5, "retryDelay": 2000, "timeout": 60000, "validateData": False,
        "resolveConflicts": True, "notifyOnComplete": True,
    }  # fmt: skip
    assert [event["kind"] for event in job["history"]] == ["created"]
    for said in (
        shown,
        run("jobs", "show", made["jobId"], "--history"),
        run("jobs", "list"),
        run("jobs", "list", "--json"),
    ):
        assert CANARY not in said.output


def test_asking_twice_joins_and_a_key_stands_for_one_request(run: Run) -> None:
    first = created(run, "clinic", "--key", "k-1")
    assert created(run, "clinic", "--key", "k-1") == {"jobId": first["jobId"], "joined": True}
    assert created(run, "clinic")["joined"]
    assert "was there already" in run("jobs", "create", "clinic").stdout
    other = run("jobs", "create", "ward", "--key", "k-1")
    assert other.exit_code == 1 and "job.idempotency_conflict" in other.stderr
    assert len(listed(run)) == 1


def test_jobs_are_found_by_connection_status_kind_and_asker(run: Run) -> None:
    changes = created(run, "clinic", "--actor", "ann")["jobId"]
    types = created(run, "ward", "--type", "RESOURCE_SYNC", "-r", "Condition", "--actor", "bob")["jobId"]
    run("jobs", "cancel", types)
    for arguments, found in (
        (("--connection", "clinic"), [changes]),
        (("--status", "cancelled"), [types]),
        (("--status", "PENDING", "--status", "CANCELLED"), [types, changes]),
        (("--type", "RESOURCE_SYNC"), [types]),
        (("--by", "ann"), [changes]),
        (("--limit", "1"), [types]),
        (("--by", "nobody"), []),
    ):
        assert [job["jobId"] for job in listed(run, *arguments)] == found, arguments
    assert "No job fits" in run("jobs", "list", "--by", "nobody").stdout


def test_cancelling_and_trying_again_say_what_came_of_it(run: Run) -> None:
    job_id = created(run, "clinic")["jobId"]
    refused = run("jobs", "retry", job_id)
    assert refused.exit_code == 1 and "job.not_failed" in refused.stderr
    assert "is cancelled" in run("jobs", "cancel", job_id[:8]).stdout
    again = run("jobs", "cancel", job_id[:8])
    assert again.exit_code == 1 and "job.forbidden_move" in again.stderr
    waited = run("jobs", "wait", job_id)
    assert waited.exit_code == 1 and "cancelled" in waited.stdout


def test_waiting_ends_with_the_job_or_with_ones_patience(run: Run, home: Path, tmp_path: Path) -> None:
    job_id = created(run, "clinic")["jobId"]
    impatient = run("jobs", "wait", job_id, "--seconds", "0")
    assert impatient.exit_code == 1 and "pending still" in impatient.stdout
    (tmp_path / "Patient.ndjson").write_text('{"resourceType":"Patient","id":"p1"}\n', encoding="utf-8")

    def work() -> None:
        with open_home(Settings(home=home)) as opened:
            claim_next(opened, "w")
            run_claimed(opened, job_id, "w", adapter_for=lambda _: NdjsonSource(tmp_path))

    worker = Thread(target=work)
    worker.start()
    waited = run("jobs", "wait", job_id, "--seconds", "60", "--json")
    worker.join()

    assert waited.exit_code == 0, waited.output
    assert json.loads(waited.stdout)["job"]["result"]["recordsSucceeded"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("clinic", "--priority", "SOON"), "1 CRITICAL"),
        (("clinic", "--type", "PATIENT_SYNC"), "names at least one patient"),
        (("clinic", "--until", "2026-11-01T00:00:00Z"), "a window needs its beginning"),
        (("clinic", "--since", "yesterday"), "2026-11-01T00:00:00Z"),
        (("clinic", "--batch-size", "0"), "out of range"),
        (("klinic",), "known: clinic, ward"),
    ],
)
def test_a_job_that_cannot_be_is_refused_with_what_there_is(run: Run, arguments: tuple[str, ...], words: str) -> None:
    said = run("jobs", "create", *arguments)
    assert said.exit_code == 1 and words in said.stderr
    assert listed(run) == []
