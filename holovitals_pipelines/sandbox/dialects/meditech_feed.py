"""MEDITECH's feed: an MLLP client that sends news in order, one in flight on each link, until each is answered.

Law: a message is sent again, the same bytes, until it was answered; refused ones are counted and left behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from holovitals_pipelines.sandbox.dialects.meditech_chart import Chart
from holovitals_pipelines.sandbox.dialects.meditech_hl7 import Frames, Received, framed
from holovitals_pipelines.sandbox.dialects.meditech_messages import News, written
from holovitals_pipelines.sandbox.dialects.meditech_news import changed, everything
from holovitals_pipelines.sandbox.site import Site

_ACCEPTED, _ERRORS = frozenset({"AA", "CA"}), frozenset({"AE", "CE"})


@dataclass(frozen=True, slots=True)
class _Ready:
    """A message as it was when what it tells happened."""

    body: bytes
    control: str


@dataclass(slots=True)
class _Link:
    """One TCP link to the receiver, and what is to go over it."""

    host: str
    port: int
    waiting: deque[News | _Ready] = field(default_factory=deque)
    some: asyncio.Event = field(default_factory=asyncio.Event)
    line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    frames: Frames = field(default_factory=Frames)
    in_flight: bool = False


class Feed:
    """What is sent where, and how far it has come."""

    def __init__(self, site: Site, zone: Callable[[], ZoneInfo]) -> None:
        self._site = site
        self._zone = zone
        self._links: dict[str, _Link] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._control = site.clock.now_ms()
        self.duplicates = self.lost_acks = 0
        """So many of the next messages are sent twice; so many of the next answers are lost."""
        self.sent = self.accepted = self.rejected = self.untold = 0

    def start(self, host: str, ports: Mapping[str, int], *, everything_held: bool) -> None:
        """Begin anew: with all that is held, or with what comes from now on. Call within the loop."""
        self.stop()
        self._loop = asyncio.get_running_loop()
        self.sent = self.accepted = self.rejected = self.untold = 0
        self._links = {name: _Link(host, port) for name, port in ports.items()}
        if everything_held:
            for news in everything(self._site, self._zone(), self._site.settings.orders):
                self._file(news, news)
        self._tasks = [asyncio.create_task(self._send(link)) for link in self._links.values()]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for link in self._links.values():
            self._hang_up(link)
        self._tasks, self._links = [], {}

    def progress(self) -> dict[str, Any]:
        pending = sum(len(link.waiting) + link.in_flight for link in self._links.values())
        told = {"pending": pending, "sent": self.sent, "accepted": self.accepted, "rejected": self.rejected}
        return {**told, "untold": self.untold}

    def tell(self, kind: str, identity: str) -> None:
        """A record was written or deleted; from any thread."""
        if self._links:
            for news in changed(self._site, self._zone(), self._site.settings.orders, kind, identity):
                self._file(news, self._written(news))

    def tell_merge(self, retired: str, survivor: str) -> None:
        if self._links:
            news = News("ADT^A40", survivor, retired)
            self._file(news, self._written(news))

    def _file(self, news: News, item: News | _Ready | None) -> None:
        """Queue it on the link for its kind, or on the only one there is."""
        if item is None:
            return
        link = self._links.get(news.port) or next(iter(self._links.values()))
        link.waiting.append(item)
        assert self._loop is not None, "a feed with links was started"
        self._loop.call_soon_threadsafe(link.some.set)

    async def _send(self, link: _Link) -> None:
        while True:
            while not link.waiting:
                link.some.clear()
                await link.some.wait()
            link.in_flight = True
            item = link.waiting.popleft()
            ready = self._written(item) if isinstance(item, News) else item
            if ready is not None:
                await self._delivered(link, ready)
                if self.duplicates:
                    self.duplicates -= 1
                    await self._delivered(link, ready)
            link.in_flight = False

    def _written(self, news: News) -> _Ready | None:
        self._control += 1
        control = self._control
        try:
            body = written(news, Chart(self._site, news.patient, self._zone()), control)
            return None if body is None else _Ready(body, str(control))
        except (KeyError, ValueError, TypeError, AttributeError):
            self.untold += 1  # a record that is no proper FHIR must not stop the feed
            return None

    async def _delivered(self, link: _Link, ready: _Ready) -> None:
        """Send until answered; an error is an answer once it was given often enough."""
        refusals = 0
        while True:
            code = await self._exchanged(link, ready)
            if code in _ACCEPTED:
                self.accepted += 1
                return
            if code is None:
                self._hang_up(link)
                await asyncio.sleep(self._site.settings.reconnect_seconds)
                continue
            refusals += 1
            if code not in _ERRORS or refusals >= self._site.settings.attempts_on_error:
                self.rejected += 1
                return

    async def _exchanged(self, link: _Link, ready: _Ready) -> str | None:
        """The code of the answer; None where there was none: nobody there, too late, or hung up."""
        settings = self._site.settings
        try:
            if link.line is None:
                link.line, link.frames = await asyncio.open_connection(link.host, link.port), Frames()
            reader, writer = link.line
            frame = framed(ready.body)
            step = settings.piece_bytes or len(frame)
            for start in range(0, len(frame), step):
                writer.write(frame[start : start + step])
                await writer.drain()
            self.sent += 1
            async with asyncio.timeout(settings.resend_seconds):
                code = await self._answer(link, reader, ready.control)
        except (OSError, TimeoutError):
            return None
        if code is not None and self.lost_acks:
            self.lost_acks -= 1
            return None
        return code

    async def _answer(self, link: _Link, reader: asyncio.StreamReader, control: str) -> str | None:
        while chunk := await reader.read(65_536):
            for frame in link.frames.add(chunk):
                with suppress(ValueError):
                    received = Received(frame)
                    for msa in received.named("MSA"):
                        if received.part(msa, 2) == control:
                            return received.part(msa, 1)
        return None

    def _hang_up(self, link: _Link) -> None:
        if link.line is not None:
            with suppress(RuntimeError):  # the loop it belonged to is gone
                link.line[1].close()
            link.line = None
