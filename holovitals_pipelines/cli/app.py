"""The `holovitals` command: every sub-command opens the home, does one thing and says what came of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from holovitals_pipelines import __version__
from holovitals_pipelines.cli import connections_commands, demo_command, jobs_commands, ui_command
from holovitals_pipelines.cli.output import (
    FAILED,
    console,
    outcome_table,
    print_errors,
    print_json,
    readable_errors,
    report_as_json,
)
from holovitals_pipelines.cli.progress import StageBars
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.maintenance import sweep_landing_zone
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType
from holovitals_pipelines.settings import Settings

app = typer.Typer(
    name="holovitals",
    help="Keep a local clinical store in agreement with EHR vendors.\n\nNew here? `holovitals demo`, then `holovitals ui`.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals could hold health data
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

    A job that was killed goes on where it stopped. Exit code 1 when any job failed.
    """
    with readable_errors(as_json), open_home() as home:
        names = connections or [name for name, connection in home.connections.items() if connection.enabled]
        for name in names:
            home.connection(name)
        kind = JobType.FULL_SYNC if full else JobType.RESOURCE_SYNC if resource_type else JobType.INCREMENTAL_SYNC
        reports = []
        with StageBars(console) as bars:
            for name in names:
                request = SyncRequest(connection=name, type=kind, resource_types=tuple(resource_type or ()))
                reports.append(run_sync(home, request, progress=bars))
    if as_json:
        print_json([report_as_json(report) for report in reports])
    elif not reports:
        console.print("No connection is declared. Try `holovitals demo`, or `holovitals connections --help`.")
    else:
        console.print(outcome_table("What the sync did", reports))
        for report in reports:
            print_errors(report)
    if not all(report.succeeded for report in reports):
        raise typer.Exit(FAILED)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """List every setting with its value and say whether each store can be opened."""
    settings = Settings()
    values: dict[str, Any] = {
        f"HOLOVITALS_{name.upper()}": {
            "value": str(getattr(settings, name) or "default"),
            "about": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    }
    values["HOLOVITALS_DATABASE_URL"]["value"] = settings.redacted_database_url()
    with readable_errors(as_json), open_home(settings) as home:
        found = {
            "home": str(settings.root),
            "database": home.database.place,
            "landing zone": settings.resolved_landing_url,
            "connections": list(home.connections),
        }
    if as_json:
        print_json({"settings": values, "found": found})
        return
    for name, setting in values.items():
        console.print(f"[bold]{name}[/] = {setting['value']}\n  [dim]{setting['about']}[/]", highlight=False)
    console.print()
    for name, value in found.items():
        shown = ", ".join(value) or "none declared" if isinstance(value, list) else value
        console.print(f"[green]✓[/] {name}: {shown}", highlight=False)


@app.command()
def sweep(as_json: AsJson = False) -> None:
    """Remove files that killed workers left in the landing zone: those older than an hour that no job has registered."""
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
        console.print(f"holovitals {__version__}")
        raise typer.Exit


def main() -> None:
    app()
