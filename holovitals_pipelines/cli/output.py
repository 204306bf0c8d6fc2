"""What commands say: tables for people, JSON for scripts, and exit codes that tell the truth.

One law: results go to standard output, everything said about the work itself to standard error; neither shows a value
of a resource or a secret, whatever went wrong.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holovitals_pipelines.model.errors import ConfigurationError, HoloVitalsError, StoreError
from holovitals_pipelines.model.job import JobReport, Outcome, ReportedError

console = Console()
errors = Console(stderr=True)

FAILED = 1
MISUSED = 2

COUNTS = ("extracted", "created", "updated", "unchanged", "conflicts", "quarantined")
_BROKEN_HEADERS = {
    "extracted": "extrac-\nted",
    "unchanged": "un-\nchanged",
    "conflicts": "con-\nflicts",
    "quarantined": "quaran-\ntined",
}
"""For narrow terminals; the words stay the same."""
_WIDE = 96
_SHOWN_LINES = 5


def say(target: Console, text: str | Text) -> None:
    """One line of prose. Only a terminal wraps it: a log keeps a sentence on one line, where grep finds it whole."""
    shown = text if isinstance(text, Text) else Text(text)
    target.print(shown, soft_wrap=not target.is_terminal)


def fail(error: HoloVitalsError, as_json: bool = False) -> NoReturn:
    """Say what happened, where and what to do; exit non-zero."""
    if as_json:
        print_json(error_as_json(error))
    else:
        explain(error)
    raise typer.Exit(FAILED)


def explain(error: HoloVitalsError) -> None:
    """An error as a sentence on standard error, with its remedy."""
    sentence = f"{error.place}: {error.message}" if error.place else error.message
    say(errors, Text.assemble((error.code, "bold red"), f" {sentence}"))
    if error.remedy:
        say(errors, f"  → {error.remedy}")


def error_as_json(error: HoloVitalsError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message, "place": error.place, "remedy": error.remedy}}


@contextmanager
def readable_errors(as_json: bool = False) -> Iterator[None]:
    """Our own errors, wrong settings and what the file system refuses end the command with a sentence."""
    try:
        yield
    except HoloVitalsError as error:
        fail(error, as_json)
    except ValidationError as error:
        fail(_wrong_setting(error), as_json)
    except OSError as error:
        fail(_refused(error), as_json)


def _wrong_setting(error: ValidationError) -> ConfigurationError:
    problems = [f"HOLOVITALS_{'_'.join(map(str, p['loc'])).upper()}: {p['msg']}" for p in error.errors()]
    return ConfigurationError(
        "; ".join(problems),
        code="settings.invalid",
        place="environment",
        remedy="correct the variable or unset it; `holovitals doctor` lists all of them",
    )


def _refused(error: OSError) -> StoreError:
    return StoreError(
        f"the system refused: {error.strerror or type(error).__name__}",
        code="system.refused",
        place=str(error.filename or ""),
        remedy="check path, permissions and free space (`holovitals doctor` shows where everything is)",
    )


def report_as_json(report: JobReport) -> dict[str, Any]:
    """The report in the HTTP API's spelling. `jobId` is null for a job that could not begin."""
    return {
        "jobId": report.job_id or None,
        "connection": report.connection,
        "provider": report.provider,
        "type": report.type.value,
        "status": report.status.value,
        "attempt": report.attempt,
        "startedAt": report.started_at.isoformat() if report.started_at else None,
        "seconds": round(report.seconds, 3),
        "resourceTypes": {name: _as_json(outcome) for name, outcome in report.outcomes.items()},
        "total": _as_json(report.total),
        "errorCount": report.error_count,
        "errors": [_as_json(error) for error in report.errors],
    }


def _as_json(plain: Outcome | ReportedError) -> dict[str, Any]:
    values = {_camel(field.name): getattr(plain, field.name) for field in fields(plain)}
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def outcome_table(title: str, reports: Sequence[JobReport], *, width: int | None = None) -> Table:
    """Per connection and resource type: what was read and what became of it. Fits 80 columns up to a million rows."""
    narrow = (width or console.width) < _WIDE
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("resource type", no_wrap=True, min_width=20, vertical="bottom")
    for name in COUNTS:
        header = _BROKEN_HEADERS.get(name, name) if narrow else name
        table.add_column(header, justify="right", no_wrap=True, min_width=7, vertical="bottom")
    table.add_column("s", justify="right", no_wrap=True, min_width=5, vertical="bottom")
    for report in reports:
        for resource_type, outcome in report.outcomes.items():
            table.add_row(resource_type, *_cells(outcome), _seconds(outcome.seconds))
        colour = "green" if report.succeeded else "red"
        table.add_row(
            f"[bold]{report.connection}[/] [{colour}]{report.status.value.lower()}[/]",
            *(f"[bold]{cell}[/]" for cell in _cells(report.total)),
            f"[bold]{_seconds(report.seconds)}[/]",
            end_section=True,
        )
    return table


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < 100 else f"{seconds:,.0f}"


def plain_table(*columns: str) -> Table:
    """A table without lines down the side; `>name` is a column of numbers. Nothing is cut: long cells fold."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, padding=0)
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return table


def _cells(outcome: Outcome) -> list[str]:
    cells = []
    for name in COUNTS:
        value = getattr(outcome, name)
        alarming = value and (name == "quarantined" or (name == "conflicts" and outcome.held))
        cells.append(f"[yellow]{value:,}[/]" if alarming else f"{value:,}" if value else "[dim]·[/]")
    return cells


def print_outcome(target: Console, title: str, reports: Sequence[JobReport]) -> None:
    """The table, what it has no column for, and the errors of each job."""
    target.print(outcome_table(title, reports, width=target.width))
    for report in reports:
        for remark in _remarks(report):
            say(target, f"  {report.connection}: {remark}")
    for report in reports:
        print_errors(report)


def _remarks(report: JobReport) -> list[str]:
    total = report.total
    counted = [
        (total.duplicates, "came more than once in this read; one reading of each was taken"),
        (total.superseded, "were older than what is known already and were passed over"),
        (total.deletions, "were reported deleted by the vendor; each is read again before anything is deleted here"),
        (total.absent, "known before were not in this full read; each is read by itself before anything is deleted"),
        (total.removed, "were deleted here, because the vendor has deleted them"),
        (total.pushed, "changes were written to the vendor, and confirmed"),
        (total.resolved, "times both sides had changed: merged, or decided by policy or by a person"),
        (total.held, "conflicts wait for a person: holovitals conflicts list"),
        (total.refused_writes, "writes were refused by the vendor: see the errors"),
        (total.missed, "changes had been missed by incremental reads"),
    ]
    return [f"{count:,} {what}" for count, what in counted if count]


def print_errors(report: JobReport) -> None:
    """The job's errors, each with its place and remedy; those that differ in nothing but the line are told once."""
    alike: dict[tuple[str | None, ...], list[ReportedError]] = {}
    for error in report.errors:
        key = (error.severity, error.code, error.message, error.remedy, error.source)
        alike.setdefault(key, []).append(error)
    for group in alike.values():
        first = group[0]
        colour = "yellow" if first.severity == "WARNING" else "red"
        sentence = f" {_place(report, first)}{_lines(group)}: {first.message}"
        say(errors, Text.assemble((first.severity.lower(), colour), " ", (first.code, "bold"), sentence))
        if first.remedy:
            say(errors, f"  → {first.remedy}")
    hidden = report.error_count - len(report.errors)
    if hidden > 0:
        say(errors, f"… and {hidden:,} more: holovitals jobs show {report.job_id} --errors")
    if report.total.quarantined:
        say(
            errors,
            f"{report.total.quarantined:,} resources of {report.connection} are held in quarantine:"
            " `holovitals quarantine` lists them. Once the vendor has mended them,"
            f" `holovitals sync {report.connection} --full` reads them again.",
        )


def _place(report: JobReport, error: ReportedError) -> str:
    connection = f"connection {report.connection}"
    place = error.source or error.resource_type or ""
    if place.startswith(connection) or not place:
        return place or connection
    return f"{connection}, {place}"


def _lines(group: Sequence[ReportedError]) -> str:
    numbers = [error.line for error in group if error.line is not None]
    if not numbers:
        return f" ({len(group)} times)" if len(group) > 1 else ""
    shown = ", ".join(str(number) for number in numbers[:_SHOWN_LINES])
    more = f" and {len(numbers) - _SHOWN_LINES} more" if len(numbers) > _SHOWN_LINES else ""
    return f", line{'s' if len(numbers) > 1 else ''} {shown}{more}"


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
