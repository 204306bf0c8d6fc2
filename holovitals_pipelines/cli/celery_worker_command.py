"""`holovitals celery-worker`: do steps of Dagster's runs that the broker hands out, until told to stop.

Law: told to stop, it lets the steps at work end; one that is killed leaves nothing half-done that another cannot end.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Annotated

import typer

from holovitals_pipelines.cli.output import console, readable_errors, say
from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.settings import Settings, load_connections


def celery_worker(
    parallel: Annotated[int, typer.Option(min=1, max=64, help="steps at once, a process each")] = 2,
    steps_a_process: Annotated[
        int, typer.Option(min=1, help="a process that has done so many steps is replaced by a new one")
    ] = 200,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="what it is called; default: after this machine and process")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="say that it is ready in one line of JSON")] = False,
) -> None:
    """Do steps of Dagster's runs that the broker hands out, on as many machines as you like. Ctrl-C ends it.

    For installations on several machines: HOLOVITALS_EXECUTOR=celery, with the same settings and the same home folder
    on all of them. docs/deploy.md says how.

    ```
    holovitals celery-worker
    holovitals celery-worker --parallel 4
    ```
    """
    with readable_errors(as_json):
        settings = Settings()
        if settings.executor != "celery":
            raise ConfigurationError(
                "steps are done by the runs themselves here: there is nothing for this worker to do",
                code="settings.executor",
                place="HOLOVITALS_EXECUTOR",
                remedy="set it to celery, on every machine; or run `holovitals worker`, which takes whole jobs",
            )
        prepare_dagster_home(settings.dagster_home, distributed=settings.is_distributed)
        os.environ.setdefault("DAGSTER_HOME", str(settings.dagster_home))
        load_connections(settings.resolved_connections_file)  # what is wrong with it is said here, once
        # The stores are not opened here: a client of an object store does not survive the forks that do the steps.
        from holovitals_pipelines.orchestration.celery_worker import worker_app

        app = worker_app(settings, ready=lambda: _say_ready(parallel, as_json))
    called = name or f"{os.getpid()}"
    app.worker_main(
        [
            "worker",
            f"--hostname={called}@{socket.gethostname()}",
            f"--concurrency={parallel}",
            f"--max-tasks-per-child={steps_a_process}",
            "--queues=dagster",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
        ]
    )


def _say_ready(parallel: int, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"ready": {"worker": worker_name(), "parallel": parallel}}) + "\n")
        sys.stdout.flush()
    else:
        say(console, f"Doing steps, {parallel} at once. Ctrl-C ends it after those at work.")
