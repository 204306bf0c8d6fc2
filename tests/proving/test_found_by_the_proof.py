"""Schedules in which the proof found something, kept under the name of what it was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from proof.faults import CrashingDatabase
from proof.runs import Totals, run
from proof.store import open_store, store_folder

Found = tuple[str, int, tuple[str, int] | None]

KERNEL: dict[str, Found] = {
    "a write that had been decided anew was settled again at every look, and a merge recorded each time": (
        ("faithful", 337, None)
    ),
    "the same, where the vendor stores lists in other words": ("lossy, undeclared", 208, None),
    "the same, where nothing can be changed there": ("create-only", 130, None),
    "the same, where answers seldom come": ("slow", 534, None),
    "the same, with a last write that nobody needed": ("lossy, declared", 573, None),
}
CHECKER: dict[str, Found] = {
    "two copies of a create, both shown to a person, were called a silent double": ("without ETags", 400, None),
    "a doubtful copy that a person brought back was called a silent double": (
        ("without ETags", 205_002, ("vendor.update: before it is sent", 2))
    ),
    "a doubtful copy that a person had created elsewhere too was called a silent double": ("star", 140, None),
    "a note taken out here, which the vendor spells otherwise, was called unlisted": ("lossy, undeclared", 178, None),
}


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[CrashingDatabase, asyncio.AbstractEventLoop]]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with store_folder() as folder, closing(open_store(folder)) as database:
        yield database, loop
    loop.close()


@pytest.mark.parametrize("what", [*KERNEL, *CHECKER])
def test_what_was_found_once_stays_mended(store: tuple[CrashingDatabase, asyncio.AbstractEventLoop], what: str) -> None:
    kind, seed, plan = {**KERNEL, **CHECKER}[what]

    verdict = run(*store, kind, seed, Totals(), plan=plan)

    assert verdict.violations == ()
