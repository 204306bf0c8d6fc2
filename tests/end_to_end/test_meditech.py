"""MEDITECH both ways: its messages over sockets into a listener's process, and our edits back as messages.

Law: what the vendor holds and was sent is read from the simulated vendor, which knows nothing of our code.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import ErrorSeverity, JobStatus, JobType
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from tests.end_to_end.commands import COMMAND, environment
from tests.end_to_end.two_way import Ours, our_side, setting

pytestmark = pytest.mark.timeout(120)
PATIENTS = 3
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Hospital:
    """The simulated vendor, from behind."""

    running: RunningSandbox

    def feed(self, ports: dict[str, int], start: str = "start") -> None:
        self._call("POST", "feed", json={"host": "127.0.0.1", "ports": ports, "from": start})

    def progress(self) -> dict[str, int]:
        return self._call("GET", "feed").json()  # type: ignore[no-any-return]

    def told_all(self, at_least: int = 0) -> dict[str, int]:
        """Wait until everything is told; returns the counts."""
        deadline = time.monotonic() + 30
        while (said := self.progress())["pending"] or said["accepted"] < at_least:
            assert time.monotonic() < deadline, said
            time.sleep(0.02)
        return said

    def turn(self, **knobs: Any) -> None:
        self._call("POST", "settings", json=knobs)

    def ids(self, kind: str) -> list[str]:
        return sorted(self._call("GET", f"ids/{kind}").text.split())

    def held(self, kind: str, identity: str) -> dict[str, Any]:
        return self._call("GET", f"{kind}/{identity}").json()  # type: ignore[no-any-return]

    def edit(self, kind: str, identity: str, **elements: Any) -> None:
        resource = self.held(kind, identity)
        setting(**elements)(resource)
        self._call("PUT", f"{kind}/{identity}", json=resource)

    def number_of(self, identity: str) -> str:
        """The id by which we know a patient."""
        for held in self.held("Patient", identity)["identifier"]:
            if any(coding.get("code") == "MR" for coding in held.get("type", {}).get("coding", ())):
                return f"FAC1-MR-{held['value']}"
        raise AssertionError(identity)

    def _call(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = httpx.request(method, f"{self.running.admin_url}/meditech/{path}", trust_env=False, **more)
        assert answer.is_success, answer.text
        return answer


@pytest.fixture(scope="module")
def hospital() -> Iterator[Hospital]:
    with start_sandbox(dialects=["meditech"], patients=PATIENTS) as running:
        yield Hospital(running)


def declared(base_url: str, *types: str) -> ConnectionConfig:
    return ConnectionConfig.model_validate(
        {
            "name": "clinic",
            "provider": "meditech",
            "base_url": base_url,
            "vendor": {"timezone": "America/New_York"},
            "resource_types": list(types) or None,
            "hl7v2": {
                "ack_timeout_seconds": 1,
                "listen": [{"name": "adt", "port": 0}, {"name": "results", "port": 0}],
            },
            "write": {"enabled": True, "creates": True},
        }
    )


@pytest.fixture
def ours(hospital: Hospital, home: Path, database_url: str) -> Iterator[Ours]:
    with our_side(home, database_url, declared(hospital.running.base_urls["meditech"])) as side:
        yield side
    hospital.feed({})


@pytest.fixture
def patients(hospital: Hospital, home: Path, database_url: str) -> Iterator[Ours]:
    """Our side, for patients only."""
    with our_side(home, database_url, declared(hospital.running.base_urls["meditech"], "Patient")) as side:
        yield side
    hospital.feed({})


@contextmanager
def listening(root: Path, database_url: str, *command: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """`holovitals listen` in a process of its own, and its ports."""
    process = subprocess.Popen(
        command or (COMMAND, "listen", "--json"),
        env=environment(root, HOLOVITALS_DATABASE_URL=database_url),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["listening"]["clinic"]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def errors(report: Any) -> list[str]:
    return [error.code for error in report.errors if error.severity is ErrorSeverity.ERROR]


def another_day(day: str) -> str:
    return f"{int(day[:4]) - 1}-02-03"


def messages(ours: Ours) -> list[Any]:
    return ours.rows("hl7_message")


def test_messages_become_fhir_records_and_edits_go_both_ways_and_come_to_rest(
    hospital: Hospital, ours: Ours, home: Path, database_url: str
) -> None:
    with listening(home, database_url) as (process, ports):
        hospital.turn(duplicates=3, lost_acks=2)
        hospital.feed(ports)
        told = hospital.told_all()
        report = ours.sync(JobType.FULL_SYNC)
        assert (report.status, errors(report)) == (JobStatus.COMPLETED, [])
        assert {row.state for row in messages(ours)} == {"applied"}
        assert sum(row.times_received for row in messages(ours)) > len(messages(ours)) == told["accepted"] - 3
        assert report.total.created > 50 and report.total.unaccounted == 0
        for identity in hospital.ids("Patient"):
            theirs, number = hospital.held("Patient", identity), hospital.number_of(identity)
            here = ours.held("Patient", number)
            assert here["birthDate"] == theirs["birthDate"]
            assert not [one for one in check_structure(ours.record("Patient", number).body, "Patient")
                        if one.severity is ErrorSeverity.ERROR]  # fmt: skip

        first, *_ = hospital.ids("Patient")
        number = hospital.number_of(first)
        _an_edit_there(hospital, ours, first, number)
        _an_edit_here(hospital, ours, first, number)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def _an_edit_there(hospital: Hospital, ours: Ours, first: str, number: str) -> None:
    accepted = hospital.progress()["accepted"]
    born = another_day(hospital.held("Patient", first)["birthDate"])
    hospital.edit("Patient", first, birthDate=born)
    hospital.told_all(accepted + 1)
    report = ours.sync()
    assert errors(report) == []
    assert ours.held("Patient", number)["birthDate"] == born


def _an_edit_here(hospital: Hospital, ours: Ours, first: str, number: str) -> None:
    accepted = hospital.progress()["accepted"]
    born = another_day(ours.held("Patient", number)["birthDate"])
    ours.edit("Patient", number, setting(birthDate=born))
    report = ours.sync()
    assert (errors(report), report.total.pushed) == ([], 1)
    assert hospital.held("Patient", first)["birthDate"] == born
    hospital.told_all(accepted + 1)  # as hospitals do, it tells everybody, us too
    version = ours.record("Patient", number).version
    for _ in range(2):
        report = ours.sync()
        assert (errors(report), report.total.pushed, report.total.updated) == ([], 0, 0)
    assert ours.record("Patient", number).version == version
    assert ours.conflicts() == []
    assert hospital.progress()["accepted"] == accepted + 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_change_that_meets_a_locked_record_is_made_once_when_it_is_free(
    hospital: Hospital, patients: Ours, home: Path, database_url: str
) -> None:
    with listening(home, database_url) as (_, ports):
        hospital.feed({"adt": ports["adt"]}, "start")
        hospital.told_all()
        patients.sync(JobType.FULL_SYNC)
        _, second, *_ = hospital.ids("Patient")
        number = hospital.number_of(second)
        accepted = hospital.progress()["accepted"]
        hospital.turn(refuse="AE", refuse_error="206", refuse_times=1)
        born = another_day(patients.held("Patient", number)["birthDate"])
        patients.edit("Patient", number, setting(birthDate=born))
        report = patients.sync()
        assert report.total.pushed == 1
        hospital.told_all(accepted + 1)
        patients.sync()
        assert hospital.held("Patient", second)["birthDate"] == born
        assert patients.held("Patient", number)["birthDate"] == born
        assert hospital.progress()["accepted"] == accepted + 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_lost_answer_to_a_change_makes_no_second_change(
    hospital: Hospital, patients: Ours, home: Path, database_url: str
) -> None:
    with listening(home, database_url) as (_, ports):
        hospital.feed({"adt": ports["adt"]}, "start")
        hospital.told_all()
        patients.sync(JobType.FULL_SYNC)
        _, second, *_ = hospital.ids("Patient")
        number = hospital.number_of(second)
        accepted = hospital.progress()["accepted"]
        hospital.turn(silent=1)
        born = another_day(patients.held("Patient", number)["birthDate"])
        patients.edit("Patient", number, setting(birthDate=born))
        for _ in range(2):
            assert errors(patients.sync()) == []
        assert hospital.held("Patient", second)["birthDate"] == patients.held("Patient", number)["birthDate"] == born
        hospital.told_all(accepted + 1)
        version = patients.record("Patient", number).version
        assert patients.sync().total.pushed == 0
        assert patients.record("Patient", number).version == version
        assert hospital.progress()["accepted"] == accepted + 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_killed_between_the_commit_and_the_answer_and_while_reading_nothing_is_lost_or_applied_twice(
    hospital: Hospital, ours: Ours, home: Path, database_url: str
) -> None:
    killed = (sys.executable, "-m", "tests.end_to_end.killed_at_meditech", str(home))
    with listening(home, database_url, *killed, "unanswered") as (process, ports):
        hospital.turn(resend_seconds=0.2)
        hospital.feed({"adt": ports["adt"]})
        assert process.wait(timeout=30) == -signal.SIGKILL
    stored = len(messages(ours))
    assert stored >= 3
    with listening(home, database_url) as (_, ports):
        hospital.feed({"adt": ports["adt"]})
        told = hospital.told_all()
    assert len(messages(ours)) >= told["accepted"]
    died = subprocess.run(
        [*killed, "reading"],
        env={**environment(home, HOLOVITALS_DATABASE_URL=database_url), **_python()},
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL
    report = ours.sync()
    assert (report.status, errors(report), report.attempt) == (JobStatus.COMPLETED, [], 2)
    assert {row.state for row in messages(ours)} == {"applied"}
    for kind in ("Patient", "Encounter", "Observation", "DiagnosticReport", "Immunization", "DocumentReference"):
        assert len(ours.rows("link", resource_type=kind)) == len(ours.rows("hl7_record", resource_type=kind)) > 0, kind
    assert ours.complaints() == []


def _python() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}
