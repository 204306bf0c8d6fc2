"""The audit log as FHIR: a Provenance for every entry that changed a record.

Law: an entry that changed a record is exported or the export fails; none is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.fhir.provenance import Actor, Image, RecordChange, provenance
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.audit import LoggedEntry
from holovitals_pipelines.store.audit.log import stream_entries
from holovitals_pipelines.store.bulk import fetch_by_keys
from holovitals_pipelines.store.tables import ehr_connection, record, sync_conflict

POLICY = "policy:"
"""How an actor begins that is no person: the policy of that version."""


@dataclass(frozen=True, slots=True)
class Exported:
    """How many resources were written, and the entry that was looked at last: where the next export begins."""

    count: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What entries name by id: types of records, the two sides of conflicts, and the connections there ever were."""

    types: Mapping[str, str]
    sides: Mapping[str, tuple[bytes | None, bytes | None]]
    connections: frozenset[str]


def export_provenance(home: Home, out: BinaryIO, *, since_seq: int = 0) -> Exported:
    """Write a line of NDJSON for every entry after `since_seq` that changed a record, in their order.

    Raises StoreError (`audit.record_unknown`) for an entry whose record is not in the store.
    """
    count, last_seq = 0, since_seq
    with home.database.read() as transaction:
        connections = frozenset(transaction.execute(sa.select(ehr_connection.c.name)).scalars())
        for rows in stream_entries(transaction, since_seq=since_seq):
            told = [LoggedEntry(*cells) for cells in rows]
            changes = [one for one in told if one.changed_a_record]
            around = _surroundings(transaction, changes, connections)
            out.writelines(provenance(_change(one, around)) + b"\n" for one in changes)
            count += len(changes)
            last_seq = told[-1].seq
    return Exported(count, last_seq)


def _surroundings(
    transaction: sa.Connection, changes: Sequence[LoggedEntry], connections: frozenset[str]
) -> _Surroundings:
    types = _by_id(
        transaction, sa.select(record.c.record_id, record.c.resource_type), {one.record_id for one in changes}
    )
    query = sa.select(sync_conflict.c.conflict_id, sync_conflict.c.local_document, sync_conflict.c.remote_document)
    sides = _by_id(transaction, query, {one.conflict_id for one in changes})
    return _Surroundings(
        {key: row[1] for key, row in types.items()}, {k: row[1:] for k, row in sides.items()}, connections
    )


def _by_id(transaction: sa.Connection, query: sa.Select[Any], ids: set[str | None]) -> dict[str, tuple[Any, ...]]:
    """Rows by their first column, which is a key."""
    key = query.selected_columns[0]
    wanted = sorted(one for one in ids if one is not None)
    return {row[0]: row for rows in fetch_by_keys(transaction, query, key, wanted) for row in rows}


def _change(told: LoggedEntry, around: _Surroundings) -> RecordChange:
    record_id = told.record_id or ""
    if record_id not in around.types:
        raise StoreError(
            f"the record of entry {told.seq} is not in the store",
            code="audit.record_unknown",
            place="audit log",
            remedy="`holovitals audit verify --records` lists every record that differs from the log",
        )
    return RecordChange(
        seq=told.seq,
        entry_hash=told.entry_hash,
        recorded=told.at,
        resource_type=around.types[record_id],
        record_id=record_id,
        version=told.after_version if told.after_version is not None else told.before_version,
        created=told.before_document is None,
        deleted=told.after_document is None,
        inputs=_inputs(told, around),
        actor=told.actor.removeprefix(POLICY),
        actor_kind=_kind(told, around),
        action=told.action,
        cause=told.cause,
        policy_version=told.policy_version,
        connection=told.connection,
        conflict_id=told.conflict_id,
        job_id=told.job_id,
    )


def _inputs(told: LoggedEntry, around: _Surroundings) -> tuple[Image, ...]:
    """The image before, and both sides of a conflict; a body that is two of them is told once."""
    local, remote = around.sides.get(told.conflict_id or "", (None, None))
    inputs: dict[bytes, Image] = {}
    if told.before_document is not None:
        side = "local side" if told.before_document == local else None
        inputs[told.before_document] = Image(told.before_document, told.before_version, side)
    for document, side in ((local, "local side"), (remote, "vendor's side")):
        if document is not None:
            inputs.setdefault(document, Image(document, side=side))
    return tuple(inputs.values())


def _kind(told: LoggedEntry, around: _Surroundings) -> Actor:
    if told.actor.startswith(POLICY):
        return "policy"
    return "connection" if told.actor == told.connection or told.actor in around.connections else "person"
