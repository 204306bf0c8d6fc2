"""Opening, resuming and ending jobs: which job a worker works on, and when it is over.

One law: a connection has one running job; a job whose worker died is taken up where it stopped, never started twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.outcome import outcomes_of
from holovitals_pipelines.engine.progress import Progress
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.engine.worker import LeaseKeeper, is_gone
from holovitals_pipelines.model.job import JobReport, ReportedError, SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.store import errors, jobs, leases, stages
from holovitals_pipelines.store.statistics import save_statistics

LISTED_ERRORS = 50


@contextmanager
def open_session(
    home: Home, request: SyncRequest, *, owner: str, run_id: str | None = None, progress: Progress | None = None
) -> Iterator[JobSession]:
    """Work on the job for `request`: the unfinished one of a dead worker when there is one, a new one otherwise.

    A second session of the same Dagster run (`run_id`) works on the same job. Raises JobBusyError when another live
    worker holds the connection. The lease is released at the end; the job stays open until `end_job`.
    """
    connection = home.connection(request.connection)
    job_id, fence = _claim(home, request, connection.provider.value, owner, run_id)
    with LeaseKeeper(home.database, job_id, owner, fence, home.settings.lease_seconds):
        yield JobSession(home, job_id, fence, progress)


def _claim(home: Home, request: SyncRequest, provider: str, owner: str, run_id: str | None) -> tuple[str, int]:
    now = datetime.now(UTC)
    with home.database.write() as transaction:
        for job in jobs.find_unfinished(transaction, request.connection):
            ours = run_id is not None and job.run_id == run_id
            alive = job.owner is not None and job.lease_until is not None and job.lease_until > now
            if alive and not ours and not is_gone(job.owner or ""):
                raise leases.busy(request.connection, job)
            if ours or job.request == request.describe():
                fence = leases.take_lease(
                    transaction, job.job_id, owner, home.settings.lease_seconds, now, force=True
                )
                if job.status is not JobStatus.PROCESSING:
                    jobs.move(transaction, job.job_id, JobStatus.PROCESSING, now)
                elif not ours:
                    jobs.resume(transaction, job.job_id, now)
                if run_id is not None and job.run_id != run_id:
                    jobs.assign_run(transaction, job.job_id, run_id, now)
                return job.job_id, fence
            jobs.fail_abandoned(transaction, job.job_id, now)
        job_id = jobs.create_job(transaction, request, provider=provider, run_id=run_id, now=now)
        fence = leases.take_lease(transaction, job_id, owner, home.settings.lease_seconds, now)
        jobs.move(transaction, job_id, JobStatus.PROCESSING, now)
    return job_id, fence


def end_job(session: JobSession, failure: tuple[str, str] | None = None) -> JobReport:
    """Close the job: COMPLETED when every type went through, FAILED otherwise; write its statistics.

    `failure` is (code, message) of an error that ended the whole job.
    """
    now = session.now()
    with session.transaction() as transaction:
        job = jobs.get_job(transaction, session.job_id)
        rows = stages.stages_of(transaction, session.job_id)
        failed = sorted({row.resource_type for row in rows if row.state == "failed"})
        if failure is None and failed:
            failure = ("job.types_failed", f"{len(failed)} resource types failed: {', '.join(failed)}")
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
        if failure is not None and failure[0] == "job.cancelled":
            jobs.move(transaction, job.job_id, JobStatus.CANCELLED, now)
        elif failure is not None:
            jobs.move(transaction, job.job_id, JobStatus.FAILED, now, error=failure)
        else:
            jobs.move(transaction, job.job_id, JobStatus.COMPLETED, now)
    return report_of(session.home, session.job_id)


def report_of(home: Home, job_id: str) -> JobReport:
    """The report of any job, ended or not. Raises JobError for an unknown id."""
    with home.database.read() as transaction:
        job = jobs.get_job(transaction, job_id)
        rows = stages.stages_of(transaction, job_id)
        listed, count = errors.errors_of(transaction, job_id, limit=LISTED_ERRORS)
    started = job.started_at or job.created_at
    ended = job.finished_at or datetime.now(UTC)
    problems = [
        ReportedError(
            row.severity, row.code, row.message, row.remedy or "", row.resource_type, row.source, row.line
        )
        for row in listed
    ]
    if job.error_code and job.error_code != "job.types_failed":
        problems.insert(0, ReportedError("CRITICAL", job.error_code, job.error_message or "", "", None, None, None))
    return JobReport(
        job_id=job.job_id,
        connection=job.connection,
        provider=job.provider,
        type=JobType(job.type),
        status=JobStatus(job.status),
        attempt=job.attempt,
        outcomes=outcomes_of(rows),
        errors=tuple(problems),
        error_count=count,
        seconds=(ended - started).total_seconds(),
    )


def recent_reports(home: Home, limit: int) -> list[JobReport]:
    """The newest jobs first."""
    with home.database.read() as transaction:
        ids = [job.job_id for job in jobs.list_jobs(transaction, limit=limit)]
    return [report_of(home, job_id) for job_id in ids]


def request_cancel(home: Home, job_id: str) -> None:
    """The worker stops at its next batch. Raises JobError for a job that is unknown or over."""
    with home.database.write() as transaction:
        jobs.request_cancel(transaction, job_id, datetime.now(UTC))
