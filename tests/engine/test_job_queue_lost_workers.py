"""Jobs whose worker or run is killed, sleeps or hangs: they are found, and whoever had them writes nothing more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import cancel, claim_next, submit
from holovitals_pipelines.engine.job_sweep import sweep
from holovitals_pipelines.engine.jobs import end_job_of_run, give_to_run
from holovitals_pipelines.model.errors import HoloVitalsError, JobError
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType, Lane
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store import jobs, leases
from holovitals_pipelines.store.tables import landing_part, link, record, shadow, sync_job
from tests.engine.conftest import Vendor, observation, patient
from tests.engine.queue_bench import Time, attempt, job_of, moves_of, put


@pytest.fixture
def time() -> Time:
    return Time(now=datetime.now(UTC))


@pytest.fixture
def full_vendor(vendor: Vendor) -> Vendor:
    vendor.holds("Patient", [patient(n) for n in range(120)])
    vendor.holds("Observation", [observation(n) for n in range(120)])
    return vendor


@contextmanager
def worker(settings: Settings, vendor: Vendor, *deed: str) -> Iterator[subprocess.Popen[str]]:
    """A process that does a full sync of the clinic, and stops or kills itself on the way."""
    environment = os.environ | {"HOLOVITALS_DATABASE_URL": settings.resolved_database_url}
    command = [sys.executable, "-m", "tests.engine.killed_worker", str(settings.home), str(vendor.folder), *deed]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a30_a_worker_that_was_only_asleep_writes_nothing_more(
    settings: Settings, opened: Home, full_vendor: Vendor, time: Time
) -> None:
    with worker(settings, full_vendor, "reconcile", "1", "SIGSTOP") as zombie:
        _, status = os.waitpid(zombie.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        [job_id] = _job_ids(opened)
        time.now = datetime.now(UTC)
        assert sweep(opened, clock=time.clock).recovered == [], "its lease has not run out"
        time.passes(minutes=2)
        report = attempt(opened, full_vendor.source(), time)
        assert report is not None and (report.status, report.attempt) == (JobStatus.COMPLETED, 2)
        before = _everything(opened)

        os.kill(zombie.pid, signal.SIGCONT)
        _, wrong = zombie.communicate(timeout=60)

    assert zombie.returncode != 0 and "job.lease_lost" in wrong
    assert _everything(opened) == before
    assert {_count(opened, table) for table in (record, link, shadow)} == {240}
    assert (report.job_id, report.total.created, report.total.unaccounted) == (job_id, 240, 0)


def test_the_job_of_a_killed_worker_is_found_and_finished_by_another(
    settings: Settings, opened: Home, full_vendor: Vendor, time: Time
) -> None:
    with worker(settings, full_vendor, "extract", "2", "SIGKILL") as killed:
        killed.communicate(timeout=60)
    [job_id] = _job_ids(opened)
    time.now = datetime.now(UTC)

    swept = sweep(opened, clock=time.clock)
    assert swept.recovered == [job_id] == swept.waiting_again, "its process is gone: nobody waits for the lease"
    report = attempt(opened, full_vendor.source(), time)

    assert report is not None and (report.job_id, report.status, report.attempt) == (job_id, JobStatus.COMPLETED, 2)
    assert (report.total.extracted, report.total.created, report.total.unaccounted) == (240, 240, 0)
    assert Counter(moves_of(opened, job_id))[JobStatus.PROCESSING] == 2


def test_a_job_that_loses_every_worker_fails_in_the_end(opened: Home, time: Time) -> None:
    job_id = put(opened, time, max_retries=1)
    for ended in (False, True):
        sweep(opened, clock=time.clock)
        claim_next(opened, "w", clock=time.clock)
        with opened.database.write() as transaction:
            leases.begin_work(transaction, job_id, "elsewhere/1/2/3", timedelta(minutes=1), time.now)
        time.passes(minutes=2)
        assert (job_id in sweep(opened, clock=time.clock).ended) is ended
    job = job_of(opened, job_id)
    assert (job.status, job.error_code, job.attempt) == (JobStatus.FAILED, "job.worker_lost", 2)


def test_a_worker_that_hangs_past_the_timeout_is_fenced_off(opened: Home, time: Time) -> None:
    job_id = put(opened, time, timeout_ms=60_000)
    claim_next(opened, "w", clock=time.clock)
    with opened.database.write() as transaction:
        fence = leases.begin_work(transaction, job_id, "w", timedelta(hours=1), time.now)
    time.passes(seconds=119)
    assert sweep(opened, clock=time.clock).recovered == [], "it has a lease time to stop by itself"
    time.passes(seconds=1)
    assert sweep(opened, clock=time.clock).recovered == [job_id]
    assert job_of(opened, job_id).error_code == "job.timeout"
    with pytest.raises(JobError), opened.database.write() as transaction:
        jobs.assert_fence(transaction, job_id, fence)


def test_a_cancelled_job_whose_worker_is_lost_ends_cancelled(opened: Home, time: Time) -> None:
    job_id = put(opened, time)
    claim_next(opened, "w", clock=time.clock)
    with opened.database.write() as transaction:
        leases.begin_work(transaction, job_id, "elsewhere/1/2/3", timedelta(minutes=1), time.now)
    assert cancel(opened, job_id, "a person", clock=time.clock).status is JobStatus.PROCESSING
    time.passes(minutes=2)
    assert sweep(opened, clock=time.clock).ended == [job_id]
    assert job_of(opened, job_id).status is JobStatus.CANCELLED


def test_a_job_given_to_a_worker_that_never_begins_waits_again_and_fails_after_the_fifth(
    opened: Home, time: Time
) -> None:
    job_id = put(opened, time)
    for _ in range(5):
        assert claim_next(opened, "elsewhere", clock=time.clock) is not None
        assert sweep(opened, clock=time.clock).given_back == [], "it may be about to begin"
        time.passes(minutes=2)
        assert sweep(opened, clock=time.clock).given_back == [job_id]
        time.passes(minutes=15)
    claim_next(opened, "elsewhere", clock=time.clock)
    time.passes(minutes=2)
    assert sweep(opened, clock=time.clock).ended == [job_id]
    assert job_of(opened, job_id).status is JobStatus.FAILED


# Dagster's runs


def _given_to_a_run(home: Home, time: Time, run_id: str, *, begun: bool) -> str:
    job_id = submit(home, SyncRequest("clinic", JobType.FULL_SYNC), requested_by="x", clock=time.clock).job_id
    claim_next(home, "the queue sensor", lane=Lane.DAGSTER, clock=time.clock)
    give_to_run(home, job_id, "clinic", run_id)
    if begun:
        with home.database.write() as transaction:
            leases.begin_work(transaction, job_id, "elsewhere/1/2/3", timedelta(minutes=1), time.now)
    return job_id


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_of_a_run_is_left_alone_by_who_does_not_know_dagster(opened: Home, time: Time, begun: bool) -> None:
    job_id = _given_to_a_run(opened, time, "run-1", begun=begun)
    time.passes(hours=1)
    assert sweep(opened, clock=time.clock) == sweep(opened, has_live_run=lambda _: True, clock=time.clock)
    swept = sweep(opened, has_live_run=lambda job: job.run_id != "run-1", clock=time.clock)
    assert (swept.recovered if begun else swept.given_back) == [job_id]


def _failure(code: str) -> HoloVitalsError:
    return JobError("the run is over", code=code)


def test_the_job_of_a_run_that_died_is_tried_again_and_of_a_cancelled_run_is_cancelled(
    opened: Home, time: Time
) -> None:
    job_id = _given_to_a_run(opened, time, "run-1", begun=False)
    assert end_job_of_run(opened, "another run", _failure("job.run_died")) is None
    end_job_of_run(opened, "run-1", _failure("job.run_died"))
    assert (job_of(opened, job_id).status, job_of(opened, job_id).dispatched_to) == (JobStatus.QUEUED, None)

    time.passes(minutes=1)
    with opened.database.write() as transaction:
        jobs.change_job(transaction, job_id, {"next_at": None})
    claim_next(opened, "the queue sensor", lane=Lane.DAGSTER, clock=time.clock)
    give_to_run(opened, job_id, "clinic", "run-2")
    with opened.database.write() as transaction:
        leases.begin_work(transaction, job_id, "elsewhere/1/2/3", timedelta(minutes=-5), time.now)
    report = end_job_of_run(opened, "run-2", _failure("job.run_died"))
    assert report is not None and report.status is JobStatus.RETRYING
    end_job_of_run(opened, "run-2", _failure("job.run_died"))
    assert job_of(opened, job_id).status is JobStatus.RETRYING, "told twice, done once"

    end_job_of_run(opened, "run-2", _failure("job.cancelled"))
    assert job_of(opened, job_id).status is JobStatus.CANCELLED


def test_a_run_that_ended_long_ago_says_nothing_of_the_attempt_after_it(opened: Home, time: Time) -> None:
    job_id = _given_to_a_run(opened, time, "run-1", begun=True)
    time.passes(minutes=2)
    sweep(opened, has_live_run=lambda _: False, clock=time.clock)
    claim_next(opened, "the queue sensor", lane=Lane.DAGSTER, clock=time.clock)
    before = job_of(opened, job_id)

    end_job_of_run(opened, "run-1", _failure("job.run_died"))
    assert job_of(opened, job_id) == before and before.dispatched_to == "the queue sensor"


def test_a_job_of_a_run_that_is_between_two_steps_is_asked_to_stop_and_not_ended_behind_its_back(
    opened: Home, time: Time
) -> None:
    job_id = _given_to_a_run(opened, time, "run-1", begun=True)
    time.passes(hours=1)
    job = cancel(opened, job_id, "a person", clock=time.clock)
    assert (job.status, job.cancel_requested) == (JobStatus.PROCESSING, True)


def test_a_run_that_is_cancelled_before_it_begins_cancels_the_job_it_was_told_to_do(opened: Home, time: Time) -> None:
    job_id = put(opened, time)
    claim_next(opened, "the queue sensor", clock=time.clock)
    end_job_of_run(opened, "run-1", _failure("job.cancelled"), job_id)
    assert job_of(opened, job_id).status is JobStatus.CANCELLED


def _job_ids(home: Home) -> list[str]:
    with home.database.read() as transaction:
        return list(transaction.execute(sa.select(sync_job.c.job_id)).scalars())


def _count(home: Home, table: sa.Table) -> int:
    with home.database.read() as transaction:
        return int(transaction.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _everything(home: Home) -> str:
    with home.database.read() as transaction:
        tables = (record, link, shadow, landing_part, sync_job)
        rows = [[tuple(row) for row in transaction.execute(sa.select(table))] for table in tables]
    return json.dumps(rows, default=str, sort_keys=True)
