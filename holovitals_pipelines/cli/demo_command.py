"""`holovitals demo` and `holovitals sandbox`: the main job on simulated vendors, with nothing to set up."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from holovitals_pipelines.cli.demo_edits import EditsAtVendors, edit_both_sides
from holovitals_pipelines.cli.demo_expectation import compare_with_expectation, expectation_beside
from holovitals_pipelines.cli.output import (
    FAILED,
    console,
    errors,
    print_json,
    print_outcome,
    readable_errors,
    report_as_json,
    say,
)
from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.model.connection import ConnectionConfig, ReadSettings, SecretRef, SmartBackendAuth
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.job import JobReport
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials
from holovitals_pipelines.sandbox.dialects.epic import GROUP as DEMO_GROUP
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.settings import Settings, load_connections, save_connections

DEMO_OWNER = "team:demo"
"""Marks the connections the demo wrote; it replaces those and no other."""

VENDORS = ("epic", "fhir")


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="NDJSON file or folder to serve instead of the synthetic population", exists=True),
    ] = None,
    patients: Annotated[int, typer.Option(min=1, help="size of the synthetic population")] = 40,
    seed: Annotated[int, typer.Option(help="seed of the synthetic population")] = 1,
    provider: Annotated[
        list[str] | None, typer.Option(help=f"vendors to sync: {', '.join(VENDORS)} (default: both; with --data: fhir)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")] = False,
) -> None:
    """Sync simulated vendors into a local store, as Dagster runs, and show what happened.

    First everything, then again (nothing may change), then, on synthetic data, after edits on both sides. When
    `expected.json` lies beside the data, counts and ids are compared with it. Exit code 1 when anything failed.

    ```
    holovitals demo                                  # a synthetic population at two vendors
    holovitals demo --patients 500 --provider epic   # more patients, one vendor
    holovitals demo --data export.ndjson.gz          # your own synthetic or test data
    ```
    """
    vendors = tuple(provider) if provider else ("fhir",) if data else VENDORS
    unknown = sorted(set(vendors) - set(VENDORS))
    if unknown:
        raise typer.BadParameter(f"unknown vendor {unknown[0]}; choose from {', '.join(VENDORS)}")
    target = errors if as_json else console  # with --json, standard output is the script's alone
    with readable_errors(as_json):
        settings = Settings()
        settings.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_home_is_the_demos(settings)
        credentials = demo_credentials(settings.root / "demo" / "keys")
        say(target, f"Home: {settings.root}")
        with target.status("Starting the simulated vendors …"):
            running = start_sandbox(dialects=vendors, data=data, patients=patients, seed=seed, credentials=credentials)
        with running:
            save_connections(
                settings.resolved_connections_file,
                [_connection(vendor, running, credentials) for vendor in vendors],
            )
            passes = _passes(target, settings, running, vendors, with_edits=data is None)
            complaints = _judge(target, settings, passes, data)
    if as_json:
        shown = [
            {"title": title, "reports": [report_as_json(report) for report in reports]} for title, reports in passes
        ]
        print_json({"home": str(settings.root), "passes": shown, "complaints": complaints})
    for complaint in complaints:
        errors.print("[red]✗[/] ", end="")
        say(errors, complaint)
    if complaints:
        raise typer.Exit(FAILED)
    if not as_json:
        _where_to_look_next()


Passes = list[tuple[str, list[JobReport]]]


def _passes(
    target: Console, settings: Settings, running: RunningSandbox, vendors: tuple[str, ...], *, with_edits: bool
) -> Passes:
    from holovitals_pipelines.orchestration.launch.in_process import RunInProcess

    passes: Passes = []
    edits = EditsAtVendors(running, settings.root / "demo" / "edits.jsonl")
    edits.repeat_earlier()
    with target.status("Loading Dagster …"):
        runner = RunInProcess(prepare_dagster_home(settings.dagster_home))

    def sync_all(title: str, full: bool) -> None:
        started = time.monotonic()
        reports = []
        for vendor in vendors:
            with target.status(f"{title}: {vendor} …"):
                reports.append(runner.sync(settings, vendor, full=full))
        passes.append((title, reports))
        print_outcome(target, f"{len(passes)}. {title} ({time.monotonic() - started:.1f} s)", reports)

    sync_all("Everything the vendors hold", full=True)
    sync_all("Everything again, unchanged", full=True)
    if with_edits:
        with open_home(settings) as home:
            for line in edit_both_sides(home, edits, vendors):
                target.print("  [cyan]✎[/] ", end="")
                say(target, line)
        sync_all("After edits on both sides", full=False)
    return passes


def _judge(target: Console, settings: Settings, passes: Passes, data: Path | None) -> list[str]:
    """Sentences about what is not as it must be; none when the demo went well."""
    complaints = []
    for title, reports in passes:
        for report in reports:
            if not report.succeeded:
                complaints.append(f"{title}: the job of {report.connection} ended {report.status.value.lower()}")
            if report.total.unaccounted:
                complaints.append(
                    f"{title}: {report.total.unaccounted} resources of {report.connection} are unaccounted for"
                )
    for report in passes[1][1]:
        moved = report.total.created + report.total.updated + report.total.conflicts
        if moved:
            complaints.append(f"the second pass changed {moved} records of {report.connection}; it may change none")
        else:
            target.print("[green]✓[/] ", end="")
            say(target, f"{report.connection}: {report.total.unchanged:,} unchanged on the second pass")
    if data and (expectation := expectation_beside(data)):
        with open_home(settings) as home:
            differences = compare_with_expectation(home, "fhir", json.loads(expectation.read_text(encoding="utf-8")))
        if differences:
            complaints += differences
        else:
            target.print("[green]✓[/] ", end="")
            say(target, f"counts per type and ids equal {expectation}")
    return complaints


def _check_home_is_the_demos(settings: Settings) -> None:
    foreign = [c.name for c in load_connections(settings.resolved_connections_file) if c.owner != DEMO_OWNER]
    if foreign:
        raise ConfigurationError(
            f"this home has connections of its own ({', '.join(foreign)}), and the demo would replace them",
            code="demo.home_in_use",
            place=str(settings.resolved_connections_file),
            remedy="give the demo a home of its own: HOLOVITALS_HOME=.holovitals-demo holovitals demo",
        )


def _connection(vendor: str, running: RunningSandbox, credentials: DemoCredentials) -> ConnectionConfig:
    epic = vendor == "epic"
    return ConnectionConfig(
        name=vendor,
        provider=Provider(vendor),
        base_url=running.base_urls[vendor],
        auth=SmartBackendAuth(
            kind="smart_backend",
            client_id=credentials.client_id,
            keys=[SecretRef(file=str(credentials.rsa_key if epic else credentials.ec_key))],
            algorithm="RS384" if epic else "ES384",
            scopes=None if epic else "system/*.cruds",
        ),
        read=ReadSettings(group=DEMO_GROUP if epic else None),
        owner=DEMO_OWNER,
    )


def _where_to_look_next() -> None:
    console.print(
        "\n[bold]Where to look next[/]\n"
        "  make ui                            assets, runs, checks in the Dagster UI\n"
        "  .venv/bin/jupyter lab notebooks    the sync overview notebook\n"
        "  .venv/bin/holovitals jobs list     every job, with its history\n"
        "  .venv/bin/holovitals quarantine    what was refused, and why",
        highlight=False,
    )


def sandbox(
    port: Annotated[int, typer.Option(help="port on the loopback")] = 8750,
    data: Annotated[Path | None, typer.Option(help="NDJSON file or folder to serve", exists=True)] = None,
    patients: Annotated[int, typer.Option(min=1, help="size of the synthetic population, without --data")] = 100,
    seed: Annotated[int, typer.Option(help="seed of the synthetic population")] = 1,
) -> None:
    """Run the simulated vendors by themselves, open to everybody on this machine. Ctrl-C ends them.

    Declare their addresses in connections.yaml and sync them like real ones. They fail on demand (`/_sandbox/faults`).

    ```
    holovitals sandbox --patients 500
    holovitals sandbox --data export.ndjson.gz --port 8760
    ```
    """
    with (
        readable_errors(),
        start_sandbox(dialects=VENDORS, data=data, patients=patients, seed=seed, port=port) as running,
    ):
        for vendor, address in running.base_urls.items():
            console.print(f"{vendor}: {address}", highlight=False)
        console.print("Ctrl-C ends them.")
        try:
            running.process.wait()
        except KeyboardInterrupt:
            console.print("ended")
