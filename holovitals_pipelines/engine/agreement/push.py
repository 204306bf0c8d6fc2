"""Write back: send what the outbox holds, and record what became of it.

Law: an intent is committed as in flight before it is sent; what the vendor then holds becomes the shadow, and an
outcome nobody knows is found out by reading, never assumed (sync-protocol.md §2.3).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.confirm import Confirmed, Unsettled, confirm
from holovitals_pipelines.engine.agreement.creates import AMBIGUOUS, bind, identifiers_to_find, leave_to_a_person
from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.engine.agreement.own_identifier import SYSTEM, business_identifiers, without_identifier
from holovitals_pipelines.engine.agreement.pushed import record_confirmed, record_deleted
from holovitals_pipelines.model.errors import (
    DuplicateError,
    GoneError,
    HoloVitalsError,
    NotFoundError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
    VendorError,
    VersionConflictError,
)
from holovitals_pipelines.model.writing import Absent, Concurrency, Present
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.store import outbox
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.link_states import LinkState, link_states
from holovitals_pipelines.store.outbox import StoredIntent
from holovitals_pipelines.sync.sides import Side

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)
MOST_ATTEMPTS = 8


@dataclass(slots=True)
class Pushed:
    """What became of the intents: `pushed`, `stale`, `unknown`, `found`, `put_off`, `refused`."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: list[tuple[StoredIntent, HoloVitalsError]] = field(default_factory=list)

    def add(self, other: Pushed) -> None:
        self.counts += other.counts
        self.errors += other.errors


@dataclass(frozen=True, slots=True)
class _Stale:
    """The vendor holds something else than the decision was made on: decide again."""


@dataclass(frozen=True, slots=True)
class _AlreadyThere:
    """What is to be created is there: by an earlier create of ours whose answer was lost, or by somebody else."""

    hits: Sequence[Present]
    ours: bool


@dataclass(frozen=True, slots=True)
class _Deleted:
    pass


_Outcome = Confirmed | Unsettled | _Stale | _AlreadyThere | _Deleted | HoloVitalsError


async def push(desk: Desk, *, limit: int = 100, resource_type: str | None = None) -> Pushed:
    """Send up to `limit` due intents, as many at once as the connection allows."""
    with desk.transaction() as transaction:
        due = outbox.due_intents(transaction, desk.connection, desk.now(), limit, resource_type)
        sending = [
            intent for intent in due if outbox.begin_sending(transaction, intent, guarded=_is_guarded(desk, intent))
        ]
        states = link_states(transaction, [intent.link_id for intent in sending], lock=False)
        addresses = [bytes(intent.document_hash) for intent in sending if intent.document_hash is not None]
        bodies = get_documents(transaction, addresses)
    pushed = Pushed()

    async def one(intent: StoredIntent) -> None:
        body = bodies[bytes(intent.document_hash)] if intent.document_hash is not None else None
        outcome = await _send(desk, intent, states[intent.link_id], body)
        _record(desk, intent, outcome, pushed)

    await asyncio.gather(*(one(intent) for intent in sending))
    return pushed


def recover(desk: Desk) -> int:
    """After a worker's death: links with a write in flight are to be read and decided again. Returns how many."""
    with desk.transaction() as transaction:
        lost = outbox.in_flight(transaction, desk.connection)
        for intent in lost:
            _mark(desk, transaction, intent.link_id, Reason.OUTCOME)
    return len(lost)


def _is_guarded(desk: Desk, intent: StoredIntent) -> bool:
    if intent.operation == "create":
        return True
    capability = desk.vendor.write_capability(intent.resource_type)
    return capability.concurrency is Concurrency.ETAG and intent.expected_version is not None


# sending


async def _send(desk: Desk, intent: StoredIntent, state: LinkState, body: bytes | None) -> _Outcome:
    try:
        if intent.operation == "create":
            assert body is not None
            return await _create(desk, intent, body)
        assert state.remote_id is not None
        version = intent.expected_version if _is_guarded(desk, intent) else None
        if version is None and not await _is_as_decided(desk, intent, state.remote_id):
            return _Stale()
        if intent.operation == "delete":
            return await _delete(desk, intent, state.remote_id, version)
        assert body is not None
        written = await desk.vendor.update(intent.resource_type, state.remote_id, body, version=version)
        return await confirm(desk, intent, written)
    except (GoneError, NotFoundError):
        return _Stale()
    except VersionConflictError as error:
        return await _stale_or_refused(desk, intent, state, error)
    except HoloVitalsError as error:
        return error


async def _stale_or_refused(
    desk: Desk, intent: StoredIntent, state: LinkState, error: VersionConflictError
) -> _Stale | PermanentError:
    """A refusal of the very version the vendor still holds is none of the version: servers answer 409 also to a delete
    of what other resources refer to. Deciding that again would go round for ever."""
    if state.remote_id is None:
        return _Stale()
    try:
        now = await desk.vendor.read_current(intent.resource_type, state.remote_id)
    except VendorError:
        return _Stale()
    if not isinstance(now, Present) or now.version is None or now.version != intent.expected_version:
        return _Stale()
    return PermanentError(
        f"{error.message}, and it still holds the version that was named",
        code="write.refused",
        place=error.place,
        remedy="look at the vendor for what stands against it; it is sent again when either side changes",
        status=error.status,
        vendor_code=error.vendor_code,
    )


async def _is_as_decided(desk: Desk, intent: StoredIntent, remote_id: str) -> bool:
    """Without a guard of the vendor's, look right before writing (§2.3.6); the window left is recorded as unguarded."""
    now = await desk.vendor.read_current(intent.resource_type, remote_id)
    if isinstance(now, Absent) or intent.expected_hash is None:
        return False
    return Side(without_identifier(now.body)).hash == bytes(intent.expected_hash)


async def _delete(desk: Desk, intent: StoredIntent, remote_id: str, version: str | None) -> _Outcome:
    try:
        await desk.vendor.delete(intent.resource_type, remote_id, version=version)
    except (GoneError, NotFoundError):
        return _Deleted()
    return _Deleted()


async def _create(desk: Desk, intent: StoredIntent, body: bytes) -> _Outcome:
    sent = Side(body)
    identifiers = identifiers_to_find(desk, intent, sent)
    ours = any(system == SYSTEM for system, _ in identifiers)
    hits = await _found(desk, intent, identifiers)
    if hits:
        return _AlreadyThere(hits, ours)
    try:
        written = await desk.vendor.create(intent.resource_type, body, identifiers)
    except DuplicateError as error:
        names = business_identifiers(sent.document)
        hits = await _found(desk, intent, names)
        return _AlreadyThere(hits, ours=False) if hits else error
    return await confirm(desk, intent, written)


async def _found(desk: Desk, intent: StoredIntent, identifiers: Sequence[Identifier]) -> Sequence[Present]:
    """What is there already; a vendor that refuses such a search cannot be asked, and the create itself tells."""
    if not identifiers:
        return ()
    try:
        return await desk.vendor.find(intent.resource_type, identifiers)
    except NotPermittedError:
        return ()


# recording


def _record(desk: Desk, intent: StoredIntent, outcome: _Outcome, pushed: Pushed) -> None:
    with desk.transaction() as transaction:
        if isinstance(outcome, Confirmed):
            record_confirmed(desk, transaction, intent, outcome)
            pushed.counts["pushed"] += 1
        elif isinstance(outcome, _Deleted):
            record_deleted(desk, transaction, intent)
            pushed.counts["pushed"] += 1
        elif isinstance(outcome, Unsettled):
            _record_unsettled(desk, transaction, intent, outcome)
            pushed.counts["unknown"] += 1
        elif isinstance(outcome, _AlreadyThere):
            _record_found(desk, transaction, intent, outcome)
            pushed.counts["found"] += 1
        elif isinstance(outcome, _Stale):
            outbox.finish(transaction, intent, "superseded", desk.now())
            _mark(desk, transaction, intent.link_id, Reason.STALE)
            pushed.counts["stale"] += 1
        elif isinstance(outcome, OutcomeUnknownError):
            _mark(desk, transaction, intent.link_id, Reason.OUTCOME)
            pushed.counts["unknown"] += 1
        elif isinstance(outcome, TransientError) and intent.attempts < MOST_ATTEMPTS:
            wait = min(FIRST_WAIT * 2**intent.attempts, LONGEST_WAIT)
            outbox.put_off(transaction, intent, desk.now() + wait, outcome)
            pushed.counts["put_off"] += 1
        else:
            outbox.finish(transaction, intent, "failed", desk.now(), outcome)
            pushed.counts["refused"] += 1
            pushed.errors.append((intent, outcome))


def _record_unsettled(desk: Desk, transaction: sa.Connection, intent: StoredIntent, outcome: Unsettled) -> None:
    """It stays in flight; a create's link is known from now on."""
    link_id = intent.link_id
    if intent.operation == "create":
        seen = bind(desk, transaction, link_id, intent.resource_type, Present(outcome.remote_id, b"", None))
        if seen is None:
            return
        link_id = seen.link_id
    _mark(desk, transaction, link_id, Reason.OUTCOME)


def _record_found(desk: Desk, transaction: sa.Connection, intent: StoredIntent, outcome: _AlreadyThere) -> None:
    if len(outcome.hits) > 1:
        leave_to_a_person(desk, transaction, intent.link_id, AMBIGUOUS)
        return
    if not outcome.ours:
        # Somebody else's: the two are compared as created on both sides.
        outbox.finish(transaction, intent, "superseded", desk.now())
    seen = bind(desk, transaction, intent.link_id, intent.resource_type, outcome.hits[0])
    if seen is not None:
        _mark(desk, transaction, seen.link_id, Reason.OUTCOME)


def _mark(desk: Desk, transaction: sa.Connection, link_id: str, reason: Reason) -> None:
    state = link_states(transaction, [link_id], lock=False).get(link_id)
    if state is not None:
        named = (link_id, state.connection, state.resource_type, state.remote_id)
        mark_links(transaction, [named], reason, desk.now())
