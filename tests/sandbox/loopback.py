"""A sandbox on a real port inside the test process: real HTTP, and the vendor's parts within reach."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from holovitals_pipelines.sandbox.clock import Clock
from holovitals_pipelines.sandbox.server import SandboxConfig, build, listening_socket, uvicorn_server
from holovitals_pipelines.sandbox.site import Site


@dataclass(frozen=True)
class Loopback:
    http: httpx.Client
    origin: str
    sites: dict[str, Site]
    clock: Clock

    def url(self, dialect: str) -> str:
        return self.origin + self.sites[dialect].dialect.base

    def get(self, dialect: str, path: str, **more: Any) -> httpx.Response:
        return self.http.get(f"{self.url(dialect)}/{path}", **more)

    def admin(self, method: str, path: str, **more: Any) -> Any:
        answer = self.http.request(method, f"{self.origin}/_sandbox/{path}", **more)
        assert answer.is_success, answer.text
        return answer.json()

    def fault(self, **declared: Any) -> None:
        self.admin("POST", "faults", json=declared)

    def ids(self, dialect: str, kind: str = "Patient") -> list[str]:
        return self.http.get(f"{self.origin}/_sandbox/{dialect}/ids/{kind}").text.split()

    def pages(self, dialect: str, path: str) -> Iterator[dict[str, Any]]:
        url: str | None = f"{self.url(dialect)}/{path}"
        while url is not None:
            answer = self.http.get(url)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            yield page
            url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)

    def export(self, dialect: str, path: str, **more: Any) -> tuple[httpx.Response, dict[str, Any]]:
        """(answer to the kick-off, manifest) of an export that is polled to its end."""
        kicked = self.kick_off(dialect, path, **more)
        assert kicked.status_code == 202, kicked.text
        while (status := self.http.get(kicked.headers["content-location"])).status_code == 202:
            assert status.headers["retry-after"]
        assert status.status_code == 200
        return kicked, status.json()

    def kick_off(self, dialect: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Prefer": "respond-async", "Accept": "application/fhir+json"}
        return self.http.get(f"{self.url(dialect)}/{path}", headers=headers, **more)


@contextmanager
def serving(**config: Any) -> Iterator[Loopback]:
    chosen = SandboxConfig(**{"patients": 12, **config})
    sandbox = build(chosen)
    bound = listening_socket(chosen)
    server = uvicorn_server(sandbox)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        with httpx.Client(trust_env=False, timeout=10) as http:
            yield Loopback(http, f"http://127.0.0.1:{bound.getsockname()[1]}", dict(sandbox.sites), sandbox.clock)
    finally:
        server.should_exit = True
        thread.join()
        bound.close()
        for site in sandbox.sites.values():
            site.records.close()


def entries(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [e["resource"] for e in page.get("entry", []) if e["search"]["mode"] == "match"]


def codes(outcome: dict[str, Any]) -> list[str]:
    """Epic's codes of an OperationOutcome."""
    return [issue["details"]["coding"][0]["code"] for issue in outcome["issue"]]


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in answer.content.splitlines()]
