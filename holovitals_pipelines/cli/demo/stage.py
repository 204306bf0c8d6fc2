"""Where the demo's story is played: one connection, seen at the vendor and here, and the resources that play in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.cli.demo.at_vendor import AtVendor, Change
from holovitals_pipelines.engine.conflict_view import ShownConflict, matching_conflicts, show_conflict
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.local_records import LocalRecord, edit_record, read_record, record_of
from holovitals_pipelines.engine.record_view import RecordLink, links_of
from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.store.agreements import remote_ids
from holovitals_pipelines.store.conflicts import OPEN
from holovitals_pipelines.store.tables import outbox

ACTOR = "demo"
"""Who edits here and reverts."""

WAITING = "waiting"
"""The role of whoever has a conflict of an earlier demo that nobody has decided."""

Cast = Mapping[str, str]
"""Role → the vendor's id of the resource that plays it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The two sides of one connection, and who plays what."""

    home: Home
    vendor: AtVendor
    cast: Cast

    @property
    def name(self) -> str:
        return self.vendor.name

    def record(self, kind: str, role: str) -> LocalRecord:
        """The record linked to the resource that plays the role."""
        return record_of(self.home, self.name, kind, self.cast[role])

    def here(self, record_id: str) -> Any:
        """What local holds now; None where it is deleted."""
        stored = read_record(self.home.database, record_id)
        return read_document(stored.body) if stored.state == "active" else None

    def there(self, kind: str, role: str) -> Any:
        return self.vendor.held(kind, self.cast[role])

    def version_there(self, kind: str, role: str) -> str | None:
        return self.vendor.version(kind, self.cast[role])

    def edit_here(self, kind: str, role: str, change: Change) -> LocalRecord:
        """An edit in this store; returns the record as it is then."""
        stored = self.record(kind, role)
        document = read_document(stored.body)
        change(document)
        body = write_document(document)
        return edit_record(self.home.database, stored.record_id, body, seen_version=stored.version, actor=ACTOR)

    def edit_there(self, kind: str, role: str, change: Change) -> None:
        self.vendor.edit(kind, self.cast[role], change)

    def link(self, record_id: str) -> RecordLink:
        """The link of a record at this connection that is in force; the last one where none is."""
        links = [link for link in links_of(self.home.database, record_id) if link.connection == self.name]
        return next((link for link in links if link.state == "active"), links[-1])

    def last_write_was_guarded(self, record_id: str) -> bool | None:
        """Whether the last write of the record to the vendor named a version; None: nothing was written."""
        query = sa.select(outbox.c.guarded).where(
            outbox.c.connection == self.name, outbox.c.record_id == record_id, outbox.c.state == "done"
        )
        with self.home.database.read() as transaction:
            return transaction.execute(query.order_by(outbox.c.created_at.desc()).limit(1)).scalar()

    def newest_conflict(self, kind: str, record_id: str) -> ShownConflict | None:
        database = self.home.database
        found = matching_conflicts(database, connection=self.name, resource_type=kind, limit=10_000)
        mine = [conflict for conflict, _ in found if conflict.record_id == record_id]
        if not mine:
            return None
        newest = max(mine, key=lambda conflict: conflict.detected_at)
        return show_conflict(database, newest.conflict_id)


def cast_of(home: Home, connection: str, roles: Mapping[str, Sequence[str]]) -> Cast | None:
    """Somebody for every role, by resource type; None where there are too few.

    Who has a conflict that waits plays no role but that one: what is decided together could not be told apart.
    """
    cast: dict[str, str] = {}
    for kind, wanted in roles.items():
        held = _in_conflict(home, connection, kind)
        with home.database.read() as transaction:
            free = iter(sorted(set(remote_ids(transaction, connection, kind)) - set(held)))
        for role in wanted:
            waiting = next((identity for identity, elements in held.items() if elements == ("birthDate",)), None)
            identity = waiting if role == WAITING and waiting is not None else next(free, None)
            if identity is None:
                return None
            cast[role] = identity
    return cast


def _in_conflict(home: Home, connection: str, kind: str) -> dict[str, tuple[str, ...]]:
    """Elements of the open conflicts of a type, by the vendor's id."""
    found = matching_conflicts(home.database, connection=connection, resource_type=kind, statuses=OPEN, limit=10_000)
    held = {}
    for conflict, elements in found:
        for link in links_of(home.database, conflict.record_id):
            if link.connection == connection and link.remote_id is not None:
                held[link.remote_id] = elements
    return held
