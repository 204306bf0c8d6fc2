"""A vendor in memory that keeps what it is sent and guards writes by version, and a bench to work with it."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.engine.agreement.push import push
from holovitals_pipelines.engine.agreement.settle import settle
from holovitals_pipelines.model.errors import VersionConflictError
from holovitals_pipelines.model.writing import Absent, Concurrency, Current, Present, WriteCapability, Written
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.conflicts import StoredConflict, list_conflicts
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.dirty import Reason, mark_links, marked_links
from holovitals_pipelines.store.tables import ehr_connection, link, outbox, sync_job
from holovitals_pipelines.sync.facts import Rules
from holovitals_pipelines.sync.policy import Policy, default_policy
from holovitals_pipelines.sync.severity import default_matrix

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "birthDate": "1950-01-01",
    "name": [{"family": "Doe", "given": ["Ann"]}],
    "gender": "female",
    "telecom": [{"system": "phone", "value": "555-0100", "use": "home"}],
}


class ToyVendor:
    """Resources by (type, id), each with a version number; None is a deleted one."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], tuple[int, bytes | None]] = {}
        self.writes = 0
        self._versions = itertools.count(1)

    # as its users see it

    def put(self, resource_type: str, remote_id: str, document: dict[str, Any]) -> None:
        number = next(self._versions)
        body = {**document, "resourceType": resource_type, "id": remote_id, "meta": {"versionId": str(number)}}
        self.held[resource_type, remote_id] = (number, json.dumps(body).encode())

    def change(self, resource_type: str, remote_id: str, **elements: Any) -> None:
        self.put(resource_type, remote_id, {**self.document(resource_type, remote_id), **elements})

    def erase(self, resource_type: str, remote_id: str) -> None:
        self.held[resource_type, remote_id] = (next(self._versions), None)

    def document(self, resource_type: str, remote_id: str) -> dict[str, Any]:
        body = self.held[resource_type, remote_id][1]
        assert body is not None
        found: dict[str, Any] = json.loads(body)
        return found

    # as the kernel sees it

    def write_capability(self, resource_type: str) -> WriteCapability:
        return WriteCapability(
            create=True, update=True, delete=True, concurrency=Concurrency.ETAG, keeps_identifiers=True
        )

    def clock_skew_seconds(self) -> float:
        return 0.0

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        version, body = self.held.get((resource_type, remote_id), (0, None))
        if body is None:
            return Absent("410 Gone")
        return Present(remote_id, body, str(version), datetime.now(UTC))

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        remote_id = f"made-{next(self._versions)}"
        return self._write(resource_type, remote_id, body)

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        self._guard(resource_type, remote_id, version)
        return self._write(resource_type, remote_id, body)

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        self._guard(resource_type, remote_id, version)
        self.writes += 1
        self.erase(resource_type, remote_id)

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        found = []
        for (kind, remote_id), (version, body) in self.held.items():
            if kind == resource_type and body is not None:
                named = {(i.get("system"), i.get("value")) for i in json.loads(body).get("identifier", [])}
                if named & set(identifiers):
                    found.append(Present(remote_id, body, str(version)))
        return found

    def _guard(self, resource_type: str, remote_id: str, version: str | None) -> None:
        if str(self.held[resource_type, remote_id][0]) != version:
            raise VersionConflictError("another version is there", code="http.412", status=412)

    def _write(self, resource_type: str, remote_id: str, body: bytes) -> Written:
        self.writes += 1
        self.put(resource_type, remote_id, json.loads(body))
        version, stored = self.held[resource_type, remote_id]
        return Written(remote_id, str(version), stored)


class Bench:
    """One store, one connection to one toy vendor, and the work a sync does for marked links."""

    def __init__(self, database: Database, connection: str = "clinic") -> None:
        self.database = database
        self.vendor = ToyVendor()
        self.connection = connection
        numbers = itertools.count(1)
        self.desk = Desk(
            connection,
            self.vendor,
            Rules(default_matrix(), default_policy()),
            database.write,
            f"job-{connection}",
            lambda: datetime.now(UTC),
            lambda: str(uuid.uuid5(uuid.NAMESPACE_OID, f"{connection}-{next(numbers)}")),
        )
        now = datetime.now(UTC)
        with database.write() as transaction:
            row = (connection, "fhir", "http://127.0.0.1:9", {}, True, now, now)
            names = ("name", "provider", "base_url", "config", "enabled", "created_at", "updated_at")
            insert_rows(transaction, ehr_connection, names, [row], on_conflict="ignore")
            transaction.execute(
                sync_job.insert().values(
                    job_id=self.desk.job_id,
                    connection=connection,
                    provider="fhir",
                    type="FULL_SYNC",
                    direction="INBOUND",
                    priority=3,
                    status="PROCESSING",
                    resource_types=[],
                    request={},
                    attempt=1,
                    fence=1,
                    created_at=now,
                    cancel_requested=False,
                )
            )

    def under(self, policy: Policy) -> None:
        """From now on decisions follow this policy."""
        self.desk = replace(self.desk, rules=replace(self.desk.rules, policy=policy))

    def hear_of(self, resource_type: str, remote_id: str) -> None:
        """As if an event had come: the link is looked at again."""
        named = (link_id_of(self.connection, resource_type, remote_id), self.connection, resource_type, remote_id)
        with self.database.write() as transaction:
            mark_links(transaction, [named], Reason.EVENT, datetime.now(UTC))

    def work(self) -> None:
        """Settle and push until nothing is left to do."""
        for _ in range(10):
            with self.database.read() as transaction:
                marks = marked_links(transaction, self.connection)
            if marks:
                settled = asyncio.run(settle(self.desk, marks))
                assert not settled.failures and not settled.refused
            pushed = asyncio.run(push(self.desk))
            assert not pushed.errors
            if not marks and not pushed.counts:
                return
        raise AssertionError("it never came to rest")

    def settle_once(self) -> None:
        """Settle what is marked now; nothing is pushed."""
        with self.database.read() as transaction:
            marks = marked_links(transaction, self.connection)
        asyncio.run(settle(self.desk, marks))

    def taken_in(self, resource_type: str, remote_id: str, document: dict[str, Any]) -> str:
        """A resource of the vendor's that has become a record here; its record id."""
        self.vendor.put(resource_type, remote_id, document)
        self.hear_of(resource_type, remote_id)
        self.work()
        return self.record_id(resource_type, remote_id)

    def record_id(self, resource_type: str, remote_id: str) -> str:
        query = sa.select(link.c.record_id).where(
            link.c.connection == self.connection, link.c.resource_type == resource_type, link.c.remote_id == remote_id
        )
        with self.database.read() as transaction:
            found: str = transaction.execute(query).scalar_one()
        return found

    def conflicts(self, **filters: Any) -> list[StoredConflict]:
        with self.database.read() as transaction:
            return list_conflicts(transaction, **filters)

    def waiting(self) -> int:
        """Live intents of the connection."""
        live = outbox.c.state.in_(("pending", "inflight"))
        with self.database.read() as transaction:
            return int(transaction.execute(sa.select(sa.func.count()).select_from(outbox).where(live)).scalar_one())
