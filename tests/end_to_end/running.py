"""`holovitals up` in a process of its own, and the two who speak HTTP to it: an integrator with tokens, and a vendor.

Law: what is asserted comes over HTTP or by plain SQL; nothing of the program under test is called.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from tests.end_to_end.commands import holovitals, start
from tests.local_http import LOCAL

Found = TypeVar("Found")

ENDED = {"COMPLETED", "FAILED", "CANCELLED"}
DECIDED = {"COMPLETED", "FAILED", "IGNORED"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def until(look: Callable[[], Found | None], seconds: float = 60) -> Found:
    """What `look` finds, as soon as it finds something."""
    end = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.1)


@contextmanager
def up(home: Path, *arguments: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The supervisor, when everything is ready, and the addresses it told."""
    process = start(home, "up", "--json", *arguments, **settings)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith('{"ready"'), line + "".join(process.communicate(timeout=30))
        yield process, json.loads(line)["ready"]
    finally:
        process.kill()
        process.communicate()


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Everybody who was started by it, and it."""
    first = psutil.Process(process.pid)
    return [first, *first.children(recursive=True)]


def left_of(processes: list[psutil.Process], seconds: float = 30) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return alive


@dataclass(frozen=True)
class Integrator:
    """Somebody with a token."""

    url: str
    token: str

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return LOCAL.request(method, self.url + path, headers=headers, **more)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        answer = self.call("POST", path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def job(self, body: dict[str, Any], until_status: set[str] | frozenset[str] = frozenset(ENDED)) -> dict[str, Any]:
        """Create a job, and follow it to one of these statuses."""
        made = self.post("/api/sync/jobs", body, status=201)
        return self.followed(made["id"], until_status)

    def followed(self, job_id: str, statuses: set[str] | frozenset[str] = frozenset(ENDED)) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job: dict[str, Any] = self.get(f"/api/sync/jobs/{job_id}")
            return job if job["status"] in statuses else None

        return until(look)

    def every(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """All pages of a list."""
        found, cursor = [], None
        while True:
            page = self.get(path, limit=100, **params, **({"cursor": cursor} if cursor else {}))
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                return found

    def record(self, kind: str, identity: str, connection: str) -> httpx.Response:
        return self.call("GET", f"/api/records/{kind}/{identity}", params={"connection": connection})


def integrator(home: Path, url: str, name: str, *roles: str) -> Integrator:
    """A token made as an operator makes it."""
    made = holovitals(home, "tokens", "create", name, *(part for role in roles for part in ("--role", role)))
    assert made.code == 0, made.err
    return Integrator(url, made.out.strip())


@dataclass(frozen=True)
class VendorSide:
    """The vendor's end of a webhook: where it posts, and what it signs with."""

    address: str
    secret: str

    def signature(self, body: bytes) -> str:
        return hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()

    def send(self, body: bytes, signature: str | None = None, address: str | None = None) -> httpx.Response:
        headers = {"Content-Type": "application/json", "X-Webhook-Signature": signature or self.signature(body)}
        return LOCAL.post(address or self.address, content=body, headers=headers)

    def tell(self, event_id: str, event: str, kind: str, identity: str) -> httpx.Response:
        return self.send(told(event_id, event, kind, identity))

    def tell_until_taken(self, body: bytes) -> None:
        """As vendors do: again and again, the same bytes, until the answer is 2xx."""

        def look() -> bool:
            try:
                return self.send(body).status_code == 202
            except httpx.HTTPError:  # nobody answers just now
                return False

        until(look)


def told(event_id: str, event: str, kind: str, identity: str) -> bytes:
    return json.dumps({"id": event_id, "type": event, "resourceType": kind, "resourceId": identity}).encode()
