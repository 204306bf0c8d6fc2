"""`holovitals up`, driven over HTTP as integrators and vendors do it: jobs, webhooks, conflicts, kills, and its end."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from holovitals_pipelines.sandbox.process import start_sandbox
from tests.end_to_end.commands import COMMAND, clinic, declare, environment, holovitals
from tests.end_to_end.resources import clinical, line, patient
from tests.end_to_end.running import (
    DECIDED,
    Integrator,
    VendorSide,
    family,
    free_port,
    integrator,
    left_of,
    told,
    until,
    up,
)
from tests.end_to_end.stored import counted, rows
from tests.end_to_end.two_way import Site
from tests.local_http import LOCAL

pytestmark = pytest.mark.timeout(300)

HOOKS = "/api/sync/webhooks"
WRITES = {"enabled": True, "creates": True, "deletes": True}
_TYPES = ("Observation", "MedicationRequest", "AllergyIntolerance", "Condition", "Encounter")
GROUPS = {"PATIENT": "Patient", "OBSERVATION": "Observation", "MEDICATION": "MedicationRequest",
          "ALLERGY": "AllergyIntolerance", "CONDITION": "Condition", "ENCOUNTER": "Encounter",
          "DOCUMENT": "DocumentReference"}  # fmt: skip


def document(number: int) -> dict[str, Any]:
    attached = {"attachment": {"contentType": "text/plain", "title": "x"}}
    about = {"id": f"documentreference-{number}", "subject": {"reference": "Patient/p0"}}
    return {"resourceType": "DocumentReference", "status": "current", **about, "content": [attached]}


def resource(kind: str, number: int) -> dict[str, Any]:
    if kind == "Patient":
        return patient(number)
    return document(number) if kind == "DocumentReference" else clinical(kind, number)


@dataclass(frozen=True)
class Running:
    """One installation at work, the vendor behind it, and who speaks to it."""

    home: Path
    site: Site
    process: subprocess.Popen[str]
    url: str
    desk: Integrator
    """Who operates and decides."""

    def webhook(self, connection: str = "clinic") -> tuple[dict[str, Any], VendorSide]:
        asked = {"ehrConnectionId": connection, "endpoint": f"{self.url}{HOOKS}/receive/x"}
        made = self.desk.post(HOOKS, asked, status=201)
        return made, VendorSide(self.url + made["receivePath"], made["secret"])

    def events(self, webhook: dict[str, Any]) -> list[dict[str, Any]]:
        return self.desk.every(f"{HOOKS}/events", webhookId=webhook["id"])

    def decided(self, webhook: dict[str, Any]) -> list[dict[str, Any]]:
        """All of a webhook's events, when nothing more is to become of them."""

        def look() -> list[dict[str, Any]] | None:
            found = self.events(webhook)
            return found if found and {event["status"] for event in found} <= DECIDED else None

        return until(look)

    def asks(self, kind: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "direction": "BIDIRECTIONAL", "priority": 3, "ehrConnectionId": "clinic", **more}

    def service(self, name: str) -> psutil.Process:
        """The process of `holovitals NAME`."""
        first = psutil.Process(self.process.pid)
        return next(one for one in first.children() if name in one.cmdline())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("up")
    (folder / "data").mkdir()
    held = [patient(n) for n in range(4)] + [
        resource(kind, n) for kind in (*_TYPES, "DocumentReference") for n in (0, 1)
    ]
    (folder / "data" / "clinic.ndjson").write_bytes(b"".join(line(one) + b"\n" for one in held))
    with start_sandbox(dialects=["fhir", "epic"], data=folder / "data", settings={"fhir": {"polls": 0}}) as vendors:
        second = {"name": "second", "provider": "epic", "base_url": vendors.base_urls["epic"]}
        entry = clinic("clinic", vendors.base_urls["fhir"], "Patient", *_TYPES, "DocumentReference", mode="search")
        home = declare(folder / "home", entry | {"write": WRITES}, second)
        port = free_port()
        with up(home, "--without", "dagster", "--api-port", str(port)) as (process, addresses):
            assert addresses == {"api": f"http://127.0.0.1:{port}/dashboard"}
            url = f"http://127.0.0.1:{port}"
            desk = integrator(home, url, "desk", "viewer", "operator", "resolver")
            yield Running(home, Site(vendors), process, url, desk)


@pytest.fixture(scope="module")
def synced(running: Running) -> Running:
    """After the first full sync, which was asked for over HTTP."""
    job = running.desk.job(running.asks("FULL_SYNC"))
    assert job["status"] == "COMPLETED", job
    assert job["result"]["summary"]["resourcesCreated"] == 16 and job["result"]["recordsFailed"] == 0
    return running


def test_nothing_is_answered_without_a_token_and_what_runs_says_that_it_is_ready(running: Running) -> None:
    assert LOCAL.get(f"{running.url}/api/sync/jobs").status_code == 401
    ready = LOCAL.get(f"{running.url}/readyz").json()
    assert ready["ready"] and {"database", "worker"} <= {check["name"] for check in ready["checks"]}
    assert holovitals(running.home, "doctor", "--json").json()["found"]["worker"] == "1 at work"


def test_a_job_is_created_listed_and_shown_with_its_counts_and_history(synced: Running) -> None:
    job = synced.desk.job(synced.asks("INCREMENTAL_SYNC"))
    assert (job["status"], job["requestedBy"], job["attempt"]) == ("COMPLETED", "desk", 1)
    assert [move["status"] for move in job["history"] if move["status"]][-2:] == ["PROCESSING", "COMPLETED"]
    listed = synced.desk.get("/api/sync/jobs", status="COMPLETED", type="INCREMENTAL_SYNC")["items"]
    assert job["id"] in {one["id"] for one in listed}
    chart = synced.asks("PATIENT_SYNC", patientId="p0", priority=2, ehrConnectionId="second", ehrProvider="epic")
    assert synced.desk.job(chart | {"direction": "INBOUND"})["status"] == "COMPLETED"
    assert synced.desk.get("/api/sync/statistics")["completedJobs"] >= 3


def test_a_job_at_work_is_cancelled_and_one_that_failed_is_tried_again(synced: Running) -> None:
    synced.site.fault("latency", seconds=3, path="Patient", times=0)
    asked = synced.asks("RESOURCE_SYNC", resourceType="Patient")
    job = synced.desk.job(asked, {"PROCESSING"})
    assert synced.desk.call("DELETE", f"/api/sync/jobs/{job['id']}").status_code == 200
    assert synced.desk.followed(job["id"])["status"] == "CANCELLED"
    synced.site.forget_faults()

    synced.site.fault("status", status=503, path="Encounter*", times=0)
    failed = synced.desk.job(synced.asks("RESOURCE_SYNC", resourceType="Encounter", options={"maxRetries": 0}))
    assert failed["status"] == "FAILED" and failed["errors"]
    synced.site.forget_faults()
    synced.desk.post(f"/api/sync/jobs/{failed['id']}/retry", {})
    again = synced.desk.followed(failed["id"], {"COMPLETED"})
    assert again["attempt"] == 2
    refused = synced.desk.call("POST", f"/api/sync/jobs/{failed['id']}/retry", json={})
    assert refused.status_code == 409 and refused.json()["remedy"]


def test_all_fifteen_events_change_the_records_they_are_about(synced: Running) -> None:
    webhook, vendor = synced.webhook()
    changed: list[tuple[str, str, str]] = []
    for group, kind in GROUPS.items():
        new = resource(kind, 7)
        synced.site.put(new)
        changed.append((f"{group}_CREATED", kind, new["id"]))
        known = resource(kind, 1) | {"language": "en-GB"}
        synced.site.put(known)
        changed.append((f"{group}_UPDATED", kind, known["id"]))
    synced.site.delete("Patient", "p3")
    changed.append(("PATIENT_DELETED", "Patient", "p3"))
    assert len(changed) == 15

    answers = [vendor.tell(f"e{number}", *one) for number, one in enumerate(changed)]
    assert {answer.status_code for answer in answers} == {202}
    events = synced.decided(webhook)

    assert {(event["event"], event["status"]) for event in events} == {(name, "COMPLETED") for name, _, _ in changed}
    for name, kind, identity in changed:
        answer = synced.desk.record(kind, identity, "clinic")
        if name == "PATIENT_DELETED":
            assert answer.status_code == 410, answer.text
        else:
            assert answer.json().get("language") == synced.site.held(kind, identity).get("language"), (name, identity)
    assert rows(synced.home, "select record.state from record join link using (record_id) where remote_id = 'p3' "
                             "and connection = 'clinic'") == [("deleted",)]  # fmt: skip


def test_what_is_not_the_vendors_is_refused_alike_and_what_is_and_cannot_be_read_is_kept(synced: Running) -> None:
    webhook, vendor = synced.webhook()
    good = told("only", "OBSERVATION_UPDATED", "Observation", "observation-1")
    vouched = vendor.signature(good)
    stranger = VendorSide(vendor.address, "another secret than the one that was agreed on")
    elsewhere = vendor.address.rpartition("/")[0] + "/no-such-token"
    refused = [
        stranger.send(good),
        vendor.send(good[:-9], vouched),
        vendor.send(json.dumps(json.loads(good), indent=1).encode(), vouched),
        vendor.send(gzip.compress(good), vouched),
        vendor.send(good + b"\n", vouched),
        vendor.send(good, "sha1=" + vouched),
        vendor.send(good, address=elsewhere),
        LOCAL.post(vendor.address, content=good),
    ]
    assert {answer.status_code for answer in refused} == {401}
    assert len({answer.content for answer in refused}) == 1, "nobody learns what was wrong"
    too_large = vendor.send(b'{"id": "large", "type": "' + b"x" * 300_000 + b'"}')
    assert too_large.status_code == 413
    assert synced.events(webhook) == []

    not_utf8 = good.replace(b"observation-1", b"observation-\xff")
    assert [vendor.send(body).status_code for body in (good, good, good, not_utf8)] == [202] * 4
    events = {event["status"]: event for event in synced.decided(webhook)}
    assert set(events) == {"COMPLETED", "FAILED"} and len(synced.events(webhook)) == 2, "a replay is known"
    assert events["FAILED"]["errorCode"] == "webhook.unreadable"
    shown = [COMMAND, "webhooks", "event", events["FAILED"]["id"], "--body"]
    assert subprocess.run(shown, env=environment(synced.home), stdout=subprocess.PIPE, check=True).stdout == not_utf8


def test_a_conflict_is_decided_over_http_and_the_decision_arrives_at_the_vendor(synced: Running) -> None:
    code = {"text": "Asthma, mild"}
    held = synced.desk.record("Condition", "condition-0", "clinic")
    where = f"/api/records/Condition/{held.headers['x-record-id']}"
    edited = synced.desk.call(
        "PUT", where, content=json.dumps(held.json() | {"code": code}),
        headers={"If-Match": held.headers["etag"], "Content-Type": "application/fhir+json"},
    )  # fmt: skip
    assert edited.status_code == 200, edited.text
    synced.site.put(resource("Condition", 0) | {"code": {"text": "Bronchitis"}})
    asked = synced.asks("RESOURCE_SYNC", resourceType="Condition", resourceIds=["condition-0"])
    job = synced.desk.job(asked)
    assert job["status"] == "COMPLETED" and len(job["conflicts"]) == 1, job
    [conflict] = synced.desk.get("/api/sync/conflicts", connection="clinic", resourceType="Condition")["items"]
    assert synced.site.held("Condition", "condition-0")["code"] == {"text": "Bronchitis"}, "neither side has moved"

    decision = {"conflictId": conflict["conflictId"], "strategy": "LOCAL_WINS", "revision": conflict["revision"]}
    decided = synced.desk.post("/api/sync/conflicts", decision | {"reason": "seen in the notes"})
    assert decided["appliedAtNextSync"] is True
    assert synced.desk.job(asked)["status"] == "COMPLETED"
    assert synced.site.held("Condition", "condition-0")["code"] == code
    assert synced.desk.get(f"/api/sync/conflicts/{conflict['conflictId']}")["status"] == "RESOLVED"


def test_what_was_acknowledged_is_processed_though_receiver_and_worker_are_killed(synced: Running) -> None:
    webhook, vendor = synced.webhook()
    about = [("Observation", "observation-0"), ("Encounter", "encounter-0"), ("Patient", "p2")]
    bodies = [told(f"k{number}", "CUSTOM", *about[number % 3]) for number in range(90)]
    before = {name: synced.service(name) for name in ("serve", "worker")}
    with ThreadPoolExecutor(8) as senders:
        sent = [senders.submit(vendor.tell_until_taken, body) for body in bodies]
        until(lambda: counted(synced.home, "webhook_log") > 30)
        for victim in before.values():
            victim.kill()
        for one in sent:
            one.result()
    events = until(lambda: found if len(found := synced.decided(webhook)) == len(bodies) else None)
    assert {event["status"] for event in events} == {"COMPLETED"}
    assert len({event["eventId"] for event in events}) == len(bodies)
    assert all(synced.service(name).pid != victim.pid for name, victim in before.items()), "they were started again"


def test_ctrl_c_ends_everything_and_nobody_is_left(synced: Running) -> None:
    everybody = family(synced.process)
    assert len(everybody) >= 6  # itself, its guardian, API, worker, the worker's two processes
    synced.process.send_signal(signal.SIGINT)
    assert synced.process.wait(timeout=60) == 0
    assert left_of(everybody) == []
    assert rows(synced.home, "select count(*) from sync_job where status = 'PROCESSING'") == [(0,)]


def test_in_a_fresh_home_it_brings_its_vendors_along_and_a_kill_leaves_nobody(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    alone = ("--without", "dagster", "--without", "api", "--without", "worker")
    with up(home, "--sandbox", *alone, "--sandbox-port", str(port)) as (process, addresses):
        assert addresses == {"sandbox": f"http://127.0.0.1:{port}/_sandbox"}
        declared = yaml.safe_load((home / "connections.yaml").read_text(encoding="utf-8"))["connections"]
        assert len(declared) == 8 and {entry["owner"] for entry in declared} == {"team:demo"}
        everybody = family(process)
        assert any("listen" in one.cmdline() for one in everybody), "the listener too, for MEDITECH's messages"
        process.kill()
        assert left_of(everybody) == []
