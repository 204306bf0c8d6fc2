"""Oracle Health over HTTP and both ways: what is there lands and is stored, edits of either side reach the other, and a
Patient, which cannot be replaced there, is changed by JSON Patch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from holovitals_pipelines.engine.local_records import create_record
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import ErrorSeverity, JobStatus, JobType
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from tests.end_to_end.two_way import Change, Ours, changed, our_side, setting
from tests.local_http import LOCAL

pytestmark = pytest.mark.timeout(180)

TYPES = ["Patient", "Condition", "MedicationRequest"]


@dataclass(frozen=True)
class Tenant:
    """The vendor, from behind: its clinicians, its knobs, and what it was asked."""

    running: RunningSandbox

    def ids(self, kind: str) -> list[str]:
        return sorted(self._admin("GET", f"cerner/ids/{kind}").text.split())

    def held(self, kind: str, identity: str) -> dict[str, Any]:
        return self._admin("GET", f"cerner/{kind}/{identity}").json()  # type: ignore[no-any-return]

    def edit(self, kind: str, identity: str, change: Change) -> None:
        held = changed(self.held(kind, identity), change)
        self._admin("PUT", f"cerner/{kind}/{identity}", content=json.dumps(held).encode())

    def turn(self, **knobs: Any) -> None:
        self._admin("POST", "cerner/settings", json=knobs)

    def fault(self, kind: str, **declared: Any) -> None:
        self._admin("POST", "faults", json={"kind": kind, "dialect": "cerner", **declared})

    def writes(self) -> list[tuple[str, str, int]]:
        """What was asked that changes a resource, since the log was last emptied."""
        rows = [row for row in self._admin("GET", "requests?dialect=cerner").json() if row["method"] != "GET"]
        found = [(row["method"], row["path"], row["status"]) for row in rows if not row["path"].endswith("token")]
        self._admin("DELETE", "requests")
        return found

    def _admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = LOCAL.request(method, f"{self.running.admin_url}/{path}", **more)
        assert answer.is_success, answer.text
        return answer


@pytest.fixture(scope="module")
def tenant() -> Iterator[Tenant]:
    with start_sandbox(dialects=["cerner"], patients=6) as running:
        yield Tenant(running)


@pytest.fixture(scope="module")
def ours(tenant: Tenant, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Ours]:
    """Our side after its first sync; each test has patients of its own."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "operational.sqlite")
    (home / "patients.txt").write_text("\n".join(tenant.ids("Patient")))
    (home / "secret").write_text("holovitals-system-secret")
    connection = ConnectionConfig.model_validate(
        {
            "name": "clinic",
            "provider": "cerner",
            "base_url": tenant.running.base_urls["cerner"],
            "auth": {
                "kind": "client_secret",
                "client_id": "holovitals-system-account",
                "client_secret": {"file": str(home / "secret")},
            },
            "resource_types": TYPES,
            "read": {"patient_ids": {"file": str(home / "patients.txt")}, "max_retries": 2, "retry_delay_ms": 1},
            "write": {"enabled": True, "creates": True},
        }
    )
    tenant.turn(repeat_rows=2)
    with our_side(home, f"sqlite:///{home / 'operational.sqlite'}", connection) as side:
        report = side.sync(JobType.FULL_SYNC)
        errors = [error.code for error in report.errors if error.severity is ErrorSeverity.ERROR]
        assert (report.status, errors, report.total.unaccounted) == (JobStatus.COMPLETED, [], 0)
        yield side


@pytest.fixture(autouse=True)
def nothing_asked_yet(ours: Ours, tenant: Tenant) -> Iterator[None]:
    tenant.writes()
    yield
    tenant.turn(poison=[])


def stored(ours: Ours) -> dict[str, int]:
    kinds = [row.resource_type for row in ours.rows("record")]
    return {kind: kinds.count(kind) for kind in TYPES}


def test_a_full_sync_stores_all_a_second_moves_nothing_and_edits_at_the_vendor_come_in(
    ours: Ours, tenant: Tenant
) -> None:
    assert stored(ours) == {kind: len(tenant.ids(kind)) for kind in TYPES}
    assert stored(ours)["Patient"] > 2
    before = ours.entries()

    report = ours.sync(JobType.FULL_SYNC)

    assert report.total.extracted == report.total.unchanged + report.total.duplicates
    assert ours.entries() == before and ours.complaints() == []
    assert tenant.writes() == []

    patient, request = tenant.ids("Patient")[0], tenant.ids("MedicationRequest")[0]

    def rename(resource: dict[str, Any]) -> None:
        resource["name"][0]["family"] = "Elsewhere"

    tenant.edit("Patient", patient, rename)
    tenant.edit("MedicationRequest", request, setting(status="on-hold"))
    report = ours.sync()

    assert report.status is JobStatus.COMPLETED
    assert ours.held("Patient", patient)["name"][0]["family"] == "Elsewhere"
    assert ours.held("MedicationRequest", request)["status"] == "on-hold"
    assert tenant.writes() == []


def test_an_edit_of_a_patient_here_goes_out_as_one_patch(ours: Ours, tenant: Tenant) -> None:
    patient = tenant.ids("Patient")[1]
    before = tenant.held("Patient", patient)

    def move(resource: dict[str, Any]) -> None:
        resource["birthDate"] = "1961-02-03"
        resource["address"][0]["city"] = "Springfield"
        resource.setdefault("telecom", []).append({"system": "email", "value": "a@example.org", "use": "home"})

    ours.edit("Patient", patient, move)
    report = ours.sync()

    assert (report.status, report.total.pushed) == (JobStatus.COMPLETED, 1)
    assert tenant.writes() == [("PATCH", "Patient/{id}", 200)]
    after = tenant.held("Patient", patient)
    assert (after["birthDate"], after["address"][0]["city"]) == ("1961-02-03", "Springfield")
    assert [item["value"] for item in after["telecom"]] == [
        *(item["value"] for item in before.get("telecom", [])),
        "a@example.org",
    ]
    assert ours.sync(JobType.FULL_SYNC).total.pushed == 0
    assert tenant.writes() == []

    def correct(resource: dict[str, Any]) -> None:
        resource["telecom"][-1]["value"] = "b@example.org"

    ours.edit("Patient", patient, correct)
    assert ours.sync().total.pushed == 1
    assert tenant.writes() == [("PATCH", "Patient/{id}", 200)], "the id the vendor gave is found again"
    last = tenant.held("Patient", patient)["telecom"]
    assert [item["value"] for item in last] == [*(item["value"] for item in after["telecom"][:-1]), "b@example.org"]
    assert ours.complaints() == []


def test_what_is_updated_whole_and_what_is_patched_go_out_each_in_its_way_and_the_rest_stays_ours(
    ours: Ours, tenant: Tenant
) -> None:
    condition, request = tenant.ids("Condition")[1], tenant.ids("MedicationRequest")[1]
    ours.edit("Condition", condition, setting(recordedDate="2020-05-06"))
    ours.edit("MedicationRequest", request, setting(status="cancelled"))

    report = ours.sync()

    assert (report.status, report.total.pushed) == (JobStatus.COMPLETED, 2)
    assert sorted(tenant.writes()) == [("PATCH", "MedicationRequest/{id}", 200), ("PUT", "Condition/{id}", 200)]
    assert tenant.held("Condition", condition)["recordedDate"] == "2020-05-06"
    assert tenant.held("MedicationRequest", request)["status"] == "cancelled"

    ours.edit("MedicationRequest", request, setting(priority="urgent"))

    report = ours.sync()

    assert (report.status, report.total.pushed, tenant.writes()) == (JobStatus.COMPLETED, 0, [])
    assert ours.held("MedicationRequest", request)["priority"] == "urgent"
    assert "priority" not in tenant.held("MedicationRequest", request)


def test_a_stale_version_is_seen_and_both_edits_stand(ours: Ours, tenant: Tenant) -> None:
    patient = tenant.ids("Patient")[2]
    ours.edit("Patient", patient, setting(birthDate="1970-07-08"))
    tenant.fault("edit_before_write", method="PATCH", path="Patient/{id}", element="gender", value="other")

    report = ours.sync()

    assert (report.status, report.total.pushed) == (JobStatus.COMPLETED, 1)
    assert [(method, status) for method, _, status in tenant.writes()] == [("PATCH", 409), ("PATCH", 200)]
    both = {"birthDate": "1970-07-08", "gender": "other"}
    assert {name: tenant.held("Patient", patient)[name] for name in both} == both
    assert {name: ours.held("Patient", patient)[name] for name in both} == both


def test_a_patient_made_here_is_created_there_once_though_the_answer_is_lost(ours: Ours, tenant: Tenant) -> None:
    before = set(tenant.ids("Patient"))
    number = {"system": "urn:holovitals:test", "value": "new-1"}
    body = {"resourceType": "Patient", "identifier": [number], "name": [{"family": "New"}], "gender": "female"}
    made = create_record(ours.home.database, "Patient", json.dumps(body).encode(), connections=["clinic"], actor="dr")
    tenant.fault("drop_after_commit", method="POST", path="Patient")

    ours.sync()
    ours.sync()

    [created] = set(tenant.ids("Patient")) - before
    assert [(method, path) for method, path, _ in tenant.writes()] == [("POST", "Patient")]
    assert ours.record("Patient", created).record_id == made.record_id
    assert tenant.held("Patient", created)["name"][0]["family"] == "New"

    ours.edit("Patient", created, setting(birthDate="1999-09-09"))
    assert ours.sync().total.pushed == 1
    assert tenant.writes() == [("PATCH", "Patient/{id}", 200)]
    assert tenant.held("Patient", created)["birthDate"] == "1999-09-09"
    assert ours.complaints() == []


def test_a_record_the_vendor_cannot_show_fails_no_job(ours: Ours, tenant: Tenant) -> None:
    tenant.turn(poison=[f"Condition/{tenant.ids('Condition')[0]}"])

    report = ours.sync(JobType.FULL_SYNC)

    assert report.status is JobStatus.COMPLETED
    assert [error.code for error in report.errors] == ["cerner.required_missing"]
    assert stored(ours)["Condition"] == len(tenant.ids("Condition")), "what cannot be read is not taken for deleted"
