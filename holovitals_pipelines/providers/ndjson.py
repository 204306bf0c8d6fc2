"""NDJSON out of a stream of chunks: whole lines with their exact bytes and numbers, in bounded memory.

The law: every byte fed in is handed out once, in a line or in the account of a line too long to keep.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PAGE_BYTES = 4 * 1024 * 1024
"""Lines are handed out in batches of about this size: large enough that per-page costs vanish, small enough to hold."""
LONGEST_KEPT_LINE = 64 * 1024 * 1024
"""A line beyond this is counted to its end, but only its first part is kept."""

_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"
_INFLATE_STEP = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line over the limit: `kept` is all of it, unless `size` says that it was longer than can be kept."""

    number: int
    kept: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines without their line ends, blank ones left out; `numbers` are 1-based and parallel to `bodies`.

    `offset` and `next_line` are the place in the (decoded) file right behind these lines.
    """

    bodies: Sequence[bytes]
    numbers: Sequence[int]
    offset: int
    next_line: int
    long: Sequence[LongLine] = ()


class LineSplitter:
    """Cuts a file into batches of lines. `limit` is the longest line to hand out as a body, in bytes."""

    def __init__(self, *, limit: int, offset: int = 0, line: int = 1, page_bytes: int = PAGE_BYTES) -> None:
        self.received = offset
        """How far into the decoded file the bytes fed in reach."""
        self._limit = limit
        self._page_bytes = page_bytes
        self._cut_at = page_bytes
        self._offset = offset
        self._line = line
        self._parts: list[bytes] = []
        self._size = 0
        self._head: bytes | None = None
        """The kept beginning of a line whose rest is being dropped."""

    def feed(self, chunk: bytes) -> Lines | None:
        """Take a chunk; returns a batch when a page's worth of whole lines has come together."""
        if not chunk:
            return None
        self.received += len(chunk)
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size < self._cut_at:
            return None
        data = b"".join(self._parts)
        cut = data.rfind(b"\n")
        if cut < 0:
            self._grow(data)
            return None
        self._keep(data[cut + 1 :])
        return self._lines(data[:cut], cut + 1)

    def finish(self) -> tuple[Lines | None, bytes]:
        """At the end of the file: the last whole lines, and what follows the last line end (a line without one)."""
        data = b"".join(self._parts)
        cut = data.rfind(b"\n")
        self._keep(b"")
        lines = self._lines(data[:cut], cut + 1) if cut >= 0 else None
        tail = data[cut + 1 :]
        if self._head is not None:
            tail = self._head
        return lines, tail

    def last_line(self, tail: bytes) -> Lines:
        """Hand out the tail as the file's last line."""
        return self._lines(tail, self.received - self._offset)

    def _keep(self, rest: bytes) -> None:
        self._parts = [rest] if rest else []
        self._size = len(rest)
        self._cut_at = self._page_bytes

    def _grow(self, data: bytes) -> None:
        if self._head is None and len(data) > LONGEST_KEPT_LINE:
            self._head = data[:LONGEST_KEPT_LINE]
        if self._head is not None:
            self._offset += len(data)
            self._keep(b"")
            return
        self._parts = [data]
        # Doubling keeps the joins of one very long line linear in its length.
        self._cut_at = self._size * 2

    def _lines(self, data: bytes, consumed: int) -> Lines:
        first = self._line
        start = self._offset
        self._offset += consumed
        if start == 0 and data.startswith(_BOM):
            data = data[len(_BOM) :]
        bodies: Sequence[bytes] = data.split(b"\n")
        self._line += len(bodies)
        numbers: Sequence[int] = range(first, self._line)
        if b"\r" in data:
            bodies = [line.rstrip(b"\r") for line in bodies]
        long: list[LongLine] = []
        if self._head is not None:
            bodies, numbers, long = self._end_of_dropped(bodies, numbers)
        if max(map(len, bodies), default=0) > self._limit:
            long += [LongLine(n, line, len(line)) for n, line in zip(numbers, bodies, strict=True) if self._over(line)]
            pairs = [(n, line) for n, line in zip(numbers, bodies, strict=True) if not self._over(line)]
            numbers, bodies = [n for n, _ in pairs], [line for _, line in pairs]
        if not all(map(bytes.strip, bodies)):
            pairs = [(n, line) for n, line in zip(numbers, bodies, strict=True) if line.strip()]
            numbers, bodies = [n for n, _ in pairs], [line for _, line in pairs]
        return Lines(bodies, numbers, self._offset, self._line, long)

    def _over(self, line: bytes) -> bool:
        return len(line) > self._limit

    def _end_of_dropped(
        self, bodies: Sequence[bytes], numbers: Sequence[int]
    ) -> tuple[Sequence[bytes], Sequence[int], list[LongLine]]:
        assert self._head is not None
        kept, self._head = self._head, None
        return bodies[1:], numbers[1:], [LongLine(numbers[0], kept, LONGEST_KEPT_LINE + 1)]


class Damaged(Exception):
    """The compressed stream ended early or is not one."""


class Inflater:
    """Undoes gzip, whether the server declared it as Content-Encoding or just stored the file so; else passes on."""

    def __init__(self, *, declared: bool) -> None:
        self._declared = declared
        self._zlib: zlib._Decompress | None = None
        self._started = False

    @property
    def compressed(self) -> bool:
        return self._zlib is not None or self._declared

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if not self._started and chunk:
            self._started = True
            if self._declared or chunk.startswith(_GZIP_MAGIC):
                self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)
        if self._zlib is None:
            yield chunk
            return
        while chunk:
            try:
                yield self._zlib.decompress(chunk, _INFLATE_STEP)
            except zlib.error:
                raise Damaged from None
            chunk = self._zlib.unconsumed_tail
            if self._zlib.eof:
                # A gzip file may be several members one after the other.
                chunk = self._zlib.unused_data
                if chunk:
                    self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def finish(self) -> None:
        """Raises Damaged when the compressed stream has no proper end."""
        if self._zlib is not None and not self._zlib.eof:
            raise Damaged
