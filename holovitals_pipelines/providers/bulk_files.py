"""One Bulk Data file, streamed: whole lines with exact bytes, resumed after a drop where the server allows it.

The law: a line is handed out once and in order; a file that ends too early is an error that names the last good line.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from holovitals_pipelines.fhir.wire import MalformedResource, read_head
from holovitals_pipelines.model.errors import ProtocolError, TransientError, VendorError
from holovitals_pipelines.providers.exchange import StreamedAnswer
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.ndjson import Damaged, Inflater, Lines, LineSplitter
from holovitals_pipelines.providers.retry import backoff

FILE_OPERATION = "GET $export-file"

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class FilePlace:
    """Where reading a file stands, and what the file looked like, to know it again.

    `offset` counts decoded bytes; `rows` the non-blank lines before it. `ranged` is True when the file comes
    uncompressed, so that offsets are positions a Range request understands.
    """

    offset: int = 0
    line: int = 1
    rows: int = 0
    etag: str | None = None
    length: int | None = None
    ranged: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("offset", "line", "rows", "etag", "length", "ranged")}

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> FilePlace:
        return cls(**stored) if stored else cls()

    def behind(self, lines: Lines) -> FilePlace:
        rows = self.rows + len(lines.bodies) + len(lines.long)
        return replace(self, offset=lines.offset, line=lines.next_line, rows=rows)


class _Changed(Exception):
    """The file is not the one whose beginning was read."""


class _Download:
    """A file on its way, over as many connections as it takes."""

    def __init__(self, http: VendorHttp, name: str, place: FilePlace) -> None:
        self._http = http
        self._name = name
        self.start_at(place)

    def start_at(self, place: FilePlace) -> None:
        self.place = place
        limit = self._http.settings.max_resource_bytes
        self.splitter = LineSplitter(limit=limit, offset=place.offset, line=place.line)
        self._inflater = Inflater(declared=False)
        self._skip = 0

    def headers(self) -> dict[str, str]:
        headers = {"Accept": "application/fhir+ndjson", "Accept-Encoding": "gzip"}
        received = self.splitter.received
        if received and self.place.ranged:
            headers |= {"Accept-Encoding": "identity", "Range": f"bytes={received}-"}
            if self.place.etag and not self.place.etag.startswith("W/"):
                headers["If-Range"] = self.place.etag
        return headers

    def opened(self, answer: StreamedAnswer) -> None:
        """Match the answer to what is already here. Raises _Changed, or ProtocolError for what is no NDJSON."""
        encoding = answer.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            raise self.error("bulk.encoding", "the file comes in a content encoding nobody asked for")
        if "html" in answer.headers.get("content-type", "").lower():
            raise self.not_ndjson()
        declared = encoding in ("gzip", "x-gzip")
        length = answer.headers.get("content-length", "")
        seen = replace(
            self.place,
            etag=answer.headers.get("etag"),
            length=int(length) if length.isdecimal() else None,
            ranged=not declared,
        )
        received = self.splitter.received
        self._inflater = Inflater(declared=declared)
        self._skip = received
        if answer.status == 206:
            match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "").strip())
            if match is None or int(match[1]) != received:
                self.place = replace(self.place, ranged=False)
                raise TransientError("the server sent another range than asked", code="bulk.range", place=self._name)
            seen = replace(seen, length=None if match[2] == "*" else int(match[2]))
            self._skip = 0
        if received and (seen.etag, seen.length) != (self.place.etag, self.place.length):
            raise _Changed
        self.place = seen

    def take(self, chunk: bytes) -> Iterator[tuple[Lines, FilePlace]]:
        for data in self._inflater.feed(chunk):
            if self._skip >= len(data):
                self._skip -= len(data)
                continue
            fresh = data[self._skip :] if self._skip else data
            self._skip = 0
            if self.splitter.received == 0 and fresh.lstrip()[:1] == b"<":
                raise self.not_ndjson()
            if (lines := self.splitter.feed(fresh)) is not None:
                yield self.hand_out(lines)

    def closed(self) -> None:
        """The answer has ended. Raises Damaged when a compressed one ended early."""
        if self._inflater.compressed:
            self.place = replace(self.place, ranged=False)
        self._inflater.finish()

    def hand_out(self, lines: Lines) -> tuple[Lines, FilePlace]:
        if self._inflater.compressed:
            self.place = replace(self.place, ranged=False)
        self.place = self.place.behind(lines)
        return lines, self.place

    def is_whole(self) -> bool:
        return self.place.ranged and self.splitter.received == self.place.length

    def error(self, code: str, message: str) -> ProtocolError:
        return ProtocolError(
            message,
            code=code,
            place=f"{self._http.place(FILE_OPERATION)}, file {self._name}",
            remedy="run the job again; if it stays so, report it to the vendor. The lines before it are kept",
        )

    def not_ndjson(self) -> ProtocolError:
        return self.error("bulk.not_ndjson", "the server answered a web page instead of NDJSON")

    def truncated(self, last_good_line: int, reason: str) -> ProtocolError:
        return self.error("bulk.file_truncated", f"the file ends too early, after line {last_good_line}: {reason}")


async def read_file(
    http: VendorHttp, url: httpx.URL, *, authorized: bool, name: str, place: FilePlace, expected: int | None
) -> AsyncGenerator[tuple[Lines, FilePlace], None]:
    """Batches of lines from `place` on, each with the place behind it.

    `name` says which file in errors; `expected` is the manifest's count, if it gave one. Raises ProtocolError:
    `bulk.file_truncated` after the good lines, `bulk.not_ndjson`; and whatever the requests raise.
    """
    download = _Download(http, name, place)
    async for batch in _whole(download, http, url, authorized=authorized):
        yield batch
    lines, tail = download.splitter.finish()
    if lines is not None:
        yield download.hand_out(lines)
    if tail.strip():
        last = download.splitter.last_line(tail)
        if any(_is_cut_off(body) for body in last.bodies):
            raise download.truncated(last.next_line - 2, "the last line is not whole")
        yield download.hand_out(last)
    rows = download.place.rows
    if expected is not None and rows < expected:
        raise download.truncated(download.place.line - 1, f"the manifest counts {expected} resources, {rows} came")


async def _whole(
    download: _Download, http: VendorHttp, url: httpx.URL, *, authorized: bool
) -> AsyncGenerator[tuple[Lines, FilePlace], None]:
    """All batches up to the file's end, over dropped connections."""
    failures = 0
    while True:
        opened = False
        before = download.splitter.received
        try:
            async with http.stream(
                url, operation=FILE_OPERATION, headers=download.headers(), authorized=authorized
            ) as answer:
                opened = True
                download.opened(answer)
                async for chunk in answer.chunks():
                    for batch in download.take(chunk):
                        yield batch
                download.closed()
            return
        except _Changed:
            failures += 1
            reason = "it changes while it is read"
            download.start_at(FilePlace())
        except (TransientError, Damaged) as drop:
            if not opened:
                raise
            failures = 1 if download.splitter.received > before else failures + 1
            reason = drop.message if isinstance(drop, VendorError) else "its compressed stream has no end"
        except VendorError as refused:
            if refused.status == 416 and download.is_whole():
                return
            raise
        if failures > http.settings.max_retries:
            raise download.truncated(download.place.line - 1, reason) from None
        wait = backoff(
            failures - 1,
            base_seconds=http.settings.retry_delay_ms / 1000,
            chance=http.clock.chance(),
            asked=None,
        )
        await http.clock.sleep(wait)


def _is_cut_off(body: bytes) -> bool:
    """Whether a last line without a line end is only part of one."""
    try:
        read_head(body)
    except MalformedResource as malformed:
        return malformed.code.startswith("json.")
    return False
