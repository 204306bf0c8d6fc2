"""MEDITECH's side of MLLP: the port that takes messages, and the feed that sends them, in the sandbox's own loop.

Law: a message is answered when what it says is done; on one connection, in the order of arrival.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import replace
from zoneinfo import ZoneInfo

from holovitals_pipelines.sandbox.dialects.meditech_feed import Feed
from holovitals_pipelines.sandbox.dialects.meditech_hl7 import Frames, Received, framed
from holovitals_pipelines.sandbox.dialects.meditech_taken import Verdict, answers, take
from holovitals_pipelines.sandbox.site import Site


class MeditechLink:
    """The MLLP port of one simulated MEDITECH; see `sandbox.site.Link`."""

    def __init__(self, site: Site) -> None:
        self.feed = Feed(site, self._zone)
        self._site = site
        self._bound: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.StreamWriter] = set()
        self._control = site.clock.now_ms()
        self._silent = self._refusing = 0
        self._refusal = Verdict()

    @property
    def address(self) -> str:
        assert self._bound is not None, "the port is known once bound"
        host, port = self._bound.getsockname()[:2]
        return f"mllp://{host}:{port}"

    def bind(self, host: str) -> None:
        if self._bound is None:
            self._bound = socket.create_server((host, self._site.settings.port), backlog=128)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._bound)

    async def stop(self) -> None:
        self.feed.stop()
        if self._server is not None:
            self._server.close()
        for line in list(self._lines):
            line.close()

    def turn(self) -> None:
        """Wind up what the knobs that count were set to; they stand at zero after that."""
        settings = self._site.settings
        if settings.refuse:
            self._refusing = settings.refuse_times
            self._refusal = Verdict(settings.refuse, settings.refuse_error, "The sandbox was told to refuse")
        self._silent += settings.silent
        self.feed.duplicates += settings.duplicates
        self.feed.lost_acks += settings.lost_acks
        self._site.settings = replace(settings, refuse="", silent=0, duplicates=0, lost_acks=0)

    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self._site.settings.zone)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines.add(writer)
        frames = Frames()
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while chunk := await reader.read(65_536):
                    for frame in frames.add(chunk):
                        await self._answer(frame, writer)
        finally:
            self._lines.discard(writer)
            writer.close()

    async def _answer(self, frame: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            received = Received(frame)
        except (ValueError, IndexError):
            return  # what is no HL7 names nobody to answer
        if self._refusing:
            self._refusing -= 1
            verdict = self._refusal
        else:
            verdict = self._taken(received)
        if self._silent:
            self._silent -= 1
            return
        await asyncio.sleep(self._site.settings.late_seconds)
        self._control += 1
        for answer in answers(self._site, self._zone(), received, verdict, self._control):
            writer.write(framed(answer))
        await writer.drain()

    def _taken(self, received: Received) -> Verdict:
        try:
            return take(self._site, self._zone(), received)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return Verdict("AE", "207", "Application internal error")
