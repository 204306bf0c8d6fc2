"""The demo's scene of operations: the vendor tells of an edit by a signed webhook, and a forged one is refused.

Law: the delivery comes over HTTP and is signed by the vendor; the times that are told are those in the store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx
import uvicorn
from starlette.applications import Starlette

from holovitals_pipelines.api.receiver import receiver_routes
from holovitals_pipelines.cli.demo.message_feed import free_port
from holovitals_pipelines.cli.demo.scenes import Came, renamed
from holovitals_pipelines.cli.demo.stage import ACTOR, Stage
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_views import view_job
from holovitals_pipelines.engine.webhooks.receiving import Receiver
from holovitals_pipelines.engine.webhooks.registration import NewWebhook, delete_webhook, register
from holovitals_pipelines.engine.webhooks.views import EventFilter, EventView, list_events
from holovitals_pipelines.model.vocabulary import Stage as StageOfJob
from holovitals_pipelines.model.vocabulary import WebhookStatus
from holovitals_pipelines.orchestration.launch.warm import WarmLane
from holovitals_pipelines.providers.webhooks.signatures import Scheme
from holovitals_pipelines.store.jobs import attempt_started, get_job
from holovitals_pipelines.store.stages import stage_of

SECONDS = 60.0
_LOOK_SECONDS = 0.02
_OVER = (WebhookStatus.COMPLETED, WebhookStatus.FAILED, WebhookStatus.IGNORED)


@dataclass(frozen=True, slots=True)
class Hooked:
    """A stage whose vendor tells us what happens there, at this address."""

    stage: Stage
    webhook_id: str
    address: str

    def events(self) -> list[EventView]:
        """The newest first."""
        return list(list_events(self.stage.home, EventFilter(webhook_id=self.webhook_id)).items)


@contextmanager
def hooked(stage: Stage) -> Iterator[Hooked]:
    """The receiver serves, a webhook is registered, and the vendor sends to it, until the end of the block."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    new = NewWebhook(stage.name, base, scheme=Scheme.WEBHOOK_SIGNATURE)
    registered = register(stage.home, new, ACTOR)
    address = base + registered.receive_path
    assert registered.secret is not None, "it was left to be made"
    with _receiving(stage.home, port):
        stage.vendor.tell(address, registered.secret)
        try:
            yield Hooked(stage, registered.webhook.webhook_id, address)
        finally:
            stage.vendor.tell_no_more()
            delete_webhook(stage.home, registered.webhook.webhook_id, ACTOR)


@contextmanager
def _receiving(home: Home, port: int) -> Iterator[None]:
    receiver = Receiver(home)
    app = Starlette(routes=receiver_routes(lambda: receiver))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(_LOOK_SECONDS)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def told_by_webhook(at: Hooked) -> Came:
    """An edit at the vendor, told at once: the warm lane reads just that patient."""
    stage = at.stage
    record = stage.record("Patient", "pulled")
    lane = WarmLane(stage.home, stage.home.settings.dagster_home, [stage.name])
    stage.edit_there("Patient", "pulled", renamed("Remote"))
    event = _worked_off(at, lane)
    if event is None or event.job_id is None:
        return Came("no event was received and processed", False)
    version = stage.record("Patient", "pulled").version
    read = view_job(stage.home, event.job_id).as_json()["result"]["recordsProcessed"]
    arrived = stage.here(record.record_id)["name"] == stage.there("Patient", "pulled")["name"]
    seconds = _seconds(stage.home, event.job_id, event.received_at)
    parts = ", ".join(f"{part} {spent:.2f}" for part, spent in seconds.items())
    return Came(
        f"taken over {sum(seconds.values()):.2f} s after the signed webhook came ({parts}), and nothing else was read:"
        f" version {record.version} → {version}",
        arrived and version == record.version + 1 and read == 1 and event.status == WebhookStatus.COMPLETED,
        {"versionHere": [record.version, version], "read": read, "seconds": seconds},
        f"holovitals webhooks event {event.log_id[:8]}",
    )


def forged_webhook(at: Hooked) -> Came:
    """The same sort of delivery by somebody who does not know the secret."""
    before = len(at.events())
    body = b'{"id": "forged", "type": "PATIENT_DELETED", "resourceId": "x"}'
    answer = httpx.post(at.address, content=body, headers={"X-Webhook-Signature": "0" * 64}, trust_env=False)
    after = len(at.events())
    text = f"refused with {answer.status_code} before anything of it was kept"
    return Came(text, answer.status_code == 401 and after == before, {"status": answer.status_code})


def _worked_off(at: Hooked, lane: WarmLane) -> EventView | None:
    """The vendor's event, when it is decided; the warm lane works until then."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if not lane.turn():
            time.sleep(_LOOK_SECONDS)
        if (events := at.events()) and events[0].status in _OVER:
            lane.finish()
            return events[0]
    return None


def _seconds(home: Home, job_id: str, received: datetime) -> Mapping[str, float]:
    """From the delivery to the change here, part by part; empty where the job did not come so far."""
    with home.database.read() as transaction:
        job, begun = get_job(transaction, job_id), attempt_started(transaction, job_id)
        read = stage_of(transaction, job_id, "Patient", StageOfJob.EXTRACT)
        applied = stage_of(transaction, job_id, "Patient", StageOfJob.RECONCILE)
    points = (
        job.dispatched_at,
        begun,
        read.finished_at if read is not None else None,
        applied.finished_at if applied is not None else None,
    )
    seconds, before = {}, received
    for part, point in zip(("in the queue", "until it ran", "reading", "deciding"), points, strict=True):
        if point is None:
            return {}
        seconds[part], before = (point - before).total_seconds(), point
    return seconds
