"""`holovitals worker`: do what waits in the queue, with everything loaded, until told to stop.

Law: told to stop, it lets the jobs at work end, and hands back those that take too long.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from holovitals_pipelines.cli.output import console, readable_errors, say
from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.model.vocabulary import Lane
from holovitals_pipelines.settings import Settings


def worker(
    connection: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="only jobs of this connection; repeat for several")
    ] = None,
    full_syncs: Annotated[
        bool, typer.Option("--full-syncs", help="full syncs too: where no Dagster daemon runs")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="do what waits now, and end")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="say that it is ready in one line of JSON")] = False,
) -> None:
    """Do the jobs of the queue as they come, each as a Dagster run. Ctrl-C ends it.

    Webhook events become jobs here, retries whose time has come are begun, and jobs of workers that died are found.
    It does HOLOVITALS_WORKER_PARALLEL jobs at once, one a connection. Full syncs are left to Dagster's own queue
    unless `--full-syncs` says that there is none.

    ```
    holovitals worker
    holovitals worker --connection epic --once
    ```
    """
    with readable_errors(as_json):
        settings, names = Settings(), list(connection or ())
        prepare_dagster_home(settings.dagster_home, distributed=settings.is_distributed)
        with open_home(settings) as home:  # what is wrong with it is said here, once
            for name in names:
                home.connection(name)
        from holovitals_pipelines.orchestration.launch.processes import Workers, work_off

        lane = None if full_syncs else Lane.WORKER
        if once:
            done = work_off(settings, names, lane)
            _say({"done": done}, f"{done} jobs done.", as_json)
            return

        def ready() -> None:
            told = {"worker": worker_name(), "parallel": settings.worker_parallel, "connections": names}
            _say({"ready": told}, "Waiting for jobs. Ctrl-C ends it.", as_json)

        Workers(settings, names, ready, lane).serve()


def _say(told: dict[str, object], words: str, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    else:
        say(console, words)
