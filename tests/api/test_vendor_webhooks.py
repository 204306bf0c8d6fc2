"""From an edit at a simulated vendor to the record here, by the vendor's own webhook over HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette

from holovitals_pipelines.api.receiver import receiver_routes
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.job_queue import claim_next, run_claimed
from holovitals_pipelines.engine.local_records import read_record
from holovitals_pipelines.engine.webhooks.processing import coalesce
from holovitals_pipelines.engine.webhooks.receiving import Receiver
from holovitals_pipelines.engine.webhooks.registration import NewWebhook, register
from holovitals_pipelines.engine.webhooks.settling import settle
from holovitals_pipelines.engine.webhooks.views import EventFilter, EventView, list_events
from holovitals_pipelines.model.connection import (
    ClientSecretAuth,
    ConnectionConfig,
    NoAuth,
    SecretRef,
    VendorSettings,
)
from holovitals_pipelines.model.vocabulary import JobStatus, Provider
from holovitals_pipelines.providers.webhooks.signatures import Scheme
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store.agreements import link_id_of
from tests.sandbox.loopback import Loopback, serving

SECRET = "a-secret-of-more-than-twenty-four-bytes"
AUTH = ClientSecretAuth(
    kind="client_secret", client_id="holovitals-sandbox", client_secret=SecretRef(env="TEST_VENDOR_SECRET")
)
VENDORS = {
    "fhir": (Provider.FHIR, NoAuth(), VendorSettings()),
    "athenahealth": (Provider.ATHENAHEALTH, AUTH, VendorSettings(department_ids=["1"])),
}


@dataclass
class Journey:
    home: Home
    vendors: Loopback
    port: int

    def subscribe(self, name: str, form: str | None = None, scheme: Scheme | None = None) -> None:
        new = NewWebhook(name, "https://holovitals.example/hooks", secret=SECRET, scheme=scheme)
        path = register(self.home, new, "somebody").receive_path
        self.told(name, url=f"http://127.0.0.1:{self.port}{path}", secret=SECRET, form=form)

    def told(self, name: str, **wanted: Any) -> dict[str, int]:
        found: dict[str, int] = self.vendors.admin("POST", f"{name}/webhooks", json=wanted)
        return found

    def edit(self, name: str, kind: str, **elements: Any) -> str:
        """A clinician's edit; the vendor's id of what was edited."""
        identity = self.vendors.ids(name, kind)[0]
        resource = self.vendors.admin("GET", f"{name}/{kind}/{identity}") | elements
        self.vendors.admin("PUT", f"{name}/{kind}/{identity}", json=resource)
        return identity

    def delivered(self, name: str) -> list[EventView]:
        """The events of a vendor, once it has nothing left to send."""
        deadline = time.monotonic() + 10
        while self.vendors.admin("GET", f"{name}/webhooks")["pending"]:
            assert time.monotonic() < deadline, "the vendor did not get rid of its news"
            time.sleep(0.02)
        return list(list_events(self.home, EventFilter(connection=name)).items)

    def process(self) -> None:
        coalesce(self.home)
        while (job := claim_next(self.home, "worker")) is not None:
            report = run_claimed(self.home, job.job_id, "worker")
            assert report.status is JobStatus.COMPLETED, report.errors
        settle(self.home)

    def record(self, name: str, kind: str, identity: str) -> bytes:
        return read_record(self.home.database, link_id_of(name, kind, identity)).body


@pytest.fixture
def journey(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journey]:
    monkeypatch.setenv("TEST_VENDOR_SECRET", "holovitals-sandbox-secret")
    folder = tmp_path_factory.mktemp("journey")
    with serving(dialects=list(VENDORS), patients=10) as vendors:
        connections = [
            ConnectionConfig(name=name, provider=provider, base_url=vendors.url(name), auth=auth, vendor=vendor)
            for name, (provider, auth, vendor) in VENDORS.items()
        ]
        save_connections(folder / "connections.yaml", connections)
        with open_home(Settings(home=folder)) as home, socket.create_server(("127.0.0.1", 0)) as listening:
            receiver = Receiver(home)
            app = Starlette(routes=list(receiver_routes(lambda: receiver)))
            server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            try:
                yield Journey(home, vendors, listening.getsockname()[1])
            finally:
                server.should_exit = True
                thread.join()


@pytest.mark.parametrize("form", ["backport-id-only", "backport-full", "rest-hook"])
def test_a_fhir_servers_subscription_brings_the_edit_here(journey: Journey, form: str) -> None:
    journey.subscribe("fhir", form, Scheme.BEARER)
    identity = journey.edit("fhir", "Patient", birthDate="1931-01-31")
    assert {one.status for one in journey.delivered("fhir")} == {"RECEIVED"}
    journey.process()
    assert b"1931-01-31" in journey.record("fhir", "Patient", identity)
    statuses = {one.vendor_event: one.status for one in journey.delivered("fhir")}
    handshake = {"handshake": "IGNORED"} if form.startswith("backport") else {}
    assert handshake.items() <= statuses.items() and list(statuses.values()).count("COMPLETED") == 1


def test_athenahealths_notification_brings_the_edit_here(journey: Journey) -> None:
    journey.subscribe("athenahealth")
    journey.edit("athenahealth", "Patient", birthDate="1931-01-31")
    assert len(journey.delivered("athenahealth")) == 1
    journey.process()
    [found] = journey.delivered("athenahealth")
    assert (found.status, found.event_type, found.vendor_event) == ("COMPLETED", "PATIENT_UPDATED", "Patient.update")
    assert found.remote_id is not None
    assert b"1931" in journey.record("athenahealth", "Patient", found.remote_id)


def test_a_heartbeat_is_logged_and_nothing_is_read(journey: Journey) -> None:
    journey.subscribe("fhir", "backport-id-only", Scheme.BEARER)
    journey.told("fhir", heartbeat=True)
    assert {one.status for one in journey.delivered("fhir")} == {"RECEIVED"}
    assert coalesce(journey.home) == []
    assert {one.vendor_event for one in journey.delivered("fhir")} == {"handshake", "heartbeat"}
