"""The API on a real socket of this machine, with a token for each role, and the home behind it.

Law: what the API answers comes over HTTP; what it should answer is arranged in the home it has opened.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from holovitals_pipelines.api.app import create_app
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.local_records import edit_record, read_record
from holovitals_pipelines.engine.tokens import create_token
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Role
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.tables import sync_job
from tests.engine.toy_vendor import PATIENT, Bench

FHIR = "application/fhir+json"
_ONCE = {"max_retries": 0, "timeout_seconds": 2}
CLINIC = {
    "name": "clinic",
    "provider": "fhir",
    "base_url": "http://127.0.0.1:9/fhir",
    "resource_types": ["Patient"],
    "read": _ONCE,
}
NAMED = {"name": "conn_123", "provider": "epic", "base_url": "http://127.0.0.1:9/epic", "read": _ONCE}
"""The connection that the vocabulary's requests name `conn-123`."""


@dataclass
class Service:
    """`call` answers; everything else is the home's own."""

    url: str
    home: Home
    tokens: dict[str, str]
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    @cached_property
    def bench(self) -> Bench:
        """A vendor in memory; its work is a job that never ends."""
        bench = Bench(self.home.database)
        with self.home.database.write() as transaction:
            asked = SyncRequest("clinic", JobType.FULL_SYNC).describe()
            made = sync_job.update().where(sync_job.c.job_id == bench.desk.job_id)
            transaction.execute(made.values(request=asked))
        return bench

    def call(self, method: str, path: str, role: str | None = "viewer", **more: Any) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return self.http.request(method, path, headers=headers, **more)

    def get(self, path: str, role: str | None = "viewer", **more: Any) -> Any:
        answer = self.call("GET", path, role, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def patient(self, remote_id: str, **elements: Any) -> str:
        """A patient that both sides agree on; the record's id."""
        return self.bench.taken_in("Patient", remote_id, {**PATIENT, **elements})

    def edit(self, record_id: str, **elements: Any) -> None:
        now = read_record(self.home.database, record_id)
        body = json.dumps({**json.loads(now.body), **elements}).encode()
        edit_record(self.home.database, record_id, body, seen_version=now.version, actor="dr")

    def in_conflict(self, remote_id: str, local: str = "1951-01-01", remote: str = "1952-02-02") -> str:
        """A conflict on who a patient is, which two persons decide; its id."""
        record_id = self.patient(remote_id)
        self.edit(record_id, birthDate=local)
        self.bench.vendor.change("Patient", remote_id, birthDate=remote)
        return self._found(record_id)

    def grave(self, remote_id: str) -> str:
        """A conflict that one person decides; its id."""
        condition = {"resourceType": "Condition", "subject": {"reference": "Patient/p1"}, "code": {"text": "Asthma"}}
        record_id = self.bench.taken_in("Condition", remote_id, condition)
        self.edit(record_id, code={"text": "Asthma, mild"})
        self.bench.vendor.change("Condition", remote_id, code={"text": "Bronchitis"})
        return self._found(record_id)

    def _found(self, record_id: str) -> str:
        self.bench.work()
        [found] = [one for one in self.bench.conflicts() if one.record_id == record_id]
        return found.conflict_id


@contextmanager
def served(root: Path, *connections: dict[str, Any], **settings: Any) -> Iterator[Service]:
    """The API on a port of the system's choice, for as long as the block."""
    entries = list(connections or (CLINIC, NAMED))
    (root / "connections.yaml").write_text(json.dumps({"connections": entries}), encoding="utf-8")
    chosen = Settings(home=root, **{"api_requests_per_second": 10_000.0, "api_burst": 10_000, **settings})
    with open_home(chosen) as home:
        tokens = {role.value: create_token(home.database, f"a-{role}", [role], by="test").secret for role in Role}
        tokens["everything"] = create_token(home.database, "an-all", list(Role), by="test").secret
        server = uvicorn.Server(
            uvicorn.Config(create_app(chosen), port=0, log_config=None, access_log=False, server_header=False)
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            service = Service(_address(server, thread), home, tokens)
            yield service
            service.http.close()
        finally:
            server.should_exit = True
            thread.join(20)


def _address(server: uvicorn.Server, thread: threading.Thread) -> str:
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    return f"http://127.0.0.1:{port}"


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is this problem, and says what to do."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    told: dict[str, Any] = answer.json()
    assert (answer.status_code, told["status"], told["code"]) == (status, status, code), told
    assert told["type"] == f"urn:holovitals:problem:{code}" and told["title"] and told["detail"]
    assert told["remedy"], "a problem says what to do"
    assert told["instance"] == f"urn:uuid:{answer.headers['x-request-id']}"
    return told
