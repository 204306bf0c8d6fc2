"""Two sides of one connection as the tests of two-way sync see them: a simulated vendor from behind, and our home.

Law: what the vendor holds and was asked is read from the vendor, never from what our program says of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import sqlalchemy as sa

from holovitals_pipelines.engine.auditing import verify
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.local_records import LocalRecord, delete_record, edit_record, read_record, record_of
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import JobType
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store.audit.findings import Finding
from holovitals_pipelines.store.tables import metadata
from tests.end_to_end.resources import line
from tests.local_http import LOCAL

Resource = dict[str, Any]
Change = Callable[[Resource], Any]

SEEDS: tuple[Resource, ...] = (
    {"resourceType": "Patient", "id": "seed", "name": [{"family": "Seed"}]},
    {"resourceType": "Observation", "id": "seed", "status": "final", "code": {"text": "x"}},
    {"resourceType": "AllergyIntolerance", "id": "seed", "patient": {"reference": "Patient/seed"}},
    {"resourceType": "Encounter", "id": "seed", "status": "finished", "class": {"code": "AMB"}},
    {"resourceType": "Appointment", "id": "seed", "status": "booked", "participant": [{"status": "accepted"}]},
)  # fmt: skip
"""What the vendor offers, it shows by holding one of each."""

AS_IT_WAS: dict[str, Any] = {
    "versioning": "versioned", "etags": True, "require_if_match": False, "missing_status": 400, "stale_status": 412,
    "read_only": False, "immutable": [], "lossy": {}, "return_body": True, "delete_status": 204, "polls": 0,
}  # fmt: skip


@contextmanager
def simulated_vendor(folder: Path) -> Iterator[RunningSandbox]:
    """A FHIR server that holds the seeds, in a process of its own."""
    (folder / "seeds.ndjson").write_bytes(b"".join(line(seed) + b"\n" for seed in SEEDS))
    with start_sandbox(dialects=["fhir"], data=folder, settings={"fhir": {"polls": 0}}) as running:
        yield running


@dataclass(frozen=True)
class Site:
    """The vendor, from behind: its knobs, its faults, its clinicians, and what it was asked."""

    running: RunningSandbox

    @property
    def base_url(self) -> str:
        return self.running.base_urls["fhir"]

    def turn(self, **knobs: Any) -> None:
        self._admin("POST", "fhir/settings", json=knobs)

    def fault(self, kind: str, **declared: Any) -> None:
        self._admin("POST", "faults", json={"kind": kind, "dialect": "fhir", **declared})

    def forget_faults(self) -> None:
        self._admin("DELETE", "faults")

    def put(self, resource: Resource | bytes) -> str:
        """A clinician writes at the vendor; returns the id."""
        body = resource if isinstance(resource, bytes) else line(resource)
        named = json.loads(body)
        self._admin("PUT", f"fhir/{named['resourceType']}/{named['id']}", content=body)
        return str(named["id"])

    def edit(self, kind: str, identity: str, change: Change) -> None:
        self.put(changed(self.held(kind, identity), change))

    def delete(self, kind: str, identity: str) -> None:
        self._admin("DELETE", f"fhir/{kind}/{identity}")

    def raw(self, kind: str, identity: str) -> bytes:
        return self._admin("GET", f"fhir/{kind}/{identity}").content

    def held(self, kind: str, identity: str) -> Resource:
        return json.loads(self.raw(kind, identity))  # type: ignore[no-any-return]

    def version(self, kind: str, identity: str) -> int:
        return int(self.held(kind, identity)["meta"]["versionId"])

    def ids(self, kind: str) -> set[str]:
        return set(self._admin("GET", f"fhir/ids/{kind}").text.split()) - {"seed"}

    def writes(self) -> list[dict[str, Any]]:
        """What was asked of the vendor that changes a resource, since the log was last emptied."""
        log = self._admin("GET", "requests?dialect=fhir").json()
        return [row for row in log if row["method"] != "GET" and not row["path"].startswith("bulk/")]

    def forget_requests(self) -> None:
        self._admin("DELETE", "requests")

    def as_new(self) -> None:
        self.forget_faults()
        self.turn(**AS_IT_WAS)
        for seed in SEEDS:
            for identity in self.ids(seed["resourceType"]):
                self.delete(seed["resourceType"], identity)
        self.forget_requests()

    def _admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = LOCAL.request(method, f"{self.running.admin_url}/{path}", **more)
        assert answer.is_success, answer.text
        return answer


def changed(resource: Resource, change: Change) -> Resource:
    """A copy with the change made: a function that changes it in place."""
    copy: Resource = json.loads(json.dumps(resource))
    change(copy)
    return copy


def setting(**elements: Any) -> Change:
    """The change that sets these elements; None takes one away."""

    def change(resource: Resource) -> None:
        for name, value in elements.items():
            resource.pop(name, None)
            if value is not None:
                resource[name] = value

    return change


@dataclass(frozen=True)
class Ours:
    """Our side: the local store of a home with one connection, `clinic`."""

    home: Home

    def sync(self, job_type: JobType = JobType.INCREMENTAL_SYNC, **options: Any) -> JobReport:
        allow_deletes = options.pop("allow_deletes", False)
        return run_sync(self.home, SyncRequest("clinic", job_type, allow_deletes=allow_deletes), **options)

    def record(self, kind: str, identity: str) -> LocalRecord:
        return record_of(self.home, "clinic", kind, identity)

    def held(self, kind: str, identity: str) -> Resource:
        return json.loads(self.record(kind, identity).body)  # type: ignore[no-any-return]

    def edit(self, kind: str, identity: str, change: Change, actor: str = "dr") -> LocalRecord:
        return self.edit_by_id(self.record(kind, identity).record_id, change, actor)

    def edit_by_id(self, record_id: str, change: Change, actor: str = "dr") -> LocalRecord:
        seen = read_record(self.home.database, record_id)
        body = line(changed(json.loads(seen.body), change))
        return edit_record(self.home.database, record_id, body, seen_version=seen.version, actor=actor)

    def delete(self, kind: str, identity: str, actor: str = "dr") -> None:
        seen = self.record(kind, identity)
        delete_record(self.home.database, seen.record_id, seen_version=seen.version, actor=actor)

    def rows(self, table: str, **where: Any) -> list[Any]:
        """Rows of a table whose columns have these values."""
        named = metadata.tables[table]
        query = sa.select(named).where(*(named.c[column] == value for column, value in where.items()))
        with self.home.database.read() as transaction:
            return list(transaction.execute(query.order_by(*named.primary_key.columns)))

    def conflicts(self, **where: Any) -> list[Any]:
        return self.rows("sync_conflict", **where)

    def entries(self) -> int:
        """How many entries the audit log has."""
        return len(self.rows("audit_log"))

    def complaints(self) -> list[Finding]:
        """What the audit log's chain, and its replay against the records, have to say."""
        return [finding for finding in verify(self.home, records=True).findings if finding.code != "audit.never_signed"]


def declared(
    base_url: str, *types: str, read: Mapping[str, Any] = MappingProxyType({}), **write: Any
) -> ConnectionConfig:
    """The connection, in a hurry: Patients unless other types are named, every write allowed unless said otherwise."""
    return ConnectionConfig.model_validate(
        {
            "name": "clinic",
            "provider": "fhir",
            "base_url": base_url,
            "resource_types": list(types or ("Patient",)),
            "read": {"mode": "search", "max_retries": 2, "retry_delay_ms": 1, **read},
            "write": {"enabled": True, "creates": True, "deletes": True, **write},
        }
    )


@contextmanager
def our_side(
    root: Path, database_url: str, connection: ConnectionConfig, files: Mapping[str, str] | None = None
) -> Iterator[Ours]:
    """A home at `root`; `files` are its own, as `policy.yml`."""
    save_connections(root / "connections.yaml", [connection])
    for name, text in (files or {}).items():
        (root / name).write_text(text, encoding="utf-8")
    with open_home(Settings(home=root, database_url=database_url)) as home:
        yield Ours(home)
