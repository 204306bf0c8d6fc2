"""`holovitals serve`: the HTTP API in one process, until Ctrl-C.

Law: what others could read on the way is not served: away from this machine only with TLS, unless told otherwise.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from holovitals_pipelines.api.app import create_app
from holovitals_pipelines.cli.output import console, print_json, readable_errors, say
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.tokens import list_tokens
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.settings import Settings

DEFAULT_PORT = 8000
_SECONDS_TO_END = 20
_BACKLOG = 1024


def serve(
    host: Annotated[str, typer.Option(help="the address to listen at")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 lets the system choose")] = DEFAULT_PORT,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", metavar="FILE", help="our certificate chain, PEM")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="its private key, PEM")] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="another machine may call without TLS: a proxy in front has it")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no line for each call")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="say the address in JSON, for scripts")] = False,
) -> None:
    """Serve the HTTP API, its documentation and the dashboard. Ctrl-C ends it.

    ```
    holovitals tokens create me --role viewer
    holovitals serve
    holovitals serve --host 0.0.0.0 --tls-certificate chain.pem --tls-key key.pem
    ```
    """
    if (tls_certificate is None) is not (tls_key is None):
        raise typer.BadParameter("give both, or none", param_hint="--tls-certificate, --tls-key")
    with readable_errors(as_json):
        settings = Settings()
        if tls_certificate is None and not plain_http:
            _refuse_open(host)
        listening = _bound(host, port)
        with open_home(settings) as home:
            tokens = any(one.revoked_at is None for one in list_tokens(home.database))
    scheme = "https" if tls_certificate is not None else "http"
    named = f"[{host}]" if ":" in host else host
    address = f"{scheme}://{named}:{listening.getsockname()[1]}"
    if as_json:
        print_json({"url": address, "dashboard": f"{address}/dashboard", "docs": f"{address}/docs", "tokens": tokens})
    else:
        say(console, f"HTTP API: {address}   dashboard: {address}/dashboard   docs: {address}/docs   (Ctrl-C ends it)")
        if not tokens:
            say(console, "Nobody has a token yet: holovitals tokens create NAME --role viewer")
    if not quiet:
        _log_calls()
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        access_log=False,  # uvicorn's own would have paths and queries, in which ids are
        server_header=False,
        proxy_headers=False,
        ssl_certfile=str(tls_certificate) if tls_certificate else None,
        ssl_keyfile=str(tls_key) if tls_key else None,
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
    with suppress(KeyboardInterrupt):  # uvicorn has ended in order, and raises the signal once more
        uvicorn.Server(config).run(sockets=[listening])


def _refuse_open(host: str) -> None:
    try:
        loopback = all(ipaddress.ip_address(str(found[4][0])).is_loopback for found in socket.getaddrinfo(host, None))
    except OSError:
        loopback = False
    if not loopback:
        raise ConfigurationError(
            "others could read tokens and health data on the way: that address is not this machine's own",
            code="serve.no_tls",
            place=f"--host {host}",
            remedy="give --tls-certificate and --tls-key; or --plain-http where a proxy in front has TLS",
        )


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)  # whoever reads the address may call at once
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"it cannot listen there ({error.strerror or 'no such address'})",
            code="serve.port_taken",
            place=f"--host {host} --port {port}",
            remedy="end what uses the port, or choose another with --port",
        ) from None
    return listening


def _log_calls() -> None:
    """Route, status, time and id of each call on standard error; never its path or query."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log = logging.getLogger("holovitals.api")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
