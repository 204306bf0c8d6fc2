"""The five types of jobs at every vendor: what is asked for is read, nothing else is, and nothing else changes.

MEDITECH stands here with its FHIR interface. Over HL7 v2 it is asked for nothing: tests/engine/hl7v2/test_job_types.py.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from holovitals_pipelines.engine.events import VendorEvent, sync_after
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from tests.end_to_end.test_vendors_without_fhir import SECRETS, VENDORS
from tests.end_to_end.two_way import Ours, our_side

pytestmark = pytest.mark.timeout(180)
PATIENTS = 12
"""Of these people each vendor has some."""


@dataclass(frozen=True)
class Adapter:
    """What differs: a clinical type, and how many requests of which kind bring what is named."""

    kind: str
    patient: Mapping[str, int]
    """One patient's chart: the patient and the records of `kind`."""
    one: Mapping[str, int]
    """One record of `kind`, by its id."""
    upkeep: frozenset[str] = field(default=frozenset({"GET metadata"}))
    """Asked to open the connection, whatever is read."""
    by_id: bool = True


_UNITY = "POST Unity/UnityService.svc/json"
_MAGIC = f"{_UNITY}/MagicJson"

_CHART = {"GET Patient/{id}": 1, "GET Condition": 1}
_ONE = {"GET Condition/{id}": 1}
_METADATA = frozenset({"GET metadata"})

ADAPTERS = {
    "fhir": Adapter("Condition", _CHART, _ONE),
    "epic": Adapter("Condition", _CHART, _ONE),
    "cerner": Adapter("Condition", _CHART, _ONE, _METADATA | {"GET .well-known/smart-configuration"}),
    "eclinicalworks": Adapter("Condition", _CHART, _ONE),
    "meditech": Adapter("Condition", _CHART, _ONE, _METADATA),
    "athenahealth": Adapter(
        "Condition",
        {"GET patients/{id}": 1, "GET chart/{id}/problems": 1},
        {"GET chart/{id}/problems": 1},
        frozenset({"GET departments"}),
    ),
    "allscripts": Adapter(
        "Condition",
        {f"{_MAGIC}/GetPatient": 1, f"{_MAGIC}/GetClinicalSummary": 1},
        {f"{_MAGIC}/GetClinicalSummary": 1},
        frozenset({f"{_UNITY}/GetToken", f"{_MAGIC}/GetUserAuthentication", f"{_UNITY}/RetireSecurityToken"}),
    ),
    "nextgen": Adapter(
        "Encounter",
        {"GET persons/{id}": 1, "GET persons/{id}/chart/encounters": 1},
        {"GET persons/{id}/chart/encounters": 1},
        frozenset({"PUT users/me/login-defaults"}),
        by_id=False,
    ),
}


def _account(client_id: str) -> dict[str, Any]:
    return {"auth": {"kind": "client_secret", "client_id": client_id, "client_secret": {"env": "VENDOR_SECRET"}}}


CONNECTIONS: Mapping[str, Mapping[str, Any]] = {
    **VENDORS,
    "cerner": _account("holovitals-system-account"),
    "meditech": {"format": "FHIR_R4", **_account("holovitals-sandbox")},
}
ALL_SECRETS = {
    **SECRETS,
    "cerner": {"VENDOR_SECRET": "holovitals-system-secret"},
    "meditech": {"VENDOR_SECRET": "holovitals-sandbox-secret"},
}
KNOBS = {"fhir": {"polls": 0}, "eclinicalworks": {"requests_per_minute": 0}, "meditech": {"entitled": True}}


@dataclass(frozen=True)
class Vendor:
    name: str
    running: RunningSandbox
    ours: Ours
    first: JobReport
    """Of the full job."""

    @property
    def adapter(self) -> Adapter:
        return ADAPTERS[self.name]

    def sync(self, kind: JobType, **named: Any) -> JobReport:
        self._admin("DELETE", "requests")
        return run_sync(self.ours.home, SyncRequest("clinic", kind, **named))

    def after(self, *events: VendorEvent) -> JobReport:
        self._admin("DELETE", "requests")
        return sync_after(self.ours.home, "clinic", events)

    def asked(self) -> dict[str, int]:
        """What the vendor was asked for since the job began, without what opens a connection."""
        log = self._admin("GET", f"requests?dialect={self.name}").json()
        asked = Counter(f"{row['method']} {row['path']}" for row in log)
        upkeep = self.adapter.upkeep
        return {what: count for what, count in asked.items() if what not in upkeep and not what.endswith("/token")}

    def patients(self) -> list[str]:
        return self._admin("GET", f"{self.name}/ids/Patient").text.split()

    def rename(self, patient: str) -> str:
        held = self._admin("GET", f"{self.name}/Patient/{patient}").json()
        held["name"][0]["family"] = name = f"N{held['name'][0]['family'].lower()}"
        self._admin("PUT", f"{self.name}/Patient/{patient}", content=json.dumps(held).encode())
        return name.lower()

    def lose(self, kind: str, remote_id: str) -> None:
        """Delete at the vendor what clients know by this id."""
        ids: list[str] = self._admin("GET", f"{self.name}/ids/{kind}").text.split()
        [identity] = {own for own in ids if remote_id == own or remote_id.endswith((f".{own}", f"-{own}"))}
        self._admin("DELETE", f"{self.name}/{kind}/{identity}")

    def family(self, patient: str) -> str:
        return str(self.ours.held("Patient", patient)["name"][0]["family"]).lower()

    def owner(self, record: str) -> str:
        """The patient whose a clinical record is."""
        held = self.ours.held(self.adapter.kind, record)
        return str(held["subject"]["reference"]).removeprefix("Patient/")

    def records(self) -> list[str]:
        """The vendor's ids of all living records of the clinical type that are held here."""
        alive = {row.record_id for row in self.ours.rows("record", state="active")}
        links = self.ours.rows("link", resource_type=self.adapter.kind)
        return sorted(link.remote_id for link in links if link.record_id in alive)

    def standing(self) -> tuple[Any, ...]:
        """What no job about something else may change: watermarks, and who is alive."""
        marks = [(row.resource_type, row.value) for row in self.ours.rows("watermark")]
        return marks, sorted((row.record_id, row.state) for row in self.ours.rows("record"))

    def _admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = httpx.request(method, f"{self.running.admin_url}/{path}", trust_env=False, **more)
        assert answer.is_success, answer.text
        return answer


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with start_sandbox(dialects=list(ADAPTERS), patients=PATIENTS, settings=KNOBS) as running:
        yield running


@pytest.fixture(scope="module", params=list(ADAPTERS))
def vendor(
    request: pytest.FixtureRequest,
    sandbox: RunningSandbox,
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Vendor]:
    """One vendor of all, and our side after its first sync."""
    name, root = request.param, tmp_path_factory.mktemp("home")
    with ExitStack() as opened:
        patch = opened.enter_context(pytest.MonkeyPatch.context())
        for variable, value in ALL_SECRETS.get(name, {}).items():
            patch.setenv(variable, value)
        connection = _connection(name, sandbox, root)
        database = Path(shutil.copyfile(sqlite_template, root / "operational.sqlite"))
        ours = opened.enter_context(our_side(root, f"sqlite:///{database}", connection))
        yield Vendor(name, sandbox, ours, run_sync(ours.home, SyncRequest("clinic", JobType.FULL_SYNC)))


def _connection(name: str, sandbox: RunningSandbox, root: Path) -> ConnectionConfig:
    listed = root / "patients.txt"
    listed.write_text("\n".join(sandbox.patient_ids(name)))
    population = {} if name == "fhir" else {"patient_ids": {"file": str(listed)}}
    return ConnectionConfig.model_validate(
        {
            "name": "clinic",
            "provider": name,
            "base_url": sandbox.base_urls["meditech_fhir" if name == "meditech" else name],
            "resource_types": ["Patient", ADAPTERS[name].kind],
            "read": {"mode": "search", "max_retries": 1, "retry_delay_ms": 1, **population},
            **CONNECTIONS.get(name, {}),
        }
    )


def test_a_full_job_reads_everything(vendor: Vendor) -> None:
    assert (vendor.first.status, vendor.first.error_count) == (JobStatus.COMPLETED, 0)
    assert vendor.first.outcomes["Patient"].created == len(vendor.patients())
    assert vendor.first.outcomes[vendor.adapter.kind].created == len(vendor.records()) > 1


def test_an_incremental_job_brings_what_has_changed(vendor: Vendor) -> None:
    patient = vendor.patients()[0]
    name = vendor.rename(patient)

    report = vendor.sync(JobType.INCREMENTAL_SYNC)

    assert (report.status, report.total.updated) == (JobStatus.COMPLETED, 1)
    assert vendor.family(patient) == name


def test_a_patient_job_reads_one_chart(vendor: Vendor) -> None:
    one, other = vendor.patients()[:2]
    before, standing = vendor.family(other), vendor.standing()
    name = vendor.rename(one)
    vendor.rename(other)

    report = vendor.sync(JobType.PATIENT_SYNC, patients=(one,))

    assert (report.status, report.outcomes["Patient"].extracted) == (JobStatus.COMPLETED, 1)
    assert vendor.asked() == vendor.adapter.patient
    assert (vendor.family(one), vendor.family(other)) == (name, before)
    assert vendor.standing() == standing


@pytest.mark.parametrize("vendor", ["fhir", "nextgen"], indirect=True)
def test_a_resource_job_reads_whole_types(vendor: Vendor) -> None:
    report = vendor.sync(JobType.RESOURCE_SYNC, resource_types=(vendor.adapter.kind,))

    assert (report.status, list(report.outcomes)) == (JobStatus.COMPLETED, [vendor.adapter.kind])


def test_a_resource_job_reads_what_has_these_ids(vendor: Vendor) -> None:
    one, standing = vendor.records()[0], vendor.standing()

    report = vendor.sync(JobType.RESOURCE_SYNC, ids=((vendor.adapter.kind, one),))

    assert (report.status, list(report.outcomes)) == (JobStatus.COMPLETED, [vendor.adapter.kind])
    assert vendor.asked() == vendor.adapter.one
    assert report.total.extracted == 1 if vendor.adapter.by_id else report.total.extracted >= 1
    assert report.total.extracted == report.total.unchanged
    assert vendor.standing() == standing


def test_several_events_are_one_job_and_one_read_of_each_thing(vendor: Vendor) -> None:
    record, standing, kind = vendor.records()[0], vendor.standing(), vendor.adapter.kind
    patient = next(one for one in vendor.patients() if one != vendor.owner(record))
    name = vendor.rename(patient)
    on_patient = [VendorEvent(patient), VendorEvent(patient, "Patient"), VendorEvent(patient)]

    report = vendor.after(*on_patient, VendorEvent(record, kind), VendorEvent(record, kind))

    assert (report.type, report.status, report.error_count) == (JobType.WEBHOOK_SYNC, JobStatus.COMPLETED, 0)
    assert vendor.asked() == Counter(vendor.adapter.patient) + Counter(vendor.adapter.one)
    assert vendor.family(patient) == name
    assert vendor.standing() == standing


def test_what_is_gone_is_deleted_here_and_an_id_that_nobody_knows_is_reported(vendor: Vendor) -> None:
    kind, [gone, *others] = vendor.adapter.kind, vendor.records()
    vendor.lose(kind, gone)

    report = vendor.after(VendorEvent(gone, kind), VendorEvent("0-0", kind))

    assert [error.resource_type for error in report.errors][:1] == [kind]
    if vendor.adapter.by_id:
        assert (report.total.removed, vendor.records()) == (1, others)
    else:  # a chart without it says nothing
        assert (report.total.removed, vendor.records()) == (0, [gone, *others])


def test_a_job_that_does_not_say_what_it_is_about_is_not_started(vendor: Vendor) -> None:
    jobs = len(vendor.ours.rows("sync_job"))

    for unfit in (
        SyncRequest("clinic", JobType.PATIENT_SYNC),
        SyncRequest("clinic", JobType.WEBHOOK_SYNC),
        SyncRequest("clinic", JobType.RESOURCE_SYNC),
        SyncRequest("clinic", JobType.FULL_SYNC, patients=("1",)),
        SyncRequest("clinic", JobType.PATIENT_SYNC, patients=("1",), ids=(("Condition", "1"),)),
    ):
        with pytest.raises(ConfigurationError):
            run_sync(vendor.ours.home, unfit)

    assert len(vendor.ours.rows("sync_job")) == jobs
