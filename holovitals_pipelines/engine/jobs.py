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
from holovitals_pipelines.engine.outcome import outcomes_of
from holovitals_pipelines.engine.progress import Progress
from holovitals_pipelines.engine.session import JobSession, as_problem
from holovitals_pipelines.engine.vendors import AdapterFactory
from holovitals_pipelines.engine.worker import LeaseKeeper, is_gone, worker_name
from holovitals_pipelines.model.errors import HoloVitalsError, JobError, StoreError
from holovitals_pipelines.model.job import JobReport, SyncRequest, check_request
from holovitals_pipelines.model.vocabulary import TERMINAL_STATUSES, Dataset, ErrorSeverity, JobStatus, Stage
from holovitals_pipelines.store import errors, jobs, leases, stages
from holovitals_pipelines.store.jobs import Job
from holovitals_pipelines.store.parts import unlist_parts
from holovitals_pipelines.store.statistics import save_statistics

LISTED_ERRORS = 50
TYPES_FAILED = "job.types_failed"
CANCELLED = "job.cancelled"


@contextmanager
def open_session(
    home: Home,
    request: SyncRequest,
    *,
    owner: str,
    run_id: str | None = None,
    progress: Progress | None = None,
    adapter_for: AdapterFactory | None = None,
) -> Iterator[JobSession]:
    """Work on the job for `request`: the unfinished one of a dead worker when there is one, a new one otherwise.

    Sessions of one Dagster run (`run_id`, the root run of its retries) work on one job; between them its lease is kept.
    Without a run the lease is released at the end. The job stays open until `end_job`. Raises JobBusyError when another
    live worker holds the connection.
    """
    home.connection(request.connection)
    check_request(request)
    ttl = timedelta(seconds=home.settings.lease_seconds)
    with home.database.write() as transaction:
        job = _job_to_work_on(home, transaction, request, owner, run_id)
        fence = leases.begin_work(transaction, job.job_id, owner, ttl, datetime.now(UTC))
    with LeaseKeeper(home.database, job.job_id, fence, ttl, release=run_id is None), rare_collections():
        yield JobSession(home, job.job_id, fence, progress, adapter_for)


def queue_job(home: Home, request: SyncRequest) -> str:
    """A job that waits for whoever is told its id: a Dagster run names it, and no patient. Raises ConfigurationError.

    Returns the id. What is asked for stays in the operational store.
    """
    provider = home.connection(request.connection).provider
    check_request(request)
    now = datetime.now(UTC)
    with home.database.write() as transaction:
        job = jobs.create_job(transaction, request, provider, now)
        jobs.move(transaction, job.job_id, JobStatus.QUEUED, now)
    return job.job_id


def give_to_run(home: Home, job_id: str, connection: str, run_id: str) -> None:
    """From now on the run works on the job; a run that is repeated finds it its own. Raises JobError."""
    with home.database.write() as transaction:
        job = jobs.lock_job(transaction, job_id)
        if job.run_id == run_id:
            return
        if job.connection != connection or job.status not in (JobStatus.PENDING, JobStatus.QUEUED):
            raise JobError(
                "the job does not wait for this connection",
                code="job.not_waiting",
                place=f"job {job_id}",
                remedy="queue another one: holovitals sync NAME … --queue prints its id",
            )
        jobs.assign_run(transaction, job_id, run_id, datetime.now(UTC))


def _job_to_work_on(
    home: Home, transaction: sa.Connection, request: SyncRequest, owner: str, run_id: str | None
) -> Job:
    now = datetime.now(UTC)
    unfinished = jobs.list_jobs(
        transaction, connection=request.connection, statuses=[JobStatus.PROCESSING, JobStatus.RETRYING]
    )
    for job in unfinished:
        earlier_step = run_id is not None and job.run_id == run_id and job.owner == owner
        if job.owner is not None and (earlier_step or is_gone(job.owner)):
            # An earlier step of this very run, or a worker that this machine knows to be dead: no need to wait.
            leases.break_lease(transaction, job.job_id, now)
    if run_id is not None:
        for job in jobs.list_jobs(transaction, run_id=run_id, connection=request.connection, limit=1):
            if job.status is JobStatus.FAILED:
                return _next_attempt(transaction, job, now)
            if job.status not in TERMINAL_STATUSES:
                return job
            # The whole run is executed once more after its job completed or was cancelled: that is another job.
    for job in leases.find_unfinished(transaction, request.connection, now):
        if job.request == request.describe():
            if run_id is not None:
                jobs.assign_run(transaction, job.job_id, run_id, now)
            return _next_attempt(transaction, job, now)
        abandoned = JobError(
            "its worker ended without finishing it, and another job was asked for",
            code="job.abandoned",
            remedy="nothing was lost: the watermarks did not move, the next sync reads it again",
        )
        jobs.move(transaction, job.job_id, JobStatus.FAILED, now, error=abandoned)
    provider = home.connection(request.connection).provider
    return jobs.create_job(transaction, request, provider, now, run_id=run_id)


def _next_attempt(transaction: sa.Connection, job: Job, now: datetime) -> Job:
    """What was done stays done; a type that failed is read afresh, since the vendor may have changed it meanwhile.

    What the failed read brought is committed already: the next reading finds it unchanged.
    """
    rows = stages.stages_of(transaction, job.job_id)
    for name in sorted({row.resource_type for row in rows if row.state == "failed"}):
        for dataset in Dataset:
            unlist_parts(transaction, job.job_id, dataset, name)
        stages.start_over(transaction, job.job_id, name, now)
    return jobs.move(transaction, job.job_id, JobStatus.RETRYING, now)


def end_job(session: JobSession, failure: HoloVitalsError | None = None) -> JobReport:
    """Close the job: COMPLETED when every type went through, FAILED otherwise; write its statistics.

    `failure` is an error that ended the whole job; a cancelled job ends CANCELLED.
    """
    now = session.now()
    _sign_audit_head(session)
    with session.transaction() as transaction:
        job = jobs.get_job(transaction, session.job_id)
        rows = stages.stages_of(transaction, session.job_id)
        failed = sorted({row.resource_type for row in rows if row.state == "failed"})
        if failure is None and failed:
            failure = JobError(
                f"{len(failed)} resource types failed: {', '.join(failed)}",
                code=TYPES_FAILED,
                remedy="see the job's errors; what the other types brought is committed",
            )
        save_statistics(
            transaction,
            job_id=job.job_id,
            connection=job.connection,
            provider=job.provider,
            job_type=job.type,
            outcomes=outcomes_of(rows),
            started_at=job.started_at or job.created_at,
            finished_at=now,
        )
        if failure is not None and failure.code not in (TYPES_FAILED, CANCELLED):
            running = next((row.stage for row in rows if row.state == "running"), Stage.EXTRACT)
            session.add_errors(transaction, running, [as_problem(failure, None, ErrorSeverity.CRITICAL)])
        if failure is None:
            jobs.move(transaction, job.job_id, JobStatus.COMPLETED, now)
        else:
            status = JobStatus.CANCELLED if failure.code == CANCELLED else JobStatus.FAILED
            jobs.move(transaction, job.job_id, status, now, error=failure)
    return report_of(session.home, session.job_id)


def _sign_audit_head(session: JobSession) -> None:
    """Keep the log's head outside the store. A head that cannot be vouched for is an alarm, not a failed sync."""
    try:
        sign_head(session.home)
    except StoreError as error:
        with session.transaction() as transaction:
            problem = as_problem(error, None, ErrorSeverity.CRITICAL)
            session.add_errors(transaction, Stage.WRITE_BACK, [problem])


def end_job_of_run(home: Home, run_id: str, failure: HoloVitalsError) -> JobReport | None:
    """End the job that a run left unfinished; None where there is none, or where a worker that may live is at it.

    `run_id` is the root run's. For runs that are over: what a cancelled or killed worker could not do itself.
    """
    now = datetime.now(UTC)
    with home.database.write() as transaction:
        for job in jobs.list_jobs(
            transaction, run_id=run_id, statuses=[JobStatus.PROCESSING, JobStatus.RETRYING], limit=1
        ):
            if job.is_live(now) and job.owner is not None and not (is_gone(job.owner) or job.owner == worker_name()):
                continue
            leases.break_lease(transaction, job.job_id, now)
            ttl = timedelta(seconds=home.settings.lease_seconds)
            fence = leases.begin_work(transaction, job.job_id, worker_name(), ttl, now)
            break
        else:
            return None
    return end_job(JobSession(home, job.job_id, fence), failure)


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


def request_cancel(home: Home, job_id: str) -> None:
    """The worker stops at its next batch. Raises JobError for a job that is unknown or over."""
    with home.database.write() as transaction:
        jobs.request_cancel(transaction, job_id, datetime.now(UTC))
