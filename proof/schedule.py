"""One seeded schedule: clients write on both sides, events come and go, workers work and are killed; then quiet.

Law: faults and clients stop before the end; what is judged is where everything comes to rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from holovitals_pipelines.store.tables import audit_log, dirty_link, outbox
from proof.faults import CrashingDatabase
from proof.vendors import Kind, Vendor
from proof.world import World

CRASH = 0.02
ROUNDS = 12


@dataclass
class Rest:
    """How the schedule came to rest."""

    rounds: int
    """Rounds until nothing was written any more; more than `ROUNDS`: never."""
    writes_afterwards: int = 0
    entries_afterwards: int = 0


def play(
    database: CrashingDatabase,
    loop: asyncio.AbstractEventLoop,
    seed: int,
    kinds: Sequence[Kind],
    *,
    steps: int = 60,
    crash: float = CRASH,
    plan: tuple[str, int] | None = None,
) -> tuple[World, Rest]:
    world = World(database, loop, seed, kinds, crash=crash, plan=plan)
    for vendor in world.vendors.values():
        vendor.faults.transient = 0.03
        vendor.faults.lost_answer = vendor.kind.lost_answers
        vendor.faults.never_arrived = 0.02
        vendor.faults.late = vendor.kind.late
    if len(kinds) > 1:
        world.local_create(everywhere=True)
    else:
        world.clinician_creates(world.vendors["v0"])
    for _ in range(steps):
        step(world)
    return world, rest(world)


def step(world: World) -> None:
    chance = world.chance
    draw = chance.random()
    vendor = chance.choice(list(world.vendors.values()))
    if draw < 0.14:
        world.local_edit()
    elif draw < 0.17:
        world.local_create()
    elif draw < 0.19:
        world.local_delete()
    elif draw < 0.37:
        world.clinician_writes(vendor)
    elif draw < 0.40:
        world.clinician_creates(vendor)
    elif draw < 0.43:
        world.clinician_deletes(vendor)
    elif draw < 0.61:
        _event(world, vendor)
    elif draw < 0.86:
        world.work(vendor.name, settle_limit=chance.choice((1, 2, 5, None)), push_limit=chance.choice((1, 3, None)))
        if chance.random() < 0.3:
            world.clock += timedelta(minutes=chance.choice((1, 30, 300)))
    elif draw < 0.92:
        world.people.decide_one()
    elif draw < 0.94:
        world.undo()
    elif draw < 0.97:
        if world.loses_events:
            world.compare_all(vendor.name)
    elif vendor.late:
        vendor.arrive()
    elif len(world.vendors) > 1:
        world.spread()


def _event(world: World, vendor: Vendor) -> None:
    if not vendor.events:
        return
    event = world.chance.choice(vendor.events)
    if world.loses_events and world.chance.random() < 0.1:
        vendor.events.remove(event)
        return
    world.receive(vendor, event)


def rest(world: World) -> Rest:
    """Clients and faults stop; everything outstanding is done."""
    world.failpoints.armed = False
    for name, vendor in world.vendors.items():
        vendor.faults.transient = vendor.faults.lost_answer = 0.0
        vendor.faults.never_arrived = vendor.faults.late = 0.0
        while vendor.late:
            vendor.arrive()
        world.recover(name)
    # The clients' last changes fall between what a worker reads and what it commits: nothing comes after to heal it.
    world.interference = 0.3
    _round(world)
    world.interference = 0.0
    rounds = _until_quiet(world)
    if world.chance.random() < 0.5:
        world.all_decided = True
        for _ in range(5):
            if not _decide_everything(world):
                break
            rounds = max(rounds, _until_quiet(world))
    before = _amounts(world)
    _round(world, compare=True)
    after = _amounts(world)
    return Rest(rounds, after[0] - before[0], after[1] - before[1])


def _decide_everything(world: World) -> bool:
    """Whether there was anything to decide; each conflict needs two looks at the most, now and then a stale one."""
    decided = False
    for _ in range(30):
        if not world.people.decide_one():
            break
        decided = True
    return decided


def _until_quiet(world: World) -> int:
    for number in range(ROUNDS):
        before = _amounts(world)
        _round(world)
        if _amounts(world) == before and not _outstanding(world):
            return number
    return ROUNDS + 1


def _round(world: World, *, compare: bool = False) -> None:
    """Everything outstanding once. Where events get lost, all is compared; where none do, events are all it takes."""
    world.clock += timedelta(hours=2)
    for name, vendor in world.vendors.items():
        for event in list(dict.fromkeys(vendor.events)):
            world.receive(vendor, event)
        vendor.events.clear()
        if compare or world.loses_events:
            world.compare_all(name)
        world.work(name)


def _amounts(world: World) -> tuple[int, int]:
    with world.database.read() as transaction:
        entries = transaction.execute(sa.select(sa.func.count()).select_from(audit_log)).scalar_one()
    return sum(len(vendor.api_writes) for vendor in world.vendors.values()), entries


def _outstanding(world: World) -> bool:
    """Marks that nobody has looked at, or writes that are to go out."""
    with world.database.read() as transaction:
        live = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state.in_(("pending", "inflight")))
        return bool(
            transaction.execute(sa.select(sa.func.count()).select_from(dirty_link)).scalar_one()
            or transaction.execute(live).scalar_one()
        )
