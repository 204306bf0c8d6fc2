from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
import sqlalchemy as sa

from holovitals_pipelines.model.errors import ForbiddenMoveError, JobBusyError, JobError, StoreError
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.job import SyncRequest, request_from
from holovitals_pipelines.model.vocabulary import (
    ALLOWED_MOVES,
    ChangeMechanism,
    ErrorSeverity,
    JobStatus,
    JobType,
    Provider,
    Stage,
)
from holovitals_pipelines.store import errors, jobs, leases, parts, stages
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.jobs import Job
from holovitals_pipelines.store.tables import sync_job

TTL = timedelta(seconds=60)
NewJob = Callable[..., Job]

ROADS = {
    JobStatus.PENDING: [],
    JobStatus.QUEUED: [JobStatus.QUEUED],
    JobStatus.PROCESSING: [JobStatus.PROCESSING],
    JobStatus.COMPLETED: [JobStatus.PROCESSING, JobStatus.COMPLETED],
    JobStatus.FAILED: [JobStatus.PROCESSING, JobStatus.FAILED],
    JobStatus.CANCELLED: [JobStatus.CANCELLED],
    JobStatus.RETRYING: [JobStatus.PROCESSING, JobStatus.RETRYING],
}
"""How a new job comes to each status."""


def test_a29_every_move_outside_the_state_machine_is_refused(
    database: Database, new_job: NewJob, now: datetime
) -> None:
    for source, target in product(JobStatus, JobStatus):
        with database.write() as transaction:
            job_id = new_job(transaction).job_id
            for step in ROADS[source]:
                jobs.move(transaction, job_id, step, now)
            before = len(jobs.history(transaction, job_id))
            if target in ALLOWED_MOVES[source]:
                assert jobs.move(transaction, job_id, target, now).status is target
                assert len(jobs.history(transaction, job_id)) == before + 1
            else:
                with pytest.raises(ForbiddenMoveError) as raised:
                    jobs.move(transaction, job_id, target, now)
                assert raised.value.code == "job.forbidden_move"
                assert jobs.get_job(transaction, job_id).status is source
                assert len(jobs.history(transaction, job_id)) == before


def test_the_documented_moves_are_the_allowed_ones() -> None:
    page = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^ +([A-Z]+) --> ([A-Z]+)", page, re.MULTILINE))
    assert drawn == {(source.value, target.value) for source, targets in ALLOWED_MOVES.items() for target in targets}


def test_the_history_holds_every_change_in_order(database: Database, new_job: NewJob, now: datetime) -> None:
    failure = StoreError("the disk is full", code="store.disk")
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        jobs.move(transaction, job_id, JobStatus.QUEUED, now)
        fence = leases.begin_work(transaction, job_id, "host:1:a", TTL, now)
        stages.begin_stage(transaction, job_id, "Patient", Stage.EXTRACT, now)
        stages.end_stage(transaction, job_id, "Patient", Stage.EXTRACT, now, error=failure)
        jobs.move(transaction, job_id, JobStatus.FAILED, now, error=failure)
        jobs.move(transaction, job_id, JobStatus.RETRYING, now)
        leases.begin_work(transaction, job_id, "host:1:b", TTL, now)
        jobs.move(transaction, job_id, JobStatus.COMPLETED, now)
    with database.read() as transaction:
        history = jobs.history(transaction, job_id)
    assert [(event.kind, event.status) for event in history] == [
        ("created", JobStatus.PENDING),
        ("moved", JobStatus.QUEUED),
        ("moved", JobStatus.PROCESSING),
        ("leased", None),
        ("stage", None),
        ("stage", None),
        ("moved", JobStatus.FAILED),
        ("moved", JobStatus.RETRYING),
        ("moved", JobStatus.PROCESSING),
        ("leased", None),
        ("moved", JobStatus.COMPLETED),
    ]
    assert history[6].detail == {
        "from": "PROCESSING",
        "error_code": "store.disk",
        "error_message": "the disk is full",
    }
    assert history[3].detail == {"owner": "host:1:a", "fence": fence}
    assert all(event.at == now for event in history)


def test_a_job_reads_back_as_it_was_asked_for(database: Database, now: datetime) -> None:
    request = SyncRequest("epic", JobType.PATIENT_SYNC, ("Patient", "Observation"), ("p-1",), window=(now - TTL, now))
    with database.write() as transaction:
        made = jobs.create_job(transaction, request, Provider.EPIC, now, run_id="run-1")
    with database.read() as transaction:
        job = jobs.get_job(transaction, made.job_id)
    assert job == made
    assert request_from(job.request) == request
    assert (job.status, job.attempt, job.fence, job.resource_types) == (
        JobStatus.PENDING, 1, 0, ("Patient", "Observation"),
    )  # fmt: skip
    assert job.created_at == now and job.started_at is None


def test_times_errors_and_attempts_follow_the_moves(database: Database, new_job: NewJob, now: datetime) -> None:
    failure = StoreError("no", code="store.disk")
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        leases.begin_work(transaction, job_id, "w", TTL, now)
        failed = jobs.move(transaction, job_id, JobStatus.FAILED, now + TTL, error=failure)
        assert (failed.started_at, failed.finished_at, failed.error_code) == (now, now + TTL, "store.disk")
        assert failed.owner is None and failed.lease_until is None
        again = jobs.move(transaction, job_id, JobStatus.RETRYING, now + 2 * TTL)
        assert (again.attempt, again.finished_at, again.error_code) == (2, None, None)


def test_an_unknown_job_is_an_error(database: Database) -> None:
    with database.read() as transaction, pytest.raises(JobError) as raised:
        jobs.get_job(transaction, "nothing")
    assert raised.value.code == "job.unknown"


def test_jobs_are_listed_newest_first_by_pages_and_filters(database: Database, new_job: NewJob, now: datetime) -> None:
    with database.write() as transaction:
        made = [new_job(transaction, "epic" if n % 2 else "lab", now + TTL * (n // 2)).job_id for n in range(10)]
        jobs.move(transaction, made[3], JobStatus.QUEUED, now)
    with database.read() as transaction:
        pages, before = [], None
        while page := jobs.list_jobs(transaction, limit=3, before=before):
            pages.append([job.job_id for job in page])
            before = page[-1].job_id
        assert [len(page) for page in pages] == [3, 3, 3, 1]
        listed = [job_id for page in pages for job_id in page]
        assert sorted(listed) == sorted(made)
        assert set(listed[:2]) == set(made[8:])
        epic = jobs.list_jobs(transaction, connection="epic")
        assert [job.job_id for job in epic] == [made[n] for n in (9, 7, 5, 3, 1)]
        queued = jobs.list_jobs(transaction, statuses=[JobStatus.QUEUED, JobStatus.FAILED])
        assert [job.job_id for job in queued] == [made[3]]
        assert jobs.list_jobs(transaction, types=[JobType.FULL_SYNC]) == []
        assert jobs.list_jobs(transaction, run_id="nothing") == []


def test_a_zombie_s_late_write_is_refused(database: Database, new_job: NewJob, now: datetime) -> None:
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        zombie = leases.begin_work(transaction, job_id, "host:1:a", TTL, now)
    later = now + 2 * TTL
    with database.write() as transaction:
        heir = leases.begin_work(transaction, job_id, "host:2:b", TTL, later)
    assert heir == zombie + 1
    with pytest.raises(JobError) as raised, database.write() as transaction:
        stages.begin_stage(transaction, job_id, "Patient", Stage.EXTRACT, later)
        jobs.assert_fence(transaction, job_id, zombie)
    assert raised.value.code == "job.lease_lost"
    for attempt in (leases.renew_lease, lambda *a: leases.release_lease(a[0], a[1], a[2], a[4])):
        with pytest.raises(JobError), database.write() as transaction:
            attempt(transaction, job_id, zombie, TTL, later)
    with database.write() as transaction:
        jobs.assert_fence(transaction, job_id, heir)
        assert stages.stages_of(transaction, job_id) == []  # the zombie's transaction left nothing


def test_a_job_ended_by_somebody_else_takes_no_more_writes(database: Database, new_job: NewJob, now: datetime) -> None:
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        fence = leases.begin_work(transaction, job_id, "w", TTL, now)
        jobs.move(transaction, job_id, JobStatus.CANCELLED, now)
        with pytest.raises(JobError):
            jobs.assert_fence(transaction, job_id, fence)
        with pytest.raises(JobError):
            leases.renew_lease(transaction, job_id, fence, TTL, now)


def test_a_held_job_is_not_taken_before_its_lease_has_run_out(
    database: Database, new_job: NewJob, now: datetime
) -> None:
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        leases.begin_work(transaction, job_id, "a", TTL, now)
        with pytest.raises(JobBusyError) as raised:
            leases.take_lease(transaction, job_id, "b", TTL, now + TTL - timedelta(milliseconds=1))
        assert raised.value.code == "job.held"
        assert leases.find_unfinished(transaction, "epic", now) == []
        assert [job.job_id for job in leases.find_unfinished(transaction, "epic", now + TTL)] == [job_id]
        assert leases.take_lease(transaction, job_id, "b", TTL, now + TTL) == 2


def test_a_renewed_lease_holds_on_and_a_released_one_is_free_at_once(
    database: Database, new_job: NewJob, now: datetime
) -> None:
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        fence = leases.begin_work(transaction, job_id, "a", TTL, now)
        leases.renew_lease(transaction, job_id, fence, TTL, now + TTL / 2)
        with pytest.raises(JobBusyError):
            leases.take_lease(transaction, job_id, "b", TTL, now + TTL)
        leases.release_lease(transaction, job_id, fence, now + TTL)
        assert leases.begin_work(transaction, job_id, "b", TTL, now + TTL) == fence + 1
        assert jobs.history(transaction, job_id)[-1].kind == "resumed"


def test_a_connection_has_one_live_job(database: Database, new_job: NewJob, now: datetime) -> None:
    with database.write() as transaction:
        first, second = new_job(transaction), new_job(transaction)
        elsewhere = new_job(transaction, "lab")
        dead_fence = leases.begin_work(transaction, first.job_id, "a", TTL, now)
        leases.begin_work(transaction, elsewhere.job_id, "a", TTL, now)  # other connections go on
        with pytest.raises(JobBusyError) as raised:
            leases.begin_work(transaction, second.job_id, "b", TTL, now + TTL / 2)
        assert first.job_id in str(raised.value) and raised.value.code == "job.connection_busy"
        assert jobs.get_job(transaction, second.job_id).status is JobStatus.PENDING
    with database.write() as transaction:
        leases.begin_work(transaction, second.job_id, "b", TTL, now + TTL)
    # The first job's worker was only slow: it wakes up beside the second job, and may not write.
    with database.write() as transaction, pytest.raises(JobError):
        jobs.assert_fence(transaction, first.job_id, dead_fence)
    with database.write() as transaction:
        with pytest.raises(JobBusyError):
            leases.begin_work(transaction, first.job_id, "a", TTL, now + TTL)
        assert [job.job_id for job in leases.find_unfinished(transaction, "epic", now + TTL)] == [first.job_id]


def test_a_broken_lease_fences_its_worker_off(database: Database, new_job: NewJob, now: datetime) -> None:
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        fence = leases.begin_work(transaction, job_id, "a", TTL, now)
        leases.break_lease(transaction, job_id, now)
        with pytest.raises(JobError):
            jobs.assert_fence(transaction, job_id, fence)
        assert leases.begin_work(transaction, job_id, "b", TTL, now) > fence


def test_cancelling_ends_what_waits_and_asks_what_runs(database: Database, new_job: NewJob, now: datetime) -> None:
    with database.write() as transaction:
        waiting, running, crashed = (new_job(transaction, name) for name in ("one", "two", "three"))
        for job in (running, crashed):
            leases.begin_work(transaction, job.job_id, "w", TTL, now if job is running else now - 2 * TTL)
        assert jobs.request_cancel(transaction, waiting.job_id, now).status is JobStatus.CANCELLED
        assert jobs.request_cancel(transaction, crashed.job_id, now).status is JobStatus.CANCELLED
        for _ in range(2):
            asked = jobs.request_cancel(transaction, running.job_id, now)
            assert asked.status is JobStatus.PROCESSING and asked.cancel_requested
        assert [e.kind for e in jobs.history(transaction, running.job_id)].count("cancel_requested") == 1
        with pytest.raises(ForbiddenMoveError):
            jobs.request_cancel(transaction, waiting.job_id, now)


def test_an_interrupted_stage_goes_on_counting_and_a_restarted_one_begins_anew(
    database: Database, new_job: NewJob, now: datetime
) -> None:
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        stages.begin_stage(transaction, job_id, "Patient", Stage.EXTRACT, now, mechanism=ChangeMechanism.LAST_UPDATED)
        stages.add_counts(transaction, job_id, "Patient", Stage.EXTRACT, {"extracted": 10, "bytes": 5}, 1.5)
    with database.write() as transaction:
        stages.begin_stage(transaction, job_id, "Patient", Stage.EXTRACT, now + TTL)
        stages.add_counts(transaction, job_id, "Patient", Stage.EXTRACT, {"extracted": 3}, 0.5)
        stages.end_stage(
            transaction, job_id, "Patient", Stage.EXTRACT, now + TTL, watermark=now, snapshot=True, busy_seconds=1.0
        )
        (row,) = stages.stages_of(transaction, job_id)
        assert row.counts == {"extracted": 13, "bytes": 5}
        assert (row.state, row.busy_seconds, row.watermark, row.snapshot) == ("done", 3.0, now, True)
        assert (row.started_at, row.finished_at, row.mechanism) == (now, now + TTL, "last_updated")
        stages.begin_stage(transaction, job_id, "Patient", Stage.EXTRACT, now + TTL, restart=True)
        (row,) = stages.stages_of(transaction, job_id)
        assert (row.counts, row.busy_seconds, row.started_at, row.state) == ({}, 0.0, now + TTL, "running")


def test_a_stage_that_was_not_begun_cannot_be_counted_or_ended(
    database: Database, new_job: NewJob, now: datetime
) -> None:
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        with pytest.raises(LookupError):
            stages.add_counts(transaction, job_id, "Patient", Stage.EXTRACT, {"extracted": 1})
        with pytest.raises(LookupError):
            stages.end_stage(transaction, job_id, "Patient", Stage.EXTRACT, now)


def test_the_newest_job_that_finished_a_stage_is_found(database: Database, new_job: NewJob, now: datetime) -> None:
    with database.write() as transaction:
        old, new, failed = (new_job(transaction, at=now + n * TTL).job_id for n in range(3))
        other = new_job(transaction, "lab", at=now + 5 * TTL).job_id
        for job_id, names in ((old, ["Patient", "Encounter"]), (new, ["Patient"]), (other, ["Patient"])):
            for name in names:
                stages.begin_stage(transaction, job_id, name, Stage.EXTRACT, now)
                stages.end_stage(transaction, job_id, name, Stage.EXTRACT, now)
        stages.begin_stage(transaction, failed, "Patient", Stage.EXTRACT, now)
        error = StoreError("x", code="x")
        stages.end_stage(transaction, failed, "Patient", Stage.EXTRACT, now, error=error)
        assert parts.newest_job_with(transaction, "epic", "Patient", Stage.EXTRACT) == new
        assert parts.newest_job_with(transaction, "epic", "Patient", Stage.RECONCILE) is None


def test_errors_are_listed_in_order_and_counted_by_severity(database: Database, new_job: NewJob, now: datetime) -> None:
    problems = [
        Problem(f"code.{n}", f"message {n}", "do this", "file.ndjson", n, "Patient",
                ErrorSeverity.WARNING if n == 2 else ErrorSeverity.ERROR, body=b"secret")
        for n in range(5)
    ]  # fmt: skip
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        errors.add_errors(transaction, job_id, "epic", Stage.EXTRACT, problems[:3], now)
        errors.add_errors(transaction, job_id, "epic", Stage.TRANSFORM, problems[3:], now)
        errors.add_errors(transaction, job_id, "epic", Stage.TRANSFORM, [], now)
    with database.read() as transaction:
        listed = errors.errors_of(transaction, job_id, limit=4)
        assert [(error.code, error.line) for error in listed] == [(f"code.{n}", n) for n in range(4)]
        assert listed[0].source == "file.ndjson" and listed[0].remedy == "do this"
        assert errors.count_errors(transaction, job_id) == {ErrorSeverity.ERROR: 4, ErrorSeverity.WARNING: 1}


def test_a_run_that_takes_a_job_over_is_noted(database: Database, new_job: NewJob, now: datetime) -> None:
    with database.write() as transaction:
        job_id = new_job(transaction).job_id
        jobs.assign_run(transaction, job_id, "run-2", now)
        assert jobs.get_job(transaction, job_id).run_id == "run-2"
        assert transaction.execute(sa.select(sa.func.count()).select_from(sync_job)).scalar() == 1
