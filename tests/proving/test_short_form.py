"""The short form of the proof: some schedules of every kind of vendor and the star, planned crashes, every mutant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest

from proof.kinds import KINDS
from proof.mutants import MUTANTS, Mutant
from proof.runs import Totals, run
from proof.store import open_store, store_folder

Play = Callable[..., Totals]


@pytest.fixture(scope="module")
def play() -> Iterator[Play]:
    """Play schedules of a kind; the totals hold every violation."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with store_folder() as folder, closing(open_store(folder)) as database:

        def played(kind: str, seeds: Sequence[int], plan: tuple[str, int] | None = None) -> Totals:
            totals = Totals()
            for seed in seeds:
                run(database, loop, kind, seed, totals, plan=plan)
            return totals

        yield played
    loop.close()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_schedules_of_every_kind_of_vendor_hold_every_invariant(play: Play, kind: str) -> None:
    totals = play(kind, range(4))

    assert totals.bad == []
    assert totals.schedules == 4 and sum(totals.reached.values()) > 300


def test_a19_a_star_of_seven_is_quiet_in_five_rounds_at_most(play: Play) -> None:
    totals = play("star", range(4))

    assert totals.bad == []
    assert 0 < totals.rounds <= 5
    assert totals.counts["settled conflicts"] > 0


def test_a20_in_the_star_a_vendors_delete_ends_its_own_link_only(play: Play) -> None:
    totals = play("star", range(4, 10))

    assert totals.bad == []
    assert totals.counts["settled unlink"] > 0, "a delete met a record that other vendors have"


def test_a18_a_vendor_that_stores_something_else_starts_no_echo(play: Play) -> None:
    totals = play("lossy, undeclared", range(4, 12))

    assert totals.bad == []
    assert 0 < totals.rounds <= 5


def test_a45_nothing_is_written_to_a_read_only_vendor_and_nothing_is_lost(play: Play) -> None:
    totals = play("read-only", range(4, 12))

    assert totals.bad == []
    assert not any(name.startswith(("vendor.update", "vendor.create", "vendor.delete")) for name in totals.reached)


@pytest.mark.parametrize("place", ["settle.decide_and_commit", "push._record", "inbox.take_event"])
@pytest.mark.parametrize("moment", ["before commit", "after commit"])
def test_one_crash_at_a_commit_changes_nothing(play: Play, place: str, moment: str) -> None:
    for hit in (1, 2):
        totals = play("faithful", range(2), plan=(f"{place}: {moment}", hit))
        assert totals.bad == []
        assert sum(totals.crashes.values()) > 0


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a43_every_mutant_is_caught(play: Play, mutant: Mutant) -> None:
    """By any of the vendors its rule matters at; `make proof` asks for each of them."""
    with mutant.alive():
        seeds = range(mutant.first, mutant.first + 100)
        caught = any(play(kind, [seed]).bad for seed in seeds for kind in mutant.kinds)

    assert caught, f"{mutant.breaks}: broken, and nobody noticed"


def test_the_same_seed_gives_the_same_schedule(play: Play) -> None:
    first, second = play("faithful", [7]), play("faithful", [7])

    assert (first.counts, first.reached, first.crashes) == (second.counts, second.reached, second.crashes)
