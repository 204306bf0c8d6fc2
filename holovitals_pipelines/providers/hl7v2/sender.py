"""The link on which our HL7 v2 messages are sent: one connection, in order, one message in flight.

Law: a message counts as taken only by an acknowledgement that names it; where none came, the outcome is unknown and
nothing is sent again without being asked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NoReturn, Self
from urllib.parse import SplitResult, urlsplit

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.connection import Hl7v2Settings
from holovitals_pipelines.model.errors import ConfigurationError, ErrorAction, PermanentError, TransientError
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.providers.exchange import outcome_unknown
from holovitals_pipelines.providers.hl7v2.acknowledgement import Acknowledgement, Fault, read_acknowledgement
from holovitals_pipelines.providers.hl7v2.error_codes import DUPLICATE, refusal, refusal_error
from holovitals_pipelines.providers.hl7v2.framing import CommitSign, Event, Frame, FrameReader, framed
from holovitals_pipelines.providers.hl7v2.header import Header, read_header
from holovitals_pipelines.providers.hl7v2.link import keep_alive
from holovitals_pipelines.providers.hl7v2.tls import ResolveSecret, sending
from holovitals_pipelines.providers.retry import backoff

LONGEST_ACKNOWLEDGEMENT: Final = 1024 * 1024
RETRY_SECONDS: Final = 1.0
"""What the first repeat of a message waits at most; each further one twice as long."""

_READ_BYTES: Final = 64 * 1024
_TOLD: Final = frozenset({"AL", "SU"})
"""Values of MSH-15 and 16 that ask to be told of success."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The vendor has the message: `code` AA, or CA where only its receipt was asked for."""

    code: str
    control_id: str
    attempts: int = 1
    already_applied: bool = False
    """The vendor refused it as one it has already (205), and it was a repeat."""


class Sender:
    """Connects with the first message, and again whenever the connection was lost. To be used with `async with`."""

    def __init__(
        self,
        host: str,
        port: int,
        settings: Hl7v2Settings,
        *,
        tls: bool | None = None,
        resolve_secret: ResolveSecret | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`tls` None: where `settings.tls` is given."""
        self.unmatched = 0
        """Answers to other messages than the one in flight: late, repeated, or not to be read."""
        self._host = host
        self._port = port
        self._seconds = settings.ack_timeout_seconds
        self._clock = clock
        use_tls = settings.tls is not None if tls is None else tls
        self._place = f"{'mllps' if use_tls else 'mllp'}://{host}:{port}"
        self._context = sending(settings.tls, resolve_secret, place=self._place) if use_tls else None
        self._order = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._frames = FrameReader(limit=LONGEST_ACKNOWLEDGEMENT)
        self._events: deque[Event] = deque()

    @classmethod
    def to(
        cls,
        base_url: str,
        settings: Hl7v2Settings,
        *,
        resolve_secret: ResolveSecret | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> Self:
        """The sender of a connection's `base_url`: `mllp://host:port`, or `mllps://` with TLS."""
        parts = urlsplit(base_url)
        host, port = parts.hostname, _port(parts)
        if parts.scheme not in ("mllp", "mllps") or host is None or port is None:
            raise ConfigurationError(
                "messages are sent to mllp://host:port or mllps://host:port",
                code="hl7.base_url",
                place=base_url,
                remedy="name the host and the port of the vendor's interface in base_url",
            )
        tls = parts.scheme == "mllps"
        return cls(host, port, settings, tls=tls, resolve_secret=resolve_secret, clock=clock)

    async def send(self, message: bytes, *, repeated: bool = False) -> Acknowledged:
        """Send one message and wait for what is said of it. `repeated`: it was sent before and nothing was heard.

        Raises the error of table 0357, TransientError where the vendor cannot be reached or stays busy,
        OutcomeUnknownError where no acknowledgement came.
        """
        header = read_header(message)
        self._check(header)
        frame = framed(message)
        async with self._order:
            attempt = 1
            while True:
                answer = await self._exchange(frame, header)
                refused = refusal(answer)
                if refused is None:
                    return Acknowledged(answer.code, header.control_id, attempt)
                rule, fault = refused
                if fault.code == DUPLICATE and (repeated or attempt > 1):
                    return Acknowledged(answer.code, header.control_id, attempt, already_applied=True)
                if attempt >= rule.tries:
                    raise refusal_error(answer, rule, fault, place=self._place)
                chance = self._clock.chance()
                await self._clock.sleep(backoff(attempt - 1, base_seconds=RETRY_SECONDS, chance=chance, asked=None))
                attempt += 1

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _check(self, header: Header) -> None:
        """An answer that cannot be told from another's, or that is not asked for, proves nothing."""
        if not header.control_id.strip():
            raise PermanentError(
                "the message has no control id (MSH-10), so no answer can name it",
                code="hl7.no_control_id",
                place=self._place,
                remedy="report it as a defect of this product",
            )
        if header.enhanced and not {header.accept_ack, header.application_ack} & _TOLD:
            raise ConfigurationError(
                "the message asks for no acknowledgement of success (MSH-15, MSH-16)",
                code="hl7.ack_mode",
                place=self._place,
                remedy="leave both empty, or ask for AL in one of them",
            )

    async def _exchange(self, frame: bytes, header: Header) -> Acknowledgement:
        reader, writer = await self._connected()
        problem = None
        whole = False
        try:
            async with asyncio.timeout(self._seconds):
                writer.write(frame)
                await writer.drain()
                answer = await self._answer(reader, header)
            whole = True
            return answer
        except TimeoutError:
            problem = f"no acknowledgement came within {self._seconds:g} seconds"
        except ssl.SSLError:
            problem = "the TLS link broke, as it does where the vendor does not take our certificate"
        except OSError:
            problem = "the connection was lost before the acknowledgement"
        finally:
            if not whole:
                # Whatever still comes on this connection is an answer to a message that is given up.
                await self.close()
        raise outcome_unknown(problem, place=self._place)

    async def _answer(self, reader: asyncio.StreamReader, header: Header) -> Acknowledgement:
        while True:
            while self._events:
                answer = self._judged(self._events.popleft(), header)
                if answer is not None:
                    return answer
            data = await reader.read(_READ_BYTES)
            if not data:
                raise ConnectionResetError
            self._events += self._frames.feed(data)

    def _judged(self, event: Event, header: Header) -> Acknowledgement | None:
        """The answer that ends the wait; None where another one is still to come."""
        answer = _sign(event, header) if isinstance(event, CommitSign) else _read(event)
        if answer is None or not _names(answer, header):
            self.unmatched += 1
            return None
        more_to_come = answer.commit and header.application_ack in _TOLD
        return None if answer.accepted and more_to_come else answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        await asyncio.sleep(0)  # lets the loop notice that the vendor has closed
        if self._streams is not None:
            reader, writer = self._streams
            if not reader.at_eof() and not writer.is_closing():
                return self._streams
            await self.close()
        self._frames = FrameReader(limit=LONGEST_ACKNOWLEDGEMENT)
        self._events.clear()
        try:
            async with asyncio.timeout(self._seconds):
                self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._context)
        except ssl.SSLError:
            certificate = True
        except OSError:
            certificate = False
        else:
            keep_alive(self._streams[1])
            return self._streams
        self._not_connected(certificate=certificate)

    def _not_connected(self, *, certificate: bool) -> NoReturn:
        if certificate:
            raise PermanentError(
                "the TLS connection could not be made: the vendor's certificate or protocol is not acceptable",
                code="hl7.tls",
                place=self._place,
                remedy="check base_url, and hl7v2.tls.authorities: who vouches for the vendor's certificate",
                action=ErrorAction.FIX_DATA,
            )
        raise TransientError(
            "the vendor cannot be reached",
            code="hl7.unreachable",
            place=self._place,
            remedy="check base_url, the network and the firewall, then run the job again",
        )


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        return None


def _read(event: Event) -> Acknowledgement | None:
    if not isinstance(event, Frame):
        return None
    try:
        return read_acknowledgement(event.body)
    except MalformedResource:
        return None


def _sign(event: CommitSign, header: Header) -> Acknowledgement | None:
    """A commit sign names no message, so it is of the one in flight; of success only where one was asked for."""
    if not event.stored:
        return Acknowledgement("CE", header.control_id, faults=(Fault("207", "message not stored"),))
    return Acknowledgement("CA", header.control_id) if header.enhanced else None


def _names(answer: Acknowledgement, header: Header) -> bool:
    """A receiver that could not read a message refuses it without its id: it can only be the one in flight."""
    named = answer.control_id.strip()
    return named == header.control_id.strip() or (not named and not answer.accepted)
