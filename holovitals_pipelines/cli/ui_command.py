"""`holovitals ui`: the Dagster UI and its daemon on this home, one Ctrl-C for both."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from holovitals_pipelines.cli.output import console, fail
from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.settings import Settings

SECONDS_TO_END = 30
"""Dagster ends its server, daemon and code server one after the other."""


def ui(port: Annotated[int, typer.Option(help="port of the Dagster UI")] = 3000) -> None:
    """Open the Dagster UI: assets, runs, schedules. Ctrl-C ends it."""
    settings = Settings()
    home = prepare_dagster_home(settings.dagster_home)
    _require_free(port)
    console.print(f"Dagster UI: [link]http://127.0.0.1:{port}[/link]   (Ctrl-C ends it)")
    command = [
        str(Path(sys.executable).with_name("dagster")),
        "dev",
        "-w",
        str(home / "workspace.yaml"),
        "--log-level",
        "warning",
    ]
    environment = os.environ | {
        "DAGSTER_HOME": str(home),
        "HOLOVITALS_HOME": str(settings.root),
        "PYTHONWARNINGS": "ignore",  # Dagster's to its own code
    }
    with _interrupted_by_signals():
        # A session of its own: one Ctrl-C reaches Dagster once, from here, and not again from the terminal.
        dagster = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=environment, start_new_session=True
        )
        try:
            code = dagster.wait()
        except KeyboardInterrupt:
            _end(dagster)
            code = 0
    raise typer.Exit(code)


def _require_free(port: int) -> None:
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


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end like Ctrl-C; so does Ctrl-C itself, to which scripts make their children deaf.

    Dagster's code server would inherit that deafness and ignore SIGTERM for ever.
    """

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(dagster: subprocess.Popen[bytes]) -> None:
    """Ask once and wait; whatever of Dagster's session is left after that, or after a second Ctrl-C, is killed."""
    try:
        dagster.send_signal(signal.SIGINT)
        dagster.wait(timeout=SECONDS_TO_END)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(dagster.pid, signal.SIGKILL)
        dagster.wait()
