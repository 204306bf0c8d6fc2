"""Webhooks over HTTP: under load, from slow and broken senders, and when the receiver is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks.deliveries import Sent, deliver
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.webhooks.receiving import LARGEST_BODY
from holovitals_pipelines.engine.webhooks.registration import NewWebhook, register
from holovitals_pipelines.engine.webhooks.views import body_of
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store.tables import webhook_log
from tests.engine.webhooks.senders import CONNECTIONS, ENDPOINT, SECRET, event, hexadecimal
from tests.local_http import LOCAL

ROOT = Path(__file__).parents[2]


@dataclass
class Running:
    home: Home
    path: str
    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def post(self, body: bytes, path: str = "", method: str = "POST", secret: str = SECRET) -> int:
        headers = {"X-Webhook-Signature": hexadecimal(secret, body), "Content-Type": "application/json"}
        return LOCAL.request(method, self.url + path, content=body, headers=headers).status_code

    def kept(self) -> set[str]:
        with self.home.database.read() as transaction:
            return set(transaction.execute(sa.select(webhook_log.c.event_id)).scalars())


def start(home: Home) -> tuple[subprocess.Popen[str], int]:
    settings = home.settings
    command = [sys.executable, "-m", "tests.api.receiving_server", str(settings.root), settings.resolved_database_url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@contextmanager
def receiving(folder: Path, **options: int) -> Iterator[Running]:
    folder.mkdir(exist_ok=True)
    save_connections(folder / "connections.yaml", CONNECTIONS)
    with open_home(Settings(home=folder)) as home:
        new = NewWebhook("clinic", ENDPOINT, secret=SECRET, **options)  # type: ignore[arg-type]
        path = register(home, new, "somebody").receive_path
        process, port = start(home)
        running = Running(home, path, process, port)
        try:
            yield running
        finally:
            running.process.kill()
            running.process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with receiving(tmp_path_factory.mktemp("receiver") / "home", timeout_ms=2_500) as found:
        yield found


def sent_by(running: Running, count: int, at_once: int, prefix: str) -> Sent:
    return asyncio.run(deliver(running.port, running.path, SECRET, count=count, at_once=at_once, prefix=prefix))


def test_a25_two_hundred_at_once_are_each_durable_and_answered_within_two_seconds(running: Running) -> None:
    sent = sent_by(running, count=400, at_once=200, prefix="load")
    assert len(sent.acknowledged) == 400 and not sent.refused
    assert max(sent.seconds) < 2
    assert sent.acknowledged <= running.kept()


def test_what_is_sent_is_what_is_kept(running: Running) -> None:
    body = json.dumps(event(1), indent=2).encode() + b" \n"
    assert running.post(body) == 202
    with running.home.database.read() as transaction:
        log_id = transaction.execute(sa.select(webhook_log.c.log_id).where(webhook_log.c.event_id == "e1")).scalar_one()
    assert body_of(running.home, log_id) == body


def test_a_refusal_says_the_same_whatever_was_wrong(running: Running) -> None:
    body = json.dumps(event(2)).encode()
    base = running.url.rsplit("/", 1)[0]
    headers = {"X-Webhook-Signature": hexadecimal(SECRET, body)}
    found = [
        LOCAL.post(running.url, content=body),
        LOCAL.post(running.url, content=body + b" ", headers=headers),
        LOCAL.post(f"{base}/no-such-token", content=body, headers=headers),
        LOCAL.post(base, content=body, headers=headers),
    ]
    assert {(one.status_code, one.content, one.headers["content-type"]) for one in found} == {
        (401, found[0].content, "application/problem+json")
    }
    assert "e2" not in running.kept()


def test_a_resource_that_is_put_at_its_own_address_is_taken(running: Running) -> None:
    body = b'{"resourceType":"Observation","id":"o9","status":"final"}'
    assert running.post(body, "/Observation/o9", "PUT") == 202
    assert running.post(b"", "/Observation/o10", "DELETE") == 202
    with running.home.database.read() as transaction:
        hints = transaction.execute(sa.select(webhook_log.c.resource_type, webhook_log.c.remote_id)).all()
    assert {("Observation", "o9"), ("Observation", "o10")} <= {tuple(row) for row in hints}


def raw(port: int, *parts: bytes, wait: float = 8.0) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        with suppress(ConnectionError):
            while b"\r\n\r\n" not in answer and (more := connection.recv(65_536)):
                answer += more
        return answer


def head(running: Running, length: int | None) -> bytes:
    size = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    return f"POST {running.path} HTTP/1.1\r\nHost: x\r\n{size}\r\n\r\n".encode()


def test_what_says_it_is_too_large_is_refused_before_it_has_come(running: Running) -> None:
    assert raw(running.port, head(running, LARGEST_BODY + 1)).startswith(b"HTTP/1.1 413 ")
    assert raw(running.port, head(running, 10**30)).startswith(b"HTTP/1.1 4")


def test_what_turns_out_to_be_too_large_is_refused(running: Running) -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    assert raw(running.port, head(running, None), *[chunk] * 5).startswith(b"HTTP/1.1 413 ")


def test_a_sender_that_stops_half_way_is_not_waited_for_longer_than_its_webhook_says(running: Running) -> None:
    began = time.monotonic()
    assert raw(running.port, head(running, 100), b'{"id": "half').startswith(b"HTTP/1.1 408 ")
    assert 2 < time.monotonic() - began < 6


def test_a_sender_that_goes_away_half_way_leaves_nothing(running: Running) -> None:
    before = running.kept()
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(head(running, 100) + b'{"id": "gone"')
    assert running.post(json.dumps(event(77)).encode()) == 202
    assert running.kept() == before | {"e77"}


def killed_while_receiving(folder: Path, kills: int, seconds: float) -> int:
    """Ids that were acknowledged, over some kills in the middle of the load; each of them must be there."""
    with receiving(folder) as running:
        sent = Sent()
        for kill in range(kills):

            async def one_life(life: int) -> None:
                load = asyncio.create_task(
                    deliver(
                        running.port, running.path, SECRET, count=100_000, at_once=50, prefix=f"k{life}-", sent=sent
                    )
                )
                await asyncio.sleep(seconds)
                os.kill(running.process.pid, signal.SIGKILL)
                await load

            asyncio.run(one_life(kill))
            running.process.wait()
            running.process, running.port = start(running.home)
        lost = sent.acknowledged - running.kept()
        assert not lost, f"{len(lost)} acknowledged events are not there"
        assert not sent.refused
        return len(sent.acknowledged)


def test_nothing_acknowledged_is_lost_when_the_receiver_is_killed(tmp_path: Path) -> None:
    assert killed_while_receiving(tmp_path / "home", kills=2, seconds=0.5) > 50


@pytest.mark.long
def test_nothing_acknowledged_is_lost_over_many_kills(tmp_path: Path) -> None:
    assert killed_while_receiving(tmp_path / "home", kills=20, seconds=1.5) > 2_000
