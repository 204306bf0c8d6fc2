"""The HL7 v2 feed of the demo: our listener at work beside it, and the simulated hospital told where to send.

Law: a sync begins when the hospital has told everything it has to tell.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import httpx

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.settings import Settings, load_connections

SPEAKS_HL7 = "meditech"
PATIENCE_SECONDS = 300.0

Settled = Callable[[], None]
"""Returns when the hospital has told everything."""


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def message_feed(settings: Settings, admin_url: str, vendors: Sequence[str]) -> Iterator[Settled]:
    """Listen for the hospital's messages, where it is among the vendors; it begins with everything it holds."""
    if SPEAKS_HL7 not in vendors:
        yield lambda: None
        return
    feed = f"{admin_url}/{SPEAKS_HL7}/feed"
    with _listening(settings):
        point_feed(admin_url, settings, everything=True)
        yield lambda: _await_silence(feed)
        _tell(feed, {})


def point_feed(admin_url: str, settings: Settings, *, everything: bool) -> None:
    """Tell the hospital the ports that its connection declares; it tries them until somebody listens there."""
    [connection] = [c for c in load_connections(settings.resolved_connections_file) if c.name == SPEAKS_HL7]
    ports = {at.name: at.port for at in connection.hl7v2.listen}
    wanted = {"host": "127.0.0.1", "ports": ports, "from": "start" if everything else "now"}
    _tell(f"{admin_url}/{SPEAKS_HL7}/feed", wanted)


def _tell(feed: str, wanted: Mapping[str, object]) -> None:
    httpx.post(feed, json=wanted, trust_env=False).raise_for_status()


def _await_silence(feed: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (told := httpx.get(feed, trust_env=False).json())["pending"]:
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"the simulated hospital still has {told['pending']:,} messages to send",
                code="demo.feed_stuck",
                place=SPEAKS_HL7,
                remedy="see holovitals messages list; report this if it persists",
            )
        time.sleep(0.02)


@contextmanager
def _listening(settings: Settings) -> Iterator[None]:
    from holovitals_pipelines.engine.hl7v2.listening import listen, listening_connections

    stop, ready, failed = threading.Event(), threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            with open_home(settings) as home:
                connections: Sequence[ConnectionConfig] = listening_connections(home, [SPEAKS_HL7])
                until = lambda: asyncio.to_thread(stop.wait)  # noqa: E731
                asyncio.run(listen(home, connections, until=until, ready=lambda ports: ready.set()))
        except BaseException as error:  # noqa: BLE001 raised again by whoever started the thread
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="hl7-listener", daemon=True)
    thread.start()
    ready.wait()
    if failed:
        raise failed[0]
    try:
        yield
    finally:
        stop.set()
        thread.join()
