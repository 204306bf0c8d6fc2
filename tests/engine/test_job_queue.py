"""The queue: what is submitted is done once, in its turn, by one worker, and nothing waits for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.job_queue import cancel, claim_next, retry, run_claimed, submit
from holovitals_pipelines.engine.jobs import give_to_run, open_claimed, open_session
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError, ForbiddenMoveError, JobError
from holovitals_pipelines.model.job import JobOptions, SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType, Lane, Priority, Provider
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store import jobs, leases
from tests.engine.conftest import Vendor, patient
from tests.engine.queue_bench import Time, history_of, job_of, moves_of

NAMES = ("clinic", "ward", "lab")
CHANGES = SyncRequest("clinic")


@pytest.fixture
def settings(home: Path, database_url: str) -> Settings:
    declared = [ConnectionConfig(name=name, provider=Provider.FHIR, base_url="http://127.0.0.1:9") for name in NAMES]
    paused = ConnectionConfig(name="paused", provider=Provider.FHIR, base_url="http://127.0.0.1:9", enabled=False)
    save_connections(home / "connections.yaml", [*declared, paused])
    return Settings(home=home, database_url=database_url, batch_rows=100, commit_rows=100)


@pytest.fixture
def time() -> Time:
    return Time()


def put(home: Home, time: Time, connection: str = "clinic", priority: Priority = Priority.NORMAL, n: int = 0) -> str:
    """A job unlike any other: `n` distinguishes those of one connection."""
    request = SyncRequest(
        connection, JobType.PATIENT_SYNC, patients=(f"p{n}",), priority=priority, options=JobOptions(max_retries=n)
    )
    return submit(home, request, requested_by="a person", clock=time.clock).job_id


def take(home: Home, time: Time, worker: str = "w", lane: Lane | None = Lane.WORKER) -> str | None:
    job = claim_next(home, worker, lane=lane, clock=time.clock)
    return None if job is None else job.job_id


def finish(home: Home, time: Time, job_id: str) -> None:
    """As if its worker had done it."""
    with home.database.write() as transaction:
        leases.begin_work(transaction, job_id, "w", timedelta(minutes=1), time.now)
        jobs.move(transaction, job_id, JobStatus.COMPLETED, time.now)


# submitting


def test_a_submitted_job_waits_and_says_who_asked_for_it(opened: Home, time: Time) -> None:
    submitted = submit(opened, CHANGES, requested_by="a token", clock=time.clock)

    job = job_of(opened, submitted.job_id)
    assert not submitted.joined
    assert (job.status, job.requested_by, job.queued_at, job.lane) == (
        JobStatus.PENDING, "a token", time.now, Lane.WORKER,
    )  # fmt: skip
    [created] = history_of(opened, job.job_id)
    assert (created.kind, created.status, created.detail) == ("created", JobStatus.PENDING, {"by": "a token"})


def test_a_full_sync_is_for_dagsters_queue_unless_it_is_said_otherwise(opened: Home, time: Time) -> None:
    full = SyncRequest("clinic", JobType.FULL_SYNC)
    usual = submit(opened, full, requested_by="x", clock=time.clock)
    here = submit(opened, replace(full, connection="ward"), requested_by="x", lane=Lane.WORKER, clock=time.clock)
    assert [job_of(opened, one.job_id).lane for one in (usual, here)] == [Lane.DAGSTER, Lane.WORKER]


def test_an_identical_waiting_job_is_joined_and_the_higher_priority_counts(opened: Home, time: Time) -> None:
    first = submit(opened, replace(CHANGES, priority=Priority.LOW), requested_by="a schedule", clock=time.clock)
    second = submit(opened, replace(CHANGES, priority=Priority.CRITICAL), requested_by="a person", clock=time.clock)
    third = submit(opened, replace(CHANGES, priority=Priority.BACKGROUND), requested_by="a sensor", clock=time.clock)

    assert (second.job_id, second.joined) == (third.job_id, True) == (first.job_id, third.joined)
    assert job_of(opened, first.job_id).priority is Priority.CRITICAL
    joined = [event.detail for event in history_of(opened, first.job_id) if event.kind == "joined"]
    assert joined == [{"by": "a person", "priority": 1}, {"by": "a sensor", "priority": 5}]


@pytest.mark.parametrize(
    "other",
    [
        replace(CHANGES, connection="ward"),
        replace(CHANGES, resource_types=("Patient",)),
        replace(CHANGES, options=JobOptions(max_retries=9)),
        SyncRequest("clinic", JobType.PATIENT_SYNC, patients=("p1",)),
    ],
    ids=["connection", "types", "options", "patient"],
)
def test_a_job_that_asks_for_something_else_is_another_job(opened: Home, time: Time, other: SyncRequest) -> None:
    first = submit(opened, CHANGES, requested_by="x", clock=time.clock)
    second = submit(opened, other, requested_by="x", clock=time.clock)
    assert not second.joined and second.job_id != first.job_id


def test_a_job_that_has_begun_is_not_joined_for_it_may_have_read_already(opened: Home, time: Time) -> None:
    first = submit(opened, CHANGES, requested_by="x", clock=time.clock)
    assert take(opened, time) == first.job_id
    assert submit(opened, CHANGES, requested_by="x", clock=time.clock).job_id == first.job_id, "given out, not begun"
    with opened.database.write() as transaction:
        leases.begin_work(transaction, first.job_id, "w", timedelta(minutes=1), time.now)
    assert submit(opened, CHANGES, requested_by="x", clock=time.clock).job_id != first.job_id


def test_an_idempotency_key_means_its_first_job_for_ever(opened: Home, time: Time) -> None:
    first = submit(opened, CHANGES, requested_by="x", idempotency_key="k-1", clock=time.clock)
    take(opened, time)
    finish(opened, time, first.job_id)

    again = submit(opened, CHANGES, requested_by="x", idempotency_key="k-1", clock=time.clock)
    assert (again.job_id, again.joined) == (first.job_id, True)
    with pytest.raises(JobError) as raised:
        submit(opened, SyncRequest("ward"), requested_by="x", idempotency_key="k-1", clock=time.clock)
    assert raised.value.code == "job.idempotency_conflict"
    other = submit(opened, CHANGES, requested_by="x", idempotency_key="k-2", clock=time.clock)
    assert other.job_id != first.job_id


@pytest.mark.parametrize(("database_url", "key"), [("sqlite", None), ("postgresql", "k-1")], indirect=["database_url"])
def test_many_who_ask_for_the_same_at_once_get_one_job(opened: Home, key: str | None) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(submit, opened, CHANGES, requested_by=f"n{n}", idempotency_key=key) for n in range(16)]
        got = [one.result() for one in asked]
    assert len({one.job_id for one in got}) == 1
    assert [one.joined for one in got].count(False) == 1


def test_a_key_sticks_to_the_waiting_job_it_joined(opened: Home, time: Time) -> None:
    waiting = submit(opened, CHANGES, requested_by="a schedule", clock=time.clock)
    keyed = submit(opened, CHANGES, requested_by="x", idempotency_key="k-1", clock=time.clock)
    other = submit(opened, CHANGES, requested_by="x", idempotency_key="k-2", clock=time.clock)
    assert (keyed.job_id, keyed.joined, other.joined) == (waiting.job_id, True, False)
    take(opened, time)
    finish(opened, time, waiting.job_id)
    assert submit(opened, CHANGES, requested_by="x", idempotency_key="k-1", clock=time.clock).job_id == waiting.job_id


def test_what_cannot_be_done_is_refused_when_it_is_asked_for(opened: Home) -> None:
    for request, code in (
        (SyncRequest("nowhere"), "settings.connection_unknown"),
        (SyncRequest("clinic", JobType.PATIENT_SYNC), "job.unfit_request"),
        (replace(CHANGES, options=JobOptions(batch_size=0)), "job.unfit_request"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            submit(opened, request, requested_by="x")
        assert raised.value.code == code
    for key in ("", "k" * 201):
        with pytest.raises(ConfigurationError):
            submit(opened, CHANGES, requested_by="x", idempotency_key=key)


# whose turn it is


def test_the_highest_priority_goes_first_and_the_longest_wait_within_it(opened: Home, time: Time) -> None:
    low = put(opened, time, "clinic", Priority.LOW)
    time.passes(seconds=1)
    normal = put(opened, time, "ward")
    time.passes(seconds=1)
    late = put(opened, time, "lab")
    time.passes(seconds=1)
    critical = put(opened, time, "clinic", Priority.CRITICAL, 1)

    order = []
    while (job_id := take(opened, time)) is not None:
        order.append(job_id)
        finish(opened, time, job_id)
    assert order == [critical, normal, late, low]


def test_a_waiting_job_rises_by_one_class_every_ten_minutes(opened: Home, time: Time) -> None:
    old = put(opened, time, "clinic", Priority.LOW)
    time.passes(minutes=10, seconds=-1)
    young = put(opened, time, "ward")
    assert take(opened, time) == young, "4 is still below 3"
    time.passes(seconds=1)
    younger = put(opened, time, "lab")
    assert take(opened, time) == old, "3 beside 3, and it has waited longer"
    assert take(opened, time) == younger


def test_a31_a_background_job_starts_within_forty_minutes_whatever_keeps_coming(opened: Home, time: Time) -> None:
    """One worker, and a critical job more every minute, each of which takes a minute: there is always one waiting."""
    numbers = iter(range(1, 100))
    background = put(opened, time, "clinic", Priority.BACKGROUND)
    put(opened, time, "clinic", Priority.CRITICAL, next(numbers))
    began, waiting_beside_it = time.now, 0
    while (job_id := take(opened, time)) != background:
        assert job_id is not None
        put(opened, time, "clinic", Priority.CRITICAL, next(numbers))
        time.passes(minutes=1)
        finish(opened, time, job_id)
        waiting_beside_it += 1
        assert time.now - began <= timedelta(minutes=41), "it starves"
    assert time.now - began == timedelta(minutes=40) and waiting_beside_it == 40


def test_a_connection_is_given_to_one_worker_at_a_time(opened: Home, time: Time) -> None:
    first = put(opened, time, n=1)
    time.passes(seconds=1)
    second, elsewhere = put(opened, time, n=2), put(opened, time, "ward", n=3)
    assert [take(opened, time) for _ in range(3)] == [first, elsewhere, None]
    with opened.database.write() as transaction:
        leases.begin_work(transaction, first, "w", timedelta(minutes=1), time.now)
    assert take(opened, time) is None, "at work is no different from given out"
    with opened.database.write() as transaction:
        jobs.move(transaction, first, JobStatus.COMPLETED, time.now)
    assert take(opened, time) == second


def test_each_lane_takes_its_own(opened: Home, time: Time) -> None:
    submit(opened, SyncRequest("clinic", JobType.FULL_SYNC), requested_by="x", clock=time.clock)
    assert take(opened, time) is None
    job = claim_next(opened, "the queue sensor", lane=Lane.DAGSTER, clock=time.clock)
    assert job is not None
    assert (job.status, job.dispatched_to, job.dispatched_at) == (JobStatus.QUEUED, "the queue sensor", time.now)


def test_jobs_of_a_paused_connection_wait(opened: Home, time: Time) -> None:
    put(opened, time, "paused")
    assert take(opened, time) is None


@pytest.mark.parametrize(("database_url", "workers"), [("sqlite", 2), ("postgresql", 3)], indirect=["database_url"])
def test_several_processes_never_get_the_same_job(settings: Settings, time: Time, workers: int) -> None:
    with open_home(settings) as home:
        made = {put(home, time, NAMES[n % 3], Priority(n % 5 + 1), n) for n in range(30)}
    claimed = list(_claim_together(settings, workers))

    every = [job_id for one in claimed for job_id in one]
    assert len(every) == len(made) and set(every) == made
    assert all(claimed), "each of them worked"
    with open_home(settings) as home:
        assert all(moves_of(home, job_id).count(JobStatus.PROCESSING) == 1 for job_id in made)


def _claim_together(settings: Settings, workers: int) -> Iterator[list[str]]:
    environment = os.environ | {"HOLOVITALS_DATABASE_URL": settings.resolved_database_url}
    command = [sys.executable, "-m", "tests.engine.claiming_worker", str(settings.home)]
    running = [
        subprocess.Popen(
            [*command, f"w{n}"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(workers)
    ]  # fmt: skip
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n", process.communicate()[1]
    _tell(running, "go")
    first = [process.stdout.readline() for process in running if process.stdout is not None]
    _tell(running, "go on")
    for process, job_id in zip(running, first, strict=True):
        said, wrong = process.communicate(timeout=60)
        assert process.returncode == 0, wrong
        yield (job_id + said).split()


def _tell(running: list[subprocess.Popen[str]], word: str) -> None:
    for process in running:
        assert process.stdin is not None
        process.stdin.write(word + "\n")
        process.stdin.flush()


# doing


def test_a_claimed_job_is_done_by_its_worker(opened: Home, vendor: Vendor, time: Time) -> None:
    vendor.holds("Patient", [patient(n) for n in range(3)])
    job_id = submit(opened, CHANGES, requested_by="x", clock=time.clock).job_id
    take(opened, time)

    report = run_claimed(opened, job_id, "w", adapter_for=vendor.source, clock=time.clock)

    assert (report.status, report.total.created) == (JobStatus.COMPLETED, 3)
    assert moves_of(opened, job_id) == [
        JobStatus.PENDING, JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.COMPLETED,
    ]  # fmt: skip


def test_only_the_worker_that_has_it_may_begin_a_job(opened: Home, time: Time) -> None:
    job_id = put(opened, time)
    take(opened, time, "one")
    with pytest.raises(JobError) as raised, open_claimed(opened, job_id, worker="another", clock=time.clock):
        pass
    assert raised.value.code == "job.not_waiting"
    assert run_claimed(opened, job_id, "another", clock=time.clock).status is JobStatus.QUEUED
    assert job_of(opened, job_id).dispatched_to == "one"


def test_a_connection_that_turns_out_busy_gives_the_job_back(opened: Home, vendor: Vendor, time: Time) -> None:
    job_id = put(opened, time)
    take(opened, time)
    with opened.database.write() as transaction:
        other = jobs.create_job(transaction, CHANGES, Provider.FHIR, time.now)
        leases.begin_work(transaction, other.job_id, "a person's sync", timedelta(minutes=1), time.now)

    report = run_claimed(opened, job_id, "w", adapter_for=vendor.source, clock=time.clock)

    job = job_of(opened, job_id)
    assert (report.status, job.dispatched_to, job.next_at) == (JobStatus.QUEUED, None, time.now + timedelta(seconds=2))
    with opened.database.write() as transaction:
        jobs.move(transaction, other.job_id, JobStatus.COMPLETED, time.now)
    assert take(opened, time) is None, "not before its time"
    time.passes(seconds=2)
    assert take(opened, time) == job_id


# cancelling and trying again, when somebody says so


def test_cancelling_a_job_that_waits_ends_it_and_nobody_gets_it(opened: Home, time: Time) -> None:
    waiting, given = put(opened, time), put(opened, time, "ward")
    assert cancel(opened, waiting, "a person", clock=time.clock).status is JobStatus.CANCELLED
    assert take(opened, time) == given
    assert cancel(opened, given, "a person", clock=time.clock).status is JobStatus.CANCELLED
    with pytest.raises(JobError), open_claimed(opened, given, worker="w", clock=time.clock):
        pass
    assert take(opened, time) is None
    assert history_of(opened, waiting)[-1].detail == {"from": "PENDING", "by": "a person"}
    with pytest.raises(ForbiddenMoveError):
        cancel(opened, waiting, "a person", clock=time.clock)


def test_only_a_failed_job_is_tried_again(opened: Home, time: Time) -> None:
    job_id = put(opened, time)
    with pytest.raises(JobError) as raised:
        retry(opened, job_id, "a person", clock=time.clock)
    assert raised.value.code == "job.not_failed"
    take(opened, time)
    finish(opened, time, job_id)
    with pytest.raises(JobError):
        retry(opened, job_id, "a person", clock=time.clock)


def test_a_job_cancelled_before_its_run_begins_is_not_done_under_another_name(opened: Home, time: Time) -> None:
    job_id = put(opened, time)
    give_to_run(opened, job_id, "clinic", "run")
    cancel(opened, job_id, "somebody")
    refused = pytest.raises(JobError, match="cancelled")
    with refused, open_session(opened, SyncRequest("clinic"), owner="w", run_id="run"):
        pytest.fail("it was begun")
    with opened.database.read() as transaction:
        assert [one.job_id for one in jobs.list_jobs(transaction)] == [job_id]
