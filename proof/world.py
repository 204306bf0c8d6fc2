"""The world of one schedule: the real store and kernel, simulated vendors, clients on every side, and one clock.

Law: whatever happens here follows from the seed; the product is run as it is.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa

from holovitals_pipelines.engine import linking, local_records
from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.engine.agreement.push import push, recover
from holovitals_pipelines.engine.agreement.settle import settle
from holovitals_pipelines.engine.inbox import take_event
from holovitals_pipelines.engine.local_records import LocalRecord
from holovitals_pipelines.engine.revert import revert_conflict, revert_entry
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.dirty import Reason, mark_links, marked_links
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.tables import audit_log, link, record
from holovitals_pipelines.sync.facts import Rules
from holovitals_pipelines.sync.policy import default_policy
from holovitals_pipelines.sync.severity import default_matrix
from proof import pinned
from proof.documents import PENS, Document, mark_of, new_document, read, tokens_in, written
from proof.faults import Crash, CrashingDatabase, Failpoints
from proof.people import People
from proof.vendors import Event, Key, Kind, Vendor

JOB = "00000000-0000-0000-0000-000000000001"
T = TypeVar("T")
TYPES = tuple(PENS)


@dataclass
class Histories:
    """What clients know of their own doing: all that the checker goes by, besides the stores."""

    writes: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Token → (side, element). Only writes whose client was told that they are done."""
    informed: set[int] = field(default_factory=set)
    """Tokens that were overwritten or deleted by a client who had them before its eyes."""
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    """(vendor, event id) of every event that was answered 2xx."""
    accepted_stale: int = 0
    """Stale edits or decisions that were not refused."""
    by_people: set[int] = field(default_factory=set)
    """Tokens of values that people chose for a conflict."""
    deleted_here: set[str | None] = field(default_factory=set)
    """Marks of records that somebody here deleted."""

    def written_by(self, token: int) -> str | None:
        return self.writes.get(token, (None, ""))[0]


class World:
    """One local store, one or more vendors, and everybody who works with them."""

    def __init__(
        self,
        database: CrashingDatabase,
        loop: asyncio.AbstractEventLoop,
        seed: int,
        kinds: Sequence[Kind],
        *,
        crash: float = 0.0,
        plan: tuple[str, int] | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.loop = loop
        self.database = database
        self.failpoints = Failpoints(random.Random(seed ^ 0x5EED), crash, plan)
        database.failpoints = self.failpoints
        self.clock = datetime(2026, 1, 1, tzinfo=pinned.UTC)
        self.history = Histories()
        self.counts: Counter[str] = Counter()
        self.interference = 0.15
        self.pushing = False
        self.all_decided = False
        self.loses_events = self.chance.random() < 0.5
        self._token = 0
        self._ids = 0
        self._marks = 0
        rules = rules or Rules(default_matrix(), default_policy())
        self.vendors: dict[str, Vendor] = {}
        self.desks: dict[str, Desk] = {}
        for number, kind in enumerate(kinds):
            name = f"v{number}"
            self.vendors[name] = Vendor(name, kind, self.chance, self.now, self.failpoints, self._interfere)
            self.desks[name] = Desk(
                name,
                self.vendors[name],
                rules,
                database.write,
                JOB,
                self.now,
                self.new_id,  # type: ignore[arg-type]
            )
        self.people = People(self)
        pinned.pin(self.now, self.new_id)

    # time, names, traces

    def now(self) -> datetime:
        self.clock += timedelta(milliseconds=7)
        return self.clock

    def new_id(self) -> str:
        self._ids += 1
        return str(UUID(int=self._ids))

    def token(self) -> int:
        self._token += 1
        return 10_000 + self._token

    def mark(self) -> str:
        self._marks += 1
        return f"made {self._marks}"

    # processes

    def process(self, work: Callable[[], T]) -> T | None:
        """Run as a process that may be killed; after its death the store is opened anew and recovery runs."""
        try:
            return work()
        except Crash:
            self._after_a_crash()
            return None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a worker's step. When it is killed, everything that ran beside it dies too."""
        try:
            return self.loop.run_until_complete(coroutine)
        except Crash:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left))
            raise

    def _after_a_crash(self) -> None:
        while True:
            self.failpoints.dead = False
            self.counts["crashes"] += 1
            self.database.reopen()
            try:
                for desk in self.desks.values():
                    recover(desk)
                return
            except Crash:
                continue

    def recover(self, name: str) -> None:
        recover(self.desks[name])

    # what happens in between

    def _interfere(self, vendor: Vendor, place: str, key: Key) -> None:
        """Somebody else does something while a worker waits for the vendor."""
        if self.chance.random() >= self.interference:
            return
        if place == "after a read" and self.pushing and vendor.kind.window is False:
            return  # between our look and our write: only kinds that say so leave this open
        self.counts[f"interference {place}"] += 1
        armed, self.failpoints.armed = self.failpoints.armed, False
        draw = self.chance.random()
        if vendor.late and self.chance.random() < 0.3:
            vendor.arrive()
        if draw < 0.45 and vendor.document(key) is not None:
            self.clinician_writes(vendor, key)
            if draw < 0.35 and vendor.events:
                self.receive(vendor, vendor.events[-1])
        elif draw < 0.55 and vendor.document(key) is not None:
            self.clinician_deletes(vendor, key)
        elif draw < 0.95:
            self.local_edit()
        else:
            self.local_delete()
        self.failpoints.armed = armed

    # clients at the vendors

    def clinician_creates(self, vendor: Vendor) -> None:
        kind = self.chance.choice(TYPES)
        document, token = self._penned(new_document(kind, self.mark()), vendor)
        key = (kind, vendor.new_id())
        vendor.put(key, document)
        self.history.writes |= dict.fromkeys(tokens_in(vendor.body(key)) & {token}, (vendor.name, kind))

    def clinician_writes(self, vendor: Vendor, key: Key | None = None) -> None:
        key = key or self._some(sorted(vendor.living()))
        if key is None:
            return
        before = vendor.document(key)
        assert before is not None
        document, token = self._penned(before, vendor)
        vendor.put(key, document)
        seen, now = tokens_in(written(before)), tokens_in(vendor.body(key))
        self.history.writes |= dict.fromkeys(now & {token}, (vendor.name, key[0]))
        self.history.informed |= seen - now

    def clinician_deletes(self, vendor: Vendor, key: Key | None = None) -> None:
        key = key or self._some(sorted(vendor.living()))
        if key is None:
            return
        self.history.informed |= tokens_in(written(vendor.document(key) or {}))
        vendor.remove(key)

    def _penned(self, document: Document, vendor: Vendor | None = None) -> tuple[Document, int]:
        pens = PENS[document["resourceType"]]
        pen, token = self.chance.choice(pens), self.token()
        return read(written(pen.write(document, token))), token

    # clients here

    def local_create(self, *, everywhere: bool = False) -> None:
        kind = self.chance.choice(TYPES)
        mark = self.mark()
        document, _ = self._penned(new_document(kind, mark))
        if self.chance.random() < 0.5:
            document["identifier"] = [{"system": "urn:hospital", "value": mark}]
        body = written(document)
        few = self.chance.sample(list(self.vendors), max(1, len(self.vendors) // 2))
        names = list(self.vendors) if everywhere or self.chance.random() < 0.5 else few

        def create() -> None:
            local_records.create_record(self.database, kind, body, connections=names, actor="anna")
            self.history.writes |= dict.fromkeys(tokens_in(body), ("local", kind))

        self.process(create)

    def local_edit(self) -> None:
        """Somebody here changes a record; now and then on a version that is no longer current."""
        shown = self._some_record()
        if shown is None:
            return
        before = read(shown.body)
        document, token = self._penned(before)
        body = written(document)
        stale = shown.version > 1 and self.chance.random() < 0.05
        seen = shown.version - 1 if stale else shown.version
        gone = tokens_in(shown.body) - tokens_in(body)

        def edit() -> None:
            try:
                local_records.edit_record(self.database, shown.record_id, body, seen_version=seen, actor="anna")
            except StoreError as error:
                assert stale and error.code == "record.changed", error
                return
            self.history.accepted_stale += stale
            self.history.informed |= gone
            self.history.writes |= dict.fromkeys(tokens_in(body) & {token}, ("local", shown.resource_type))

        self._informed_edit(edit, gone if shown.state == "active" and not stale else frozenset())

    def local_delete(self) -> None:
        shown = self._some_record()
        if shown is None or shown.state != "active":
            return
        gone = tokens_in(shown.body)
        self.history.deleted_here.add(mark_of(read(shown.body)))

        def delete() -> None:
            local_records.delete_record(self.database, shown.record_id, seen_version=shown.version, actor="anna")
            self.history.informed |= gone

        self._informed_edit(delete, gone)

    def spread(self) -> None:
        """Somebody has a record created at a vendor that does not have it yet."""
        shown = self._some_record()
        if shown is None or shown.state != "active":
            return
        name = self.chance.choice(list(self.vendors))

        def ask() -> None:
            try:
                linking.create_at(self.database, shown.record_id, name, actor="anna")
            except StoreError as error:
                assert error.code == "link.exists", error

        self.process(ask)

    def undo(self) -> None:
        """Somebody undoes a change of a record, or what a conflict's decision made of it."""
        with self.database.read() as transaction:
            changes = audit_log.c.before_document.is_distinct_from(audit_log.c.after_document)
            query = sa.select(audit_log).where(audit_log.c.after_version.is_not(None), changes)
            entry = self._some(list(transaction.execute(query.order_by(audit_log.c.seq))))
            if entry is None:
                return
            made = get_documents(transaction, {entry.after_document} - {None})
        undone = tokens_in(made.get(entry.after_document))
        before = self._held_of(entry.record_id)
        by_conflict = entry.conflict_id is not None and self.chance.random() < 0.5

        def revert() -> None:
            try:
                if by_conflict:
                    revert_conflict(self.database, entry.conflict_id, actor="anna", reason="was wrong")
                else:
                    revert_entry(self.database, entry.seq, actor="anna", reason="was wrong")
            except StoreError as error:
                assert error.code.startswith("revert.") or error.code == "record.invalid", error
                return
            except Crash as crash:
                if crash.committed:
                    self._note_undone(entry.record_id, before, undone)
                raise
            self.counts["undone"] += 1
            self._note_undone(entry.record_id, before, undone)

        self.process(revert)

    def _held_of(self, record_id: str) -> bytes | None:
        shown = local_records.read_record(self.database, record_id)
        return shown.body if shown.state == "active" else None

    def _note_undone(self, record_id: str, before: bytes | None, undone: frozenset[int]) -> None:
        """Whoever undoes a change means to lose what that change brought, and nothing newer."""
        after = self._held_of(record_id)
        self.history.informed |= (tokens_in(before) - tokens_in(after)) & undone
        if after is None and before is not None:
            self.history.deleted_here.add(mark_of(read(before)))

    def _informed_edit(self, work: Callable[[], None], gone: frozenset[int]) -> None:
        def noting() -> None:
            try:
                work()
            except Crash as crash:
                if crash.committed:
                    # Done, although nobody was told so.
                    self.history.informed |= gone
                raise

        self.process(noting)

    def _some_record(self) -> LocalRecord | None:
        with self.database.read() as transaction:
            ids = [row[0] for row in transaction.execute(sa.select(record.c.record_id).order_by(record.c.record_id))]
        chosen = self._some(ids)
        return local_records.read_record(self.database, chosen) if chosen is not None else None

    def _some(self, among: Sequence[T]) -> T | None:
        return self.chance.choice(among) if among else None

    # the workers

    def receive(self, vendor: Vendor, event: Event) -> None:
        """A delivery: taken off the vendor's queue only when it was answered 2xx."""

        def deliver() -> None:
            take_event(
                self.database,
                connection=vendor.name,
                event_id=event.event_id,
                event_type="CUSTOM",
                body=written({"id": event.event_id}),
                resource_type=event.resource_type,
                remote_id=event.remote_id,
                at=self.now(),
            )
            self.history.acknowledged.add((vendor.name, event.event_id))
            vendor.events.remove(event)

        self.process(deliver)

    def work(self, name: str, *, settle_limit: int | None = None, push_limit: int | None = None) -> None:
        self.process(lambda: self._settle(name, settle_limit))
        self.process(lambda: self._push(name, push_limit))

    def _settle(self, name: str, limit: int | None) -> None:
        desk = self.desks[name]
        with self.database.read() as transaction:
            marks = marked_links(transaction, name, limit=limit)
        if marks:
            settled = self.run(settle(desk, marks))
            self.counts.update({f"settled {what}": count for what, count in settled.counts.items()})
            assert not settled.refused

    def _push(self, name: str, limit: int | None) -> None:
        self.pushing = True
        try:
            pushed = self.run(push(self.desks[name], limit=limit or 100))
        finally:
            self.pushing = False
        self.counts.update({f"push {what}": count for what, count in pushed.counts.items()})

    def compare_all(self, name: str) -> None:
        """Anti-entropy: every resource and every link is looked at."""
        vendor = self.vendors[name]

        def mark() -> None:
            with self.database.write() as transaction:
                query = sa.select(link.c.link_id, link.c.resource_type, link.c.remote_id)
                query = query.where(link.c.connection == name, link.c.remote_id.is_not(None))
                known = {(row[0], name, row[1], row[2]) for row in transaction.execute(query)}
                known |= {(link_id_of(name, *key), name, *key) for key in vendor.living()}
                mark_links(transaction, sorted(known), Reason.ANTI_ENTROPY, self.now())

        self.process(mark)
