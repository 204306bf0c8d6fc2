"""Vendors without FHIR, over HTTP and both ways: what they send lands as sent, rules make FHIR R4 of it, and edits of
either side reach the other through the same rules."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from holovitals_pipelines.engine.local_records import read_record
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import Dataset, ErrorSeverity, JobStatus, JobType
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.store.parts import parts_of
from tests.end_to_end.two_way import Change, Ours, changed, our_side, setting
from tests.local_http import LOCAL

pytestmark = pytest.mark.timeout(180)
PATIENTS = 12
"""Of these people each vendor has some."""

SECRET = {"client_secret": {"env": "VENDOR_SECRET"}}
VENDORS: dict[str, dict[str, Any]] = {
    "allscripts": {
        "auth": {
            "kind": "unity", "application": "HoloVitals", "service_user": {"env": "VENDOR_USER"},
            "service_password": {"env": "VENDOR_SECRET"}, "ehr_user": "jmedici",
            "ehr_password": {"env": "VENDOR_PASSWORD"},
        },
    },
    "athenahealth": {"auth": {"kind": "client_secret", "client_id": "holovitals-sandbox", **SECRET}},
    "nextgen": {
        "auth": {
            "kind": "client_secret", "client_id": "sandbox-client", "sent_as": "form", "site_id": "sandbox-site",
            **SECRET,
        },
        "vendor": {"enterprise_id": "00002", "practice_id": "0006", "timezone": "America/New_York"},
    },
}  # fmt: skip
SECRETS = {
    "allscripts": {
        "VENDOR_USER": "Sandbox-Service", "VENDOR_SECRET": "sandbox", "VENDOR_PASSWORD": "password01",
    },
    "athenahealth": {"VENDOR_SECRET": "holovitals-sandbox-secret"},
    "nextgen": {"VENDOR_SECRET": "sandbox"},
}  # fmt: skip


@dataclass(frozen=True)
class Vendor:
    """One simulated vendor, from behind: what it holds is FHIR there, and its own form to its clients."""

    name: str
    running: RunningSandbox

    def ids(self, kind: str) -> list[str]:
        return sorted(self._admin("GET", f"ids/{kind}").text.split())

    def edit(self, kind: str, identity: str, change: Change) -> None:
        held = changed(self.held(kind, identity), change)
        self._admin("PUT", f"{kind}/{identity}", content=json.dumps(held).encode())

    def held(self, kind: str, identity: str) -> dict[str, Any]:
        return self._admin("GET", f"{kind}/{identity}").json()  # type: ignore[no-any-return]

    def _admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = LOCAL.request(method, f"{self.running.admin_url}/{self.name}/{path}", **more)
        assert answer.is_success, answer.text
        return answer


@pytest.fixture(scope="module", params=sorted(VENDORS))
def vendor(request: pytest.FixtureRequest) -> Iterator[Vendor]:
    with start_sandbox(dialects=[request.param], patients=PATIENTS) as running:
        yield Vendor(request.param, running)


@pytest.fixture(scope="module")
def ours(vendor: Vendor, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Ours]:
    """Our side after its first sync, for all tests: each that edits has a patient of its own."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "operational.sqlite")
    listed = home / "patients.txt"
    listed.write_text("\n".join(vendor.ids("Patient")))
    connection = ConnectionConfig.model_validate(
        {
            "name": "clinic",
            "provider": vendor.name,
            "base_url": vendor.running.base_urls[vendor.name],
            "read": {"patient_ids": {"file": str(listed)}, "max_retries": 2, "retry_delay_ms": 1},
            "write": {"enabled": True, "creates": True},
            **VENDORS[vendor.name],
        }
    )
    with ExitStack() as opened:
        environment = opened.enter_context(pytest.MonkeyPatch.context())
        for name, value in SECRETS[vendor.name].items():
            environment.setenv(name, value)
        side = opened.enter_context(our_side(home, f"sqlite:///{home / 'operational.sqlite'}", connection))
        report = side.sync(JobType.FULL_SYNC)
        assert (report.status, [error.code for error in report.errors if error.severity is ErrorSeverity.ERROR]) == (
            JobStatus.COMPLETED,
            [],
        )
        assert report.total.unaccounted == 0 and report.total.created > len(vendor.ids("Patient")) > 1
        yield side


def test_what_is_sent_lands_as_sent_and_is_stored_as_sound_fhir(ours: Ours, vendor: Vendor) -> None:
    records = ours.rows("record")
    with ours.home.database.read() as transaction:
        job = ours.rows("landing_part")[0].job_id
        paths = [part.path for part in parts_of(transaction, job, Dataset.EXTRACT, "Patient")]
    landed = [json.loads(body) for body in ours.home.landing.open_parts(paths).read_all().column("body").to_pylist()]
    kinds = [row.resource_type for row in records]
    assert 0 < len(landed) == kinds.count("Patient") < len(kinds)
    assert not any("resourceType" in record for record in landed)
    for row in records:
        body = read_record(ours.home.database, row.record_id).body
        assert [
            one.rule for one in check_structure(body, row.resource_type) if one.severity is ErrorSeverity.ERROR
        ] == []


def test_nothing_moves_when_nothing_has_changed(ours: Ours) -> None:
    before = ours.entries()

    report = ours.sync(JobType.FULL_SYNC)

    assert report.total.extracted == report.total.unchanged + report.total.duplicates
    assert ours.entries() == before and ours.complaints() == []


def test_an_edit_at_the_vendor_comes_in(ours: Ours, vendor: Vendor) -> None:
    [identity, *_] = vendor.ids("Patient")

    def rename(resource: dict[str, Any]) -> None:
        resource["name"][0]["family"] = "Newname"

    vendor.edit("Patient", identity, rename)
    report = ours.sync()

    assert report.status is JobStatus.COMPLETED
    assert ours.held("Patient", identity)["name"][0]["family"].title() == "Newname"


def test_an_edit_here_reaches_the_vendor_in_its_own_form_once(ours: Ours, vendor: Vendor) -> None:
    identity = vendor.ids("Patient")[1]
    birth = "1961-02-03"

    ours.edit("Patient", identity, setting(birthDate=birth))
    report = ours.sync()

    assert (report.status, report.total.pushed) == (JobStatus.COMPLETED, 1)
    assert vendor.held("Patient", identity)["birthDate"] == birth
    assert ours.sync(JobType.FULL_SYNC).total.pushed == 0
    assert ours.held("Patient", identity)["birthDate"] == birth
    assert ours.complaints() == []
