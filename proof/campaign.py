"""The whole proof: random schedules over all vendor kinds and the star, every failpoint, every mutant, on all cores.

Law: the outcome depends on the number of schedules alone, not on cores, speed or order.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proof.faults import CrashingDatabase
from proof.kinds import KINDS
from proof.mutants import MUTANTS, Mutant
from proof.runs import Totals, run
from proof.store import open_store, store_folder

CHUNK = 10
STAR_SHARE = 20
"""One schedule in so many is a star: it costs five times as much."""
HITS = 6
PLANNED_KINDS = ("faithful", "without ETags")
MUTANT_SEEDS = 500


@dataclass(frozen=True)
class Task:
    """Some schedules that one process plays: at random (seeds), crashing as planned, or with a mutant alive."""

    kind: str
    first: int
    last: int
    plan: tuple[str, int] | None = None
    mutant: int | None = None


@dataclass
class Caught:
    """How a mutant fared."""

    mutant: Mutant
    kind: str
    schedules: int = 0
    violations: Counter[str] = field(default_factory=Counter)

    @property
    def by(self) -> str:
        return self.violations.most_common(1)[0][0] if self.violations else "nothing"


@dataclass
class Report:
    """Everything a run of the proof found."""

    by_kind: dict[str, Totals] = field(default_factory=dict)
    planned: Totals = field(default_factory=Totals)
    fired: int = 0
    failpoints: Counter[str] = field(default_factory=Counter)
    """How often each was reached; those that crashed are in the totals."""
    caught: list[Caught] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    jobs: int = 1

    @property
    def random(self) -> Totals:
        total = Totals()
        for one in self.by_kind.values():
            total.add(one)
        return total

    @property
    def survivors(self) -> list[Caught]:
        return [one for one in self.caught if not one.violations]

    @property
    def holds(self) -> bool:
        return not self.random.bad and not self.planned.bad and not self.survivors


def shares(schedules: int) -> dict[str, int]:
    """How many schedules each kind gets."""
    stars = max(1, schedules // STAR_SHARE)
    rest = schedules - stars
    found = {name: rest // len(KINDS) for name in KINDS}
    found["faithful"] += rest - sum(found.values())
    return {**found, "star": stars}


def prove(
    schedules: int,
    jobs: int,
    *,
    hits: int = HITS,
    deadline: float | None = None,
    advanced: Callable[[str, int, int], None] = lambda phase, done, of: None,
) -> Report:
    """Run everything. After `deadline` (monotonic) no further random schedules are begun."""
    report, started = Report(jobs=jobs), time.monotonic()
    context = multiprocessing.get_context("spawn")
    with store_folder() as folder, context.Pool(jobs, _open, (folder,)) as pool:
        _random_schedules(report, pool.imap_unordered, schedules, deadline, advanced)
        _every_failpoint(report, pool.imap_unordered, hits, advanced)
        _every_mutant(report, pool.imap_unordered, advanced)
        pool.close()
        pool.join()
    report.seconds = time.monotonic() - started
    return report


Map = Callable[..., Iterator["tuple[Task, Totals, float]"]]


def _random_schedules(
    report: Report, run_all: Map, schedules: int, deadline: float | None, advanced: Callable[[str, int, int], None]
) -> None:
    tasks = _interleaved(
        [Task(kind, first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
        for kind, count in shares(schedules).items()
    )
    done = 0

    def wanted() -> Iterator[Task]:
        for task in tasks:
            if deadline is not None and time.monotonic() > deadline:
                return
            yield task

    for task, totals, cpu in run_all(_play, _paced(wanted(), lambda: done)):  # noqa: B023 it is to see the present count
        done += totals.schedules
        report.by_kind.setdefault(task.kind, Totals()).add(totals)
        report.failpoints.update(totals.reached)
        report.cpu_seconds += cpu
        advanced("schedules", done, schedules)


def _every_failpoint(report: Report, run_all: Map, hits: int, advanced: Callable[[str, int, int], None]) -> None:
    """Each failpoint that was reached, at its first, second, … hit, crashes exactly once."""
    plans = [(name, hit) for name in sorted(report.failpoints) for hit in range(1, hits + 1)]
    tasks = [
        Task(kind, 1000 * number + hit, 1000 * number + hit + 1, (name, hit))
        for number, (name, hit) in enumerate(plans)
        for kind in PLANNED_KINDS
    ]
    for done, (_, totals, cpu) in enumerate(run_all(_play, tasks), start=1):
        report.planned.add(totals)
        report.fired += totals.crashes.total()
        report.cpu_seconds += cpu
        advanced("failpoints", done, len(tasks))


def _every_mutant(report: Report, run_all: Map, advanced: Callable[[str, int, int], None]) -> None:
    tasks = [
        Task(kind, mutant.first, mutant.first + MUTANT_SEEDS, mutant=number)
        for number, mutant in enumerate(MUTANTS)
        for kind in mutant.kinds
    ]
    found: dict[tuple[int, str], Caught] = {}
    for done, (task, totals, cpu) in enumerate(run_all(_play, tasks), start=1):
        assert task.mutant is not None
        caught = Caught(MUTANTS[task.mutant], task.kind, totals.schedules)
        for verdict in totals.bad:
            caught.violations.update(verdict.violations)
        found[task.mutant, task.kind] = caught
        report.cpu_seconds += cpu
        advanced("mutants", done, len(tasks))
    report.caught = [found[task.mutant or 0, task.kind] for task in tasks]


def _interleaved(groups: Iterator[list[Task]] | Sequence[list[Task]]) -> list[Task]:
    """A bit of every kind at a time, so that a run cut short has seen all of them."""
    waiting = [list(group) for group in groups]
    found: list[Task] = []
    longest = max((len(group) for group in waiting), default=0)
    for step in range(longest):
        found += [group[step * len(group) // longest] for group in waiting if _is_due(step, len(group), longest)]
    return found


def _is_due(step: int, size: int, longest: int) -> bool:
    return step == 0 or step * size // longest != (step - 1) * size // longest


def _paced(tasks: Iterator[Task], done: Callable[[], int]) -> Iterator[Task]:
    """Hand out tasks a little ahead of the workers, so that a deadline can still stop them."""
    handed = 0
    for task in tasks:
        while handed - done() > 40 * CHUNK:
            time.sleep(0.05)
        handed += task.last - task.first
        yield task


# in the processes

_place: list[tuple[CrashingDatabase, asyncio.AbstractEventLoop]] = []


def _open(folder: Path) -> None:
    """Each process has a store and a loop of its own, for all its schedules."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    _place.append((open_store(folder), loop))


def _play(task: Task) -> tuple[Task, Totals, float]:
    """Play a task's schedules; with a mutant only until it is caught."""
    database, loop = _place[0]
    totals, before = Totals(), time.process_time()
    if task.mutant is not None:
        _until_caught(task, MUTANTS[task.mutant], totals)
    else:
        for seed in range(task.first, task.last):
            run(database, loop, task.kind, seed, totals, plan=task.plan)
    return task, totals, time.process_time() - before


def _until_caught(task: Task, mutant: Mutant, totals: Totals) -> None:
    """A schedule counts against the mutant when nothing is wrong with the same schedule without it."""
    database, loop = _place[0]
    for seed in range(task.first, task.last):
        with mutant.alive():
            caught = run(database, loop, task.kind, seed, totals)
        if not caught.violations:
            continue
        if not run(database, loop, task.kind, seed, Totals()).violations:
            return
        totals.bad.remove(caught)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
