"""MLLP frames out of a stream of bytes: `0x0B` message `0x1C 0x0D`, however the network cut or joined them.

Law: the same bytes give the same frames whatever their cuts, and no more than one message and its limit is ever held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from holovitals_pipelines.fhir.strict_json import MalformedResource

START: Final = b"\x0b"
END: Final = b"\x1c\r"
HEAD_BYTES: Final = 4096
"""What is kept of a message over the limit: enough for its MSH segment, so that its refusal can name it."""

_NEXT: Final = b"\x0bMSH"
_MARK: Final = re.compile(rb"\x1c\r|\x0bMSH")
_SIGN: Final = re.compile(rb"[\x06\x15]")
_SIGNS: Final = frozenset({b"\x06", b"\x15"})


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole message, without what framed it."""

    body: bytes


@dataclass(frozen=True, slots=True)
class TooLong:
    """A message over the limit, told when its end has come: its beginning and its size."""

    head: bytes
    size: int


@dataclass(frozen=True, slots=True)
class CommitSign:
    """MLLP release 2: one byte, framed or bare, says that the message before it was stored (0x06) or not (0x15)."""

    stored: bool


Event = Frame | TooLong | CommitSign


def framed(body: bytes) -> bytes:
    """The frame of a message. Raises MalformedResource (`mllp.unframeable`) for what no receiver could take apart."""
    if _MARK.search(body) or body.endswith(b"\x1c"):
        raise MalformedResource(
            "mllp.unframeable",
            "the message holds a mark that begins or ends an MLLP frame",
            "Write control characters of texts as escape sequences (`\\X1C\\`).",
        )
    return START + body + END


class FrameReader:
    """Bytes in, events out. A frame that another one interrupts was cut by its sender, who will repeat it: it is junk.

    A vertical tab within a text is text: only one that MSH follows begins a frame.
    """

    def __init__(self, *, limit: int) -> None:
        self.junk_bytes = 0
        """Bytes that were of no frame, without commit signs."""
        self.cut_frames = 0
        """Frames that began and never ended."""
        self._limit = limit
        self._head_bytes = min(limit, HEAD_BYTES)
        self._buffer = bytearray()
        self._inside = False
        self._scanned = 0
        """How much of the buffer holds no mark."""
        self._end: int | None = None
        """Where the next end of a frame is in the buffer, -1 if nowhere, None if that was not looked for."""
        self._head: bytes | None = None
        """The beginning of a message over the limit, whose rest is being dropped."""
        self._dropped = 0

    @property
    def held_bytes(self) -> int:
        return len(self._buffer) + len(self._head or b"")

    @property
    def inside_a_frame(self) -> bool:
        return self._inside

    def feed(self, data: bytes) -> list[Event]:
        """What has become whole with these bytes, in order."""
        self._buffer += data
        if self._end == -1:
            self._end = None
        events: list[Event] = []
        while self._step(events):
            pass
        return events

    def finish(self) -> None:
        """At the end of the stream: an unfinished frame is counted as cut."""
        if self._inside:
            self._cut(self._dropped + len(self._buffer))
        self._buffer.clear()
        self._end = None
        self._leave()

    def _step(self, events: list[Event]) -> bool:
        if not self._inside:
            return self._enter(events)
        if self._end is None:
            self._end = self._buffer.find(END, self._scanned)
        end = len(self._buffer) if self._end < 0 else self._end
        interrupted = self._buffer.find(_NEXT, self._scanned, end)
        if interrupted >= 0:
            self._interrupted(interrupted, events)
            self._drop(interrupted + len(START))
        elif self._end >= 0:
            self._ended(end, events)
            self._drop(end + len(END))
        else:
            self._wait()
            return False
        self._leave()
        self._inside = interrupted >= 0
        return True

    def _enter(self, events: list[Event]) -> bool:
        start = self._buffer.find(START)
        before = self._buffer if start < 0 else self._buffer[:start]
        if before:
            signs = _SIGN.findall(before)
            events += [CommitSign(sign == b"\x06") for sign in signs]
            self.junk_bytes += len(before) - len(signs)
        if start < 0:
            self._buffer.clear()
            return False
        self._drop(start + len(START))
        self._inside = True
        return True

    def _wait(self) -> None:
        """Keep what may be the beginning of a mark; drop the rest of what is too long already."""
        self._scanned = max(0, len(self._buffer) - (len(_NEXT) - 1))
        # One byte more than the limit may be the end of a frame whose carriage return is missing.
        if self._head is None and self._scanned > self._limit + 1:
            self._head = bytes(self._buffer[: self._head_bytes])
        if self._head is not None:
            self._dropped += self._scanned
            # The byte before a mark tells whether the frame before it had its end.
            kept = 1 if self._scanned else 0
            self._dropped -= kept
            del self._buffer[: self._scanned - kept]
            self._scanned = kept

    def _ended(self, at: int, events: list[Event]) -> None:
        size = self._dropped + at
        if size > self._limit:
            head = bytes(self._buffer[: self._head_bytes]) if self._head is None else self._head
            events.append(TooLong(head, size))
            return
        body = bytes(memoryview(self._buffer)[:at])
        events.append(CommitSign(body == b"\x06") if body in _SIGNS else Frame(body))

    def _interrupted(self, at: int, events: list[Event]) -> None:
        if at and self._buffer[at - 1 : at] == b"\x1c":
            # A sender that leaves out the carriage return of the end.
            self._ended(at - 1, events)
        else:
            self._cut(self._dropped + at)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        if self._end is not None and self._end >= 0:
            self._end = self._end - count if self._end >= count else None

    def _cut(self, size: int) -> None:
        self.junk_bytes += size + len(START)
        self.cut_frames += 1

    def _leave(self) -> None:
        self._inside = False
        self._scanned = 0
        self._head = None
        self._dropped = 0
