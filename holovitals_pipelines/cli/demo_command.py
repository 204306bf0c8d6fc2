"""`holovitals demo` and `holovitals sandbox`: the main job on simulated vendors, with nothing to set up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holovitals_pipelines.cli.demo.declared import VENDORS
from holovitals_pipelines.cli.demo.message_feed import message_feed, point_feed
from holovitals_pipelines.cli.demo.play import Player
from holovitals_pipelines.cli.demo.telling import Teller, performance_as_json
from holovitals_pipelines.cli.demo.vendors import PATIENTS, SEED, start_as_left, start_vendors
from holovitals_pipelines.cli.output import FAILED, console, errors, print_json, readable_errors, say
from holovitals_pipelines.deploy.supervision import interrupted_by_signals
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.settings import Settings


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="NDJSON file or folder to serve instead of the synthetic population", exists=True),
    ] = None,
    patients: Annotated[int, typer.Option(min=1, help="size of the synthetic population")] = PATIENTS,
    seed: Annotated[int, typer.Option(help="seed of the synthetic population")] = SEED,
    provider: Annotated[
        list[str] | None, typer.Option(help=f"vendors to sync: {', '.join(VENDORS)} (default: all; with --data: fhir)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")] = False,
) -> None:
    """Keep a local store in two-way sync with simulated vendors, as Dagster runs, and show what happened.

    First everything is read. Then, on synthetic data, records are edited here, at the vendors and on both sides, and
    each line of that story is checked at both stores after the next sync. At last everything is compared once more:
    nothing may change. When `expected.json` lies beside the data, counts and ids are compared with it.

    It can be repeated: the vendors begin as the last demo in the home left them. Exit code 1 when anything is not as it
    is told.

    ```
    holovitals demo                                  # a synthetic population at eight vendors
    holovitals demo --patients 500 --provider epic   # more patients, one vendor
    holovitals demo --data export.ndjson.gz          # your own synthetic or test data
    ```
    """
    vendors = tuple(provider) if provider else ("fhir",) if data else VENDORS
    unknown = sorted(set(vendors) - set(VENDORS))
    if unknown:
        raise typer.BadParameter(f"unknown vendor {unknown[0]}; choose from {', '.join(VENDORS)}")
    teller = Teller(errors if as_json else console)  # with --json, standard output is the script's alone
    with readable_errors(as_json):
        settings = Settings()
        teller.say(f"Home: {settings.root}")
        with teller.waiting("Starting the simulated vendors"):
            running = start_vendors(settings, vendors, data=data, patients=patients, seed=seed)
        with running, message_feed(settings, running.admin_url, vendors) as settled:
            performance = Player(settings, running, vendors, data, teller, settled).play()
    if as_json:
        print_json(performance_as_json(str(settings.root), performance))
    for complaint in performance.complaints:
        errors.print("[red]✗[/] ", end="")
        say(errors, complaint)
    if performance.complaints:
        raise typer.Exit(FAILED)
    if not as_json:
        _where_to_look_next()


def _where_to_look_next() -> None:
    console.print(
        "\n[bold]Where to look next[/]\n"
        "  make ui                                assets, runs, checks in the Dagster UI\n"
        "  .venv/bin/holovitals tokens create me --role viewer --role operator --role resolver    then\n"
        "  .venv/bin/holovitals up --sandbox      everything at once; the dashboard at http://127.0.0.1:8000\n"
        "  .venv/bin/jupyter lab notebooks        the notebooks\n"
        "  .venv/bin/holovitals conflicts list    what waits for a person\n"
        "  .venv/bin/holovitals sandbox --demo    the vendors once more, to go on with",
        highlight=False,
    )


def sandbox(
    port: Annotated[int, typer.Option(help="port on the loopback")] = 8750,
    data: Annotated[Path | None, typer.Option(help="NDJSON file or folder to serve", exists=True)] = None,
    patients: Annotated[int, typer.Option(min=1, help="size of the synthetic population, without --data")] = 100,
    seed: Annotated[int, typer.Option(help="seed of the synthetic population")] = 1,
    journal: Annotated[
        Path | None, typer.Option(help="file that keeps what is written at the vendors, for the next start with it")
    ] = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="the home's demo's vendors as it left them, or new ones; connections.yaml follows"),
    ] = False,
) -> None:
    """Run the simulated vendors by themselves, open to everybody on this machine. Ctrl-C ends them.

    Declare their addresses in connections.yaml and sync them like real ones. They fail on demand (`/_sandbox/faults`).
    Vendors that know no access without credentials demand theirs, the same for everybody (docs/connections.md).
    With `--demo` they go on from where `holovitals demo` ended, or begin, demand its credentials, keep what is written.

    ```
    holovitals sandbox --patients 500
    holovitals sandbox --data export.ndjson.gz --port 8760
    holovitals sandbox --demo
    ```
    """
    with readable_errors():
        if demo:
            running, is_new = start_as_left(Settings(), port)
            point_feed(running.admin_url, Settings(), everything=is_new)
        else:
            running = start_sandbox(
                dialects=VENDORS, data=data, patients=patients, seed=seed, port=port, journal=journal
            )
        with running, interrupted_by_signals():
            _serve(running)


def _serve(running: RunningSandbox) -> None:
    for vendor, address in running.base_urls.items():
        console.print(f"{vendor}: {address}", highlight=False, soft_wrap=True)
    console.print(f"what a clinician does there: {running.admin_url}/VENDOR/TYPE/ID", highlight=False, soft_wrap=True)
    console.print("Ctrl-C ends them.")
    try:
        running.process.wait()
    except KeyboardInterrupt:
        console.print("ended")
