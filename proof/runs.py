"""One schedule from seed to verdict, and the sums over many.

Law: a verdict is reproduced by its vendor kind, its seed and its plan alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from proof import pinned
from proof.checker import check
from proof.faults import CrashingDatabase
from proof.kinds import KINDS, STAR
from proof.schedule import CRASH, play
from proof.store import empty
from proof.vendors import Kind

STAR_STEPS, STEPS = 90, 60


@dataclass(frozen=True)
class Verdict:
    """What came of one schedule."""

    kind: str
    seed: int
    plan: tuple[str, int] | None
    violations: tuple[str, ...]


@dataclass
class Totals:
    schedules: int = 0
    crashes: Counter[str] = field(default_factory=Counter)
    """By failpoint."""
    reached: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    bad: list[Verdict] = field(default_factory=list)

    def add(self, other: Totals) -> None:
        self.schedules += other.schedules
        self.rounds = max(self.rounds, other.rounds)
        self.bad += other.bad
        for mine, theirs in (
            (self.crashes, other.crashes),
            (self.reached, other.reached),
            (self.counts, other.counts),
            (self.conflicts, other.conflicts),
        ):
            mine.update(theirs)


def kinds_of(name: str) -> Sequence[Kind]:
    return STAR if name == "star" else (KINDS[name],)


def run(
    database: CrashingDatabase,
    loop: asyncio.AbstractEventLoop,
    kind: str,
    seed: int,
    totals: Totals,
    *,
    plan: tuple[str, int] | None = None,
) -> Verdict:
    """Play and judge one schedule. With a `plan` it crashes there, and nowhere else."""
    empty(database)
    crash = 0.0 if plan else CRASH
    steps = STAR_STEPS if kind == "star" else STEPS
    try:
        world, rest = play(database, loop, seed, kinds_of(kind), steps=steps, crash=crash, plan=plan)
    except Exception as error:  # noqa: BLE001 a schedule that fails is a finding like any other
        violations = [f"it failed: {type(error).__name__} {error}"]
    else:
        violations = check(world, rest)
        totals.crashes.update(world.failpoints.crashes)
        totals.reached.update(world.failpoints.hits)
        totals.counts.update(world.counts)
        totals.rounds = max(totals.rounds, rest.rounds)
    finally:
        pinned.release()
    totals.schedules += 1
    verdict = Verdict(kind, seed, plan, tuple(violations))
    if violations:
        totals.bad.append(verdict)
    return verdict
