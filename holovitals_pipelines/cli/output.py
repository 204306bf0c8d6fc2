"""How the command speaks: tables and sentences for people, JSON for scripts, and exit codes that tell the truth."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.job import JobReport, Outcome

console = Console()
errors = Console(stderr=True)

FAILED = 1
MISUSED = 2

COUNTS = ("extracted", "created", "updated", "unchanged", "conflicts", "quarantined")


def fail(error: HoloVitalsError, as_json: bool = False) -> NoReturn:
    """Say what happened, where and what to do; exit non-zero."""
    if as_json:
        print(
            json.dumps(
                {"error": {"code": error.code, "message": error.message, "place": error.place, "remedy": error.remedy}}
            )
        )
    else:
        errors.print(f"[bold red]{error.code}[/] ", end="")
        errors.print(f"{error.place}: {error.message}" if error.place else error.message, markup=False, highlight=False)
        if error.remedy:
            errors.print(f"  → {error.remedy}", markup=False, highlight=False)
    raise typer.Exit(FAILED)


@contextmanager
def readable_errors(as_json: bool = False) -> Iterator[None]:
    """Our own errors end the command with a sentence instead of a stack trace."""
    try:
        yield
    except HoloVitalsError as error:
        fail(error, as_json)


def report_as_json(report: JobReport) -> dict[str, Any]:
    """The report in the HTTP API's spelling."""
    return {
        "jobId": report.job_id,
        "connection": report.connection,
        "provider": report.provider,
        "type": report.type.value,
        "status": report.status.value,
        "attempt": report.attempt,
        "seconds": round(report.seconds, 3),
        "resourceTypes": {name: _outcome_as_json(outcome) for name, outcome in report.outcomes.items()},
        "total": _outcome_as_json(report.total),
        "errorCount": report.error_count,
        "errors": [asdict(error) for error in report.errors],
    }


def _outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(outcome).items()}


def outcome_table(title: str, reports: list[JobReport]) -> Table:
    """Per connection and resource type: what was read and what became of it."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("resource type", no_wrap=True, min_width=20)
    for name in COUNTS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    for report in reports:
        for resource_type, outcome in report.outcomes.items():
            table.add_row(resource_type, *_cells(outcome), f"{outcome.seconds:.2f}")
        colour = "green" if report.succeeded else "red"
        table.add_row(
            f"[bold]{report.connection}[/] [{colour}]{report.status.value.lower()}[/]",
            *(f"[bold]{cell}[/]" for cell in _cells(report.total)), f"[bold]{report.seconds:.2f}[/]",
            end_section=True,
        )  # fmt: skip
    return table


def _cells(outcome: Outcome) -> list[str]:
    cells = []
    for name in COUNTS:
        value = getattr(outcome, name)
        alarming = value and name in ("conflicts", "quarantined")
        cells.append(f"[yellow]{value:,}[/]" if alarming else f"{value:,}" if value else "[dim]·[/]")
    return cells


def print_errors(report: JobReport) -> None:
    """The job's errors, each with its place and remedy."""
    for error in report.errors:
        colour = "yellow" if error.severity == "WARNING" else "red"
        place = error.source or error.resource_type or report.connection
        line = f":{error.line}" if error.line else ""
        errors.print(f"[{colour}]{error.severity.lower()}[/] [bold]{error.code}[/] ", end="")
        errors.print(f"{report.connection}, {place}{line}: {error.message}", markup=False, highlight=False)
        if error.remedy:
            errors.print(f"  → {error.remedy}", markup=False, highlight=False)
    hidden = report.error_count - len(report.errors)
    if hidden > 0:
        errors.print(f"… and {hidden} more: holovitals jobs show {report.job_id} --errors")


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
