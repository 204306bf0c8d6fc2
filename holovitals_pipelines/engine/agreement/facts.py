"""From what the stores and the vendor hold to the facts a decision is made on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.engine.agreement.own_identifier import without_identifier
from holovitals_pipelines.model.vocabulary import ConflictType, ResolutionStrategy
from holovitals_pipelines.model.writing import Present
from holovitals_pipelines.store.conflicts import StoredConflict, StoredUnit, open_conflicts, units_of_many
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.link_states import LinkState, Named, link_states, living_links
from holovitals_pipelines.store.outbox import StoredIntent, live_intents, unknown_outcomes
from holovitals_pipelines.sync.facts import Facts, HeldConflict, InFlight, Verdict
from holovitals_pipelines.sync.sides import Side
from holovitals_pipelines.sync.verdicts import from_json


@dataclass(frozen=True, slots=True)
class Seen:
    """A link and what the vendor holds of it now: the resource, or None with the evidence of its absence."""

    link_id: str
    resource_type: str
    remote_id: str | None
    present: Present | None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the stores hold of a set of links."""

    states: Mapping[str, LinkState]
    intents: Mapping[str, StoredIntent]
    """Live ones."""
    unknown: Mapping[str, Sequence[StoredIntent]]
    """Writes that were decided anew while in flight."""
    conflicts: Mapping[str, StoredConflict]
    units: Mapping[str, Sequence[StoredUnit]]
    siblings: Mapping[str, Sequence[Named]]
    """Living links by record id."""
    bodies: Mapping[bytes, bytes]
    _sides: dict[bytes, Side] = field(default_factory=dict)
    """One for each document: both shadows are mostly the same one, which is then parsed and hashed once."""

    def side(self, address: bytes | None) -> Side | None:
        if address is None:
            return None
        known = self._sides.get(address)
        if known is None:
            known = self._sides[address] = Side(self.bodies[address])
        return known

    def remote_side(self, address: bytes | None) -> Side | None:
        whole = self.side(address)
        if whole is None:
            return None
        body = without_identifier(whole.body)
        return whole if body is whole.body else Side(body)


def load_known(transaction: sa.Connection, link_ids: Sequence[str]) -> Known:
    """Lock and read everything the stores hold of the links."""
    states = link_states(transaction, link_ids)
    intents = live_intents(transaction, sorted(link_ids))
    unknown = unknown_outcomes(transaction, sorted(link_ids))
    conflicts = open_conflicts(transaction, link_ids)
    units = units_of_many(transaction, conflicts.values()) if conflicts else {}
    records = [state.record_id for state in states.values()]
    in_doubt = [intent for intent in intents.values() if intent.state == "inflight"]
    in_doubt += [intent for later in unknown.values() for intent in later]
    return Known(
        states,
        intents,
        unknown,
        conflicts,
        units,
        living_links(transaction, records),
        get_documents(transaction, _addresses(states.values(), in_doubt, conflicts.values())),
    )


def _addresses(
    states: Iterable[LinkState], in_doubt: Iterable[StoredIntent], conflicts: Iterable[StoredConflict]
) -> set[bytes]:
    found: set[bytes | None] = set()
    for state in states:
        found |= {state.record_document, state.local_document, state.remote_document}
    for intent in in_doubt:
        found |= {intent.document_hash, intent.local_snapshot}
    for conflict in conflicts:
        found |= {conflict.local_document, conflict.remote_document}
    return {bytes(address) for address in found if address is not None}


def facts_of(desk: Desk, known: Known, seen: Seen, conflicts_on_patient: int = 1) -> Facts:
    """The facts of one link. A link nobody knows yet has no local side and no shadows."""
    state = known.states.get(seen.link_id)
    local = known.side(state.record_document) if state is not None and state.record_state == "active" else None
    return Facts(
        connection=desk.connection,
        resource_type=seen.resource_type,
        local=local,
        remote=Side(without_identifier(seen.present.body)) if seen.present is not None else None,
        base_local=known.side(state.local_document) if state is not None else None,
        base_remote=known.remote_side(state.remote_document) if state is not None else None,
        now=desk.now(),
        capability=desk.vendor.write_capability(seen.resource_type),
        held=_held(known, known.conflicts.get(seen.link_id)),
        in_flight=_in_flight(known, known.intents.get(seen.link_id)),
        earlier=tuple(_sent(known, intent) for intent in known.unknown.get(seen.link_id, ())),
        local_written_at=state.record_updated_at if state is not None else None,
        remote_written_at=seen.present.last_updated if seen.present is not None else None,
        tie_seconds=desk.tie_seconds,
        conflicts_on_patient=conflicts_on_patient,
        living_elsewhere=_living_elsewhere(known, state),
    )


def _living_elsewhere(known: Known, state: LinkState | None) -> bool:
    if state is None:
        return False
    return any(named[0] != state.link_id for named in known.siblings.get(state.record_id, ()))


def _held(known: Known, conflict: StoredConflict | None) -> HeldConflict | None:
    if conflict is None:
        return None
    units = known.units.get(conflict.conflict_id, ())
    return HeldConflict(
        conflict.conflict_id,
        ConflictType(conflict.type),
        conflict.revision,
        known.side(_bytes(conflict.local_document)),
        known.remote_side(_bytes(conflict.remote_document)),
        {unit.unit: (unit.local, unit.remote) for unit in units if unit.kind == "conflict"},
        _verdict(conflict),
    )


def _verdict(conflict: StoredConflict) -> Verdict | None:
    """The person's decision, once it counts: made on this revision, and approved where two persons are needed."""
    decision = conflict.decision
    if decision is None or decision.get("revision") != conflict.revision:
        return None
    if conflict.two_person and not conflict.approved_by:
        return None
    return Verdict(
        ResolutionStrategy(decision["strategy"]),
        decision["sides"],
        {unit: from_json(text) for unit, text in decision.get("values", {}).items()},
        decision["actor"],
    )


def _in_flight(known: Known, intent: StoredIntent | None) -> InFlight | None:
    return _sent(known, intent) if intent is not None and intent.state == "inflight" else None


def _sent(known: Known, intent: StoredIntent) -> InFlight:
    sent = known.remote_side(_bytes(intent.document_hash))
    return InFlight(sent, known.side(_bytes(intent.local_snapshot)))


def _bytes(address: bytes | None) -> bytes | None:
    return bytes(address) if address is not None else None
