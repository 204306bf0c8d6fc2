"""A vendor's limit holds over all processes that share a store, whichever of them dies; on both databases."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from holovitals_pipelines.engine.allowance import AllowanceInDatabase
from holovitals_pipelines.providers.rate import Limits
from holovitals_pipelines.providers.shared_rate import SharedMinuteBucket, SharedTokenBucket, shared_bucket_for
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.store.database import Database
from tests.providers.test_rate_limits import SimulatedTime, let_through, most_in_a_minute

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
LIMIT = 12
ECW = "eclinicalworks"


def later(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


# what the store gives out


def test_a_lot_has_one_holder_until_it_is_given_back_or_its_time_is_over(database: Database) -> None:
    allowance = AllowanceInDatabase(database)

    def take(holder: str, at: float, **returned: datetime) -> int | None:
        given = {int(name.removeprefix("lot")): free for name, free in returned.items()}
        taken = allowance.take(
            "practice", lots=2, most=1, holder=holder, at=later(at), until=later(at + 200), returned=given
        )
        return next(iter(taken), None)

    assert [take("a", 0), take("b", 0), take("a", 1), take("b", 1)] == [0, 1, None, None]
    assert allowance.take("other", lots=2, most=5, holder="a", at=AT, until=later(9), returned={}) == [0, 1]
    assert take("b", 2, lot0=later(3)) is None, "only its holder gives a lot back"
    assert take("a", 2, lot0=later(63)) is None
    assert (take("b", 62), take("b", 63)) == (None, 0)
    assert take("c", 199) is None and take("c", 200) == 1, "whoever had it has died"
    allowance.give_back("practice", holder="b", returned={0: later(250), 1: later(201)})
    assert (take("d", 201), take("d", 250)) == (None, 0)


def test_after_a_refusal_no_lot_is_free_before_the_vendor_listens_again(database: Database) -> None:
    allowance = AllowanceInDatabase(database)
    assert allowance.take("practice", lots=3, most=1, holder="a", at=AT, until=later(200), returned={}) == [0]
    allowance.silence("practice", lots=3, until=later(30))
    taken = [
        allowance.take("practice", lots=3, most=1, holder="b", at=later(at), until=later(99), returned={})
        for at in (29, 30)
    ]
    assert taken == [[], [1]], "and the one that is held stays held"
    allowance.give_back("practice", holder="a", returned={0: later(40)})
    assert allowance.take("practice", lots=1, most=1, holder="b", at=later(39), until=later(99), returned={}) == []


def test_stretches_of_time_do_not_overlap(database: Database) -> None:
    allowance = AllowanceInDatabase(database)
    begins = [allowance.take_turn("app", at=later(at), seconds=0.5) for at in (0, 0, 0.2, 9)]
    assert begins == [AT, later(0.5), later(1.0), later(9)]


# what processes make of it, in simulated time


@pytest.mark.parametrize("limit", [240, 20])
def test_several_holders_together_keep_the_limit_wherever_the_vendors_minute_begins(
    sqlite_database: Database, limit: int
) -> None:
    time, allowance, chance = SimulatedTime(), AllowanceInDatabase(sqlite_database), random.Random(limit)
    buckets = [SharedMinuteBucket("practice", limit, allowance, time.clock) for _ in range(3)]
    each = limit

    def latency() -> float:
        return chance.choice((0.05, 0.2, 0.4, 30.0 if chance.random() < 0.05 else 1.0))

    arrived = time.run(*(let_through(bucket, time, each, latency, at_once=4) for bucket in buckets))
    for bucket in buckets:
        bucket.close()
    every = [at for one in arrived for at in one]
    assert len(every) >= 3 * each
    assert max(most_in_a_minute(every, begins) for begins in range(0, 60, 7)) <= limit
    assert time.elapsed < 60 * 8, "and most of it is used"
    at = time.now() + timedelta(seconds=62)
    free = allowance.take(
        "practice", lots=limit, most=limit, holder="next", at=at, until=at + timedelta(days=1), returned={}
    )
    assert len(free) == limit, "nothing stays taken by those who are done"


def test_several_holders_together_keep_a_limit_by_the_second(sqlite_database: Database) -> None:
    time, allowance = SimulatedTime(), AllowanceInDatabase(sqlite_database)
    buckets = [SharedTokenBucket("app", 20.0, allowance, time.clock) for _ in range(3)]
    arrived = time.run(*(let_through(bucket, time, 60, lambda: 0.0, at_once=3) for bucket in buckets))
    every = sorted(at for one in arrived for at in one)
    assert max(Counter(int(at) for at in every).values()) <= 20 + 1
    assert len(every) / time.elapsed > 8


def test_a_limit_nobody_knows_is_not_kept(sqlite_database: Database) -> None:
    time = SimulatedTime()
    bucket = shared_bucket_for(Limits(), "practice", AllowanceInDatabase(sqlite_database), time.clock)
    time.run(let_through(bucket, time, 1000, lambda: 0.0))
    assert time.elapsed == 0.0


# processes, and the simulated practice that counts


@pytest.fixture
def practice() -> Iterator[RunningSandbox]:
    with start_sandbox(
        dialects=[ECW], patients=2, settings={ECW: {"requests_per_minute": LIMIT + 1}}
    ) as running:  # the vendor's own limit is a little higher than what is asked of it, as in `registry`
        yield running


def test_processes_that_share_a_practice_never_meet_its_limit_even_when_one_of_them_is_killed(
    practice: RunningSandbox, database: Database, database_url: str
) -> None:
    httpx.post(f"{practice.admin_url}/clock", json={"at": "2026-03-01T10:00:37Z", "frozen": True}, trust_env=False)
    patient, base_url = practice.patient_ids(ECW)[0], practice.base_urls[ECW]
    arguments = [database_url, base_url, practice.admin_url, patient]
    killed, other = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.engine.sharing_worker", *arguments, requests, str(LIMIT)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for requests in ("1000", "30")
    ]
    assert killed.stdout is not None
    assert [killed.stdout.readline().strip() for _ in range(15)] == ["200"] * 15
    killed.send_signal(signal.SIGKILL)
    assert other.communicate(timeout=60)[0].split() == ["200"] * 30
    killed.communicate()
    log = httpx.get(f"{practice.admin_url}/requests?dialect={ECW}", trust_env=False).json()
    assert len(log) >= 45 and {row["status"] for row in log} == {200}
    assert max(Counter(str(row["at"])[:16] for row in log).values()) <= LIMIT
