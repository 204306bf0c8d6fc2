"""What a job has asked its vendor for, added up the same on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.statistics import Spent, save_latencies, spent_on_requests


def test_requests_add_up_to_plain_numbers(database: Database) -> None:
    told = [
        RequestStatistics("GET Patient", 40, 1, 2, 1.5, 1000, 20.0, 80.0, 90.0),
        RequestStatistics("POST token", 1, 0, 0, 0.0, 24, 35.0, 35.0, 35.0),
    ]
    with database.write() as transaction:
        save_latencies(transaction, "job-1", "epic", told, datetime.now(UTC))
    with database.read() as transaction:
        spent, nothing = spent_on_requests(transaction, "job-1"), spent_on_requests(transaction, "job-2")
    assert spent == Spent(41, 1, 2, 1024, 1.5)
    assert nothing == Spent(0, 0, 0, 0, 0.0)
    assert {type(one) for one in (spent.requests, spent.failures, spent.retries, spent.received_bytes)} == {int}
    assert type(spent.waited_seconds) is float
