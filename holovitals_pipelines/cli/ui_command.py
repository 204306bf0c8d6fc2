"""`holovitals ui`: the Dagster UI and its daemon on this home, one Ctrl-C for both."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from holovitals_pipelines.cli.output import console, fail, readable_errors
from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.settings import Settings


def ui(port: Annotated[int, typer.Option(help="port of the Dagster UI")] = 3000) -> None:
    """Open the Dagster UI: assets, runs, schedules. Ctrl-C ends it.

    The daemon runs with it, so schedules that are switched on are kept for as long as it is open.
    """
    with readable_errors():
        settings = Settings()
        home = prepare_dagster_home(settings.dagster_home)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            fail(
                ConfigurationError(
                    f"port {port} is taken",
                    code="ui.port_taken",
                    remedy="end what uses it, or: holovitals ui --port 3001",
                )
            )
    console.print(f"Dagster UI: [link]http://127.0.0.1:{port}[/link]   (Ctrl-C ends it)")
    command = [str(Path(sys.executable).with_name("dagster")), "dev", "-m", "holovitals_pipelines.definitions"]
    environment = os.environ | {"DAGSTER_HOME": str(home), "HOLOVITALS_HOME": str(settings.root)}
    with subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], env=environment) as dagster:
        try:
            dagster.wait()
        except KeyboardInterrupt:
            dagster.wait()
    raise typer.Exit(0 if dagster.returncode in (0, -2, 130) else dagster.returncode)
