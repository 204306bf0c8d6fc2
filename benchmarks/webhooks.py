"""Webhook deliveries over HTTP, 200 at once: verified, durable, acknowledged; beside a handler that only inserts.

The senders run in a process of their own and are not counted. What is measured is the server.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.measure import Cost, Stopwatch

if TYPE_CHECKING:
    from holovitals_pipelines.engine.home import Home

AT_ONCE = 200
SECRET = "a secret for the benchmark, and nothing else"


def webhooks_received(deliveries: int) -> None:
    """What the receiver itself does: its route, group commits, fsync."""
    from holovitals_pipelines.api.receiver import receiver_routes
    from holovitals_pipelines.engine.webhooks.receiving import Receiver
    from holovitals_pipelines.engine.webhooks.views import statistics

    with _registered() as (home, path):
        receiver = Receiver(home)
        asyncio.run(_measured(list(receiver_routes(lambda: receiver)), path, deliveries))
        assert statistics(home)["total"] == deliveries


def webhooks_served(deliveries: int) -> None:
    """What the product does: `holovitals serve` as operators run it, in a process of its own, beside all of its API."""
    from holovitals_pipelines.engine.webhooks.views import statistics

    with _registered() as (home, path):
        environment = os.environ | {"HOLOVITALS_HOME": str(home.settings.root)}
        program = Path(sys.executable).with_name("holovitals")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        command = [str(program), "serve", "--quiet", "--port", str(port)]
        serving = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            _await(port, serving)
            asyncio.run(_measured_from_outside(psutil.Process(serving.pid), port, path, deliveries))
        finally:
            serving.terminate()
            serving.wait()
        assert statistics(home)["total"] == deliveries


def _await(port: int, serving: subprocess.Popen[bytes]) -> None:
    while serving.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise SystemExit("holovitals serve did not come up")


@contextmanager
def _registered() -> Iterator[tuple[Home, str]]:
    """A new home with a webhook, and where its deliveries go."""
    from holovitals_pipelines.engine.home import open_home
    from holovitals_pipelines.engine.webhooks.registration import NewWebhook, register
    from holovitals_pipelines.model.connection import ConnectionConfig
    from holovitals_pipelines.model.vocabulary import Provider
    from holovitals_pipelines.settings import Settings, save_connections

    with tempfile.TemporaryDirectory(prefix="holovitals-bench-") as folder:
        connection = ConnectionConfig(name="bench", provider=Provider.FHIR, base_url="http://127.0.0.1:1")
        save_connections(Path(folder) / "connections.yaml", [connection])
        with open_home(Settings(home=Path(folder))) as home:
            yield home, register(home, NewWebhook("bench", "https://x/y", secret=SECRET), "benchmark").receive_path


def webhooks_baseline(deliveries: int) -> None:
    """What nobody can do without: the body, an insert, a durable commit, and 202. Nothing is verified."""
    with tempfile.TemporaryDirectory(prefix="holovitals-bench-") as folder:
        database = sqlite3.connect(Path(folder) / "inbox.sqlite", isolation_level=None, check_same_thread=False)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute("create table inbox (id integer primary key, body blob)")

        async def receive(request: Request) -> Response:
            database.execute("insert into inbox (body) values (?)", [await request.body()])
            return Response(b"{}", 202)

        asyncio.run(_measured([Route("/receive", receive, methods=["POST"])], "/receive", deliveries))
        assert database.execute("select count(*) from inbox").fetchone() == (deliveries,)
        database.close()


async def _measured(routes: list[Route], path: str, deliveries: int) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        config = uvicorn.Config(Starlette(routes=routes), log_level="critical", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        send = _sending(listening.getsockname()[1], path)
        await send(AT_ONCE, "warm")
        with Stopwatch() as watch:
            told = await send(deliveries - AT_ONCE, "e")
        server.should_exit = True
        await serving
    assert told["acknowledged"] == deliveries - AT_ONCE
    watch.told("half were answered within", told["p50"])
    watch.told("99 of 100 within", told["p99"])
    watch.report(deliveries - AT_ONCE)


async def _measured_from_outside(server: psutil.Process, port: int, path: str, deliveries: int) -> None:
    send = _sending(port, path)
    await send(AT_ONCE, "warm")
    before = server.cpu_times()
    told = await send(deliveries - AT_ONCE, "e")
    after = server.cpu_times()
    assert told["acknowledged"] == deliveries - AT_ONCE
    laps = {
        name: {"cpu_seconds": 0.0, "wall_seconds": told[share], "peak_mib": 0.0}
        for name, share in (("half were answered within", "p50"), ("99 of 100 within", "p99"))
    }
    cpu_seconds = after.user + after.system - before.user - before.system
    peak_mib = server.memory_info().rss / 2**20
    cost = Cost(deliveries - AT_ONCE, cpu_seconds, told["wall_seconds"], peak_mib, laps)
    print(json.dumps(asdict(cost)))


def _sending(port: int, path: str) -> Callable[[int, str], Coroutine[Any, Any, dict[str, Any]]]:
    async def send(count: int, prefix: str) -> dict[str, Any]:
        wanted = {"port": port, "path": path, "secret": SECRET, "count": count, "at_once": AT_ONCE, "prefix": prefix}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.deliveries", json.dumps(wanted), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        found: dict[str, Any] = json.loads(out)
        return found

    return send
