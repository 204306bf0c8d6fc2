"""Whoever asked is told that a job has ended: signed, thin, until it is taken, and never into the private network."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy as sa
from standardwebhooks import Webhook

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.job_queue import cancel, claim_next, run_claimed, submit
from holovitals_pipelines.engine.notifications import SCHEDULE, deliver_due
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.job import JobOptions, SyncRequest
from holovitals_pipelines.providers.notifier import notify, secret_of
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store.tables import notification
from tests.engine.conftest import CONNECTION, Vendor, patient
from tests.engine.queue_bench import Time

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, ok").decode()
ASKED = SyncRequest("clinic", options=JobOptions(notify_on_complete=True))


class Receiver(ThreadingHTTPServer):
    """Answers with `status` and `headers`, and remembers what it was sent."""

    status = 204
    headers: dict[str, str] = {}  # noqa: RUF012 - replaced as a whole, never changed

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/told"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Receiver)
        body = self.rfile.read(int(self.headers["content-length"]))
        server.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def settings(home: Path, database_url: str, receiver: Receiver) -> Settings:
    save_connections(home / "connections.yaml", [CONNECTION])
    (home / "secret").write_text(SECRET + "\n", encoding="ascii")
    return Settings(
        home=home, database_url=database_url, notify_url=receiver.url, notify_secret_file=home / "secret",
        notify_allow_private=True,
    )  # fmt: skip


def ended(home: Home, time: Time) -> str:
    """A job that asked for it, and is over."""
    job_id = submit(home, ASKED, requested_by="x", clock=time.clock).job_id
    cancel(home, job_id, "x", clock=time.clock)
    return job_id


def row(home: Home) -> sa.Row[tuple[object, ...]]:
    with home.database.read() as transaction:
        return transaction.execute(sa.select(notification)).one()


def test_the_end_of_a_job_is_told_once_signed_and_without_health_data(
    opened: Home, vendor: Vendor, receiver: Receiver
) -> None:
    vendor.holds("Patient", [patient(4711, "Zzyzx")])
    job_id = submit(opened, ASKED, requested_by="x").job_id
    claim_next(opened, "w")
    run_claimed(opened, job_id, "w", adapter_for=vendor.source)

    assert deliver_due(opened).delivered == 1
    assert deliver_due(opened).delivered == 0
    [(headers, body)] = receiver.received
    told = Webhook(SECRET).verify(body, headers)
    assert told["type"] == "job.completed"
    assert (told["data"]["jobId"], told["data"]["status"], told["data"]["counts"]["created"]) == (
        job_id,
        "COMPLETED",
        1,
    )
    assert b"Zzyzx" not in body and b"4711" not in body
    assert (row(opened).status, row(opened).attempts) == ("delivered", 1)


def test_nobody_is_told_who_did_not_ask(opened: Home, receiver: Receiver) -> None:
    job_id = submit(opened, replace(ASKED, options=JobOptions()), requested_by="x").job_id
    cancel(opened, job_id, "x")
    assert deliver_due(opened).delivered == 0 and receiver.received == []


def test_the_schedule_is_kept_to_the_second_and_ends_after_the_tenth_attempt(opened: Home, receiver: Receiver) -> None:
    time = Time()
    ended(opened, time)
    receiver.status = 500
    for number, longest in enumerate([*SCHEDULE[1:], None], 1):
        found = deliver_due(opened, time.clock)
        if longest is None:
            assert (found.failed, row(opened).status, row(opened).error_code) == (1, "failed", "notify.http_500")
            break
        assert (found.waiting, row(opened).attempts) == (1, number)
        assert row(opened).next_at == time.now + longest
        time.now += longest - timedelta(seconds=1)
        assert deliver_due(opened, time.clock).waiting == 0
        time.passes(seconds=1)
    assert len(receiver.received) == 10
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1, "a repeat can be told"


def test_who_asks_to_be_left_alone_is_left_alone(opened: Home, receiver: Receiver) -> None:
    time = Time(chance=0.5)
    ended(opened, time)
    receiver.status, receiver.headers = 503, {"Retry-After": "7200"}
    deliver_due(opened, time.clock)
    assert row(opened).next_at == time.now + timedelta(hours=2)


def test_a_redirect_is_a_failure_and_not_followed(opened: Home, receiver: Receiver) -> None:
    time = Time()
    ended(opened, time)
    receiver.status, receiver.headers = 307, {"Location": receiver.url + "/elsewhere"}
    assert deliver_due(opened, time.clock).waiting == 1
    assert len(receiver.received) == 1 and row(opened).error_code == "notify.http_307"


def test_an_endpoint_that_is_gone_is_told_nothing_more(opened: Home, receiver: Receiver) -> None:
    time = Time()
    ended(opened, time)
    receiver.status = 410
    assert deliver_due(opened, time.clock).failed == 1
    ended(opened, time)
    time.passes(days=1)
    deliver_due(opened, time.clock)
    assert len(receiver.received) == 1 and row(opened).error_code == "notify.gone"


def test_private_addresses_are_refused_before_anything_is_sent(settings: Settings, receiver: Receiver) -> None:
    guarded = settings.model_copy(update={"notify_allow_private": False})
    time = Time()
    with open_home(guarded) as home:
        ended(home, time)
        assert deliver_due(home, time.clock).waiting == 1
        assert row(home).error_code == "notify.url", "no TLS"
    for url in (
        f"https://127.0.0.1:{receiver.server_port}/", f"https://localhost:{receiver.server_port}/", "https://10.0.0.1/",
        "https://[::1]/", "https://[::ffff:192.168.0.1]/", "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/", "https://169.254.169.254/latest", "https://224.0.0.1/",
    ):  # fmt: skip
        assert notify(url, b"k" * 32, "id", b"{}", time.now).code == "notify.address_refused", url
    assert receiver.received == []


def test_a_missing_or_short_secret_is_said_and_loses_nothing(settings: Settings, receiver: Receiver) -> None:
    with open_home(settings.model_copy(update={"notify_secret_file": None})) as home:
        ended(home, Time())
        with pytest.raises(ConfigurationError) as raised:
            deliver_due(home)
        assert raised.value.code == "notify.secret"
        assert (row(home).status, row(home).attempts) == ("waiting", 0)
    for wrong in ("", "whsec_c2hvcnQ=", json.dumps(SECRET), SECRET.removeprefix("whsec_")):
        with pytest.raises(ConfigurationError):
            secret_of(wrong)
