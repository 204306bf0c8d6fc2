"""`holovitals jobs`, `quarantine` and `stats`: what ran, what was refused, and what it adds up to."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from holovitals_pipelines.cli.output import (
    console,
    outcome_table,
    print_errors,
    print_json,
    readable_errors,
    report_as_json,
)
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.jobs import recent_reports, report_of, request_cancel
from holovitals_pipelines.engine.quarantine import held_resources

app = typer.Typer(help="List sync jobs, show one, cancel one.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="how many at the most")]


@app.command("list")
def list_jobs(limit: Limit = 20, as_json: AsJson = False) -> None:
    """The newest jobs first."""
    with readable_errors(as_json), open_home() as home:
        reports = recent_reports(home, limit)
    if as_json:
        print_json([report_as_json(report) for report in reports])
        return
    table = Table(header_style="bold")
    for column in ("job", "connection", "type", "status", "extracted", "errors", "seconds"):
        table.add_column(column, justify="right" if column in ("extracted", "errors", "seconds") else "left")
    for r in reports:
        table.add_row(
            r.job_id,
            r.connection,
            r.type.value,
            r.status.value,
            f"{r.total.extracted:,}",
            f"{r.error_count:,}",
            f"{r.seconds:.1f}",
        )
    console.print(table if reports else "No job has run yet. Try `holovitals sync`, or `holovitals demo`.")


@app.command("show")
def show_job(job_id: str, as_json: AsJson = False) -> None:
    """One job: what became of each resource type, and its errors."""
    with readable_errors(as_json), open_home() as home:
        report = report_of(home, job_id)
    if as_json:
        print_json(report_as_json(report))
        return
    console.print(outcome_table(f"{report.type.value} {report.job_id}, attempt {report.attempt}", [report]))
    print_errors(report)


@app.command("cancel")
def cancel_job(job_id: str) -> None:
    """Ask a running job to stop at the next batch; what it has committed stays."""
    with readable_errors(), open_home() as home:
        request_cancel(home, job_id)
    console.print("The job will stop at its next batch.")


def quarantine(
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Resources that were refused and are kept: where they came from, the rule they broke, what to do."""
    with readable_errors(as_json), open_home() as home:
        held = held_resources(home, connection, limit)
    if as_json:
        print_json(held)
        return
    table = Table(header_style="bold")
    for column in ("connection", "type", "rule", "element", "place", "what to do"):
        table.add_column(column)
    for row in held:
        line = f":{row['line']}" if row["line"] else ""
        table.add_row(
            row["connection"],
            row["resourceType"],
            row["rule"],
            row["path"] or "-",
            f"{row['source'] or '-'}{line}",
            row["remedy"],
        )
    console.print(table if held else "Nothing is in quarantine.")


def stats(as_json: AsJson = False) -> None:
    """What every connection's newest job did, and how many records there are."""
    with readable_errors(as_json), open_home() as home:
        newest = {report.connection: report for report in reversed(recent_reports(home, 1000))}
    if as_json:
        print_json([report_as_json(report) for report in newest.values()])
        return
    if newest:
        console.print(outcome_table("Newest job of each connection", list(newest.values())))
    else:
        console.print("No job has run yet. Try `holovitals sync`, or `holovitals demo`.")
