"""`holovitals jobs`, `quarantine` and `stats`: what ran, what was refused, and what it adds up to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from holovitals_pipelines.cli.output import (
    console,
    plain_table,
    print_json,
    print_outcome,
    readable_errors,
    report_as_json,
    say,
)
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.jobs import find_job_id, recent_reports, report_of, request_cancel
from holovitals_pipelines.engine.quarantine import explain_held, held_resources
from holovitals_pipelines.fhir.validation import Issue

app = typer.Typer(help="List sync jobs, show one, cancel one.", no_args_is_help=True, rich_markup_mode="markdown")

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="how many at the most")]

NO_JOB = "No job has run yet. Try `holovitals sync`, or `holovitals demo`."
_SHORT_ID = 8
_ALL_ERRORS = 1_000_000


@app.command("list")
def list_jobs(limit: Limit = 20, as_json: AsJson = False) -> None:
    """The newest jobs first. Times are UTC; the beginning of an id is enough for `jobs show`."""
    with readable_errors(as_json), open_home() as home:
        reports = recent_reports(home, limit)
    if as_json:
        print_json([report_as_json(report) for report in reports])
    elif not reports:
        say(console, NO_JOB)
    else:
        table = plain_table("job", "began", "connection", "kind", "status", ">extracted", ">errors", ">s")
        for r in reports:
            table.add_row(
                r.job_id[:_SHORT_ID],
                f"{r.started_at:%m-%d %H:%M}" if r.started_at else "-",
                r.connection,
                r.type.value.removesuffix("_SYNC").lower(),
                r.status.value.lower(),
                f"{r.total.extracted:,}",
                f"{r.error_count:,}",
                f"{r.seconds:.1f}",
            )
        console.print(table)


@app.command("show")
def show_job(
    job_id: str,
    all_errors: Annotated[bool, typer.Option("--errors", help="list all its errors, however many")] = False,
    as_json: AsJson = False,
) -> None:
    """One job: what became of each resource type, and its errors.

    The beginning of the id is enough, as `holovitals jobs list` shows it.
    """
    with readable_errors(as_json), open_home() as home:
        found = find_job_id(home, job_id)
        report = report_of(home, found, listed_errors=_ALL_ERRORS) if all_errors else report_of(home, found)
    if as_json:
        print_json(report_as_json(report))
    else:
        print_outcome(console, f"{report.type.value} {report.job_id}, attempt {report.attempt}", [report])


@app.command("cancel")
def cancel_job(job_id: str) -> None:
    """Ask a running job to stop at the next batch; what it has committed stays."""
    with readable_errors(), open_home() as home:
        request_cancel(home, find_job_id(home, job_id))
    say(console, "The job will stop at its next batch.")


def quarantine(
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None,
    limit: Limit = 50,
    explain: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="everything that is wrong with this one")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Resources that were refused and are kept: where they came from, the rule they broke, what to do.

    Shown are the newest that are still held; ids and contents stay in the store. A resource leaves quarantine when a
    later read brings it whole: mend it at the vendor, then `holovitals sync --full`.
    """
    with readable_errors(as_json), open_home() as home:
        if explain is not None:
            _explain(explain_held(home, explain), as_json)
            return
        held = held_resources(home, connection, limit)
    if as_json:
        print_json(held)
    elif not held:
        say(console, "Nothing is in quarantine.")
    else:
        for row in held:
            _print_held(row)
        if len(held) == limit:
            say(console, f"The newest {limit} are shown; more with --limit.")


def _explain(issues: Sequence[Issue], as_json: bool) -> None:
    if as_json:
        names = ("severity", "path", "rule", "message", "remedy")
        print_json([{name: getattr(issue, name) for name in names} for issue in issues])
        return
    for issue in issues:
        say(console, Text.assemble((issue.severity.lower(), "bold yellow"), f" {issue.path}: {issue.message}"))
        say(console, f"    → {issue.remedy}")
    if not issues:
        say(console, "Nothing is wrong with it by the rules of today: it will be taken by the next full sync.")


def _print_held(row: dict[str, Any]) -> None:
    head = (f"#{row['quarantineId']} {row['connection']} {row['resourceType']} ", "bold")
    element = f" at {row['path']}" if row["path"] else ""
    line = f", line {row['line']}" if row["line"] else ""
    say(console, Text.assemble(head, (row["rule"], "bold yellow"), element))
    say(console, f"    {row['message']}")
    say(console, f"    from {row['source'] or 'an unnamed place'}{line}, in {row['stage']}")
    say(console, f"    → {row['remedy']}")


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
