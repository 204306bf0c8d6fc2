"""Both ends of an MLLP link for tests: a `take` that keeps, a raw client, and a vendor that answers by script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from holovitals_pipelines.model.connection import Hl7v2Settings
from holovitals_pipelines.providers.hl7v2.acknowledgement import ACCEPTED, Acknowledgement, read_acknowledgement
from holovitals_pipelines.providers.hl7v2.framing import Frame, FrameReader, framed
from holovitals_pipelines.providers.hl7v2.header import read_header
from holovitals_pipelines.providers.hl7v2.listener import Answer, Arrival

SECONDS = 5.0
"""What a test waits at most for something that has to come."""


def message(control_id: str | int, *, text: str = "", more: str = "", version: str = "2.4") -> bytes:
    return (
        f"MSH|^~\\&|ADM|FAC1|||202601150930||ADT^A08|{control_id}|P|{version}{more}\r"
        f"EVN|A08|202601150930\rPID|1||M417^^^^MR^FAC1||TEST^ALPHA{text}\r"
    ).encode()


def on_one_port(**settings: Any) -> Hl7v2Settings:
    return Hl7v2Settings.model_validate({"listen": [{"port": 0}], **settings})


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110 - what it waits for is counted, not signalled
            await asyncio.sleep(0.001)


class Keeper:
    """A `take` that keeps what arrives, in order, and answers as told."""

    def __init__(self, answer: Answer | Callable[[Arrival], Answer] = ACCEPTED) -> None:
        self.arrivals: list[Arrival] = []
        self.answer = answer
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.has_one = asyncio.Event()

    async def __call__(self, arrival: Arrival) -> Answer:
        self.has_one.set()
        await self.may_go_on.wait()
        self.arrivals.append(arrival)
        return self.answer if isinstance(self.answer, Answer) else self.answer(arrival)

    @property
    def ids(self) -> list[str]:
        return [one.header.control_id for one in self.arrivals if one.header is not None]


class Client:
    """The sending end of a connection, byte by byte as the test wants it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._reader = reader
        self._frames = FrameReader(limit=1 << 20)
        self._held: list[bytes] = []

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> bytes | None:
        """The next message that comes back; None when the other side closed."""
        async with asyncio.timeout(SECONDS):
            while not self._held:
                try:
                    data = await self._reader.read(65_536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self._held += [event.body for event in self._frames.feed(data) if isinstance(event, Frame)]
        return self._held.pop(0)

    async def told(self) -> Acknowledgement:
        body = await self.answer()
        assert body is not None, "the connection was closed without an answer"
        told = read_acknowledgement(body)
        assert told is not None
        return told

    async def ask(self, body: bytes) -> Acknowledgement:
        await self.send(framed(body))
        return await self.told()


@asynccontextmanager
async def client(port: int, **tls: Any) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **tls)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


class Vendor:
    """A vendor's port: what it says to the n-th message is up to the script; it keeps what it got."""

    def __init__(self, script: Callable[[int, Client], Awaitable[None]]) -> None:
        self.got: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        end = Client(reader, writer)
        try:
            while (body := await end.answer()) is not None:
                self.got.append(body)
                await self._script(len(self.got), end)
        except (OSError, TimeoutError):
            pass
        finally:
            writer.close()

    def says(self, code: str, *, error: str | None = None, of: int = -1, words: str = "") -> bytes:
        """An acknowledgement of the message in place `of` of what it got."""
        control_id = read_header(self.got[of]).control_id
        err = "" if error is None else f"ERR|PID^1^8^{error}&{words}&HL70357\r"
        return framed(
            f"MSH|^~\\&|VENDOR|V|HV||1||ACK^A08|{len(self.got)}|P|2.4\rMSA|{code}|{control_id}\r{err}".encode()
        )


@asynccontextmanager
async def vendor(script: Callable[[Vendor, int, Client], Awaitable[None]], **tls: Any) -> AsyncIterator[Vendor]:
    async def bound(number: int, end: Client) -> None:
        await script(made, number, end)

    made = Vendor(bound)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, **tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
