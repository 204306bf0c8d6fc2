"""Bulk Data $export: one export for all requested types, from kick-off to clean-up (vendors.md §2.2).

The law: the status address is in the cursor before anything else happens, so a kill never loses a running export.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from holovitals_pipelines.fhir.wire import Head, MalformedResource, read_bundle, read_head
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    GoneError,
    NotFoundError,
    NotPermittedError,
    PermanentError,
    ProtocolError,
    VendorError,
)
from holovitals_pipelines.model.extract import Deletion, Page, Problem, ReadEvent, TypeDone
from holovitals_pipelines.providers.answers import Answer
from holovitals_pipelines.providers.bulk_files import FILE_OPERATION, FilePlace, read_file
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.ndjson import Lines
from holovitals_pipelines.providers.outcomes import outcome_problems, tells_of_missing, too_large, wrong_type
from holovitals_pipelines.providers.progress import Progress, TypeRead, to_the_end
from holovitals_pipelines.providers.retry import retry_after

STATUS_OPERATION = "GET $export-status"
_CLEAN_UP_OPERATION = "DELETE $export-status"
TOO_RECENT = "bulk.too_recent"
BUSY = "bulk.busy"

_SHORTEST_POLL_SECONDS = 0.1
_LONGEST_UNASKED_POLL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Export:
    """What to ask for; `path` is relative to the base (`Group/{quoted id}/$export`), `operation` is it without ids."""

    path: str
    operation: str
    resource_types: Sequence[str]
    since: datetime | None = None
    snapshot: bool = True
    """False when the export is of a window, or of only a part of what the connection can see."""
    beside: Sequence[str] = ()
    """Types that are asked for because the server wants it, and left where they are."""


class ManifestFile(msgspec.Struct):
    url: str
    type: str = ""
    count: int | None = None


class Manifest(msgspec.Struct, rename="camel"):
    transaction_time: datetime
    requires_access_token: bool = True
    output: list[ManifestFile] = []
    error: list[ManifestFile] | None = None
    outcome: list[ManifestFile] | None = None
    deleted: list[ManifestFile] | None = None

    def outcomes(self) -> list[ManifestFile]:
        return [*(self.error or ()), *(self.outcome or ())]


async def read_export(http: VendorHttp, export: Export, progress: Progress) -> AsyncGenerator[ReadEvent, None]:
    """Pages and a TypeDone for each of `export.resource_types` that `progress` does not call done.

    Raises VendorError when there is no export to read: not offered (NotPermittedError, NotFoundError), too recent
    (NotPermittedError `bulk.too_recent`), failed on the server.
    """
    if not progress.remaining(export.resource_types):
        return
    resumed = progress.export is not None
    if progress.export is None:
        async for page in _kick_off(http, export, progress):
            yield page
    try:
        manifest = await _poll(http, progress)
    except (NotFoundError, GoneError):
        if not resumed:
            raise
        # The export that was interrupted has expired: everything not yet finished is exported anew.
        progress.export, progress.resource_type, progress.place = None, None, None
        async for page in _kick_off(http, export, progress):
            yield page
        manifest = await _poll(http, progress)
    assert progress.export is not None
    reader = _Reader(http, export, progress, manifest)
    if not progress.export.get("reported"):
        async for page in reader.reports():
            yield page
    failed = False
    for resource_type in progress.remaining(export.resource_types):
        read = TypeRead(resource_type, watermark=manifest.transaction_time, complete=not progress.export.get("partial"))
        pages = reader.pages(read)
        async with aclosing(to_the_end(read, pages, progress, snapshot=export.snapshot)) as events:
            async for event in events:
                failed = failed or (isinstance(event, TypeDone) and event.error is not None)
                yield event
    if not failed:
        # Kept after a failure, so that the job can be resumed while the server still has the files.
        await _clean_up(http, progress)


async def _kick_off(http: VendorHttp, export: Export, progress: Progress) -> AsyncGenerator[Page, None]:
    params = [("_type", ",".join([*export.resource_types, *export.beside]))]
    if export.since is not None:
        params.append(
            ("_since", export.since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))
        )
    answer = await http.request(
        "GET",
        export.path,
        operation=export.operation,
        params=params,
        headers={"Prefer": "respond-async"},
        judge=_judge_kick_off,
    )
    location = answer.headers.get("content-location")
    if answer.status != 202 or not location:
        raise ProtocolError(
            f"the server answered {answer.status} without a status address to an export's kick-off",
            code="bulk.kick_off",
            place=http.place(export.operation),
            remedy="set read.mode to search, or report to the vendor that 202 and Content-Location are missing",
        )
    status_url = http.resolve(location, against=answer.url)
    progress.export = {"status": str(status_url), "started": http.clock.now().isoformat()}
    progress.anything_read = True
    yield Page(export.resource_types[0], export.operation, [], progress.cursor())


def _judge_kick_off(answer: Answer, place: str) -> VendorError | None:
    """Epic's refusals, told by their text alone: "Request not allowed: The Client requested this Group too recently."
    (24 hours), and the one for a client whose earlier export of the Group is still open (vendors.md §3.5)."""
    text = answer.body.lower() if answer.status >= 400 else b""
    if b"too recently" in text:
        return NotPermittedError(
            "the vendor refuses another export so soon after the last",
            code=TOO_RECENT,
            place=place,
            remedy="wait: the vendor's usual interval is 24 hours for each group and client",
            status=answer.status,
        )
    if b"kickoff request: request not allowed" in text:
        return NotPermittedError(
            "the vendor refuses another export while an earlier one is open",
            code=BUSY,
            place=place,
            remedy="resume or wait for the job that started it, or ask the vendor to close it",
            status=answer.status,
        )
    return None


async def _poll(http: VendorHttp, progress: Progress) -> Manifest:
    assert progress.export is not None
    started = datetime.fromisoformat(progress.export["started"])
    unasked = 1.0
    while True:
        answer = await http.request(
            "GET",
            http.resolve(progress.export["status"]),
            operation=STATUS_OPERATION,
            headers={"Accept": "application/json"},
        )
        if answer.status != 202:
            return _manifest(http, answer)
        if (http.clock.now() - started).total_seconds() > http.settings.bulk_deadline_seconds:
            await _clean_up(http, progress)
            raise PermanentError(
                "the export was not ready before its deadline and has been cancelled",
                code="bulk.deadline",
                place=http.place(STATUS_OPERATION),
                remedy="raise read.bulk_deadline_seconds, narrow resource_types, or set read.mode to search",
            )
        wait = retry_after(
            answer.headers.get("retry-after"), now=http.clock.now(), ceiling=http.settings.max_poll_seconds
        )
        if wait is None:
            wait = min(unasked, http.settings.max_poll_seconds)
            unasked = min(unasked * 2, _LONGEST_UNASKED_POLL_SECONDS)
        await http.clock.sleep(max(wait, _SHORTEST_POLL_SECONDS))


def _manifest(http: VendorHttp, answer: Answer) -> Manifest:
    try:
        manifest = msgspec.json.decode(answer.body, type=Manifest)
        if manifest.transaction_time.tzinfo is None:
            raise ValueError("no time zone")
    except (msgspec.DecodeError, ValueError):
        raise ProtocolError(
            "the export's manifest cannot be read",
            code="bulk.manifest",
            place=http.place(STATUS_OPERATION),
            remedy="report it to the vendor; set read.mode to search meanwhile",
            status=answer.status,
        ) from None
    return manifest


async def _clean_up(http: VendorHttp, progress: Progress) -> None:
    """Tell the server that the files may go (Epic allows no other export before). A refusal harms nobody."""
    assert progress.export is not None
    try:
        await http.request("DELETE", http.resolve(progress.export["status"]), operation=_CLEAN_UP_OPERATION)
    except VendorError:
        return


class _Reader:
    """The files of one manifest, by type; asks for a fresh manifest when an address has expired."""

    def __init__(self, http: VendorHttp, export: Export, progress: Progress, manifest: Manifest) -> None:
        self._http = http
        self._export = export
        self._progress = progress
        self._manifest = manifest

    async def reports(self) -> AsyncGenerator[Page, None]:
        """What the export says beside its resources: its outcome files and its deletions."""
        assert self._progress.export is not None
        first = self._export.resource_types[0]
        source = f"{FILE_OPERATION} outcomes"
        for file in self._manifest.outcomes():
            try:
                async for lines, _ in self._lines(file, "outcomes", FilePlace()):
                    problems = outcome_problems(lines.bodies, self._http.table, source=source, resource_type=None)
                    if tells_of_missing(lines.bodies, self._http.table):
                        # Something was left out, so absence from this export says nothing.
                        self._progress.export["partial"] = True
                    yield Page(first, source, [], self._progress.cursor(), problems=problems)
            except VendorError as error:
                self._progress.export["partial"] = True
                problem = Problem(error.code, f"an outcome file cannot be read: {error.message}", error.remedy, source)
                yield Page(first, source, [], self._progress.cursor(), problems=[problem])
        for file in self._manifest.deleted or ():
            async for lines, _ in self._lines(file, "deleted", FilePlace()):
                for page in self._deletions(lines):
                    yield page
        self._progress.export["reported"] = True

    def _deletions(self, lines: Lines) -> list[Page]:
        deletions: dict[str, list[Deletion]] = {}
        problems = []
        for number, body in zip(lines.numbers, lines.bodies, strict=True):
            try:
                entries = read_bundle(body).deleted
            except MalformedResource as malformed:
                problems.append(_unreadable(malformed, body, "deleted", number))
                continue
            for entry in entries:
                if entry.resource_type in self._export.resource_types:
                    deletions.setdefault(entry.resource_type, []).append(
                        Deletion(entry.resource_type, entry.id, "bulk export, deleted")
                    )
        pages = [
            Page(name, FILE_OPERATION, [], self._progress.cursor(), deletions=found)
            for name, found in deletions.items()
        ]
        if problems:
            pages.append(
                Page(self._export.resource_types[0], FILE_OPERATION, [], self._progress.cursor(), problems=problems)
            )
        return pages

    async def pages(self, read: TypeRead) -> AsyncGenerator[Page, None]:
        """The resources of one type, file after file, from where `progress` left off."""
        resource_type = read.resource_type
        place = self._progress.place_in(resource_type)
        read.complete = read.complete and bool(place.get("complete", True))
        start = int(place.get("file", 0))
        count = len(self._files(resource_type))
        for number in range(start, count):
            at = FilePlace.of(place.get("at")) if number == start else FilePlace()
            file = self._files(resource_type)[number]
            name = f"{resource_type} {number + 1} of {count}"
            async for lines, behind in self._lines(file, name, at, resource_type=resource_type, number=number):
                yield self._page(read, name, lines, number, behind)

    def _files(self, resource_type: str) -> list[ManifestFile]:
        return [file for file in self._manifest.output if file.type == resource_type]

    async def _lines(
        self, file: ManifestFile, name: str, place: FilePlace, *, resource_type: str | None = None, number: int = 0
    ) -> AsyncIterator[tuple[Lines, FilePlace]]:
        try:
            async with aclosing(self._open(file, name, place)) as batches:
                async for lines, place in batches:
                    yield lines, place
            return
        except (AuthenticationError, NotPermittedError, NotFoundError, GoneError):
            if resource_type is None:
                raise
            # Pre-signed addresses expire while earlier files are read: the status address has fresh ones.
            old = file.url
            self._manifest = await _poll(self._http, self._progress)
            files = self._files(resource_type)
            if number >= len(files) or files[number].url == old:
                raise
            file = files[number]
        async with aclosing(self._open(file, name, place)) as batches:
            async for lines, place in batches:
                yield lines, place

    def _open(self, file: ManifestFile, name: str, place: FilePlace) -> AsyncGenerator[tuple[Lines, FilePlace], None]:
        url = self._http.resolve(file.url)
        self._http.name_origin(url, operation=FILE_OPERATION)
        return read_file(
            self._http,
            url,
            authorized=self._manifest.requires_access_token,
            name=name,
            place=place,
            expected=file.count,
        )

    def _page(self, read: TypeRead, name: str, lines: Lines, number: int, behind: FilePlace) -> Page:
        resource_type = read.resource_type
        source = f"{FILE_OPERATION} {name}"
        limit = self._http.settings.max_resource_bytes
        problems = [
            too_large(line.kept, line.size, limit=limit, source=source, wanted=resource_type, line=line.number)
            for line in lines.long
        ]
        bodies, numbers = lines.bodies, lines.numbers
        usual = b'{"resourceType":"%s"' % resource_type.encode()
        odd = [index for index, body in enumerate(bodies) if not body.startswith(usual)]
        if odd:
            refused = {}
            for index in odd:
                found = self._refuse(bodies[index], resource_type, source, numbers[index])
                if found is not None:
                    refused[index] = found
            problems += [problem for found in refused.values() for problem in found]
            outcomes = [bodies[index] for index in refused]
            read.complete = read.complete and not tells_of_missing(outcomes, self._http.table)
            numbers = [line for index, line in enumerate(numbers) if index not in refused]
            bodies = [body for index, body in enumerate(bodies) if index not in refused]
        return Page(
            resource_type=resource_type,
            source=source,
            bodies=bodies,
            cursor=self._progress.reach(
                resource_type, {"file": number, "at": behind.as_dict(), "complete": read.complete}
            ),
            lines=numbers,
            problems=problems,
            received_bytes=sum(map(len, bodies)) + len(bodies),
        )

    def _refuse(self, body: bytes, wanted: str, source: str, line: int) -> list[Problem] | None:
        """The problems of a line that is no resource of the wanted type; None when it is one after all."""
        try:
            head: Head | None = read_head(body)
        except MalformedResource as malformed:
            if b'"OperationOutcome"' not in body:
                return [_unreadable(malformed, body, source, line, wanted)]
            head = None
        if head is not None and head.resource_type == wanted:
            return None
        # Epic puts OperationOutcomes between the resources (vendors.md §3.5); they need have no id.
        return outcome_problems([body], self._http.table, source=source, resource_type=wanted, line=line) or [
            wrong_type(body, wanted=wanted, source=source, line=line)
        ]


def _unreadable(
    malformed: MalformedResource, body: bytes, source: str, line: int, resource_type: str | None = None
) -> Problem:
    return Problem(
        code=malformed.code,
        message=malformed.message,
        remedy=malformed.remedy,
        source=source,
        line=line,
        resource_type=resource_type,
        body=body,
    )
