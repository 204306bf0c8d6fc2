"""`holovitals up` and `holovitals ui`: everything this installation runs, or Dagster alone, under one Ctrl-C.

Law: a service is a command that a person could start alone; here they are only started, watched and ended together.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from holovitals_pipelines.cli.output import console, readable_errors, say
from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.deploy.supervision import Event, Service, Supervisor, require_free
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.tokens import list_tokens
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.settings import Settings, load_connections

PORTS = {"api": 8000, "dagster": 3000, "lab": 8888, "sandbox": 8750}
SERVICES = ("api", "worker", "celery", "listener", "dagster")
"""What runs unless it is left out; `celery` where HOLOVITALS_EXECUTOR says so."""

AsJson = Annotated[bool, typer.Option("--json", help="say what is ready in one line of JSON, for scripts")]


def up(
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="simulated vendors too: the home's demo's, or new ones where none has run")
    ] = False,
    lab: Annotated[bool, typer.Option("--lab", help="JupyterLab with the notebooks, too")] = False,
    without: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE", help=f"leave one out: {', '.join(SERVICES)}")
    ] = None,
    api_port: Annotated[int, typer.Option(help="port of the HTTP API and the webhook receiver")] = PORTS["api"],
    ui_port: Annotated[int, typer.Option(help="port of the Dagster UI")] = PORTS["dagster"],
    lab_port: Annotated[int, typer.Option(help="port of JupyterLab")] = PORTS["lab"],
    sandbox_port: Annotated[int, typer.Option(help="port of the simulated vendors")] = PORTS["sandbox"],
    as_json: AsJson = False,
) -> None:
    """Run everything: HTTP API, worker, HL7 v2 listener, Dagster UI and daemon. Ctrl-C ends it all.

    A service that falls is started again; one that falls again and again ends everything with its last words. What all
    of them say goes to `logs/up.log` in the home folder. The listener runs where a connection declares `hl7v2.listen`.

    ```
    holovitals up
    holovitals up --sandbox --lab            # with simulated vendors and the notebooks
    holovitals up --without dagster          # full syncs then run in the worker, too; nothing runs on a schedule
    ```
    """
    left_out = set(without or ())
    if unknown := sorted(left_out - set(SERVICES)):
        raise typer.BadParameter(f"unknown service {unknown[0]}; choose from {', '.join(SERVICES)}")
    with readable_errors(as_json):
        settings = Settings()
        first = [_sandbox(sandbox_port)] if sandbox else []
        then = [
            service
            for service in (
                _api(api_port),
                _worker(full_syncs="dagster" in left_out),
                _celery_worker() if settings.executor == "celery" else None,
                _listener() if sandbox or _listens(settings) else None,
                _dagster(settings, ui_port, api_port="api" not in left_out and api_port, lab_port=lab and lab_port),
                _lab(lab_port) if lab else None,
            )
            if service is not None and service.name not in left_out
        ]
        _run(settings, first, then, "holovitals up", as_json)


def ui(port: Annotated[int, typer.Option(help="port of the Dagster UI")] = PORTS["dagster"]) -> None:
    """Open the Dagster UI: assets, runs, schedules. Ctrl-C ends it."""
    with readable_errors():
        settings = Settings()
        _run(settings, [], [_dagster(settings, port, "--port")], "holovitals ui", as_json=False)


def _run(settings: Settings, first: list[Service], then: list[Service], command: str, as_json: bool) -> None:
    require_free([*first, *then], command)
    for service in (*first, *then):
        if service.name == "dagster":
            prepare_dagster_home(settings.dagster_home, distributed=settings.is_distributed)

    def tell(event: Event, service: Service, detail: str) -> None:
        if not as_json:
            style = {"ready": "green", "fell": "red"}.get(event, "dim")
            say(console, Text.assemble((f"{service.name:9}", "bold"), (f" {event}", style), f"  {detail}"))

    def ready() -> None:
        addresses = {service.name: service.address for service in (*first, *then) if service.address}
        if as_json:
            sys.stdout.write(json.dumps({"ready": addresses, "log": str(supervisor.log_file)}) + "\n")
            sys.stdout.flush()
            return
        console.print()
        for name, address in addresses.items():
            say(console, Text.assemble((f"{name:9}", "bold"), f" {address}"))
        if "api" in addresses and not _anybody_has_a_token(settings):
            say(console, "Nobody has a token yet, to sign in with: holovitals tokens create NAME --role viewer")
        say(console, f"What they say: {supervisor.log_file}. Ctrl-C ends everything.")

    with _alone(settings.root / f"{command.replace(' ', '-')}.lock", command):
        supervisor = Supervisor(settings.root / "logs", tell)
        supervisor.run(first, then, ready)


def _anybody_has_a_token(settings: Settings) -> bool:
    with open_home(settings) as home:
        return any(one.revoked_at is None for one in list_tokens(home.database))


@contextmanager
def _alone(lock: Path, command: str) -> Iterator[None]:
    """One at a time in a home. Raises ConfigurationError."""
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"`{command}` runs in this home already",
                code="up.running",
                place=str(lock.parent),
                remedy="use that one, or end it; or give this one another home: HOLOVITALS_HOME=…",
            ) from None
        yield


def _listens(settings: Settings) -> bool:
    return any(c.enabled and c.hl7v2.listen for c in load_connections(settings.resolved_connections_file))


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _holovitals(*arguments: str) -> Sequence[str]:
    return [_program("holovitals"), *arguments]


def _sandbox(port: int) -> Service:
    return Service(
        "sandbox",
        _holovitals("sandbox", "--demo", "--port", str(port)),
        answers_at=f"http://127.0.0.1:{port}/_sandbox/health",
        address=f"http://127.0.0.1:{port}/_sandbox",
        port=port,
        port_option="--sandbox-port",
    )


def _api(port: int) -> Service:
    address = f"http://127.0.0.1:{port}"
    return Service(
        "api",
        _holovitals("serve", "--port", str(port)),
        answers_at=f"{address}/healthz",
        address=f"{address}/dashboard",
        port=port,
        port_option="--api-port",
    )


def _worker(*, full_syncs: bool) -> Service:
    """`full_syncs`: where no Dagster runs, somebody has to do them."""
    more = ["--full-syncs"] if full_syncs else []
    return Service("worker", _holovitals("worker", "--json", *more), says_ready="ready")


def _celery_worker() -> Service:
    return Service("celery", _holovitals("celery-worker", "--json"), says_ready="ready")


def _listener() -> Service:
    return Service("listener", _holovitals("listen", "--json"), says_ready="listening")


def _dagster(
    settings: Settings,
    port: int,
    option: str = "--ui-port",
    *,
    api_port: int | Literal[False] = False,
    lab_port: int | Literal[False] = False,
) -> Service:
    """`api_port`, `lab_port`: where the others of these services are, for its pages to link there."""
    workspace = str(settings.dagster_home / "workspace.yaml")
    address = f"http://127.0.0.1:{port}"
    return Service(
        "dagster",
        [_program("dagster"), "dev", "-w", workspace, "--log-level", "warning", "--host", "127.0.0.1", "-p", f"{port}"],
        answers_at=f"{address}/server_info",
        address=address,
        port=port,
        port_option=option,
        environment={
            "DAGSTER_HOME": str(settings.dagster_home),
            "HOLOVITALS_HOME": str(settings.root),
            "PYTHONWARNINGS": "ignore",  # Dagster's to its own code
            **({"HOLOVITALS_API_URL": settings.api_url or f"http://127.0.0.1:{api_port}"} if api_port else {}),
            **({"HOLOVITALS_LAB_URL": settings.lab_url or f"http://127.0.0.1:{lab_port}/lab"} if lab_port else {}),
        },
    )


def _lab(port: int) -> Service:
    token = secrets.token_urlsafe(24)
    folder = Path("notebooks") if Path("notebooks").is_dir() else Path()
    settings = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder.resolve(),
        "ServerApp.log_level": "WARN",  # or it would log its address, token and all
        "ServerApp.allow_root": os.geteuid() == 0,  # as in containers; it refuses otherwise
        "LabApp.extension_manager": "readonly",  # the others ask a package index
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    return Service(
        "lab",
        [
            _program("jupyter"),
            "lab",
            "--no-browser",
            *(f"--{name}={value}" for name, value in settings.items()),
        ],
        answers_at=f"http://127.0.0.1:{port}/api",
        address=f"http://127.0.0.1:{port}/lab?token={token}",
        port=port,
        port_option="--lab-port",
        environment={"JUPYTER_TOKEN": token},  # not in its arguments, which everybody on the machine can read
    )
