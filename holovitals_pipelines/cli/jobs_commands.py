"""`holovitals jobs` and `stats`: what ran, and what it adds up to."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.job_progress import watch
from holovitals_pipelines.cli.output import (
    FAILED,
    console,
    errors,
    plain_table,
    print_json,
    print_outcome,
    readable_errors,
    report_as_json,
    say,
)
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.job_queue import cancel, retry, submit
from holovitals_pipelines.engine.job_requests import request_of
from holovitals_pipelines.engine.job_views import JobFilter, JobView, list_job_views, view_job
from holovitals_pipelines.engine.jobs import find_job_id, recent_reports, report_of
from holovitals_pipelines.model.job import JobReport
from holovitals_pipelines.model.vocabulary import TERMINAL_STATUSES, Direction, JobStatus, JobType, Lane, Priority

app = typer.Typer(
    help="Create sync jobs, list them, look at one, wait for it, cancel it, try it again.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="how many at the most")]
Actor = Annotated[str | None, typer.Option(help="who acts; default: the user of this system")]

NO_JOB = "No job has run yet. Try `holovitals sync`, or `holovitals demo`."
_SHORT_ID = 8
_ALL_ERRORS = 1_000_000


@app.command("create")
def create_job(
    connection: Annotated[str, typer.Argument(help="the connection's name")],
    job_type: Annotated[JobType, typer.Option("--type", help="what kind of job")] = JobType.INCREMENTAL_SYNC,
    direction: Annotated[Direction, typer.Option(help="INBOUND: from the vendor; OUTBOUND: to it")] = (
        Direction.BIDIRECTIONAL
    ),
    priority: Annotated[str, typer.Option(help="CRITICAL, HIGH, NORMAL, LOW or BACKGROUND")] = Priority.NORMAL.name,
    patient: Annotated[str | None, typer.Option(help="PATIENT_SYNC: the vendor's id of the patient")] = None,
    resource_type: Annotated[list[str] | None, typer.Option("--resource", "-r", help="only these types")] = None,
    resource_id: Annotated[
        list[str] | None, typer.Option("--id", help="only these resources of the one --resource")
    ] = None,
    since: Annotated[str | None, typer.Option(help="a past interval, from 2026-11-01T00:00:00Z on ...")] = None,
    until: Annotated[str | None, typer.Option(help="... to before this; default: now")] = None,
    batch_size: Annotated[int | None, typer.Option(help="resources a page")] = None,
    max_retries: Annotated[int | None, typer.Option(help="how often it is tried again; 3")] = None,
    retry_delay: Annotated[int | None, typer.Option(help="milliseconds before the first retry; 2000")] = None,
    timeout: Annotated[int | None, typer.Option(help="milliseconds an attempt may take")] = None,
    validate: Annotated[bool, typer.Option(help="run the data-quality checks")] = True,
    resolve: Annotated[bool, typer.Option(help="let the policies decide conflicts")] = True,
    notify: Annotated[bool, typer.Option("--notify", help="tell HOLOVITALS_NOTIFY_URL when it has ended")] = False,
    lane: Annotated[Lane | None, typer.Option(help="who runs it; default: dagster for FULL_SYNC, else worker")] = None,
    key: Annotated[str | None, typer.Option(help="idempotency key: the same key is the same job")] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Put a job into the queue; a worker takes it when its turn comes.

    An identical job that waits already is joined. `holovitals sync` does the same at once, in this terminal.

    ```
    holovitals jobs create clinic
    holovitals jobs create clinic --type PATIENT_SYNC --patient 4711 --priority HIGH
    holovitals jobs create clinic --type RESOURCE_SYNC -r Observation --since 2026-11-01T00:00:00Z
    ```
    """
    options = {
        "batchSize": batch_size,
        "maxRetries": max_retries,
        "retryDelay": retry_delay,
        "timeout": timeout,
        "validateData": validate,
        "resolveConflicts": resolve,
        "notifyOnComplete": notify,
    }
    types = list(resource_type or ())
    if resource_id and len(types) != 1:
        raise typer.BadParameter("--id wants the resource type: one --resource")
    filters = {"resourceTypes": [] if resource_id else types, "since": since, "until": until}
    body = {
        "type": job_type.value,
        "direction": direction.value,
        "priority": priority,
        "ehrConnectionId": connection,
        "patientId": patient,
        "resourceType": types[0] if resource_id else None,
        "resourceIds": resource_id or [],
        "filters": {name: value for name, value in filters.items() if value},
        "options": {name: value for name, value in options.items() if value is not None},
    }
    with readable_errors(as_json), open_home() as home:
        done = submit(home, request_of(home, body), requested_by=acting(actor), idempotency_key=key, lane=lane)
    if as_json:
        print_json({"jobId": done.job_id, "joined": done.joined})
    else:
        was = "was there already" if done.joined else "waits for a worker"
        say(console, f"Job {done.job_id} {was}: holovitals jobs wait {done.job_id[:_SHORT_ID]}")


@app.command("list")
def list_jobs(
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None,
    status: Annotated[list[JobStatus] | None, typer.Option(help="only these statuses", case_sensitive=False)] = None,
    job_type: Annotated[list[JobType] | None, typer.Option("--type", help="only these kinds")] = None,
    requested_by: Annotated[str | None, typer.Option("--by", help="only what this person or token asked for")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """The newest jobs first. Times are UTC; the beginning of an id is enough for `jobs show`."""
    wanted = JobFilter(connection, tuple(status or ()), tuple(job_type or ()), requested_by=requested_by)
    with readable_errors(as_json), open_home() as home:
        views = list_job_views(home, wanted, limit=limit).items
        reports = [report_of(home, view.job.job_id) for view in views]
    if as_json:
        print_json([_as_json(report, view) for report, view in zip(reports, views, strict=True)])
    elif not reports:
        say(console, NO_JOB if wanted == JobFilter() else "No job fits.")
    else:
        columns = ("job", "began", "connection", "kind", "status", "priority", ">extracted", ">errors", ">s")
        table = plain_table(*columns)
        for r, view in zip(reports, views, strict=True):
            table.add_row(
                r.job_id[:_SHORT_ID],
                f"{r.started_at:%m-%d %H:%M}" if r.started_at else "-",
                r.connection,
                r.type.value.removesuffix("_SYNC").lower(),
                r.status.value.lower(),
                view.job.priority.name.lower(),
                f"{r.total.extracted:,}",
                f"{r.error_count:,}",
                f"{r.seconds:.1f}" if view.job.started_at else "-",
            )
        console.print(table)


@app.command("show")
def show_job(
    job_id: str,
    all_errors: Annotated[bool, typer.Option("--errors", help="list all its errors, however many")] = False,
    history: Annotated[bool, typer.Option("--history", help="list everything that happened to it")] = False,
    as_json: AsJson = False,
) -> None:
    """One job: what became of each resource type, and its errors.

    The beginning of the id is enough, as `holovitals jobs list` shows it. `--json` has its history too, and leaves out
    the vendor's ids of what it was asked for.
    """
    with readable_errors(as_json), open_home() as home:
        found = find_job_id(home, job_id)
        report = report_of(home, found, listed_errors=_ALL_ERRORS) if all_errors else report_of(home, found)
        view = view_job(home, found)
    if as_json:
        print_json(_as_json(report, view))
        return
    print_outcome(console, f"{report.type.value} {report.job_id}, attempt {report.attempt}", [report])
    if history and view.details is not None:
        table = plain_table("at", "what", "status", "detail")
        for event in view.details.history:
            detail = ", ".join(f"{name} {value}" for name, value in (event.detail or {}).items())
            table.add_row(f"{event.at:%m-%d %H:%M:%S}", event.kind, (event.status or "").lower(), detail)
        console.print(table)


def _as_json(report: JobReport, view: JobView) -> dict[str, Any]:
    """`job` is what the HTTP API answers, without the vendor's ids of patients and resources."""
    return report_as_json(report) | {"job": view.as_json(named=False)}


@app.command("wait")
def wait_for_job(
    job_id: str,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0, help="no longer than this")] = None,
    as_json: AsJson = False,
) -> None:
    """Watch a job until it has ended. Exit code 1 unless it is completed.

    Retries are waited for. It is the worker that works: Ctrl-C ends the watching, not the job.
    """
    with readable_errors(as_json), open_home() as home:
        found = find_job_id(home, job_id)
        view = watch(errors, lambda: view_job(home, found), seconds)
        report = report_of(home, found)
    if as_json:
        print_json(_as_json(report, view))
    elif report.status in TERMINAL_STATUSES:
        print_outcome(console, f"{report.type.value} {report.job_id}, attempt {report.attempt}", [report])
    else:
        say(console, f"Job {found} is {report.status.value.lower()} still.")
    if not report.succeeded:
        raise typer.Exit(FAILED)


@app.command("cancel")
def cancel_job(job_id: str, actor: Actor = None, as_json: AsJson = False) -> None:
    """End a job that waits; ask one that runs to stop at the next batch. What it has committed stays."""
    with readable_errors(as_json), open_home() as home:
        job = cancel(home, find_job_id(home, job_id), acting(actor))
    if as_json:
        print_json({"jobId": job.job_id, "status": job.status.value, "cancelling": job.cancel_requested})
    elif job.status is JobStatus.CANCELLED:
        say(console, "The job is cancelled.")
    else:
        say(console, "The job will stop at its next batch.")


@app.command("retry")
def retry_job(job_id: str, actor: Actor = None, as_json: AsJson = False) -> None:
    """Put a failed job into the queue again, for one more attempt. What it has done is kept and not done again."""
    with readable_errors(as_json), open_home() as home:
        job = retry(home, find_job_id(home, job_id), acting(actor))
    if as_json:
        print_json({"jobId": job.job_id, "status": job.status.value, "attempt": job.attempt})
    else:
        say(console, f"Job {job.job_id} waits for its attempt {job.attempt}.")


def stats(as_json: AsJson = False) -> None:
    """What the newest job of every connection did."""
    with readable_errors(as_json), open_home() as home:
        newest = {report.connection: report for report in reversed(recent_reports(home, 1000))}
    if as_json:
        print_json([report_as_json(report) for report in newest.values()])
    elif newest:
        print_outcome(console, "Newest job of each connection", list(newest.values()))
    else:
        say(console, NO_JOB)
