"""The listeners of connections to which HL7 v2 messages are sent, all in one process.

Law: they stop when told to, and by then every message that was taken is stored and answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from holovitals_pipelines.engine.hl7v2.intake import Intake
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.record_format import format_of
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import SourceFormat
from holovitals_pipelines.providers.hl7v2.listener import Listener
from holovitals_pipelines.settings import resolve_secret

Ports = Mapping[str, Mapping[str, int]]
"""By connection and feed."""


def listening_connections(home: Home, names: Sequence[str] = ()) -> list[ConnectionConfig]:
    """Those that are named, or all that are enabled and declare a port. Raises ConfigurationError where one cannot."""
    if names:
        chosen = [home.connection(name) for name in names]
    else:
        chosen = [one for one in home.connections.values() if one.enabled and one.hl7v2.listen]
    for one in chosen:
        if not one.hl7v2.listen or format_of(one) is not SourceFormat.HL7_V2:
            raise ConfigurationError(
                f"connection {one.name} receives no HL7 v2 messages",
                code="hl7.no_listener",
                place=str(home.settings.resolved_connections_file),
                remedy="declare its ports in hl7v2.listen; only connections that speak HL7 v2 have some",
            )
    if not chosen:
        raise ConfigurationError(
            "no connection receives HL7 v2 messages",
            code="hl7.no_listener",
            place=str(home.settings.resolved_connections_file),
            remedy="declare the ports of a connection in hl7v2.listen (docs/hl7v2.md)",
        )
    return chosen


async def listen(
    home: Home,
    connections: Sequence[ConnectionConfig],
    *,
    until: Callable[[], Awaitable[object]],
    ready: Callable[[Ports], None] = lambda ports: None,
) -> None:
    """Take messages until `until` returns. Raises ConfigurationError where a port cannot be had."""
    async with AsyncExitStack() as open_listeners:
        ports: dict[str, Mapping[str, int]] = {}
        for connection in connections:
            intake = Intake(home.database, connection)
            open_listeners.push_async_callback(intake.settled)
            listener = Listener(connection.hl7v2, intake, resolve_secret=resolve_secret)
            await open_listeners.enter_async_context(listener)
            ports[connection.name] = listener.ports
        ready(ports)
        await until()
