"""What incremental reads miss of a vendor whose `lastUpdated` is no order, and that the default overlap misses nothing.

The vendor is a server on the loopback with a clock of its own: several nodes stamp changes by their own, skewed clocks,
to the second, and some are committed up to two minutes after they were stamped (sync-protocol.md §2.4).
"""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.model.connection import ReadSettings
from holovitals_pipelines.model.vocabulary import JobStatus
from tests.end_to_end.two_way import Ours, declared, our_side
from tests.providers import loopback

pytestmark = [pytest.mark.timeout(120), pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

START = datetime(2026, 3, 1, tzinfo=UTC)
CHANGES = 1500
EVERY = 0.1
"""Mean seconds between changes."""
POLL = 15.0
SKEW = 2.0
NODES = (-SKEW, -SKEW / 2, SKEW / 2, SKEW)
"""How far each node's clock is ahead."""
SLOWEST = 120.0


@dataclass(frozen=True, order=True)
class Change:
    """One resource: when it was stamped, and when its commit lets it be seen; seconds after START."""

    stamped: float
    visible: float
    identity: str


def changes(seed: int) -> list[Change]:
    """By their stamps. Two in a hundred commits are slow, the others take some milliseconds."""
    chance = random.Random(seed)
    made, now = [], SKEW
    for number in range(CHANGES):
        now += chance.expovariate(1 / EVERY)
        delay = chance.expovariate(1 / 0.02) if chance.random() < 0.98 else chance.uniform(0, SLOWEST)
        made.append(Change(float(int(now + chance.choice(NODES))), now + delay, f"p{number}"))
    return sorted(made)


@dataclass
class Vendor:
    """A FHIR server as of `now`, which the test moves."""

    changes: list[Change]
    now: float = 0.0
    served: int = 0
    asked: list[datetime] = field(default_factory=list)

    def routes(self) -> dict[str, loopback.Handler]:
        statement = loopback.capability({"Patient": ["_lastUpdated"]})
        return {"/metadata": lambda _: self.answer(statement), "/Patient": self.search}

    def search(self, request: Request) -> Response:
        first = 0
        for value in request.query_params.getlist("_lastUpdated"):
            assert value.startswith("ge")
            since = datetime.fromisoformat(value[2:])
            self.asked.append(since)
            first = bisect_left(self.changes, Change((since - START).total_seconds(), 0.0, ""))
        found = [change for change in self.changes[first:] if change.visible <= self.now]
        self.served += len(found)
        return self.answer(loopback.bundle([self.shown(change) for change in found]))

    def shown(self, change: Change) -> dict[str, object]:
        updated = (START + timedelta(seconds=change.stamped)).isoformat()
        return {"resourceType": "Patient", "id": change.identity, "meta": {"versionId": "1", "lastUpdated": updated}}

    def answer(self, content: object) -> Response:
        date = format_datetime(START + timedelta(seconds=int(self.now)), usegmt=True)
        return loopback.json(content, headers={"date": date})


def read_on(vendor: Vendor, ours: Ours) -> tuple[int, int]:
    """Incremental syncs until everything has long been visible; how many resources were missed, and read in all."""
    end = max(change.visible for change in vendor.changes) + 2 * POLL
    while vendor.now < end:
        vendor.now += POLL
        assert ours.sync().status is JobStatus.COMPLETED
    return len(vendor.changes) - len(ours.rows("link")), vendor.served


@pytest.mark.parametrize("overlap", [None, 0], ids=["the default", "none"])
def test_a44_the_default_overlap_misses_nothing_and_none_would_miss_much(
    home: Path, database_url: str, overlap: int | None
) -> None:
    vendor = Vendor(changes(20261122))
    reading = {} if overlap is None else {"overlap_seconds": overlap}
    with loopback.serving(vendor.routes(), methods=("GET",)) as server:
        connection = declared(server.url, read=reading, enabled=False)
        with our_side(home, database_url, connection) as ours:
            missed, read = read_on(vendor, ours)

    assert len(vendor.asked) > 10, "all but the first read asked for what is new"
    if overlap is None:
        assert ReadSettings().overlap_seconds > SLOWEST + 2 * SKEW
        assert missed == 0
        assert read < 10 * CHANGES, "the price: what is read again"
    else:
        assert missed > CHANGES // 50, (missed, read)
