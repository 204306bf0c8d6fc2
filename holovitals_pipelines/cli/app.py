"""The `holovitals` command: every sub-command opens the home, does one thing and says what came of it."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from holovitals_pipelines import __version__
from holovitals_pipelines.cli import connections_commands, demo_command, jobs_commands, ui_command
from holovitals_pipelines.cli.output import (
    FAILED,
    console,
    errors,
    explain,
    print_json,
    print_outcome,
    readable_errors,
    report_as_json,
    say,
)
from holovitals_pipelines.cli.progress import StageBars
from holovitals_pipelines.engine.failure import failure_of
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.maintenance import damaged_parts, sweep_landing_zone
from holovitals_pipelines.engine.progress import Progress
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.errors import HoloVitalsError, StoreError
from holovitals_pipelines.model.job import JobReport, ReportedError, SyncRequest
from holovitals_pipelines.model.vocabulary import ErrorSeverity, JobStatus, JobType
from holovitals_pipelines.settings import Settings, redacted

app = typer.Typer(
    name="holovitals",
    help="Keep a local clinical store in agreement with EHR vendors.\n\n"
    "New here? `holovitals demo`, then `holovitals ui`. Every command has `--help`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print what exceptions say, which could be health data; see main
    rich_markup_mode="markdown",
)
app.command("demo")(demo_command.demo)
app.command("sandbox")(demo_command.sandbox)
app.command("ui")(ui_command.ui)
app.add_typer(connections_commands.app, name="connections")
app.add_typer(jobs_commands.app, name="jobs")
app.command("quarantine")(jobs_commands.quarantine)
app.command("stats")(jobs_commands.stats)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]


@app.command()
def sync(
    connections: Annotated[
        list[str] | None, typer.Argument(help="connections to sync; default: all enabled ones")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="read everything again, whatever the watermarks say")] = False,
    resource_type: Annotated[list[str] | None, typer.Option("--type", "-t", help="only these resource types")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the main job: extract, validate, reconcile, commit, statistics.

    Give the names of the connections to sync, or none for all that are enabled. A job that was killed goes on where it
    stopped; a connection that fails does not stop the others. Exit code 1 when any job failed: something could not be
    read. Resources that were refused one by one are in quarantine and fail no job.

    ```
    holovitals sync                        # what has changed, everywhere
    holovitals sync clinic --full          # everything of one connection
    holovitals sync clinic -t Observation  # one resource type
    ```
    """
    with readable_errors(as_json), open_home() as home:
        names = connections or [name for name, connection in home.connections.items() if connection.enabled]
        for name in names:
            home.connection(name)
        kind = JobType.FULL_SYNC if full else JobType.RESOURCE_SYNC if resource_type else JobType.INCREMENTAL_SYNC
        with StageBars(errors) as bars:
            reports = [_sync_one(home, SyncRequest(name, kind, tuple(resource_type or ())), bars) for name in names]
    if as_json:
        print_json([report_as_json(report) for report in reports])
    elif not reports:
        say(console, "No connection is declared. Try `holovitals demo`, or `holovitals connections --help`.")
    else:
        print_outcome(console, "What the sync did", reports)
    if not all(report.succeeded for report in reports):
        raise typer.Exit(FAILED)


def _sync_one(home: Home, request: SyncRequest, progress: Progress) -> JobReport:
    """The report of the job; for one that could not begin, a report that says why, so that the others go on."""
    try:
        return run_sync(home, request, progress=progress)
    except HoloVitalsError as error:
        said = ReportedError(ErrorSeverity.CRITICAL, error.code, error.message, error.remedy, None, error.place, None)
        provider = home.connection(request.connection).provider
        return JobReport("", request.connection, provider, request.type, JobStatus.FAILED, 0, {}, (said,), 1)


@app.command()
def doctor(
    verify: Annotated[
        bool, typer.Option("--verify", help="read every landing-zone part and compare checksums")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List every setting with its value and say whether each store can be opened.

    Passwords are never shown. Exit code 1 when something cannot be opened, or is damaged.
    """
    with readable_errors(as_json):
        settings = Settings()
    values = {
        f"HOLOVITALS_{name.upper()}": {"value": _shown(settings, name), "about": field.description or ""}
        for name, field in _fields().items()
    }
    found: dict[str, Any] = {}
    failure: HoloVitalsError | None = None
    try:
        with open_home(settings) as home:
            found = {
                "home": str(settings.root),
                "database": home.database.place,
                "landing zone": redacted(settings.resolved_landing_url),
                "connections": list(home.connections),
            }
            if verify:
                _verify(home)
                found["landing zone parts"] = "all as they were written"
    except HoloVitalsError as error:
        failure = error
    if as_json:
        problem = {"code": failure.code, "message": str(failure)} if failure else None
        print_json({"settings": values, "found": found, "problem": problem})
    else:
        for name, setting in values.items():
            console.print(f"[bold]{name}[/] = ", end="")
            say(console, setting["value"])
            say(console, f"  {setting['about']}")
        console.print()
        for name, value in found.items():
            shown = ", ".join(value) or "none declared" if isinstance(value, list) else value
            console.print("[green]✓[/] ", end="")
            say(console, f"{name}: {shown}")
        if failure:
            explain(failure)
    if failure:
        raise typer.Exit(FAILED)


def _verify(home: Home) -> None:
    damaged = damaged_parts(home)
    if damaged:
        raise StoreError(
            f"{len(damaged)} parts are missing or damaged: {', '.join(damaged[:5])}{' …' if len(damaged) > 5 else ''}",
            code="landing.damaged",
            place=redacted(home.settings.resolved_landing_url),
            remedy="restore them from backup; the records made of them are whole in the operational store",
        )


def _fields() -> dict[str, FieldInfo]:
    return dict(Settings.model_fields)


def _shown(settings: Settings, name: str) -> str:
    if name == "database_url":
        return settings.redacted_database_url()
    value = getattr(settings, name)
    return "default" if value is None else redacted(str(value))


@app.command()
def sweep(as_json: AsJson = False) -> None:
    """Remove files that killed workers left in the landing zone.

    Only files older than an hour that no job has registered: nobody can see those. Safe at any time.
    """
    with readable_errors(as_json), open_home() as home:
        removed = sweep_landing_zone(home)
    if as_json:
        print_json({"removed": removed})
    else:
        console.print(f"{len(removed)} unregistered files removed from the landing zone.")


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context, show: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False
) -> None:
    if show:
        console.print(f"holovitals {__version__}", highlight=False)
        raise typer.Exit


def main() -> None:
    """Run the command. An exception nobody expected is shown by type and frames only: its text may be health data."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 the last resort
        explain(failure_of(error))
        sys.stderr.writelines(traceback.format_tb(error.__traceback__))
        sys.exit(FAILED)
