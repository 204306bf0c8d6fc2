"""No vendor's limit is ever exceeded, whatever the latency and the difference of clocks; all in simulated time.

Law: what counts is when a request reached the vendor, by the vendor's clock.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from joserfc.jwk import RSAKey

from benchmarks.throttle import simulated_practice
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.providers.clock import Clock
from holovitals_pipelines.providers.eclinicalworks import REQUESTS_PER_MINUTE
from holovitals_pipelines.providers.rate import Bucket, Limits, MinuteBucket, bucket_for
from holovitals_pipelines.providers.registry import AVAILABLE, limits_of, open_adapter

from .loopback import Outcome, bundle, capability, collect, connection

ECW_ALLOWS = 250
PATIENTS = 90
START = datetime(2026, 3, 1, 10, 0, 37, 250_000, tzinfo=UTC)
KEY = RSAKey.generate_key(2048).as_pem(private=True).decode()


class SimulatedTime:
    """Time that stands still while anything can go on, then jumps to the next moment somebody waits for."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self.clock = Clock(monotonic=lambda: self.elapsed, sleep=self.sleep, now=self.now, chance=lambda: 0.5)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed)

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.elapsed + max(seconds, 0.0), next(self._order), woken))
        await woken

    def run(self, *work: Coroutine[Any, Any, Any]) -> list[Any]:
        async def to_the_end() -> list[Any]:
            running = asyncio.gather(*work)
            while not running.done():
                for _ in range(12):
                    await asyncio.sleep(0)
                if self._waiting and not running.done():
                    at, _, woken = heapq.heappop(self._waiting)
                    self.elapsed = max(self.elapsed, at)
                    if not woken.done():
                        woken.set_result(None)
            return await running

        return asyncio.run(to_the_end())


class CountingVendor(httpx.AsyncBaseTransport):
    """A vendor that counts by the minutes of its own clock, `ahead` of ours; a refusal does not say for how long."""

    def __init__(self, time: SimulatedTime, *, ahead: float = 0.0, latency: Callable[[], float] = lambda: 0.2) -> None:
        self._time = time
        self._ahead = timedelta(seconds=ahead)
        self._latency = latency
        self.arrived: list[datetime] = []
        self.minutes: Counter[datetime] = Counter()
        self.refused: list[datetime] = []
        self.tokens = 0
        self.others = 0
        """Requests of somebody else in the minute under way."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        latency = self._latency()
        await self._time.sleep(latency / 2)
        at = self._time.now() + self._ahead
        self.arrived.append(at)
        minute = at.replace(second=0, microsecond=0)
        self.minutes[minute] += 1
        full = self.minutes[minute] + self.others > ECW_ALLOWS
        answer = self._answer(request) if not full else httpx.Response(429)
        if full:
            self.refused.append(at)
        await self._time.sleep(latency / 2)
        answer.headers["date"] = format_datetime((self._time.now() + self._ahead).replace(microsecond=0), usegmt=True)
        return answer

    def _answer(self, request: httpx.Request) -> httpx.Response:
        *_, last = request.url.path.split("/")
        if last == "metadata":
            return httpx.Response(200, json=capability({"Patient": ["_id"], "Condition": ["patient"]}))
        if last == "smart-configuration":
            return httpx.Response(200, json={"token_endpoint": "https://oauth.ecw.example/token"})
        if last == "token":
            self.tokens += 1
            return httpx.Response(200, json={"access_token": f"token-{self.tokens}", "expires_in": 300})
        if last.startswith("p"):
            return httpx.Response(200, content=orjson.dumps({"resourceType": "Patient", "id": last}))
        return httpx.Response(200, json=bundle([], total=0))


def practice(**settings: Any) -> ConnectionConfig:
    auth = {"kind": "smart_backend", "client_id": "us", "keys": [{"env": "KEY"}]}
    declared = {"provider": "eclinicalworks", "auth": auth, **settings}
    return connection("https://fhir.ecw.example/fhir/r4/ABCDEF", **declared)


def secret(reference: SecretRef) -> str:
    return KEY if reference.env == "KEY" else "\n".join(f"p{number}" for number in range(PATIENTS))


LISTED = {"patient_ids": {"env": "PATIENTS"}}


async def whole_read(config: ConnectionConfig, time: SimulatedTime, vendor: CountingVendor, types: Any) -> Outcome:
    async with open_adapter(config, secret, clock=time.clock, transport=vendor) as adapter:
        return await collect(adapter.read(ReadRequest(types)))


TYPES = ("Patient", "Condition", "Encounter", "Goal", "Procedure", "CarePlan", "CareTeam", "Device")


@pytest.mark.parametrize("ahead", [0.6, 22.4, -31.0])
def test_no_minute_of_the_vendor_sees_more_than_it_allows_tokens_included(ahead: float) -> None:
    time = SimulatedTime()
    chance = random.Random(ahead)
    vendor = CountingVendor(time, ahead=ahead, latency=lambda: chance.choice((0.05, 0.2, 0.2, 0.4, 8.0)))
    [read] = time.run(whole_read(practice(read={**LISTED, "concurrency": 16}), time, vendor, TYPES))
    assert {name: done.error for name, done in read.done.items()} == dict.fromkeys(TYPES)
    assert len(vendor.arrived) > 2 * ECW_ALLOWS and vendor.tokens > 1
    assert vendor.refused == [] and max(vendor.minutes.values()) <= ECW_ALLOWS


def test_two_jobs_of_one_process_share_the_minute_and_the_next_job_inherits_it() -> None:
    time = SimulatedTime()
    vendor = CountingVendor(time, ahead=10.0, latency=lambda: 0.02)
    config = practice(read={**LISTED, "concurrency": 16})
    time.run(*(whole_read(config, time, vendor, TYPES[:2]) for _ in range(2)))
    time.run(whole_read(config, time, vendor, TYPES[:2]))
    assert len(vendor.arrived) > 2 * ECW_ALLOWS
    assert vendor.refused == [] and max(vendor.minutes.values()) <= ECW_ALLOWS


def test_after_a_429_nobody_asks_before_the_vendors_next_minute() -> None:
    time = SimulatedTime()
    vendor = CountingVendor(time, ahead=17.3)
    vendor.others = ECW_ALLOWS  # somebody else has used the minute up ...
    full = (START + timedelta(seconds=17.3)).replace(second=0, microsecond=0)

    async def until_it_ends() -> None:
        while time.now() + timedelta(seconds=17.3) < full + timedelta(minutes=1):
            await time.sleep(0.5)
        vendor.others = 0  # ... which ends by the vendor's clock

    read, _ = time.run(
        whole_read(practice(read={**LISTED, "concurrency": 8}), time, vendor, TYPES[:1]), until_it_ends()
    )
    assert read.done["Patient"].error is None and len(read.ids) == PATIENTS
    assert len(vendor.refused) == 1
    waited = min(at for at in vendor.arrived if at not in vendor.refused)
    assert full + timedelta(minutes=1) < waited < full + timedelta(minutes=1, seconds=4)


# the bucket alone


async def let_through(
    bucket: Bucket, time: SimulatedTime, count: int, latency: Callable[[], float], *, at_once: int = 24
) -> list[float]:
    """When each of so many requests was at the vendor; several are under way at once."""
    arrived: list[float] = []

    async def worker() -> None:
        while len(arrived) < count:
            await bucket.acquire()
            whole = latency()
            await time.sleep(whole / 2)
            arrived.append(time.elapsed)
            await time.sleep(whole / 2)
            bucket.release()

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return arrived


def most_in_a_minute(arrived: list[float], begins: float) -> int:
    return max(Counter(int((at - begins) // 60) for at in arrived).values())


def test_a_request_on_its_way_counts_until_its_answer_is_here() -> None:
    """Sent in one minute and counted in the next: a burst that hung in the network must not meet another one."""
    time = SimulatedTime()
    latencies = iter([80.0] * REQUESTS_PER_MINUTE)
    work = let_through(
        MinuteBucket(REQUESTS_PER_MINUTE, time.clock), time, 480, lambda: next(latencies, 0.1), at_once=240
    )
    [arrived] = time.run(work)
    assert len(arrived) >= 480
    assert max(most_in_a_minute(arrived, begins) for begins in range(0, 60, 5)) <= ECW_ALLOWS


@pytest.mark.parametrize("provider", AVAILABLE)
def test_every_vendors_published_limit_is_kept_wherever_its_minute_begins(provider: str) -> None:
    schemes = {"meditech": "mllp://127.0.0.1:2575"}
    config = connection(schemes.get(provider, "https://vendor.example/fhir"), provider=provider)
    limits, time = limits_of(config), SimulatedTime()
    bucket = bucket_for(limits, config.base_url, time.clock)
    chance = random.Random(provider)
    [arrived] = time.run(let_through(bucket, time, 600, lambda: chance.uniform(0.01, 3.0)))
    if limits.per_minute is not None:
        assert max(most_in_a_minute(arrived, begins) for begins in range(0, 60, 7)) <= limits.per_minute
    if limits.per_second is not None:
        assert len(arrived) / time.elapsed <= limits.per_second
    assert limits.per_minute == (REQUESTS_PER_MINUTE if provider == "eclinicalworks" else None)


def test_both_limits_hold_where_a_connection_sets_one_of_its_own() -> None:
    config = practice(read={"requests_per_second": 3})
    time = SimulatedTime()
    bucket = bucket_for(limits_of(config), config.base_url, time.clock)
    [arrived] = time.run(let_through(bucket, time, 400, lambda: 0.1))
    assert limits_of(config) == Limits(per_second=3, per_minute=REQUESTS_PER_MINUTE)
    assert max(Counter(int(at) for at in arrived).values()) <= 4 and most_in_a_minute(arrived, 0) <= 181


def test_a_base_url_has_one_bucket_and_another_practice_another() -> None:
    time, limits = SimulatedTime(), Limits(per_minute=10)
    one = bucket_for(limits, "https://ecw.example/fhir/r4/AAAAAA", time.clock)
    assert bucket_for(limits, "https://ecw.example/fhir/r4/aaaaaa/", time.clock) is one
    assert bucket_for(limits, "https://ecw.example/fhir/r4/BBBBBB", time.clock) is not one


class ByOurMinute:
    """What was not chosen: so many requests between two full minutes of our own clock."""

    def __init__(self, limit: int, time: SimulatedTime, guard: float) -> None:
        self._limit, self._time, self._guard = limit, time, guard
        self._minute, self._used = -1, 0

    async def acquire(self) -> float:
        while True:
            minute, into = divmod(self._time.elapsed, 60.0)
            if minute != self._minute and self._guard <= into:
                self._minute, self._used = int(minute), 0
            if minute == self._minute and into < 60.0 - self._guard and self._used < self._limit:
                self._used += 1
                return 0.0
            await self._time.sleep(60.0 - into + self._guard if into >= self._guard else self._guard - into)

    def release(self) -> None:
        return None

    def throttled(self, served_at: datetime | None) -> float | None:
        return None


def test_counting_by_our_own_minute_breaks_the_limit_and_brings_hardly_more() -> None:
    rates: dict[str, float] = {}
    worst: dict[str, int] = {}
    for name, make in {
        "ours": lambda time: MinuteBucket(REQUESTS_PER_MINUTE, time.clock),
        "by our minute": lambda time: ByOurMinute(REQUESTS_PER_MINUTE, time, guard=0.0),
        "by our minute, 3 s kept free": lambda time: ByOurMinute(REQUESTS_PER_MINUTE, time, guard=3.0),
    }.items():
        time = SimulatedTime()
        time.elapsed = 45.0  # work begins late in our minute, and goes on at once in the next
        [arrived] = time.run(let_through(make(time), time, 1920, lambda: 0.2))
        rates[name] = 60 * 1440 / (arrived[1680] - arrived[240])
        # A vendor whose clock is 10 s off: more than the guard keeps free.
        worst[name] = max(most_in_a_minute(arrived, begins) for begins in (0.0, 10.0, -10.0))
    assert worst["ours"] <= ECW_ALLOWS
    assert worst["by our minute"] > ECW_ALLOWS and worst["by our minute, 3 s kept free"] > ECW_ALLOWS
    assert rates["ours"] > 0.97 * max(rates.values()) and rates["ours"] > 230


# over HTTP, against the simulated practice with its minute on


def test_a_full_read_of_1500_resources_meets_no_429(tmp_path: Path) -> None:
    """The short form; `python -m benchmarks.throttle` reads 10,000."""
    with simulated_practice(tmp_path, patients=20) as practice:
        found = practice.read()
        log = practice.requests()
        held = practice.held()
    assert found == held and sum(found.values()) >= 1500
    assert not [entry for entry in log if entry["status"] == 429]
    minutes = Counter(str(entry["at"])[:16] for entry in log)
    assert len(minutes) > 1 and max(minutes.values()) <= ECW_ALLOWS
    assert sum(entry["path"] == "oauth2/token" for entry in log) >= 2
