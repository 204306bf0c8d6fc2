"""`python -m benchmarks.throttle`: a full read of 10,000 resources under eClinicalWorks' 250 calls a minute.

Both sides live in simulated time: nothing waits, and the simulated practice counts by a clock of its own. A single 429,
or anything not read, ends the program with an error.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.extract import Page, ReadRequest, TypeDone
from holovitals_pipelines.providers.clock import Clock
from holovitals_pipelines.providers.eclinicalworks import ECW_TYPES
from holovitals_pipelines.providers.registry import open_adapter
from holovitals_pipelines.sandbox.credentials import demo_credentials
from holovitals_pipelines.sandbox.server import Sandbox, SandboxConfig, build, listening_socket, uvicorn_server

ECW = "eclinicalworks"
START = datetime(2026, 3, 1, 10, 0, 37, 250_000, tzinfo=UTC)
BEHIND = timedelta(seconds=7)
"""How far the client's clock is off."""


@dataclass(frozen=True)
class SimulatedPractice:
    """A guarded practice on the loopback, and a client whose waiting moves the practice's clock."""

    sandbox: Sandbox
    connection: ConnectionConfig
    clock: Clock
    origin: str

    def read(self) -> dict[str, int]:
        """How many resources of each type a full read brings. Raises the error of a type that fails."""
        return asyncio.run(self._read())

    async def _read(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        records = self.sandbox.sites[ECW].records

        def known() -> list[str]:
            return sorted(records.identity(number) for number in records.in_order("Patient"))

        async with open_adapter(self.connection, _file_text, clock=self.clock) as adapter:
            async for event in adapter.read(ReadRequest(tuple(ECW_TYPES), patients=known)):
                if isinstance(event, Page):
                    found[event.resource_type] += len(event.bodies)
                elif isinstance(event, TypeDone) and event.error is not None:
                    raise event.error
        return dict(+found)

    def held(self) -> dict[str, int]:
        counts = self.sandbox.sites[ECW].records.counts()
        return {name: count for name, count in counts.items() if count and name in ECW_TYPES}

    def requests(self) -> list[dict[str, object]]:
        answer = httpx.get(f"{self.origin}/_sandbox/requests", trust_env=False, timeout=60)
        return list(answer.json())


@contextmanager
def simulated_practice(folder: Path, patients: int, *, page_size: int = 40) -> Iterator[SimulatedPractice]:
    credentials = demo_credentials(folder)
    chosen = SandboxConfig(
        dialects=(ECW,), smart=frozenset({ECW}), clients=credentials.clients, patients=patients, spool_folder=folder
    )
    sandbox, bound = build(chosen), listening_socket(chosen)
    sandbox.clock.set_to(START, frozen=True)
    server = uvicorn_server(sandbox)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    origin, site = f"http://127.0.0.1:{bound.getsockname()[1]}", sandbox.sites[ECW]
    declared = {
        "name": "practice",
        "provider": ECW,
        "base_url": origin + site.dialect.base,
        "auth": {
            "kind": "smart_backend",
            "client_id": credentials.client_id,
            "keys": [{"file": str(credentials.rsa_key)}],
        },
        "read": {"group": site.dialect.group, "page_size": page_size},
    }
    try:
        yield SimulatedPractice(sandbox, ConnectionConfig.model_validate(declared), _client_clock(sandbox), origin)
    finally:
        server.should_exit = True
        thread.join()
        bound.close()
        site.records.close()


def _client_clock(sandbox: Sandbox) -> Clock:
    async def sleep(seconds: float) -> None:
        until = sandbox.clock.now_ms() + seconds * 1000
        while (left := until - sandbox.clock.now_ms()) > 0:
            sandbox.clock.shift(max(left, 1.0) / 1000)
        await asyncio.sleep(0)

    return Clock(
        monotonic=lambda: sandbox.clock.now_ms() / 1000,
        sleep=sleep,
        now=lambda: sandbox.clock.now() - BEHIND,
        chance=lambda: 0.5,
    )


def _file_text(reference: SecretRef) -> str:
    assert reference.file is not None
    return Path(reference.file).read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=10_000, help="at least so many (default %(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holovitals-throttle-") as folder:
        patients = given.resources // 60  # a person has about 110, and not everybody goes to this practice
        with simulated_practice(Path(folder), patients, page_size=200) as practice:
            began, cpu = practice.sandbox.clock.now(), time.process_time()
            found = practice.read()
            spent, minutes = time.process_time() - cpu, (practice.sandbox.clock.now() - began).total_seconds() / 60
            log = practice.requests()
            held = practice.held()
    refused = sum(entry["status"] == 429 for entry in log)
    fullest = max(Counter(str(entry["at"])[:16] for entry in log).values())
    tokens = sum(entry["path"] == "oauth2/token" for entry in log)
    print(
        f"{sum(found.values()):,} resources, {len(log):,} requests ({tokens} for tokens) in {minutes:.1f} simulated"
        f" minutes; {refused} refused, fullest minute {fullest} of 250; {spent:.1f} s of CPU, both sides"
    )
    if refused or found != held or sum(found.values()) < given.resources:
        sys.exit("the read is not complete, or the practice refused a request")


if __name__ == "__main__":
    main()
