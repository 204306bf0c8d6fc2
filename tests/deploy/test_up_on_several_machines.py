"""`holovitals up` on PostgreSQL with a broker and an object store: a job in each lane, asked for over HTTP."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from holovitals_pipelines.model.connection import ConnectionConfig, ReadSettings
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.settings import save_connections
from tests.deploy.several_machines import SeveralMachines, Worker, several_machines, until
from tests.deploy.test_several_machines import new_database
from tests.end_to_end.running import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

TYPES = ["Patient", "Condition"]
ENDED = ("COMPLETED", "FAILED", "CANCELLED")


class Up:
    """The installation at work, and somebody with a token."""

    def __init__(self, machines: SeveralMachines, service: Worker, url: str, secret: str, patient: str) -> None:
        self.machines, self.service, self.patient = machines, service, patient
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, trust_env=False)

    def job(self, **asked: Any) -> dict[str, Any]:
        """Ask for a job and wait for its end."""
        made = self.http.post("/api/sync/jobs", json={"ehrConnectionId": "fhir", **asked})
        assert made.status_code in (200, 201), made.text

        def look() -> dict[str, Any] | None:
            told: dict[str, Any] = self.http.get(f"/api/sync/jobs/{made.json()['id']}").json()
            return told if told["status"] in ENDED else None

        return until(look, "the job's end", 400, every=0.5)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, postgres_server: sa.URL) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up-on-several")
    databases = [new_database(postgres_server, name) for name in ("up_operational", "up_dagster")]
    with start_sandbox(dialects=("fhir",), patients=3) as vendors, several_machines(folder, *databases) as machines:
        (folder / "home").mkdir(exist_ok=True)
        reading = ReadSettings(mode="search")
        base_url = vendors.base_urls["fhir"]
        fhir = ConnectionConfig(
            name="fhir", provider=Provider.FHIR, base_url=base_url, resource_types=TYPES, read=reading
        )
        save_connections(folder / "home" / "connections.yaml", [fhir])
        made = machines.command("tokens", "create", "desk", "--role", "operator", "--json")
        api, ui = free_port(), free_port()
        service = machines.up("--api-port", str(api), "--ui-port", str(ui))
        yield Up(machines, service, f"http://127.0.0.1:{api}", json.loads(made.stdout)["token"], _somebody(vendors))
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(timeout=60) == 0


def _somebody(vendors: RunningSandbox) -> str:
    found = httpx.get(f"{vendors.base_urls['fhir']}/Patient?_count=1", trust_env=False).json()
    return str(found["entry"][0]["resource"]["id"])


def test_every_service_is_there_and_ready(running: Up) -> None:
    ready = json.loads(running.service.log.read_text().splitlines()[-1])["ready"]
    assert {"api", "dagster"} <= ready.keys()
    assert running.http.get("/readyz").json()["ready"]
    told = json.loads(running.machines.command("doctor", "--json").stdout)["found"]
    assert told["database"].startswith("postgresql") and told["landing zone"].startswith("s3://")


def test_a_full_sync_runs_through_dagster_and_the_broker(running: Up) -> None:
    job = running.job(type="FULL_SYNC")
    assert (job["status"], job["lane"]) == ("COMPLETED", "dagster"), job
    assert job["runId"] and job["result"]["summary"]["resourcesCreated"] > 3
    owners = running.machines.rows(
        "select distinct detail->>'owner' as owner from sync_job_event where kind = 'leased'"
    )
    assert owners, "a worker of the broker's signed for each step"


def test_one_patient_is_read_by_the_warm_worker_on_the_same_database(running: Up) -> None:
    job = running.job(type="PATIENT_SYNC", patientId=running.patient, priority=1)
    assert (job["status"], job["lane"], job["result"]["recordsFailed"]) == ("COMPLETED", "worker", 0), job
