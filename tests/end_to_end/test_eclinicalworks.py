"""eClinicalWorks over HTTP and both ways: two kinds of tokens, a crawl, and the licensed write-back that may refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import ErrorSeverity, JobStatus, JobType
from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from tests.end_to_end.two_way import Change, Ours, changed, our_side, setting
from tests.local_http import LOCAL

pytestmark = pytest.mark.timeout(180)
ECW = "eclinicalworks"
TYPES = ["Patient", "Encounter", "Condition"]


@dataclass(frozen=True)
class Practice:
    """The simulated practice, from behind."""

    running: RunningSandbox

    def ids(self, kind: str) -> list[str]:
        return sorted(self._admin("GET", f"{ECW}/ids/{kind}").text.split())

    def held(self, kind: str, identity: str) -> dict[str, Any]:
        return self._admin("GET", f"{ECW}/{kind}/{identity}").json()  # type: ignore[no-any-return]

    def edit(self, kind: str, identity: str, change: Change) -> None:
        held = changed(self.held(kind, identity), change)
        self._admin("PUT", f"{ECW}/{kind}/{identity}", content=json.dumps(held).encode())

    def turn(self, **knobs: Any) -> None:
        self._admin("POST", f"{ECW}/settings", json=knobs)

    def writes(self) -> list[str]:
        """What was written since the log was last emptied."""
        log = self._admin("GET", f"requests?dialect={ECW}").json()
        return [
            f"{row['method']} {row['path']}" for row in log if row["method"] in ("PUT", "POST") and "{" in row["path"]
        ]

    def forget_requests(self) -> None:
        self._admin("DELETE", "requests")

    def _admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = LOCAL.request(method, f"{self.running.admin_url}/{path}", **more)
        assert answer.is_success, answer.text
        return answer


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> DemoCredentials:
    return demo_credentials(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def practice(credentials: DemoCredentials) -> Iterator[Practice]:
    knobs = {ECW: {"write_back": True, "polls": 1, "retry_after": "0"}}
    with start_sandbox(dialects=[ECW], patients=3, credentials=credentials, settings=knobs) as running:
        yield Practice(running)


@pytest.fixture(scope="module")
def synced(
    practice: Practice, credentials: DemoCredentials, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Ours]:
    """Our side after its first sync; the tests use records of their own."""
    home = tmp_path_factory.mktemp("home")
    database = shutil.copy(sqlite_template, home / "holovitals.db")
    connection = ConnectionConfig.model_validate(
        {
            "name": "clinic",
            "provider": ECW,
            "base_url": practice.running.base_urls[ECW],
            "resource_types": TYPES,
            "auth": {
                "kind": "smart_backend",
                "client_id": credentials.client_id,
                "keys": [{"file": str(credentials.rsa_key)}],
            },
            "read": {"group": practice.running.groups[ECW], "max_retries": 2, "retry_delay_ms": 1},
            "write": {"enabled": True, "creates": True, "resource_types": ["Patient", "Encounter", "Condition"]},
        }
    )
    with our_side(home, f"sqlite:///{database}", connection) as side:
        report = side.sync(JobType.FULL_SYNC)
        errors = [error.code for error in report.errors if error.severity is ErrorSeverity.ERROR]
        assert (report.status, errors, report.total.unaccounted) == (JobStatus.COMPLETED, [], 0)
        yield side


@pytest.fixture
def ours(synced: Ours, practice: Practice) -> Ours:
    practice.turn(locked_encounters=[])
    practice.forget_requests()
    return synced


def test_a_job_brings_all_the_practice_shows(ours: Ours, practice: Practice) -> None:
    stored = [row.resource_type for row in ours.rows("record")]
    assert {kind: stored.count(kind) for kind in TYPES} == {kind: len(practice.ids(kind)) for kind in TYPES}
    assert all(count > 1 for count in map(stored.count, TYPES))
    before = ours.entries()
    report = ours.sync(JobType.FULL_SYNC)
    assert report.total.extracted == report.total.unchanged + report.total.duplicates
    assert ours.entries() == before and ours.complaints() == []


def test_an_edit_at_the_practice_comes_in(ours: Ours, practice: Practice) -> None:
    [condition, *_] = practice.ids("Condition")
    practice.edit("Condition", condition, setting(recordedDate="2026-02-03"))
    assert ours.sync().status is JobStatus.COMPLETED
    assert ours.held("Condition", condition)["recordedDate"] == "2026-02-03"
    assert practice.writes() == []


def test_an_edit_here_goes_out_once(ours: Ours, practice: Practice) -> None:
    patient = practice.ids("Patient")[1]
    ours.edit("Patient", patient, setting(birthDate="1961-02-03"))
    report = ours.sync()
    assert (report.status, report.total.pushed) == (JobStatus.COMPLETED, 1)
    assert practice.held("Patient", patient)["birthDate"] == "1961-02-03"
    assert ours.sync().total.pushed == 0
    assert practice.writes() == ["PUT Patient/{id}"]
    assert ours.held("Patient", patient)["birthDate"] == "1961-02-03" and ours.complaints() == []


def test_a_locked_encounter_is_listed_and_nothing_is_lost(ours: Ours, practice: Practice) -> None:
    locked, free = practice.ids("Encounter")[:2]
    practice.turn(locked_encounters=[locked])
    before = practice.held("Encounter", locked)
    for encounter in (locked, free):
        ours.edit("Encounter", encounter, setting(priority={"text": "routine"}))

    report = ours.sync()

    assert report.total.pushed == 1 and practice.held("Encounter", free)["priority"] == {"text": "routine"}
    assert [error.code for error in report.errors] == ["ecw.139"]
    assert practice.held("Encounter", locked) == before
    assert ours.held("Encounter", locked)["priority"] == {"text": "routine"}, "ours is kept"
    assert practice.writes().count("PUT Encounter/{id}") == 2, "a lock is not knocked at again"

    practice.turn(locked_encounters=[])
    ours.edit("Encounter", locked, setting(priority={"text": "urgent"}))
    assert ours.sync().total.pushed == 1
    assert practice.held("Encounter", locked)["priority"] == {"text": "urgent"} and ours.complaints() == []
