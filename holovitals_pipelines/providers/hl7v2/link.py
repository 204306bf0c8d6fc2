"""One connection of a sender: frames in, messages to `take`, acknowledgements out, in order.

Law: nothing is read on before the message at hand is answered, and nothing of a message is logged.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.providers.hl7v2.acknowledgement import Acknowledger, Answer
from holovitals_pipelines.providers.hl7v2.framing import CommitSign, Frame, FrameReader, TooLong, framed
from holovitals_pipelines.providers.hl7v2.header import Header, read_header

READ_BYTES: Final = 64 * 1024

_TOO_LONG: Final = Answer("AR", ("104", "The message is longer than this receiver takes"))
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came: `feed` is the port's name, `body` the exact bytes of the frame.

    With `problem` there is no header: the bytes are no message, or only the beginning of one that was too long.
    """

    feed: str
    body: bytes
    peer: str
    header: Header | None
    problem: Problem | None


Take = Callable[[Arrival], Awaitable[Answer]]
"""Returns once the message is durable. Connections call it at once; a connection waits for its answer."""


@dataclass(slots=True)
class Traffic:
    """What one port has seen, in numbers."""

    connections: int = 0
    turned_away: int = 0
    """Connections beyond the most there may be, or closed because unfinished messages filled the memory."""
    messages: int = 0
    unreadable: int = 0
    too_long: int = 0
    stalled: int = 0
    cut_frames: int = 0
    junk_bytes: int = 0
    commit_signs: int = 0
    acknowledgements: int = 0
    """Answers sent to this port, to messages that did not come from it: kept like messages, and not answered."""
    not_taken: int = 0
    """Messages that `take` raised on: their connections were closed without an answer."""
    answers: Counter[str] = field(default_factory=Counter)
    """By AA, AE, AR, also where the sender wants to hear none."""


class Link:
    def __init__(
        self,
        feed: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        take: Take,
        acknowledger: Acknowledger,
        traffic: Traffic,
        *,
        limit: int,
        stalled_seconds: float,
        over_budget: Callable[[], bool],
    ) -> None:
        self.stopping = False
        self.idle = False
        """Waiting for bytes: nothing was taken that is not answered."""
        self._feed = feed
        self._reader = reader
        self._writer = writer
        self._take = take
        self._acknowledger = acknowledger
        self._traffic = traffic
        self._limit = limit
        self._stalled_seconds = stalled_seconds
        self._over_budget = over_budget
        self._frames = FrameReader(limit=limit)
        keep_alive(writer)
        address = writer.get_extra_info("peername") or ("",)
        self._peer = str(address[0])

    @property
    def held_bytes(self) -> int:
        return self._frames.held_bytes

    async def serve(self) -> None:
        """Until the sender closes, or the listener stops."""
        try:
            while not self.stopping and (data := await self._read()):
                await self._received(data)
                if self._frames.held_bytes > READ_BYTES and self._over_budget():
                    self._traffic.turned_away += 1
                    _log.error("%s: closed a connection, unfinished messages fill the memory for them", self._feed)
                    return
        except TimeoutError:
            self._traffic.stalled += 1
        except OSError:
            pass  # a lost connection: the sender repeats what was not answered
        except asyncio.CancelledError:
            if not self.stopping:
                raise
        except _NotTaken:
            self._traffic.not_taken += 1
        finally:
            self._frames.finish()
            self._count_what_was_no_frame()
            self._writer.close()

    async def _read(self) -> bytes:
        self.idle = True
        try:
            if not self._frames.inside_a_frame:
                return await self._reader.read(READ_BYTES)
            async with asyncio.timeout(self._stalled_seconds):
                return await self._reader.read(READ_BYTES)
        finally:
            self.idle = False

    async def _received(self, data: bytes) -> None:
        events = self._frames.feed(data)
        self._count_what_was_no_frame()
        for event in events:
            if self.stopping:
                return
            if isinstance(event, CommitSign):
                self._traffic.commit_signs += 1
                continue
            header, answer = await (self._taken(event.body) if isinstance(event, Frame) else self._refused(event))
            if header is not None and header.message_type == "ACK":
                # Answering answers would never end; what it is about is not known here.
                self._traffic.acknowledgements += 1
                continue
            self._traffic.answers[answer.code] += 1
            for message in self._acknowledger.answers(header, answer):
                self._writer.write(framed(message))
            await self._writer.drain()

    def _count_what_was_no_frame(self) -> None:
        frames, traffic = self._frames, self._traffic
        traffic.junk_bytes += frames.junk_bytes
        traffic.cut_frames += frames.cut_frames
        frames.junk_bytes = frames.cut_frames = 0

    async def _refused(self, event: TooLong) -> tuple[Header | None, Answer]:
        """Its beginning is kept as a dead letter, but whatever is said to that, the rest is not here."""
        self._traffic.too_long += 1
        await self._call(Arrival(self._feed, event.head, self._peer, None, self._too_long(event.size)))
        return _header(event.head), _TOO_LONG

    async def _taken(self, body: bytes) -> tuple[Header | None, Answer]:
        self._traffic.messages += 1
        try:
            header = read_header(body)
        except MalformedResource as error:
            problem = Problem(error.code, error.message, error.remedy, f"mllp {self._feed}")
        else:
            return header, await self._call(Arrival(self._feed, body, self._peer, header, None))
        self._traffic.unreadable += 1
        return None, await self._call(Arrival(self._feed, body, self._peer, None, problem))

    async def _call(self, arrival: Arrival) -> Answer:
        """A message that could not be kept gets no answer: it stays the sender's, who sends it again."""
        try:
            return await self._take(arrival)
        except Exception as error:  # noqa: BLE001 - whatever it is, the listener goes on
            told = error.code if isinstance(error, HoloVitalsError) else type(error).__name__
        _log.error("%s: a message could not be kept (%s); its connection is closed without an answer", self._feed, told)
        raise _NotTaken

    def _too_long(self, size: int) -> Problem:
        return Problem(
            "mllp.too_long",
            f"a message of {size} bytes is longer than the limit of {self._limit}; only its beginning is kept",
            "Raise hl7v2.max_message_bytes and have the message sent again.",
            f"mllp {self._feed}",
        )


class _NotTaken(Exception):
    pass


def keep_alive(writer: asyncio.StreamWriter) -> None:
    """Links are quiet for hours: without this, neither side would notice that the other is gone."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _header(head: bytes) -> Header | None:
    try:
        return read_header(head)
    except MalformedResource:
        return None
