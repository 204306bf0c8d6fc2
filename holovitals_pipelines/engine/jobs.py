"""Opening, resuming and ending jobs: which job a worker works on, and when it is over.

One law: a connection has one running job; a job whose worker died is taken up where it stopped, never started twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from holovitals_pipelines.engine.auditing import sign_head
from holovitals_pipelines.engine.collecting import rare_collections
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.notifications import note_end
from holovitals_pipelines.engine.outcome import outcomes_of
from holovitals_pipelines.engine.progress import Progress
from holovitals_pipelines.engine.retrying import (
    CANCELLED,
    TYPES_FAILED,
    fail_or_retry,
    give_back_or_fail,
    may_pass,
)
from holovitals_pipelines.engine.session import JobSession, as_problem
from holovitals_pipelines.engine.vendors import AdapterFactory
from holovitals_pipelines.engine.worker import LeaseKeeper, is_gone, worker_name
from holovitals_pipelines.model.errors import HoloVitalsError, JobError, StoreError
from holovitals_pipelines.model.job import JobReport, SyncRequest, check_request
from holovitals_pipelines.model.vocabulary import TERMINAL_STATUSES, Dataset, ErrorSeverity, JobStatus, Stage
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.store import errors, jobs, leases, stages
from holovitals_pipelines.store.jobs import Job
from holovitals_pipelines.store.parts import unlist_parts
from holovitals_pipelines.store.statistics import save_statistics
from holovitals_pipelines.store.waiting_jobs import WAITING

LISTED_ERRORS = 50
NOT_WAITING = "job.not_waiting"


@contextmanager
def open_session(
    home: Home,
    request: SyncRequest,
    *,
    owner: str,
    run_id: str | None = None,
    progress: Progress | None = None,
    adapter_for: AdapterFactory | None = None,
    steps_move: bool = False,
) -> Iterator[JobSession]:
    """Work on the job for `request`: the unfinished one of a dead worker when there is one, a new one otherwise.

    Sessions of one Dagster run (`run_id`, the root run of its retries) work on one job; between them its lease is kept.
    Without a run the lease is released at the end. `steps_move`: each step of the run may be in another process or on
    another machine, and there is one at a time; whoever held the job for the run has ended, or is dead. The job stays
    open until `end_job`. Raises JobBusyError when another live worker holds the connection.
    """
    home.connection(request.connection)
    check_request(request)
    with home.database.write() as transaction:
        job = _job_to_work_on(home, transaction, request, None if steps_move else owner, run_id)
        fence = _begin(home, transaction, job, owner, SYSTEM_CLOCK)
    with _held(home, job.job_id, fence, release=run_id is None):
        yield JobSession(home, job.job_id, fence, progress, adapter_for)


@contextmanager
def open_claimed(
    home: Home,
    job_id: str,
    *,
    worker: str,
    progress: Progress | None = None,
    adapter_for: AdapterFactory | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[JobSession]:
    """Work on a job that was given to this worker. Raises JobError when it was taken back meanwhile, or has ended, and
    JobBusyError when another live worker holds the connection."""
    with home.database.write() as transaction:
        job = jobs.lock_job(transaction, job_id)
        home.connection(job.connection)
        if job.status is not JobStatus.QUEUED or job.dispatched_to != worker:
            raise not_waiting(job_id)
        fence = _begin(home, transaction, job, worker, clock)
    with _held(home, job_id, fence, release=True):
        yield JobSession(home, job_id, fence, progress, adapter_for, clock)


def _begin(home: Home, transaction: sa.Connection, job: Job, owner: str, clock: Clock) -> int:
    """Take the job's lease. What an attempt before this one has done stays done; a type that failed is read afresh,
    since the vendor may have changed it meanwhile (what its read had brought is committed: it is found unchanged)."""
    now = clock.now()
    if job.status is not JobStatus.PROCESSING and job.attempt > 1:
        rows = stages.stages_of(transaction, job.job_id)
        for name in sorted({row.resource_type for row in rows if row.state == "failed"}):
            for dataset in Dataset:
                unlist_parts(transaction, job.job_id, dataset, name)
            stages.start_over(transaction, job.job_id, name, now)
    ttl = timedelta(seconds=home.settings.lease_seconds)
    return leases.begin_work(transaction, job.job_id, owner, ttl, now)


@contextmanager
def _held(home: Home, job_id: str, fence: int, *, release: bool) -> Iterator[None]:
    ttl = timedelta(seconds=home.settings.lease_seconds)
    with LeaseKeeper(home.database, job_id, fence, ttl, release=release), rare_collections():
        yield


def give_to_run(home: Home, job_id: str, connection: str, run_id: str) -> None:
    """From now on the run works on the job; a run that is repeated finds it its own. Raises JobError."""
    with home.database.write() as transaction:
        job = jobs.lock_job(transaction, job_id)
        if job.run_id == run_id:
            return
        if job.connection != connection or job.status not in (*WAITING, JobStatus.RETRYING):
            raise not_waiting(job_id)
        jobs.assign_run(transaction, job_id, run_id, datetime.now(UTC))


def not_waiting(job_id: str) -> JobError:
    return JobError(
        "the job does not wait for this worker or connection",
        code=NOT_WAITING,
        place=f"job {job_id}",
        remedy="see what became of it: holovitals jobs show; another one can be created: holovitals jobs create",
    )


def _job_to_work_on(
    home: Home, transaction: sa.Connection, request: SyncRequest, owner: str | None, run_id: str | None
) -> Job:
    """`owner`: who may have held the job in an earlier step of the run; None: anybody."""
    now = datetime.now(UTC)
    unfinished = jobs.list_jobs(
        transaction, connection=request.connection, statuses=[JobStatus.PROCESSING, JobStatus.RETRYING]
    )
    for job in unfinished:
        earlier_step = run_id is not None and job.run_id == run_id and owner in (None, job.owner)
        if job.owner is not None and (earlier_step or is_gone(job.owner)):
            # An earlier step of this very run, or a worker that this machine knows to be dead: no need to wait.
            leases.break_lease(transaction, job.job_id, now)
    if run_id is not None:
        for job in jobs.list_jobs(transaction, run_id=run_id, connection=request.connection, limit=1):
            if job.status is JobStatus.FAILED:
                return jobs.move(transaction, job.job_id, JobStatus.RETRYING, now)
            if job.status not in TERMINAL_STATUSES:
                return job
            if job.status is JobStatus.CANCELLED and job.lane is not None:  # before the run, or its next step, began
                raise JobError("the job was cancelled", code=CANCELLED, place=f"job {job.job_id}")
            # The whole run is executed once more after its job completed or was cancelled: that is another job.
    for job in leases.find_unfinished(transaction, request.connection, now):
        if job.request == request.describe():
            if run_id is not None:
                jobs.assign_run(transaction, job.job_id, run_id, now)
            resumed = job.status is JobStatus.RETRYING
            return job if resumed else jobs.move(transaction, job.job_id, JobStatus.RETRYING, now)
        if job.lane is not None:
            continue  # the queue takes it up again
        abandoned = JobError(
            "its worker ended without finishing it, and another job was asked for",
            code="job.abandoned",
            remedy="nothing was lost: the watermarks did not move, the next sync reads it again",
        )
        jobs.move(transaction, job.job_id, JobStatus.FAILED, now, error=abandoned)
    provider = home.connection(request.connection).provider
    return jobs.create_job(transaction, request, provider, now, run_id=run_id)


def end_job(session: JobSession, failure: HoloVitalsError | None = None) -> JobReport:
    """Close the job: COMPLETED when every type went through, otherwise FAILED, or RETRYING where the queue tries again.

    `failure` is an error that ended the whole job; a cancelled job ends CANCELLED. Statistics and the notification are
    written with the end of the job, by the same transaction.
    """
    _sign_audit_head(session)
    with session.transaction() as transaction:
        job = jobs.lock_job(transaction, session.job_id)
        rows = stages.stages_of(transaction, session.job_id)
        failed = sorted({row.resource_type for row in rows if row.state == "failed"})
        if failure is None and failed:
            failure = JobError(
                f"{len(failed)} resource types failed: {', '.join(failed)}",
                code=TYPES_FAILED,
                remedy="see the job's errors; what the other types brought is committed",
            )
        if failure is not None and failure.code not in (TYPES_FAILED, CANCELLED):
            running = next((row.stage for row in rows if row.state == "running"), Stage.EXTRACT)
            session.add_errors(transaction, running, [as_problem(failure, None, ErrorSeverity.CRITICAL)])
        if failure is None:
            ended = jobs.move(transaction, job.job_id, JobStatus.COMPLETED, session.now())
        elif failure.code == CANCELLED:
            ended = jobs.move(transaction, job.job_id, JobStatus.CANCELLED, session.now(), error=failure)
        else:
            passing = may_pass(failure) or bool(stages.failed_in_passing(transaction, job.job_id))
            ended = fail_or_retry(transaction, job, failure, session.clock, passing=passing)
        after_end(session.home, transaction, ended)
    return report_of(session.home, session.job_id)


def after_end(home: Home, transaction: sa.Connection, job: Job) -> None:
    """What goes with a job's end, in the same transaction; nothing for a job that is tried again."""
    if job.finished_at is None:
        return
    outcomes = outcomes_of(stages.stages_of(transaction, job.job_id))
    save_statistics(
        transaction,
        job_id=job.job_id,
        connection=job.connection,
        provider=job.provider,
        job_type=job.type,
        outcomes=outcomes,
        started_at=job.started_at or job.created_at,
        finished_at=job.finished_at,
    )
    note_end(home, transaction, job, outcomes)


def _sign_audit_head(session: JobSession) -> None:
    """Keep the log's head outside the store. A head that cannot be vouched for is an alarm, not a failed sync."""
    try:
        sign_head(session.home)
    except StoreError as error:
        with session.transaction() as transaction:
            problem = as_problem(error, None, ErrorSeverity.CRITICAL)
            session.add_errors(transaction, Stage.WRITE_BACK, [problem])


def end_job_of_run(
    home: Home, run_id: str, failure: HoloVitalsError, job_id: str | None = None, *, steps_move: bool = False
) -> JobReport | None:
    """Bring the job of a run that is over to its end; None where the job has none to report: it never began, or a
    worker that may live is at it.

    `run_id` is the root run's, `job_id` the job the run was told to do, if it is known: a run that ended before its
    job began gives it back to the queue. A cancelled run cancels its job; a job of the queue is tried again while
    attempts are left, any other one fails. `steps_move`: whoever held the job last did so for a step that is over.
    """
    now = datetime.now(UTC)
    with home.database.write() as transaction:
        job = _job_of_run(transaction, run_id, job_id)
        if job is None:
            return None
        if job.status is not JobStatus.PROCESSING:
            _end_unbegun(home, transaction, job, failure)
            return None
        may_live = job.is_live(now) and job.owner is not None and not (is_gone(job.owner) or job.owner == worker_name())
        if may_live and not steps_move:
            return None
        leases.break_lease(transaction, job.job_id, now)
        fence = _begin(home, transaction, job, worker_name(), SYSTEM_CLOCK)
    return end_job(JobSession(home, job.job_id, fence), failure)


def _end_unbegun(home: Home, transaction: sa.Connection, job: Job, failure: HoloVitalsError) -> None:
    """The run ended before its job began, or after it had ended and while it waits to be tried again."""
    if failure.code == CANCELLED:
        after_end(home, transaction, jobs.move(transaction, job.job_id, JobStatus.CANCELLED, datetime.now(UTC)))
    elif job.status is JobStatus.QUEUED and (job.dispatched_to is not None or job.run_id is not None):
        after_end(home, transaction, give_back_or_fail(transaction, job, failure, SYSTEM_CLOCK))


def _job_of_run(transaction: sa.Connection, run_id: str, job_id: str | None) -> Job | None:
    """The job, not ended, that the run was given; one that went to another run since is that one's."""
    if job_id is not None:
        job = jobs.lock_job(transaction, job_id)
        found = [job] if job.run_id in (None, run_id) else []
    else:
        found = jobs.list_jobs(transaction, run_id=run_id, limit=1)
    return next((job for job in found if job.status not in TERMINAL_STATUSES), None)


def report_of(home: Home, job_id: str, *, listed_errors: int = LISTED_ERRORS) -> JobReport:
    """The report of any job, ended or not. Raises JobError for an unknown id."""
    with home.database.read() as transaction:
        job = jobs.get_job(transaction, job_id)
        rows = stages.stages_of(transaction, job_id)
        listed = errors.errors_of(transaction, job_id, limit=listed_errors)
        count = sum(errors.count_errors(transaction, job_id).values())
    listed.sort(key=lambda error: error.severity != ErrorSeverity.CRITICAL)
    ended = job.finished_at or datetime.now(UTC)
    return JobReport(
        job_id=job.job_id,
        connection=job.connection,
        provider=job.provider,
        type=job.type,
        status=job.status,
        attempt=job.attempt,
        outcomes=outcomes_of(rows),
        errors=tuple(listed),
        error_count=count,
        seconds=(ended - (job.started_at or job.created_at)).total_seconds(),
        started_at=job.started_at or job.created_at,
    )


def recent_reports(home: Home, limit: int) -> list[JobReport]:
    """The newest jobs first."""
    with home.database.read() as transaction:
        ids = [job.job_id for job in jobs.list_jobs(transaction, limit=limit)]
    return [report_of(home, job_id) for job_id in ids]


def find_job_id(home: Home, beginning: str) -> str:
    """The id of the one job whose id begins so. Raises JobError when there is none, or more than one."""
    with home.database.read() as transaction:
        found = jobs.ids_that_begin(transaction, beginning, limit=2)
    if len(found) == 1:
        return found[0]
    said = "several jobs have ids that begin so" if found else "there is no such job"
    remedy = "give more of the id" if found else "see the ids: holovitals jobs list"
    raise JobError(said, code="job.ambiguous" if found else "job.unknown", place=f"job {beginning}", remedy=remedy)
