"""The ports at which a vendor's HL7 v2 messages are taken, over MLLP.

Law: a message is answered only after `take` has returned, so after it is durable; what was not answered the sender
sends again. Memory is bounded, whatever is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Final, Self

from holovitals_pipelines.model.connection import Hl7v2Settings, ListenAt
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.providers.hl7v2.acknowledgement import Acknowledger
from holovitals_pipelines.providers.hl7v2.acknowledgement import Answer as Answer
from holovitals_pipelines.providers.hl7v2.link import Arrival as Arrival
from holovitals_pipelines.providers.hl7v2.link import Link, Traffic
from holovitals_pipelines.providers.hl7v2.link import Take as Take
from holovitals_pipelines.providers.hl7v2.tls import ResolveSecret, listening

MOST_CONNECTIONS: Final = 256
"""Of all ports together; a vendor needs one a port, and one more while it reconnects."""
MESSAGES_HELD: Final = 8
"""So many of the longest message may be in memory unfinished; beyond, a connection that adds to them is closed."""
STALLED_SECONDS: Final = 60.0
"""A frame that has begun and does not go on for so long is given up with its connection."""
GRACE_SECONDS: Final = 30.0
"""How long a stop waits for what was taken."""


class Listener:
    """Listens on every port of `settings.listen`; each connection is first in, first out, one message at a time."""

    def __init__(
        self,
        settings: Hl7v2Settings,
        take: Take,
        clock: Clock = SYSTEM_CLOCK,
        *,
        resolve_secret: ResolveSecret | None = None,
        stalled_seconds: float = STALLED_SECONDS,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        self._settings = settings
        self._take = take
        self._resolve_secret = resolve_secret
        self._stalled_seconds = stalled_seconds
        self._most_connections = most_connections
        self._acknowledger = Acknowledger(settings, clock)
        self._traffic = {at.name: Traffic() for at in settings.listen}
        self._servers: dict[str, asyncio.Server] = {}
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._stopping = False

    @property
    def ports(self) -> Mapping[str, int]:
        """By feed, the port it is on."""
        return {name: server.sockets[0].getsockname()[1] for name, server in self._servers.items()}

    @property
    def traffic(self) -> Mapping[str, Traffic]:
        """By feed, what came in since the start."""
        return MappingProxyType(self._traffic)

    async def start(self) -> None:
        """Raises ConfigurationError where a port cannot be had or its TLS files cannot be used."""
        if len(self._traffic) < len(self._settings.listen):
            raise ConfigurationError(
                "two ports have the same name",
                code="hl7.listen_repeated",
                place="hl7v2.listen",
                remedy="give each port a name of its own: it tells the feeds apart",
            )
        try:
            for at in self._settings.listen:
                self._servers[at.name] = await self._open(at)
        except BaseException:
            await self.stop(0.0)
            raise

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """No new connections; what `take` has is finished and answered, then connections are closed."""
        self._stopping = True
        for server in self._servers.values():
            server.close()
        for link, task in self._links.items():
            link.stopping = True
            if link.idle:
                task.cancel()
        if self._links:
            _, late = await asyncio.wait(self._links.values(), timeout=grace_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _open(self, at: ListenAt) -> asyncio.Server:
        place = f"hl7v2.listen {at.name}, {at.host}:{at.port}"
        context = None if at.tls is None else listening(at.tls, self._resolve_secret, place=place)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connected(at.name, reader, writer)

        try:
            return await asyncio.start_server(connected, at.host, at.port, ssl=context)
        except OSError as error:
            number = error.errno
        raise ConfigurationError(
            f"the port cannot be had (errno {number})",
            code="hl7.listen",
            place=place,
            remedy="see which process has it, or choose another port or host in hl7v2.listen",
        )

    async def _connected(self, feed: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        traffic = self._traffic[feed]
        traffic.connections += 1
        if self._stopping or len(self._links) >= self._most_connections:
            traffic.turned_away += 1
            writer.close()
            return
        link = Link(
            feed,
            reader,
            writer,
            self._take,
            self._acknowledger,
            traffic,
            limit=self._settings.max_message_bytes,
            stalled_seconds=self._stalled_seconds,
            over_budget=self._over_budget,
        )
        task = asyncio.current_task()
        assert task is not None
        self._links[link] = task
        try:
            await link.serve()
        finally:
            del self._links[link]

    def _over_budget(self) -> bool:
        return sum(link.held_bytes for link in self._links) > MESSAGES_HELD * self._settings.max_message_bytes
