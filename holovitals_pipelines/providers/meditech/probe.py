"""MEDITECH's links tried out: whether its interface takes our connection, and whether it finds our ports open.

Law: not one byte is sent: a link is opened and closed, and a port of ours is bound and let go.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from holovitals_pipelines.model.connection import ConnectionConfig, ListenAt
from holovitals_pipelines.providers.probe import Check, Finding, Verdict, works

_PATIENCE_SECONDS = 10.0


async def probe_links(config: ConnectionConfig) -> list[Finding]:
    """Where messages are sent to, and each port where they are taken."""
    if not config.hl7v2.listen:
        ours = [
            Finding(
                Check.CHANGES,
                Verdict.FAULT,
                "hl7.no_listener",
                "no port is named where MEDITECH's messages are taken: nothing would ever be read",
                "name one in hl7v2.listen, and give its number to the site",
            )
        ]
    else:
        ours = [_port_of_ours(at) for at in config.hl7v2.listen]
    return [await _their_port(config), *ours]


async def _their_port(config: ConnectionConfig) -> Finding:
    parts = urlsplit(config.base_url)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except (OSError, TimeoutError):
        writes = config.write.enabled
        return Finding(
            Check.WRITES,
            Verdict.FAULT if writes else Verdict.NOTE,
            "hl7.no_link",
            "the vendor's interface takes no connection at base_url"
            + ("" if writes else "; nothing is written to it, so nothing is missing for now"),
            "check host and port with the site, and that its firewall and its interface let us in",
        )
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return works(Check.WRITES, "hl7.link", "the vendor's interface takes our connection")


def _port_of_ours(at: ListenAt) -> Finding:
    if at.port == 0:
        return works(Check.CHANGES, "hl7.port", f"the port {at.name} is chosen by the system")
    family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((at.host, at.port))
        except OSError as error:
            return Finding(
                Check.CHANGES,
                Verdict.NOTE,
                "hl7.port_taken",
                f"the port {at.name} ({at.host}:{at.port}) cannot be opened: {error.strerror}",
                "nothing, if our own listener is running; else stop what holds the port, or choose another in "
                "hl7v2.listen",
            )
    return works(
        Check.CHANGES, "hl7.port", f"the port {at.name} ({at.host}:{at.port}) is free for the listener to take"
    )
