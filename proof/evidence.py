"""What a schedule leaves behind: the final stores, read as plain rows.

Law: nothing here asks the kernel anything; bodies come out of the document store by their addresses.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.store.audit.log import stream_stored
from holovitals_pipelines.store.audit.verification import check_chain
from holovitals_pipelines.store.documents import unpack
from holovitals_pipelines.store.tables import (
    audit_log,
    document,
    link,
    outbox,
    record,
    standing_difference,
    sync_conflict,
    sync_conflict_field,
    webhook_log,
)
from proof.documents import Document, mark_of, read
from proof.faults import CrashingDatabase

Row = Any


@dataclass
class Evidence:
    """Every table the checker judges from, read in one transaction."""

    records: list[Row]
    links: list[Row]
    conflicts: list[Row]
    units: list[Row]
    intents: list[Row]
    events: list[Row]
    standing: list[Row]
    entries: list[Row]
    frames: dict[bytes, bytes]
    broken_chain: bool

    def body(self, address: bytes | None) -> bytes | None:
        return None if address is None else unpack(self.frames[bytes(address)])

    def known(self, address: bytes | None) -> bool:
        return address is None or bytes(address) in self.frames

    @cached_property
    def living_records(self) -> dict[str, Document]:
        found = {}
        for row in self.records:
            if row.state == "active":
                body = self.body(row.document_hash)
                assert body is not None
                found[row.record_id] = read(body)
        return found

    @cached_property
    def record_marks(self) -> dict[str, str | None]:
        """By record id, the mark it was created with; of deleted ones too."""
        return {row.record_id: mark_of(read(self.body(row.document_hash) or b"")) for row in self.records}

    @cached_property
    def held(self) -> set[str]:
        """Links with an open conflict."""
        return {row.link_id for row in self.conflicts if row.status in ("DETECTED", "PENDING_REVIEW")}

    @cached_property
    def given_up(self) -> set[str]:
        """Links whose newest write was refused for good, or is left to a person."""
        newest: dict[str, Row] = {}
        for row in self.intents:
            newest[row.link_id] = max(newest.get(row.link_id, row), row, key=lambda r: (r.created_at, r.intent_id))
        return {link_id for link_id, row in newest.items() if row.state == "failed"}

    @cached_property
    def units_of(self) -> dict[tuple[str, int], list[Row]]:
        """Units by (conflict, revision)."""
        found: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for row in self.units:
            found[row.conflict_id, row.revision].append(row)
        return found


def gather(database: CrashingDatabase) -> Evidence:
    with database.read() as transaction:

        def rows(table: sa.Table) -> list[Row]:
            return list(transaction.execute(sa.select(table)))

        return Evidence(
            rows(record), rows(link), rows(sync_conflict), rows(sync_conflict_field), rows(outbox), rows(webhook_log),
            rows(standing_difference),
            list(transaction.execute(sa.select(audit_log).order_by(audit_log.c.seq))),
            {bytes(row.document_hash): row.body for row in rows(document)},
            any(True for _ in check_chain(stream_stored(transaction), [])),
        )  # fmt: skip
