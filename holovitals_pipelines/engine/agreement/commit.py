"""Carry out decisions: records, links, shadows, outbox, conflicts and audit log in one transaction.

Law: all effects of a decision commit together, and every change of a record is in the log with its before-image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.conflict_rows import conflict_row, stored_unit
from holovitals_pipelines.engine.agreement.decided_link import Decided
from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.engine.agreement.facts import Known, Seen
from holovitals_pipelines.engine.agreement.own_identifier import can_carry, link_named_in, with_identifier
from holovitals_pipelines.engine.agreement.standing_rows import standing_rows
from holovitals_pipelines.fhir.canonical import HASH_VERSION
from holovitals_pipelines.fhir.exact import write_document
from holovitals_pipelines.store import audit, decided, outbox
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.conflicts import StoredConflict, StoredUnit, write_conflicts
from holovitals_pipelines.store.decided import LinkRow, RecordRow, ShadowRow, StandingRow
from holovitals_pipelines.store.dirty import Reason, mark_links, mark_links_of_record
from holovitals_pipelines.store.documents import put_documents
from holovitals_pipelines.sync.facts import ConflictRecord, Operation, Outcome
from holovitals_pipelines.sync.settlement import settle_in_flight
from holovitals_pipelines.sync.sides import Side

_BY_THE_VENDOR = frozenset(
    {Outcome.PULL, Outcome.ADOPT, Outcome.MERGE, Outcome.CREATE_HERE, Outcome.DELETE_HERE, Outcome.DISSOLVE}
)


@dataclass(slots=True)
class _Effects:
    """Rows to be written, gathered over all decisions of the transaction."""

    documents: dict[bytes, bytes] = field(default_factory=dict)
    new_records: list[tuple[RecordRow, str, str]] = field(default_factory=list)
    changed_records: list[RecordRow] = field(default_factory=list)
    links: list[LinkRow] = field(default_factory=list)
    link_states: list[tuple[str, str]] = field(default_factory=list)
    shadows: list[ShadowRow] = field(default_factory=list)
    readings: list[tuple[Any, ...]] = field(default_factory=list)
    """Shadows that stay as they are, with what was read: link id, then `decided.READING`."""
    intents: list[dict[str, Any]] = field(default_factory=list)
    new_conflicts: list[dict[str, Any]] = field(default_factory=list)
    revised_conflicts: list[dict[str, Any]] = field(default_factory=list)
    units: list[tuple[str, int, StoredUnit]] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)
    """Links whose standing differences are known anew."""
    standing: list[StandingRow] = field(default_factory=list)
    entries: list[audit.Entry] = field(default_factory=list)
    news: list[tuple[str, str, str, str | None]] = field(default_factory=list)
    """Other links of records that changed."""
    revived: list[str] = field(default_factory=list)
    """Records that were deleted and are back: vendors with whom their end was agreed have to hear of it."""

    def keep(self, *sides: Side | None) -> None:
        for side in sides:
            if side is not None:
                self.documents[side.address] = side.body


def commit(transaction: sa.Connection, desk: Desk, known: Known, decisions: Sequence[Decided]) -> Counter[str]:
    """Write everything the decisions say; returns how many had each outcome, and how many conflicts were recorded."""
    effects = _Effects()
    counts: Counter[str] = Counter()
    now = desk.now()
    for one in decisions:
        counts[one.decision.outcome.value] += 1
        if one.decision.conflict is not None:
            counts["conflicts"] += 1
        elif one.decision.outcome in (Outcome.PULL, Outcome.CREATE_HERE):
            counts["taken"] += 1
        open_one = known.conflicts.get(one.seen.link_id)
        conflict_id = open_one.conflict_id if open_one is not None else desk.new_id()
        record_id = _gather_record(effects, desk, one, conflict_id, now)
        link_id = _gather_link(effects, desk, one, record_id, now)
        _gather_conflict(effects, desk, open_one, one, conflict_id, record_id, now)
        _gather_standing(effects, desk, one, link_id, record_id)
        _gather_news(effects, known, one)
    for intent in known.intents.values():
        # Whatever was waiting is decided anew from current facts.
        outbox.supersede(transaction, intent, now)
    put_documents(transaction, effects.documents.items())
    decided.add_records(transaction, effects.new_records)
    decided.change_records(transaction, effects.changed_records, job_id=desk.job_id)
    decided.put_links(transaction, effects.links)
    decided.set_link_states(transaction, effects.link_states)
    decided.put_shadows(transaction, effects.shadows)
    decided.note_readings(transaction, effects.readings)
    decided.put_standing(transaction, effects.looked_at, effects.standing)
    for values in effects.intents:
        outbox.add_intent(transaction, desk.new_id(), **values)
    write_conflicts(transaction, effects.new_conflicts, effects.revised_conflicts, effects.units)
    mark_links(transaction, effects.news, Reason.LOCAL, now)
    for record_id in effects.revived:
        mark_links_of_record(transaction, record_id, Reason.LOCAL, now, revived=True)
    audit.append(transaction, effects.entries, at=now)
    return counts


# records


def _gather_record(effects: _Effects, desk: Desk, one: Decided, conflict_id: str, now: datetime) -> str:
    """What the record is to hold; returns its id."""
    decision, state = one.decision, one.state
    effects.keep(decision.local)
    if state is None:
        if decision.local is None:
            return one.seen.link_id
        row = _record_row(one.seen.link_id, 1, "active", decision.local, desk.connection, now)
        effects.new_records.append((row, one.seen.resource_type, desk.connection))
        _log(effects, desk, one, conflict_id, row.record_id, None, decision.local.address, 0, 1)
        return row.record_id
    before = one.facts.local
    if decision.local is before:
        if decision.conflict is not None:
            _log(effects, desk, one, conflict_id, state.record_id, None, None, None, None)
        return state.record_id
    version = state.record_version + 1
    if decision.local is None:
        assert before is not None
        row = _record_row(state.record_id, version, "deleted", before, _changed_by(desk, one), now)
        after = None
    else:
        row = _record_row(state.record_id, version, "active", decision.local, _changed_by(desk, one), now)
        after = decision.local.address
    effects.changed_records.append(row)
    image = before.address if before is not None else None
    _log(effects, desk, one, conflict_id, state.record_id, image, after, state.record_version, version)
    return state.record_id


def _record_row(record_id: str, version: int, state: str, side: Side, changed_by: str, now: datetime) -> RecordRow:
    return RecordRow(record_id, version, state, side.address, side.hash, HASH_VERSION, changed_by, now)


def _changed_by(desk: Desk, one: Decided) -> str:
    record = one.decision.conflict
    if one.decision.outcome in _BY_THE_VENDOR or record is None or record.actor is None:
        return desk.connection
    return record.actor[:64]


def _log(
    effects: _Effects,
    desk: Desk,
    one: Decided,
    conflict_id: str,
    record_id: str,
    before: bytes | None,
    after: bytes | None,
    before_version: int | None,
    after_version: int | None,
) -> None:
    record = one.decision.conflict
    effects.entries.append(
        audit.Entry(
            action=one.decision.outcome.value,
            actor=(record.actor if record is not None and record.actor else desk.connection),
            record_id=record_id,
            link_id=one.seen.link_id,
            connection=desk.connection,
            conflict_id=conflict_id if record is not None else None,
            before_document=before,
            after_document=after,
            before_version=before_version,
            after_version=after_version,
            job_id=desk.job_id,
            policy_version=desk.rules.version[:64] if record is not None else None,
            detail=_told(record),
        )
    )


def _told(record: ConflictRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    strategy = record.strategy.value if record.strategy else None
    return {
        "type": record.type.value,
        "severity": record.severity.value,
        "strategy": strategy,
        "units": record.conflicted,
    }


# links, shadows, intents


def _gather_link(effects: _Effects, desk: Desk, one: Decided, record_id: str, now: datetime) -> str:
    """The link's state, shadows and intent; returns the id of the link that goes on."""
    decision, seen, state = one.decision, one.seen, one.state
    intent = decision.intent
    if intent is not None and intent.operation is Operation.CREATE:
        return _gather_create(effects, desk, one, record_id, now)
    if state is None:
        if decision.local is None and seen.present is None:
            return seen.link_id
        effects.links.append(_link_row(desk, seen.link_id, seen, record_id, _first_state(seen), now))
    else:
        wanted = _link_state(one)
        if wanted != state.link_state:
            effects.link_states.append((state.link_id, wanted))
    _gather_shadow(effects, one, seen.link_id, now)
    if intent is not None:
        document = _still_named(seen, intent.document)
        effects.keep(document)
        effects.intents.append(_intent_values(desk, one, seen.link_id, record_id, document, now))
    return seen.link_id


def _first_state(seen: Seen) -> str:
    """A resource that nobody knew yet bears our identifier: a create whose answer was lost has made it beside another.
    It is kept as a record of its own, and a person is to look which of them is meant."""
    ours = seen.present is not None and link_named_in(seen.present.body) is not None
    return "review" if ours else "active"


def _still_named(seen: Seen, document: Side | None) -> Side | None:
    """An update keeps the identifier its create carried: a copy of that create that arrives late is then refused."""
    named = link_named_in(seen.present.body) if seen.present is not None else None
    if document is None or named is None:
        return document
    return Side(write_document(with_identifier(document.document, named)))


def _link_state(one: Decided) -> str:
    if one.decision.outcome is Outcome.UNLINK:
        return "ended"
    assert one.state is not None
    if one.seen.present is not None:
        return "review" if one.state.link_state == "review" else "active"
    if one.decision.outcome is Outcome.HOLD or one.state.link_state == "pending":
        return one.state.link_state
    shadows = one.decision.shadows
    return "tombstone" if shadows.local is None and shadows.remote is None else one.state.link_state


def _link_row(desk: Desk, link_id: str, seen: Seen, record_id: str, state: str, now: datetime) -> LinkRow:
    return LinkRow(link_id, desk.connection, seen.resource_type, seen.remote_id, record_id, state, "sync", now)


def _gather_create(effects: _Effects, desk: Desk, one: Decided, record_id: str, now: datetime) -> str:
    """A create goes out under a pending link: the vendor's id is learnt from its answer."""
    state, intent = one.state, one.decision.intent
    assert state is not None and intent is not None and intent.document is not None
    link_id = state.link_id
    if state.link_state != "pending":
        # The vendor deleted what it had: that link is over, whatever the new resource will be called.
        effects.link_states.append((state.link_id, "ended"))
        _gather_shadow(effects, one, state.link_id, now)
        link_id = link_id_of(desk.connection, state.resource_type, f"new:{desk.new_id()}")
        row = LinkRow(link_id, desk.connection, state.resource_type, None, record_id, "pending", "sync", now)
        effects.links.append(row)
    document = intent.document
    if one.facts.capability.keeps_identifiers and can_carry(state.resource_type):
        document = Side(write_document(with_identifier(document.document, link_id)))
    effects.keep(document)
    effects.intents.append(_intent_values(desk, one, link_id, record_id, document, now))
    return link_id


def _gather_shadow(effects: _Effects, one: Decided, link_id: str, now: datetime) -> None:
    shadows, seen, facts, state = one.decision.shadows, one.seen, one.facts, one.state
    present = Side(seen.present.body) if seen.present is not None else None
    effects.keep(present)
    reading = (
        present.address if present is not None else None,
        seen.present.version if seen.present is not None else None,
        seen.present.last_updated if seen.present is not None else None,
        now,
        seen.evidence,
    )
    if state is not None and shadows.local is facts.base_local and shadows.remote is facts.base_remote:
        if present is not None or seen.evidence is not None:
            effects.readings.append((link_id, *reading))
        return
    # As the vendor has it, with our own identifier in it, so that the next reading of it is found unchanged.
    remote = present if shadows.remote is not None and shadows.remote is facts.remote else shadows.remote
    effects.keep(shadows.local, remote)
    local = shadows.local
    effects.shadows.append(
        ShadowRow(
            link_id,
            local.hash if local is not None else None,
            local.address if local is not None else None,
            remote.hash if remote is not None else None,
            remote.address if remote is not None else None,
            HASH_VERSION,
            *reading,
        )
    )


def _intent_values(
    desk: Desk, one: Decided, link_id: str, record_id: str, document: Side | None, now: datetime
) -> dict[str, Any]:
    intent, facts = one.decision.intent, one.facts
    assert intent is not None
    local = one.decision.local
    return {
        "link_id": link_id,
        "connection": desk.connection,
        "resource_type": one.seen.resource_type,
        "record_id": record_id,
        "operation": intent.operation.value,
        "document_hash": document.address if document is not None else None,
        "local_snapshot": local.address if local is not None else None,
        "expected_hash": facts.remote.hash if facts.remote is not None else None,
        "expected_version": one.seen.present.version if one.seen.present is not None else None,
        "job_id": desk.job_id,
        "at": now,
    }


# conflicts


def _gather_conflict(
    effects: _Effects,
    desk: Desk,
    open_one: StoredConflict | None,
    one: Decided,
    conflict_id: str,
    record_id: str,
    now: datetime,
) -> None:
    record = one.decision.conflict
    if record is None:
        return
    # As it was compared: a write in flight may have moved the agreement since the shadows were stored.
    facts = settle_in_flight(one.facts)
    one = replace(one, facts=facts)
    effects.keep(record.proposal, facts.local, facts.remote, facts.base_local, facts.base_remote)
    row = conflict_row(desk, open_one, one, record, conflict_id, record_id, now)
    (effects.revised_conflicts if open_one else effects.new_conflicts).append(row)
    effects.units += [(conflict_id, row["revision"], stored_unit(unit)) for unit in record.units]


def _gather_standing(effects: _Effects, desk: Desk, one: Decided, link_id: str, record_id: str) -> None:
    if one.decision.standing is not None:
        effects.looked_at.append(link_id)
        effects.standing += standing_rows(desk, one.facts, one.decision.standing, link_id, record_id)


def _gather_news(effects: _Effects, known: Known, one: Decided) -> None:
    if one.state is None or one.decision.local is one.facts.local:
        return
    if one.facts.local is None and one.decision.local is not None:
        effects.revived.append(one.state.record_id)
    siblings = known.siblings.get(one.state.record_id, ())
    effects.news += [sibling for sibling in siblings if sibling[0] != one.state.link_id]
