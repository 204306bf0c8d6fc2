"""Mutants: one rule of the protocol broken each, in this process only, to see that the checker notices.

Law: a mutant that no schedule catches is a hole in the checker, and fails the proof (sync-protocol.md §8.3).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from holovitals_pipelines.engine.agreement import commit, facts, push, pushed, settle
from holovitals_pipelines.engine.inbox import Receipt
from holovitals_pipelines.model.vocabulary import ConflictSeverity
from holovitals_pipelines.model.writing import Present
from holovitals_pipelines.store import decided
from holovitals_pipelines.store.tables import dirty_link
from holovitals_pipelines.sync import decide, grading, settlement, walk
from holovitals_pipelines.sync.facts import Decision, Outcome, Shadows
from proof import world

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutant:
    name: str
    breaks: str
    kinds: tuple[str, ...]
    """The vendors at which the rule matters."""
    patches: Callable[[], list[Patch]]
    first: int = 0
    """The schedule from which on it is looked for: what few schedules meet is not searched for from the start."""

    @contextmanager
    def alive(self) -> Iterator[None]:
        """While open, this process runs the broken rule."""
        before = []
        for place, name, broken in self.patches():
            before.append((place, name, place.__dict__[name]))
            setattr(place, name, broken)
        try:
            yield
        finally:
            for place, name, whole in before:
                setattr(place, name, whole)


def _now_and_then(share: float) -> Callable[[], bool]:
    chance = random.Random(7)
    return lambda: chance.random() < share


# the eight of the protocol's own proof


def _ack_before_commit() -> list[Patch]:
    whole, fails = world.take_event, _now_and_then(0.1)

    def take_event(*given: Any, **named: Any) -> Receipt:
        return Receipt.NEW if fails() else whole(*given, **named)

    return [(world, "take_event", take_event)]


def _no_condition() -> list[Patch]:
    async def fine(*given: Any) -> bool:
        return True

    return [(push, "_is_guarded", lambda *given: False), (push, "_is_as_decided", fine)]


def _newest_wins() -> list[Patch]:
    whole = decide._merged

    def merged(known: Any, choices: Any = None) -> Any:
        found = whole(known, choices)
        return whole(known, {unit.name: unit.remote for unit in found.conflicts}) if found.conflicts else found

    return [(decide, "_merged", merged)]


def _delete_wins() -> list[Patch]:
    whole = decide._one_absent

    def one_absent(known: Any, *given: Any) -> Any:
        if known.remote is None and known.base_remote is not None:
            return Decision(Outcome.DELETE_HERE, None, Shadows(None, None))
        return whole(known, *given)

    return [(decide, "_one_absent", one_absent)]


def _act_on_payload() -> list[Patch]:
    whole, old, chosen = settle.read_marks, dict[Any, Any](), _now_and_then(0.2)

    async def read_marks(desk: Any, marks: Any) -> Any:
        """What an event brought earlier, under the version that is there now."""
        found = dict(await whole(desk, marks))
        for link_id, reading in found.items():
            before = old.get((id(desk.vendor), link_id))
            old[id(desk.vendor), link_id] = reading
            if isinstance(before, Present) and isinstance(reading, Present) and chosen():
                found[link_id] = replace(before, version=reading.version)
        return found

    return [(settle, "read_marks", read_marks)]


def _standing_forgotten() -> list[Patch]:
    return [(walk._Place, "was_apart", property(lambda place: False))]


def _outcome_not_looked_for() -> list[Patch]:
    return [(decide, "settle_in_flight", lambda known: replace(known, in_flight=None, earlier=()))]


def _one_shadow() -> list[Patch]:
    whole = decided.put_shadows

    def put_shadows(transaction: Any, rows: Any) -> None:
        whole(
            transaction,
            [row._replace(local_hash=row.remote_hash, local_document=row.remote_document) for row in rows],
        )

    return [(decided, "put_shadows", put_shadows)]


# ours


def _mark_cleared_unseen() -> list[Patch]:
    def clear_marks(transaction: Any, marks: Any) -> None:
        for mark in marks:
            transaction.execute(dirty_link.delete().where(dirty_link.c.link_id == mark.link_id))
        whole(transaction, marks)

    whole = settle.clear_marks
    return [(settle, "clear_marks", clear_marks)]


def _create_again_without_a_search() -> list[Patch]:
    async def nothing(*given: Any) -> dict[str, Any]:
        return {}

    async def no_search(desk: Any, intent: Any, body: bytes) -> Any:
        return await push.confirm(desk, intent, await desk.vendor.create(intent.resource_type, body))

    return [(settle, "find_created", nothing), (push, "_create", no_search)]


def _decision_on_other_values() -> list[Patch]:
    return [(decide, "is_bound", lambda *given: True)]


def _approval_not_awaited() -> list[Patch]:
    whole = facts._verdict
    return [(facts, "_verdict", lambda conflict: whole(replace(conflict, two_person=False)))]


def _pull_over_a_local_edit() -> list[Patch]:
    whole, late = settle.facts_of, _now_and_then(0.2)

    def facts_of(*given: Any, **named: Any) -> Any:
        known = whole(*given, **named)
        stale = known.base_local is not None and known.local is not None and late()
        return replace(known, local=known.base_local) if stale else known

    return [(settle, "facts_of", facts_of)]


def _entry_forgotten() -> list[Patch]:
    whole, forgets = commit._log, _now_and_then(0.1)
    return [(commit, "_log", lambda *given: None if forgets() else whole(*given))]


def _deletes_cascade() -> list[Patch]:
    return [(facts, "_living_elsewhere", lambda *given: False)]


def _identifier_dropped() -> list[Patch]:
    return [(commit, "_still_named", lambda seen, document: document)]


def _sent_taken_for_stored() -> list[Patch]:
    return [(pushed, "agreed_remote", lambda sent, before, stored, *, trusted: sent)]


def _critical_decided_by_policy() -> list[Patch]:
    whole = grading._resolve_unit

    def resolve_unit(known: Any, rules: Any, kind: Any, severity: Any, unit: Any) -> Any:
        return whole(known, rules, kind, ConflictSeverity.MEDIUM, unit)

    return [(grading, "_resolve_unit", resolve_unit)]


def _not_recovered() -> list[Patch]:
    return [(world, "recover", lambda desk: 0)]


def _element_by_element() -> list[Patch]:
    """Whole elements or nothing, as our own first version did."""
    whole = settlement._place

    def place(name: str, sides: Any) -> Any:
        told = whole(name, sides)
        return told if sides.sent == sides.remote else (sides.base_local, sides.base_remote)

    return [(settlement, "_place", place)]


def _earlier_writes_forgotten() -> list[Patch]:
    """Only the newest write in flight is thought of, as our own first version did."""
    whole = decide.settle_in_flight
    return [(decide, "settle_in_flight", lambda known: whole(replace(known, earlier=())))]


def _ended_links_live_on() -> list[Patch]:
    return [(settle, "_has_ended", lambda *given: False)]


ONE = ("faithful",)
MUTANTS: tuple[Mutant, ...] = (
    Mutant("acknowledged before commit", "2xx only after the event is committed", ONE, _ack_before_commit),
    Mutant("no If-Match", "every write names the version it was decided on", ONE, _no_condition),
    Mutant("newest wins silently", "a contradiction is recorded", ONE, _newest_wins),
    Mutant("delete wins silently", "an update meeting a delete is recorded", ONE, _delete_wins),
    Mutant("acting on the payload", "events are hints, reads are truth", ONE, _act_on_payload),
    Mutant(
        "standing difference forgotten",
        "whoever never saw ours cannot overwrite it unrecorded",
        ("immutable, undeclared", "read-only"),
        _standing_forgotten,
    ),
    Mutant("lost outcome not looked for", "a write in flight is found out by reading", ("star",),
           _outcome_not_looked_for),
    Mutant("one shadow", "what each side held is kept for each side", ("lossy, undeclared",), _one_shadow),
    Mutant("mark cleared unseen", "a mark set again meanwhile stays", ONE, _mark_cleared_unseen),
    Mutant(
        "create sent again unsearched",
        "a lost answer never becomes a second resource",
        ("without ETags",),
        _create_again_without_a_search,
    ),
    Mutant("decision on other values", "a decision binds to what was seen", ONE, _decision_on_other_values),
    Mutant("approval not awaited", "two people decide who a patient is", ONE, _approval_not_awaited),
    Mutant("pull over a local edit", "decisions rest on what is there at commit", ONE, _pull_over_a_local_edit),
    Mutant("entry forgotten", "every change is in the log", ONE, _entry_forgotten),
    Mutant("critical decided by policy", "critical conflicts are left to people", ONE, _critical_decided_by_policy),
    Mutant("deletes cascade", "a vendor's delete ends its own link only", ("star",), _deletes_cascade),
    Mutant("sent taken for stored", "the shadow is what the vendor stored", ("lossy, undeclared",),
           _sent_taken_for_stored),
    Mutant("not recovered", "writes in flight are looked into after a crash", ONE, _not_recovered),
    Mutant("own identifier dropped", "an update keeps what a late create is found by", ("slow",), _identifier_dropped),
    Mutant("outcome told by elements", "what was sent is agreed unit by unit", ("forgetting our identifier",),
           _element_by_element, first=110),
    Mutant("earlier writes forgotten", "a write given up may still arrive", ("star",), _earlier_writes_forgotten),
    Mutant("ended links live on", "a late event of a deleted resource creates nothing", ONE, _ended_links_live_on),
)  # fmt: skip
