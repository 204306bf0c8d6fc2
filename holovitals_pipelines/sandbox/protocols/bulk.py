"""Bulk Data exports: kick-off, status, manifest and NDJSON files that can be fetched again from any byte.

The law: an export shows the resources as they were at its kick-off, however long its files are read.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from holovitals_pipelines.sandbox.clock import instant
from holovitals_pipelines.sandbox.faults import BULK_ERRORS
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_response, issue, origin, outcome, refusal
from holovitals_pipelines.sandbox.records import Records
from holovitals_pipelines.sandbox.site import Site

CHUNK = 1 << 20
NDJSON = "application/fhir+ndjson"


class ExportFile:
    """One NDJSON file: resource numbers, the bytes pinned for those already written over, and lines put in front."""

    def __init__(
        self, kind: str, name: str, numbers: Sequence[int], records: Records, extra: Sequence[bytes] = ()
    ) -> None:
        self.kind = kind
        self.name = name
        self._numbers = array("I", numbers)
        self._records = records
        self._front = b"".join(line + b"\n" for line in extra)
        self._pinned = {n: body for n in self._numbers if (body := records.changed_body(n)) is not None}
        self._ends: array[int] | None = None
        self.count = len(self._numbers) + len(extra)

    def _row_ends(self) -> array[int]:
        """Byte offset after each row, the newline counted."""
        if self._ends is None:
            pinned, length = self._pinned, self._records.length
            sizes = ((len(pinned[n]) if n in pinned else length(n)) + 1 for n in self._numbers)
            self._ends = array("Q", accumulate(sizes, initial=len(self._front)))
        return self._ends

    def size(self) -> int:
        return self._row_ends()[-1]

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes [start, stop), in pieces of about 1 MB."""
        if start < len(self._front):
            yield self._front[start : min(stop, len(self._front))]
        ends, numbers, pinned, loaded = self._row_ends(), self._numbers, self._pinned, self._records.loaded_body
        position = max(start, len(self._front))
        while position < stop:
            row = bisect_right(ends, position) - 1
            upto = min(max(bisect_right(ends, position + CHUNK) - 1, row + 1), len(numbers))
            rows = [pinned[n] if n in pinned else loaded(n) for n in numbers[row:upto]]
            piece = b"\n".join(rows) + b"\n"
            begins = ends[row]
            yield piece[position - begins : stop - begins]
            position = ends[upto]


@dataclass(slots=True)
class Export:
    """One export of one client. `key` is what the vendor limits to one at a time (Epic: client and group)."""

    key: str
    request_url: str
    transaction_ms: int
    files: list[ExportFile]
    deleted: list[bytes]
    polls_left: int
    polls: int = 0


@dataclass(slots=True)
class Exports:
    """All exports of a site by id, and when each key was last kicked off."""

    running: dict[str, Export] = field(default_factory=dict)
    last_kick_off_ms: dict[str, int] = field(default_factory=dict)
    made: int = 0

    def add(self, export: Export) -> str:
        self.made += 1
        identity = f"job-{self.made:06d}"
        self.running[identity] = export
        return identity

    def is_running(self, key: str) -> bool:
        return any(export.key == key for export in self.running.values())

    def is_unfinished(self, key: str) -> bool:
        """Whether the files of one are still being made."""
        return any(export.key == key and export.polls_left > 0 for export in self.running.values())


def split_files(
    records: Records, kind: str, numbers: Sequence[int], rows_a_file: int, extra: Sequence[bytes] = ()
) -> list[ExportFile]:
    """The type's files; `extra` lines lead the first one, and exist even where there is no resource."""
    parts = [numbers[start : start + rows_a_file] for start in range(0, len(numbers), rows_a_file)] or (
        [[]] if extra else []
    )
    return [
        ExportFile(kind, f"{kind}.{place}.ndjson", part, records, extra if place == 1 else ())
        for place, part in enumerate(parts, start=1)
    ]


def deletion_bundle(keys: Sequence[str]) -> bytes:
    """One line of a `deleted[]` file: a transaction of DELETE entries for `Type/id` keys."""
    entries = [{"request": {"method": "DELETE", "url": key}} for key in keys]
    return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def status_answer(
    site: Site, identity: str, request: Request, files_base: str, retry_after: str, progress: str | None = None
) -> Response:
    """202 while polls are left, then the manifest; 404 for what was finished or never was. `progress`: what is said of
    it meanwhile; None: how often it was asked for."""
    export = site.exports.running.get(identity)
    if export is None:
        return refusal(404, "not-found", "there is no such export")
    export.polls += 1
    if export.polls_left > 0:
        export.polls_left -= 1
        return Response(
            status_code=202,
            headers={"X-Progress": progress or f"{export.polls} polls so far", "Retry-After": retry_after},
        )
    url = f"{origin(request)}{files_base}/{identity}"
    manifest: dict[str, Any] = {
        "transactionTime": instant(export.transaction_ms),
        "request": export.request_url,
        "requiresAccessToken": site.tokens is not None or "authorization" in request.headers,
        "output": [{"type": f.kind, "url": f"{url}/{f.name}", "count": f.count} for f in export.files],
        "deleted": [{"type": "Bundle", "url": f"{url}/deleted.ndjson", "count": len(export.deleted)}]
        * bool(export.deleted),
        "error": [],
    }
    return fhir_response(orjson.dumps(manifest), headers={"Expires": site.clock.http_date()})


def file_answer(site: Site, identity: str, name: str, request: Request) -> Response:
    """A file, whole or from a byte (`Range: bytes=n-`), with a strong ETag."""
    export = site.exports.running.get(identity)
    if export is None:
        return refusal(404, "not-found", "there is no such export")
    if name == "deleted.ndjson" and export.deleted:
        return Response(b"".join(line + b"\n" for line in export.deleted), media_type=NDJSON)
    if name == BULK_ERRORS:
        line = outcome(issue("error", "exception", "the sandbox was told to fail in part"))
        return Response(line + b"\n", media_type=NDJSON)
    file = next((file for file in export.files if file.name == name), None)
    if file is None:
        return refusal(404, "not-found", "there is no such file")
    size = file.size()
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{identity}-{name}-{size}"'}
    start, stop, status = 0, size, 200
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if asked is not None:
        start, stop = int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size
        if start >= size:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    return StreamingResponse(file.read(start, stop), status, headers, media_type=NDJSON)


def finish_answer(site: Site, identity: str) -> Response:
    """DELETE on the status URL: the export and its files are gone, and the client may start another."""
    if site.exports.running.pop(identity, None) is None:
        return refusal(404, "not-found", "there is no such export")
    return Response(status_code=202)


def kick_off_problem(request: Request) -> str | None:
    """What the specification finds wrong with a kick-off's headers."""
    if "respond-async" not in request.headers.get("prefer", ""):
        return "Prefer: respond-async is required"
    if request.headers.get("accept", "*/*") not in ("application/fhir+json", "*/*", "application/json"):
        return "Accept must be application/fhir+json"
    return None
