"""The checker: what must hold of every schedule, judged from what clients know and what the stores hold at rest.

Law: it shares no decision with the kernel; what it calls a violation is one, whoever is wrong (sync-protocol.md §8.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import orjson

from holovitals_pipelines.model.writing import Concurrency, UnitWrite
from proof.documents import mark_of, tokens_in, written
from proof.evidence import Evidence, Row, gather
from proof.schedule import ROUNDS, Rest
from proof.vendors import Vendor, without_ours
from proof.world import World

STAR_ROUNDS = 5
PERSONS = ("ben", "cleo")
ALWAYS_CRITICAL = ("birthDate",)


def check(world: World, rest: Rest) -> list[str]:
    """Every violation of this schedule, by the invariant's number; none is what we want."""
    evidence = gather(world.database)
    rules = (
        _every_acknowledged_event_had_its_effect, _nothing_lost_silently, _at_rest, _sides_agree, _log_rebuilds_store,
        _writes_take_effect_once, _no_conflict_with_ourselves,
        _deletes_do_not_cascade, _critical_ones_are_left_to_people,
        _decisions_meet_what_was_seen,
    )  # fmt: skip
    found = [violation for rule in rules for violation in rule(world, rest, evidence)]
    if evidence.broken_chain:
        found.append("I7 the log's chain is broken")
    if world.history.accepted_stale:
        found.append("I10 a change made on an older version was accepted")
    return sorted(set(found))


def _every_acknowledged_event_had_its_effect(world: World, rest: Rest, evidence: Evidence) -> Iterator[str]:
    kept = {(row.source, row.event_id): row.status for row in evidence.events}
    if world.history.acknowledged - kept.keys():
        yield "I1 an acknowledged event is not in the inbox"
    if set(kept.values()) - {"COMPLETED"}:
        yield "I1 an event never reached its final state"


def _nothing_lost_silently(world: World, rest: Rest, evidence: Evidence) -> Iterator[str]:
    """Every write is still there, or was overwritten by somebody who saw it, or lost in a recorded conflict."""
    alive: set[int] = set()
    for document in evidence.living_records.values():
        alive |= tokens_in(written(document))
    for vendor in world.vendors.values():
        for key in vendor.living():
            alive |= tokens_in(vendor.body(key))
    lost = world.history.writes.keys() - alive - world.history.informed - _recorded(evidence)
    if any(vendor.kind.window for vendor in world.vendors.values()):
        excused = _overwritten_unguarded(world)
        world.counts["lost in the open window"] += len(lost & excused)
        lost -= excused
    if lost:
        world.counts["lost"] += len(lost)
        yield "I2 a write was lost without a record"


def _recorded(evidence: Evidence) -> set[int]:
    """What stands in a conflict: the losing values of a decided one, both of a waiting one."""
    found: set[int] = set()
    for conflict in evidence.conflicts:
        for unit in evidence.units_of[conflict.conflict_id, conflict.revision]:
            if unit.kind != "conflict":
                continue
            values = tokens_in(unit.local) | tokens_in(unit.remote)
            if conflict.status == "RESOLVED":
                values -= tokens_in(_winner(unit))
            found |= values
    return found


def _winner(unit: Row) -> str | None:
    sides: dict[str | None, str | None] = {"local": unit.local, "remote": unit.remote}
    return sides.get(unit.chosen_side, unit.chosen)


def _overwritten_unguarded(world: World) -> set[int]:
    """What our writes replaced at vendors that offer no guard, and whose people may write in between."""
    return {
        token
        for vendor in world.vendors.values()
        if vendor.kind.window
        for write in vendor.api_writes
        for token in write.replaced
    }


def _at_rest(world: World, rest: Rest, evidence: Evidence) -> Iterator[str]:
    if rest.rounds > ROUNDS:
        yield "I3 it never comes to rest"
    elif len(world.vendors) > 1 and rest.rounds > STAR_ROUNDS:
        yield "A19 the star needs too many rounds"
    elif rest.writes_afterwards or rest.entries_afterwards:
        yield "I3 at rest, a further pass still writes"
    if world.all_decided and evidence.held:
        yield "I3 conflicts that people have decided stay open"
    if any(row.state in ("pending", "inflight") for row in evidence.intents):
        yield "I3 a write is still waiting at rest"


def _sides_agree(world: World, rest: Rest, evidence: Evidence) -> Iterator[str]:
    standing = {row.link_id for row in evidence.standing}
    linked: Counter[tuple[str, str, str]] = Counter()
    for link in evidence.links:
        vendor = world.vendors[link.connection]
        if link.remote_id is not None:
            linked[link.connection, link.resource_type, link.remote_id] += 1
        if link.link_id in evidence.held | evidence.given_up or link.state in ("ended", "unlinked", "review"):
            continue
        ours = evidence.living_records.get(link.record_id)
        theirs = vendor.document((link.resource_type, link.remote_id)) if link.remote_id is not None else None
        if ours is None and theirs is None:
            continue
        if ours is None or theirs is None:
            allowed = vendor.kind.creates if theirs is None else vendor.kind.deletes
            if allowed:
                yield "I3 one side has what the other has not"
            elif link.link_id not in standing:
                yield "I3 a standing absence is not listed"
            continue
        apart, fixed = _differences(vendor, ours, theirs)
        if apart:
            yield "I3 the sides differ at rest"
        if fixed and link.link_id not in standing:
            yield "I3 a standing difference is not listed"
    for vendor in world.vendors.values():
        if any((vendor.name, *key) not in linked for key in vendor.living()):
            yield "I3 a vendor's resource was never taken"
        if not vendor.kind.capability().writes and vendor.api_writes:
            yield "I3 something was written to a read-only vendor"


def _differences(vendor: Vendor, ours: dict[str, object], theirs: dict[str, object]) -> tuple[set[str], set[str]]:
    """Elements in which the sides differ: those that can be written, and those that cannot."""
    kind = vendor.kind
    kept, held = kind.stores(without_ours(dict(ours))), kind.stores(without_ours(dict(theirs)))
    apart = {
        name
        for name in kept.keys() | held.keys()
        if name not in ("id", "meta", "text") and kept.get(name) != held.get(name)
    }
    capability = kind.capability()
    fixed = {name for name in apart if capability.of(name) is not UnitWrite.WRITABLE}
    if kind.concurrency is Concurrency.NONE:
        # Without versions, somebody's change right after our write cannot be told from what the vendor makes of it.
        fixed |= apart
    if not kind.declared:
        # What names an item comes back spelled otherwise, so nobody can tell that it is the same item.
        fixed |= {name for name in apart if isinstance(ours.get(name, theirs.get(name)), list)}
    return apart - fixed - kind.fixed, fixed


def _log_rebuilds_store(world: World, rest: Rest, evidence: Evidence) -> Iterator[str]:
    """The log alone gives every record's state, and each entry's image before is the one the entry before led to."""
    states: dict[str, tuple[bytes | None, int]] = {}
    for entry in evidence.entries:
        if not evidence.known(entry.before_document) or not evidence.known(entry.after_document):
            yield "I4 the log names a document that is not kept"
        if entry.record_id is None or entry.after_version is None:
            continue
        if states.get(entry.record_id, (None, 0)) != (entry.before_document, entry.before_version):
            yield "I4 an image before is not true"
        states[entry.record_id] = (entry.after_document, entry.after_version)
    stored = {
        row.record_id: (row.document_hash if row.state == "active" else None, row.version) for row in evidence.records
    }
    if stored != states:
        yield "I4 the log does not rebuild the store"


def _writes_take_effect_once(world: World, rest: Rest, evidence: Evidence) -> Iterator[str]:
    for vendor in world.vendors.values():
        effects = Counter(write.operation for write in vendor.api_writes)
        sent = Counter(row.operation for row in evidence.intents if row.connection == vendor.name and row.attempts)
        if any(count > sent[operation] for operation, count in effects.items()):
            yield "I5 more writes took effect than were intended"
        if vendor.repeated:
            yield "I5 a write took effect twice"
        doubtful = {
            (link.resource_type, link.remote_id)
            for link in evidence.links
            if link.connection == vendor.name and link.state == "review" and link.remote_id is not None
        }
        told = _in_doubt(vendor, evidence) | _brought_back(vendor, evidence)
        marks = Counter(mark_of(vendor.docs[key] or {}) for key in vendor.living() if key not in told)
        if any(count > 1 for count in marks.values()):
            yield "I5 one record became two resources, and nobody is told"
        living = Counter(vendor.created_as[key] for key in vendor.living() if key in vendor.created_as)
        if vendor.kind.conditional_create and any(count > 1 for count in living.values()):
            yield "I5 a create took effect twice, where the vendor would have known it"
        unbound = [
            link
            for link in evidence.links
            if link.connection == vendor.name and link.state == "review" and link.remote_id is None
        ]
        if len(doubtful) > vendor.late_creates + len(unbound):
            yield "I5 a create was sent a second time, and made a second resource"


def _in_doubt(vendor: Vendor, evidence: Evidence) -> set[tuple[str, str]]:
    """Resources of records that people are asked about: what the record has at one vendor may be another record."""
    records = {link.record_id for link in evidence.links if link.state == "review"}
    return {
        (link.resource_type, link.remote_id)
        for link in evidence.links
        if link.connection == vendor.name and link.record_id in records and link.remote_id is not None
    }


def _brought_back(vendor: Vendor, evidence: Evidence) -> set[tuple[str, str]]:
    """What people had made anew after the vendor had deleted it: a doubtful copy that they want is a record by then."""
    ours = [link for link in evidence.links if link.connection == vendor.name and link.remote_id is not None]
    living = set(vendor.living())
    ended = {
        link.record_id for link in ours if link.state == "ended" and (link.resource_type, link.remote_id) not in living
    }
    return {(link.resource_type, link.remote_id) for link in ours if link.record_id in ended and link.state == "active"}


def _no_conflict_with_ourselves(world: World, rest: Rest, evidence: Evidence) -> Iterator[str]:
    """What is new on the vendor's side of a conflict was written by its people; what we sent and came back is not."""
    by_id = {row.conflict_id: row for row in evidence.conflicts}
    for unit in evidence.units:
        conflict = by_id[unit.conflict_id]
        kind = world.vendors[conflict.connection].kind
        if unit.kind != "conflict" or conflict.type != "UPDATE_UPDATE" or unit.unit == "*":
            continue
        if not kind.declared or kind.fixed:
            continue  # what an adapter does not know of its vendor comes back as the vendor's own doing
        new = tokens_in(unit.remote) - tokens_in(unit.base_remote)
        theirs = {token for token in new if world.history.written_by(token) == conflict.connection}
        if new and not theirs and tokens_in(unit.local):
            yield "I6 a conflict with ourselves"


def _deletes_do_not_cascade(world: World, rest: Rest, evidence: Evidence) -> Iterator[str]:
    """Nothing is deleted at a vendor unless somebody here wanted it: a client, or a person who decided a conflict."""
    decided = {
        evidence.record_marks.get(row.record_id)
        for row in evidence.conflicts
        if row.decided_by in PERSONS and row.type in ("UPDATE_DELETE", "DELETE_UPDATE")
    }
    wanted = world.history.deleted_here | decided
    for vendor in world.vendors.values():
        if any(write.operation == "delete" and write.mark not in wanted for write in vendor.api_writes):
            yield "A20 a vendor's delete was carried to another vendor"


def _critical_ones_are_left_to_people(world: World, rest: Rest, evidence: Evidence) -> Iterator[str]:
    by_id = {row.conflict_id: row for row in evidence.conflicts}
    for conflict in evidence.conflicts:
        if conflict.severity == "CRITICAL" and conflict.status == "RESOLVED" and conflict.decided_by not in PERSONS:
            yield "I9 a critical conflict was decided automatically"
    for unit in evidence.units:
        conflict = by_id[unit.conflict_id]
        critical = unit.severity == "CRITICAL" or unit.unit in ALWAYS_CRITICAL
        decided = unit.kind == "conflict" and unit.chosen_side is not None and conflict.rule != "no_cascade"
        if critical and decided and conflict.decided_by not in PERSONS:
            yield "I9 a critical unit was decided automatically"


def _decisions_meet_what_was_seen(world: World, rest: Rest, evidence: Evidence) -> Iterator[str]:
    made = {(decision.conflict_id, decision.revision): decision for decision in world.people.decisions}
    for conflict in evidence.conflicts:
        if conflict.status != "RESOLVED" or conflict.decided_by not in PERSONS:
            continue
        units = [u for u in evidence.units_of[conflict.conflict_id, conflict.revision] if u.kind == "conflict"]
        decision = made.get((conflict.conflict_id, conflict.revision - 1))
        if decision is None:
            yield "I10 a conflict was decided on values that nobody saw"
            continue
        if {unit.unit: _content(unit.unit, unit.local, unit.remote) for unit in units} != {
            name: _content(name, *shown) for name, shown in decision.shown.items()
        }:
            yield "I10 a decision was applied to other values than were seen"
        if any(decision.sides[unit.unit] != unit.chosen_side for unit in units if unit.unit in decision.sides):
            yield "I10 another side was taken than was decided"
        if conflict.two_person and (conflict.conflict_id, decision.revision, "cleo") not in world.people.approvals:
            yield "I10 a decision counted that no second person approved"
        resolved = evidence.body(conflict.resolved_document)
        if resolved is None:
            continue
        document = orjson.loads(resolved)
        for unit in units:
            if unit.unit in ("birthDate", "maritalStatus", "bodySite", "statusReason"):
                winner = _winner(unit)
                if document.get(unit.unit) != (None if winner is None else orjson.loads(winner)):
                    yield "I10 the record does not hold what was decided"


def _content(unit: str, *values: str | None) -> tuple[object, ...]:
    """The values of a unit; of whole resources without the vendor's bookkeeping."""
    if unit != "*":
        return values
    return tuple({**orjson.loads(value), "meta": None} if value is not None else None for value in values)
