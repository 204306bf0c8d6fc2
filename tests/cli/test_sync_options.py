"""`holovitals sync` by patient, by id, as after an event, and into the queue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import GuardedVendor, Run, declare


@pytest.fixture
def patients(home: Path, run: Run, guarded: GuardedVendor) -> list[str]:
    """Ids of the vendor's patients; none of them is known here yet."""
    declare(home, guarded.connection())
    return guarded.running.patient_ids("fhir")


def test_one_patient_is_read_then_one_resource_then_what_an_event_was_about(patients: list[str], run: Run) -> None:
    one, other, *_ = patients
    [chart] = json.loads(run("sync", "clinic", "--patient", one, "--json").stdout)
    [single] = json.loads(run("sync", "clinic", "-t", "Patient", "--id", other, "--json").stdout)
    [after] = json.loads(run("sync", "clinic", "-t", "Patient", "--id", other, "--event", "--json").stdout)

    assert (chart["type"], chart["resourceTypes"]["Patient"]["created"]) == ("PATIENT_SYNC", 1)
    assert (single["type"], single["total"]["created"]) == ("RESOURCE_SYNC", 1)
    assert (after["type"], after["total"]["extracted"], after["total"]["unchanged"]) == ("WEBHOOK_SYNC", 1, 1)


def test_a_queued_job_is_named_and_its_patient_is_not(patients: list[str], run: Run) -> None:
    said = run("sync", "clinic", "--patient", patients[0], "--queue")
    [queued] = json.loads(run("sync", "clinic", "--patient", patients[0], "--queue", "--json").stdout)
    listed = json.loads(run("jobs", "list", "--json").stdout)

    assert said.exit_code == 0 and "clinic_extract" in said.stdout and patients[0] not in said.stdout
    assert queued["connection"] == "clinic"
    assert [(job["type"], job["status"]) for job in listed] == [("PATIENT_SYNC", "PENDING")]
    assert queued["job"] == listed[0]["jobId"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--patient", "1"], "name the one connection"),
        (["clinic", "--id", "1"], "one --type"),
        (["clinic", "--event"], "what the event was about"),
        (["clinic", "--patient", "1", "--full"], "leave out --full"),
    ],
)
def test_options_that_do_not_go_together_are_explained(
    options: list[str], words: str, patients: list[str], run: Run
) -> None:
    ended = run("sync", *options)

    assert ended.exit_code == 2
    assert words in " ".join(ended.stderr.replace("│", " ").split())
