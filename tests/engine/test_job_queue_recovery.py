"""Jobs that fail, take too long or are cancelled: what was done is kept, and nothing is done twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import cancel, claim_next, retry, run_claimed
from holovitals_pipelines.engine.retrying import longest_delay
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.errors import NotPermittedError, TransientError
from holovitals_pipelines.model.job import JobOptions, SyncRequest
from holovitals_pipelines.model.vocabulary import Dataset, JobStatus, Stage
from holovitals_pipelines.store.parts import load_progress, parts_of
from holovitals_pipelines.store.tables import record
from tests.engine.conftest import Vendor, observation, patient
from tests.engine.queue_bench import FailingSource, Time, attempt, history_of, job_of, moves_of, put

BUSY = TransientError("the vendor is busy", code="http.503", status=503)
REFUSED = NotPermittedError("not for this client", code="http.403", status=403)
MOVES_OF_AN_ATTEMPT = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.RETRYING)


@pytest.fixture
def time() -> Time:
    return Time(now=datetime.now(UTC))


@pytest.fixture
def failing(vendor: Vendor) -> FailingSource:
    vendor.holds("Patient", [patient(n) for n in range(12)])
    vendor.holds("Observation", [observation(n) for n in range(12)])
    return FailingSource(vendor.folder, page=5)


# failures that may pass


def test_the_backoff_doubles_from_the_jobs_own_delay_to_a_quarter_of_an_hour() -> None:
    options = JobOptions(retry_delay_ms=2000)
    assert [longest_delay(options, n).total_seconds() for n in range(1, 5)] == [2, 4, 8, 16]
    assert longest_delay(options, 50) == timedelta(minutes=15)


@pytest.mark.parametrize("chance", [0.25, 0.999])
def test_a_retry_waits_for_its_share_of_the_backoff_to_the_millisecond(
    opened: Home, failing: FailingSource, time: Time, chance: float
) -> None:
    time.chance = chance
    failing.failures = {"Patient": [BUSY] * 3, "Observation": [BUSY] * 3}
    job_id = put(opened, time, retry_delay_ms=2000, max_retries=2)
    for seconds in (2, 4):
        report = attempt(opened, failing, time)
        job = job_of(opened, job_id)
        assert report is not None and report.status is JobStatus.RETRYING
        assert job.next_at == time.now + seconds * chance * timedelta(seconds=1)
        time.now = job.next_at - timedelta(milliseconds=1)
        assert attempt(opened, failing, time) is None
        time.now = job.next_at
    assert attempt(opened, failing, time) is not None
    assert job_of(opened, job_id).status is JobStatus.FAILED


def test_a_retry_keeps_what_was_done_and_reads_the_rest(opened: Home, failing: FailingSource, time: Time) -> None:
    failing.failures = {"Patient": [BUSY]}
    job_id = put(opened, time)
    first = attempt(opened, failing, time)
    assert first is not None and first.status is JobStatus.RETRYING
    assert first.outcomes["Observation"].created == 12

    time.passes(seconds=2)
    second = attempt(opened, failing, time)

    assert second is not None and (second.job_id, second.status, second.attempt) == (job_id, JobStatus.COMPLETED, 2)
    assert [list(request.resource_types) for request in failing.requests] == [["Observation", "Patient"], ["Patient"]]
    assert {name: one.extracted for name, one in second.outcomes.items()} == {"Patient": 12, "Observation": 12}
    assert {name: one.unaccounted for name, one in second.outcomes.items()} == {"Patient": 0, "Observation": 0}
    assert _count(opened, record) == 24


def test_what_cannot_pass_is_not_tried_again(opened: Home, failing: FailingSource, time: Time) -> None:
    failing.failures = {"Patient": [REFUSED]}
    job_id = put(opened, time)
    report = attempt(opened, failing, time)
    assert report is not None and report.status is JobStatus.FAILED
    assert moves_of(opened, job_id)[-1] is JobStatus.FAILED


def test_a_job_that_was_run_where_it_was_asked_is_not_tried_again_behind_the_askers_back(
    opened: Home, failing: FailingSource
) -> None:
    failing.failures = {"Patient": [BUSY]}
    report = run_sync(opened, SyncRequest("clinic"), adapter_for=lambda _: failing)
    assert report.status is JobStatus.FAILED


def test_a33_the_history_has_every_attempt_from_beginning_to_end(
    opened: Home, failing: FailingSource, time: Time
) -> None:
    failing.failures = {"Patient": [BUSY, BUSY, REFUSED]}
    job_id = put(opened, time)
    while (report := attempt(opened, failing, time)) is not None and report.status is JobStatus.RETRYING:
        time.passes(seconds=60)
    assert report is not None and report.status is JobStatus.FAILED
    retry(opened, job_id, "a person", clock=time.clock)
    last = attempt(opened, failing, time)

    assert last is not None and last.status is JobStatus.COMPLETED
    assert job_of(opened, job_id).attempt == 4
    history = history_of(opened, job_id)
    begun = [event for event in history if event.status is JobStatus.PROCESSING]
    assert [event.detail and event.detail["attempt"] for event in begun] == [1, 2, 3, 4]
    ended = [event.status for event in history if event.status in MOVES_OF_AN_ATTEMPT]
    assert ended == [
        JobStatus.RETRYING, JobStatus.RETRYING, JobStatus.FAILED, JobStatus.RETRYING, JobStatus.COMPLETED,
    ]  # fmt: skip
    leased = [event for event in history if event.kind == "leased"]
    assert len(leased) == 4 and len({event.detail["fence"] for event in leased if event.detail}) == 4
    codes = [
        event.detail["error_code"]
        for event in history
        if event.detail and event.status and "error_code" in event.detail
    ]
    assert codes == ["job.types_failed"] * 3
    assert [event.event_id for event in history] == sorted(event.event_id for event in history)


def test_a_failed_job_that_is_tried_again_by_hand_has_one_more_attempt(
    opened: Home, failing: FailingSource, time: Time
) -> None:
    failing.failures = {"Patient": [BUSY, BUSY]}
    job_id = put(opened, time, max_retries=0)
    assert (report := attempt(opened, failing, time)) and report.status is JobStatus.FAILED

    job = retry(opened, job_id, "a person", clock=time.clock)
    assert (job.status, job.attempt, job.finished_at, job.error_code) == (JobStatus.QUEUED, 2, None, None)
    assert (report := attempt(opened, failing, time)) and report.status is JobStatus.FAILED, "and no more than one"


# time and cancelling, at page boundaries


class AtPage:
    """Does something when the n-th batch has landed."""

    def __init__(self, number: int, deed: object) -> None:
        self._left, self._deed = number, deed

    def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None:
        if stage is Stage.EXTRACT:
            self._left -= 1
            if self._left == 0:
                assert callable(self._deed)
                self._deed()

    def ended(self, connection: str, stage: Stage, resource_type: str) -> None:
        return


@pytest.mark.parametrize("after", [1, 3])
def test_a32_a_cancelled_job_leaves_no_half_page(opened: Home, vendor: Vendor, time: Time, after: int) -> None:
    vendor.holds("Patient", [patient(n) for n in range(430)])
    vendor.page = 50
    job_id = put(opened, time)
    claim_next(opened, "w", clock=time.clock)
    stop = AtPage(after, lambda: cancel(opened, job_id, "a person", clock=time.clock))

    report = run_claimed(opened, job_id, "w", progress=stop, adapter_for=vendor.source, clock=time.clock)

    assert report.status is JobStatus.CANCELLED
    with opened.database.read() as transaction:
        progress = load_progress(transaction, job_id)
        visible = parts_of(transaction, job_id, Dataset.EXTRACT, "Patient")
    assert progress is not None and progress["adapter"] == {"type": "Patient", "line": 100 * after}
    assert sum(part.rows for part in visible) == 100 * after == report.total.extracted
    root = Path(opened.settings.resolved_landing_url)
    landed = {str(path.relative_to(root)) for path in root.rglob("*.parquet")}
    assert landed == {part.path for part in visible}, "no file of a page that does not count"
    assert _count(opened, record) == 0
    assert report.error_count == 0

    put(opened, time)
    again = attempt(opened, vendor.source(), time)
    assert again is not None and again.total.created == 430


def test_a_job_past_its_timeout_stops_at_a_page_and_goes_on_from_there(
    opened: Home, vendor: Vendor, time: Time
) -> None:
    vendor.holds("Patient", [patient(n) for n in range(430)])
    job_id = put(opened, time, timeout_ms=60_000)
    claim_next(opened, "w", clock=time.clock)
    late = AtPage(2, lambda: time.passes(seconds=61))

    report = run_claimed(opened, job_id, "w", progress=late, adapter_for=vendor.source, clock=time.clock)

    job = job_of(opened, job_id)
    assert (report.status, job.error_code, report.total.extracted) == (JobStatus.RETRYING, "job.timeout", 200)
    time.passes(minutes=1)
    again = attempt(opened, vendor.source(), time)
    assert again is not None and (again.status, again.total.created) == (JobStatus.COMPLETED, 430)
    assert again.total.extracted == 430, "what was read before was not read again"


def _count(home: Home, table: sa.Table) -> int:
    with home.database.read() as transaction:
        return int(transaction.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
