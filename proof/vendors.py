"""A vendor: versioned resources, people of its own who change them, and a network that loses answers.

Law: written against the protocol (`providers.adapter.ResourceDesk`) only; it knows nothing of the kernel.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from holovitals_pipelines.model.errors import (
    DuplicateError,
    GoneError,
    NotPermittedError,
    OutcomeUnknownError,
    TransientError,
    VersionConflictError,
)
from holovitals_pipelines.model.writing import (
    Absent,
    Concurrency,
    Current,
    Present,
    UnitWrite,
    WriteCapability,
    Written,
)
from proof.documents import Document, mark_of, read, tokens_in, written
from proof.faults import Crash, Failpoints

Key = tuple[str, str]
T = TypeVar("T")
OURS = "urn:holovitals:link"


def as_sent(document: Document) -> Document:
    return document


@dataclass(frozen=True)
class Kind:
    """One kind of vendor: what it does, and what its adapter says of it."""

    name: str
    what: str
    stores: Callable[[Document], Document] = as_sent
    """What it keeps of a document, whoever wrote it."""
    declared: bool = True
    """Whether the adapter knows what is kept."""
    writes: bool = True
    creates: bool = True
    deletes: bool = True
    concurrency: Concurrency = Concurrency.ETAG
    fixed: frozenset[str] = frozenset()
    """Elements that the API never changes once the resource is there; it answers 200 all the same."""
    elements: Mapping[str, UnitWrite] = field(default_factory=dict)
    """What the adapter declares of elements."""
    keeps_identifiers: bool = True
    conditional_create: bool = True
    refuses_duplicates: bool = False
    """A create with a business identifier that is there already is refused."""
    numbers_its_own: bool = False
    """It adds an identifier of its own to whatever is created."""
    window: bool = False
    """Its people may write between our look and our unguarded write."""
    lost_answers: float = 0.06
    late: float = 0.03
    """How many of our writes are carried out unanswered, and how many only after we have given them up."""

    def capability(self) -> WriteCapability:
        if not self.writes and not self.creates and not self.deletes:
            return WriteCapability()
        more = {} if self.stores is as_sent or not self.declared else {"project": self.stores}
        return WriteCapability(
            create=self.creates,
            update=self.writes,
            delete=self.deletes,
            concurrency=self.concurrency,
            elements=dict(self.elements),
            keeps_identifiers=self.keeps_identifiers,
            **more,  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Event:
    """A change event; its body may be old news when it arrives."""

    event_id: str
    resource_type: str
    remote_id: str


@dataclass(frozen=True)
class ApiWrite:
    """One write of ours that took effect."""

    operation: str
    key: Key
    mark: str | None
    """Of the resource, as it was created."""
    replaced: frozenset[int]
    """Tokens that stood there before and do not afterwards."""


@dataclass
class Faults:
    """How often the network does what; all zero when the schedule is to come to rest."""

    transient: float = 0.0
    lost_answer: float = 0.0
    never_arrived: float = 0.0
    late: float = 0.0


class Vendor:
    """One vendor system. `between` is called wherever somebody else may get in between."""

    def __init__(
        self,
        name: str,
        kind: Kind,
        chance: random.Random,
        now: Callable[[], datetime],
        failpoints: Failpoints,
        between: Callable[[Vendor, str, Key], None],
    ) -> None:
        self.name = name
        self.kind = kind
        self.chance = chance
        self.now = now
        self.failpoints = failpoints
        self.between = between
        self.faults = Faults()
        self.shows_stored = chance.random() < 0.6
        """Whether answers to writes carry the representation."""
        self.restless = chance.random() < 0.2
        """Whether every reading bears a new time stamp, as of a vendor that indexes anew."""
        self._written_at: dict[Key, datetime] = {}
        self.docs: dict[Key, Document | None] = {}
        """None: deleted."""
        self.versions: dict[Key, int] = {}
        self.events: list[Event] = []
        self.api_writes: list[ApiWrite] = []
        self.late: list[Callable[[], object]] = []
        """Requests that are still on their way although their sender has given up."""
        self.repeated = 0
        """Writes of ours that took effect right after the very same write of ours."""
        self._last: dict[Key, bytes | None] = {}
        """The body of the newest change of each resource that was ours."""
        self.created_as: dict[Key, str] = {}
        """By what identifier of ours each of our creates went out."""
        self.late_creates = 0
        """Creates that made a resource after their sender had given up."""
        self._counter = 0
        self._capability = kind.capability()

    # what its people do

    def put(self, key: Key, document: Document) -> None:
        """One of its people writes a whole resource."""
        self._store(key, self.kind.stores(_bare(document)))

    def remove(self, key: Key) -> None:
        self._store(key, None)

    def new_id(self) -> str:
        self._counter += 1
        return f"{self.name}-{self._counter}"

    def document(self, key: Key) -> Document | None:
        return self.docs.get(key)

    def body(self, key: Key) -> bytes | None:
        document = self.docs.get(key)
        if document is None:
            return None
        meta: dict[str, Any] = {"lastUpdated": self._updated(key).isoformat()}
        if self.kind.concurrency is not Concurrency.NONE:
            meta["versionId"] = str(self.versions[key])
        return written({**document, "id": key[1], "meta": meta})

    def living(self) -> Iterator[Key]:
        return (key for key, document in self.docs.items() if document is not None)

    def _store(self, key: Key, document: Document | None) -> None:
        self._counter += 1
        self._last.pop(key, None)
        self._written_at[key] = self.now()
        self.docs[key] = document
        self.versions[key] = self._counter
        event = Event(f"{self.name}-e{self._counter}", *key)
        self.events += [event] * (2 if self.chance.random() < 0.3 else 1)

    def _ours(self, operation: str, key: Key, document: Document | None, body: bytes | None) -> None:
        """A write of ours takes effect."""
        self.repeated += key in self._last and self._last[key] == body
        gone = tokens_in(self.body(key))
        mark = mark_of(document or self.docs[key] or {})
        self._store(key, document)
        self._last[key] = body
        self.api_writes.append(ApiWrite(operation, key, mark, gone - tokens_in(self.body(key))))

    # ResourceDesk

    def write_capability(self, resource_type: str) -> WriteCapability:
        return self._capability

    def clock_skew_seconds(self) -> float:
        return 0.0

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        self._request("read")
        key = (resource_type, remote_id)
        current = self._current(key)
        self.between(self, "after a read", key)
        self.failpoints.reach("vendor.read_current: after the answer")
        return current

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[tuple[str, str]] = ()) -> Written:
        self._allowed(self.kind.creates)
        self._send("create", (resource_type, ""))

        def effect() -> Written:
            document = read(body)
            there = self._with_identifiers(resource_type, identifiers) if self.kind.conditional_create else []
            if there:
                return self._written(there[0], shown=True)
            if self.kind.refuses_duplicates and self._with_identifiers(resource_type, _named(document)):
                raise DuplicateError("there already", code="sim.duplicate")
            key = (resource_type, self.new_id())
            document = self._api_form(_bare(document), None)
            if self.kind.numbers_its_own:
                mine = {"system": f"urn:{self.name}", "value": key[1]}
                document["identifier"] = [*document.get("identifier", ()), mine]
            self._ours("create", key, document, body)
            for system, value in _named(read(body)):
                if system == OURS:
                    self.created_as[key] = value
            return self._written(key)

        return self._carried_out("create", (resource_type, ""), effect, late=True)

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        self._allowed(self.kind.writes)
        key = (resource_type, remote_id)
        self._send("update", key)

        def effect() -> Written:
            self._check(key, version)
            self._ours("update", key, self._api_form(_bare(read(body)), self.docs[key]), body)
            return self._written(key)

        return self._carried_out("update", key, effect, late=version is not None)

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        self._allowed(self.kind.deletes)
        key = (resource_type, remote_id)
        self._send("delete", key)

        def effect() -> None:
            self._check(key, version)
            self._ours("delete", key, None, None)

        self._carried_out("delete", key, effect, late=version is not None)

    async def find(self, resource_type: str, identifiers: Sequence[tuple[str, str]]) -> Sequence[Present]:
        self._request("find")
        found = [self._present(key) for key in self._with_identifiers(resource_type, identifiers)]
        self.failpoints.reach("vendor.find: after the answer")
        return found

    # on the way

    def _request(self, name: str) -> None:
        if self.failpoints.dead:
            raise Crash("dead")
        if self.chance.random() < self.faults.transient:
            raise TransientError("not reached", code="sim.transient", status=503)

    def _send(self, name: str, key: Key) -> None:
        self._request(name)
        guarded = self.kind.concurrency is Concurrency.ETAG
        if guarded or self.kind.window or name == "create":
            self.between(self, f"before {name}", key)
        self.failpoints.reach(f"vendor.{name}: before it is sent")

    def _carried_out(self, name: str, key: Key, effect: Callable[[], T], *, late: bool) -> T:
        draw = self.chance.random()
        if draw < self.faults.never_arrived:
            raise OutcomeUnknownError("no answer", code="sim.timeout")
        draw -= self.faults.never_arrived
        if late and draw < self.faults.late:
            self.late.append(effect)
            raise OutcomeUnknownError("no answer", code="sim.timeout")
        answer = effect()
        self.between(self, f"after {name}", key)
        self.failpoints.reach(f"vendor.{name}: carried out, before the answer")
        if self.chance.random() < self.faults.lost_answer:
            raise OutcomeUnknownError("no answer", code="sim.timeout")
        return answer

    def arrive(self) -> None:
        """A request that was given up arrives after all."""
        request = self.late.pop(self.chance.randrange(len(self.late)))
        before = sum(write.operation == "create" for write in self.api_writes)
        try:
            request()
            self.late_creates += sum(write.operation == "create" for write in self.api_writes) - before
        except (VersionConflictError, GoneError, DuplicateError):
            return

    def _allowed(self, allowed: bool) -> None:
        if not allowed:
            raise NotPermittedError("not through this API", code="sim.not_permitted", status=403)

    def _check(self, key: Key, version: str | None) -> None:
        if self.docs.get(key) is None:
            raise GoneError("gone", code="sim.gone", status=410)
        if version is not None and version != str(self.versions[key]):
            raise VersionConflictError("another version", code="sim.stale", status=412)

    def _api_form(self, document: Document, before: Document | None) -> Document:
        stored = self.kind.stores(document)
        for element in self.kind.fixed if before is not None else ():
            stored = {name: value for name, value in stored.items() if name != element}
            if before is not None and element in before:
                stored[element] = before[element]
        if not self.kind.keeps_identifiers:
            stored = without_ours(stored)
        return stored

    def _current(self, key: Key) -> Current:
        return Absent("410 Gone") if self.docs.get(key) is None else self._present(key)

    def _present(self, key: Key) -> Present:
        body = self.body(key)
        assert body is not None
        return Present(key[1], body, self._version(key), self._updated(key))

    def _updated(self, key: Key) -> datetime:
        return self.now() if self.restless else self._written_at[key]

    def _version(self, key: Key) -> str | None:
        return None if self.kind.concurrency is Concurrency.NONE else str(self.versions[key])

    def _written(self, key: Key, *, shown: bool = False) -> Written:
        return Written(key[1], self._version(key), self.body(key) if shown or self.shows_stored else None)

    def _with_identifiers(self, resource_type: str, identifiers: Sequence[tuple[str, str]]) -> list[Key]:
        wanted = set(identifiers)
        return [
            key
            for key, document in self.docs.items()
            if document is not None and key[0] == resource_type and wanted & set(_named(document))
        ]


def _named(document: Document) -> list[tuple[str, str]]:
    return [(item.get("system", ""), item.get("value", "")) for item in document.get("identifier", ())]


def without_ours(document: Document) -> Document:
    """Without the identifier by which a create is found again."""
    if "identifier" not in document:
        return document
    kept = [item for item in document["identifier"] if item.get("system") != OURS]
    rest = {name: value for name, value in document.items() if name != "identifier"}
    return {**rest, "identifier": kept} if kept else rest


def _bare(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in ("id", "meta")}
