"""The sandbox as one server: every chosen vendor under its own path, the admin API under `/_sandbox/`.

The law: it listens on the loopback unless told otherwise in so many words.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.admin import admin_routes
from holovitals_pipelines.sandbox.clock import Clock
from holovitals_pipelines.sandbox.dialects import load_dialect
from holovitals_pipelines.sandbox.faults import FaultPlan
from holovitals_pipelines.sandbox.journal import Journal, origin_of
from holovitals_pipelines.sandbox.population import population
from holovitals_pipelines.sandbox.protocols.bulk import Exports
from holovitals_pipelines.sandbox.protocols.smart_backend import Client, TokenService, read_clients
from holovitals_pipelines.sandbox.records import Records
from holovitals_pipelines.sandbox.site import Expiring, Link, Session, Site, apply_settings
from holovitals_pipelines.sandbox.sources import ndjson_lines
from holovitals_pipelines.sandbox.wire import RequestLog, Transports, Wire


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """What to simulate. `data` is an NDJSON file or folder; without it, a population of `patients` from `seed`.

    `smart` names the dialects that demand SMART Backend Services of the clients in the `clients` file; the others are
    open. `settings` are knobs by dialect, as text or in their own type.
    """

    dialects: Sequence[str] = ("fhir", "epic")
    host: str = "127.0.0.1"
    port: int = 0
    allow_other_hosts: bool = False
    data: Path | None = None
    patients: int = 100
    seed: int = 1
    smart: frozenset[str] = frozenset()
    clients: Path | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    spool_folder: Path | None = None
    journal: Path | None = None
    """Keeps what is written at the vendors, for the next sandbox that is started with it."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A built sandbox: the ASGI application and its parts."""

    app: Wire
    sites: Mapping[str, Site]
    transports: Transports
    clock: Clock
    journal: Journal | None = None


def build(config: SandboxConfig) -> Sandbox:
    """Load the data and put the application together. Raises ConfigurationError."""
    clock, plan, log = Clock(), FaultPlan(), RequestLog()
    transports: Transports = {}
    clients = read_clients(config.clients.read_bytes()) if config.clients is not None else []
    if config.smart and not clients:
        raise ConfigurationError(
            "SMART is demanded but no client is registered",
            code="sandbox.no_clients",
            remedy="give a registration file (--clients FILE)",
        )
    sites = {name: _site(name, config, clock, clients) for name in config.dialects}
    routes: list[BaseRoute] = admin_routes(sites, clock, plan, log)
    for site in sites.values():
        routes += site.dialect.open(site)
    by_prefix = {site.dialect.prefix.strip("/"): site for site in sites.values()}
    app = Wire(Starlette(routes=routes), by_prefix, plan, log, transports)
    return Sandbox(app, sites, transports, clock, _journal(config, sites))


def _journal(config: SandboxConfig, sites: Mapping[str, Site]) -> Journal | None:
    if config.journal is None:
        return None
    origin = origin_of(data=config.data, patients=config.patients, seed=config.seed)
    journal = Journal(config.journal, origin)
    try:
        journal.repeat(sites)
    except BaseException:
        journal.close()
        raise
    return journal


def _site(name: str, config: SandboxConfig, clock: Clock, clients: list[Client]) -> Site:
    dialect = load_dialect(name)
    try:
        settings = apply_settings(dialect.settings(), config.settings.get(name, {}))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"a setting of {name} has a value that does not fit it",
            code="sandbox.unfit_setting",
            remedy="give a yes or no, a number, a comma-separated list, or JSON where it takes an object",
        ) from error
    records = Records(dialect.present, clock, config.spool_folder)
    records.load(_resources(config, name))
    tokens = None
    if name in config.smart and dialect.tokens is not None:
        tokens = TokenService(dialect.tokens(settings), clients, clock)
    sessions: Expiring[Session] = Expiring(clock)
    site = Site(dialect, records, clock, settings, tokens, sessions, Exports())
    site.turn({})
    return site


def _resources(config: SandboxConfig, name: str) -> Iterable[tuple[str, bytes]]:
    if config.data is not None:
        return ndjson_lines(config.data)
    return _placed(population(config.patients, config.seed, name))


def _placed(resources: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    return (("synthetic population", body) for body in resources)


def check_host(host: str, allow_other_hosts: bool) -> None:
    """Raises ConfigurationError for an address other machines could reach, unless that was allowed."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback and not allow_other_hosts:
        raise ConfigurationError(
            "the sandbox listens on the loopback only",
            code="sandbox.host_refused",
            place=host,
            remedy="use 127.0.0.1, or add --allow-other-hosts if you know who can reach it",
        )


BACKLOG = 2048
"""Connections that wait for the server; uvicorn's own figure."""


def listening_socket(config: SandboxConfig) -> socket.socket:
    """A socket that takes connections: its port is known (0 asks the system for one), and nobody is refused while the
    server that will answer them is still starting."""
    check_host(config.host, config.allow_other_hosts)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((config.host, config.port))
    bound.listen(BACKLOG)
    return bound


def bind_links(sandbox: Sandbox, host: str) -> None:
    """Take the ports that vendors have beside HTTP, so that their addresses are known. Raises OSError."""
    for site in sandbox.sites.values():
        if site.link is not None:
            site.link.bind(host)


class _Server(uvicorn.Server):
    """Serves the links together with HTTP: they are up before the first request is answered."""

    def __init__(self, config: uvicorn.Config, sandbox: Sandbox) -> None:
        super().__init__(config)
        self._sandbox = sandbox

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        bind_links(self._sandbox, "127.0.0.1")
        for link in self._links():
            await link.start()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for link in self._links():
            await link.stop()
        await super().shutdown(sockets)

    def _links(self) -> list[Link]:
        return [site.link for site in self._sandbox.sites.values() if site.link is not None]


def uvicorn_server(sandbox: Sandbox) -> uvicorn.Server:
    """A server whose connections can be cut by faults. Serve with `run(sockets=[…])`."""
    transports = sandbox.transports

    class TrackedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: asyncio.Transport) -> None:
            self._peer = tuple(transport.get_extra_info("peername")[:2])
            transports[self._peer] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self._peer, None)
            super().connection_lost(exc)

    config = uvicorn.Config(
        sandbox.app,
        http=TrackedProtocol,
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    return _Server(config, sandbox)
