"""A job's decider: its desk, with the vendor at hand or with what the vendor said of itself.

Law: what a vendor lets us write is asked of the vendor, never assumed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.commit import commit
from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.engine.agreement.facts import Seen, load_known
from holovitals_pipelines.engine.agreement.own_identifier import link_named_in
from holovitals_pipelines.engine.agreement.settle import decide_all
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.model.errors import VendorError
from holovitals_pipelines.model.writing import READ_ONLY, Current, Present, WriteCapability, Written
from holovitals_pipelines.providers.adapter import Identifier, ResourceDesk
from holovitals_pipelines.store import outbox
from holovitals_pipelines.store.documents import get_document
from holovitals_pipelines.sync.sides import Side


@dataclass(frozen=True, slots=True)
class ToldBefore:
    """What a vendor told of itself when it was last open; nothing can be read or written through it."""

    capabilities: Mapping[str, WriteCapability]
    skew_seconds: float

    def write_capability(self, resource_type: str) -> WriteCapability:
        return self.capabilities.get(resource_type, READ_ONLY)

    def clock_skew_seconds(self) -> float:
        return self.skew_seconds

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        raise NotImplementedError

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        raise NotImplementedError

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        raise NotImplementedError

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        raise NotImplementedError

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        raise NotImplementedError


def desk_at(session: JobSession, vendor: ResourceDesk) -> Desk:
    """The desk of a job's connection."""
    return Desk(
        connection=session.connection.name,
        vendor=vendor,
        rules=session.rules,
        transaction=session.transaction,
        job_id=session.job_id,
        now=session.now,
        new_id=lambda: str(uuid4()),
        settings=session.connection.write,
        allow_deletes=session.request.allow_deletes,
    )


def desk_without_vendor(session: JobSession) -> Desk | None:
    """A desk to decide at, but not to read or write; None when nobody could say what the vendor lets us write.

    It calls no vendor, so that it can be used in a transaction: `ask_what_may_be_written` before it.
    """
    if not session.connection.write.enabled:
        return desk_at(session, ToldBefore({}, 0.0))
    return None if session.told_before is None else desk_at(session, session.told_before)


def ask_what_may_be_written(session: JobSession, resource_types: Sequence[str]) -> None:
    """Ask the vendor once a job, and never in a transaction: others would wait for the vendor's answer.

    Where it cannot be asked, or must not be because the job is a replay, the session stays without an answer.
    """
    if not session.connection.write.enabled or session.told_before is not None or session.request.replay:
        return
    with suppress(VendorError):
        session.told_before = asyncio.run(_ask(session, resource_types))


async def _ask(session: JobSession, resource_types: Sequence[str]) -> ToldBefore:
    async with session.open_adapter() as adapter:
        wanted = {*resource_types, *adapter.mechanisms()}
        return ToldBefore({name: adapter.write_capability(name) for name in wanted}, adapter.clock_skew_seconds())


def decide_seen(desk: Desk, transaction: sa.Connection, seen: Sequence[Seen]) -> Counter[str]:
    """Decide links whose readings are at hand, in a transaction that is open already."""
    known = load_known(transaction, [one.link_id for one in seen])
    return commit(transaction, desk, known, decide_all(desk, transaction, known, seen))


def creates_among(
    transaction: sa.Connection, connection: str, resource_type: str, rows: Sequence[Mapping[str, Any]]
) -> set[str]:
    """Remote ids of resources nobody knows that a create of ours may have made: by our identifier, or by content."""
    sent = {
        Side(get_document(transaction, bytes(intent.document_hash))).hash
        for intent in outbox.in_flight(transaction, connection)
        if intent.operation == "create" and intent.resource_type == resource_type and intent.document_hash is not None
    }
    return {row["remote_id"] for row in rows if row["hash"] in sent or link_named_in(row["body"]) is not None}
