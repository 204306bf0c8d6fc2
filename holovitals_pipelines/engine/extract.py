"""Extract: what the vendor sends goes into the landing zone, byte for byte, and how far we came goes with it.

One law: a part becomes visible in the same transaction as the cursor that resumes right after it, so a killed extract
neither loses a row nor reads one twice more than the protocol allows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from holovitals_pipelines.engine.landing_buffer import LandingBuffer
from holovitals_pipelines.engine.named_reads import plan_reads, seen_no_more
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.model.extract import Cursor, Page, Problem, ReadRequest, TypeDone
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Dataset, ErrorSeverity, JobType, Stage
from holovitals_pipelines.providers.adapter import Adapter, by_patient_only
from holovitals_pipelines.store.documents import put_documents
from holovitals_pipelines.store.landing import WrittenPart
from holovitals_pipelines.store.quarantine import quarantine_resources
from holovitals_pipelines.store.statistics import save_latencies
from holovitals_pipelines.store.watermarks import watermarks_of

FLUSH_SECONDS = 5.0
"""A slow source is made visible at least this often, so that a kill costs little."""


def extract(session: JobSession, adapter: Adapter) -> None:
    """Read what the session's request asks for into the landing zone; types that were finished before are skipped.

    A type that fails is recorded as failed and the others go on. Raises AuthenticationError or TransientError when
    nothing could be read, JobError when the job was cancelled or taken over.
    """
    asyncio.run(_read(session, adapter))


async def _read(session: JobSession, adapter: Adapter) -> None:
    async with adapter:
        offered = adapter.mechanisms()
        wanted = _wanted(session, tuple(offered))
        done = session.finished_types(Stage.EXTRACT)
        missing = [name for name in wanted if name not in done]
        absent = [name for name in missing if name not in offered]
        if session.request.type is JobType.RESOURCE_SYNC:
            for name in absent:
                session.fail_type(name, Stage.EXTRACT, _not_offered(session, name, offered))
        elif absent and (session.request.ids or session.connection.resource_types):  # a lack of usual ones is no news
            with session.transaction() as transaction:
                session.add_errors(transaction, Stage.EXTRACT, [_skipped(session, absent)])
        readable = [name for name in offered if name in missing]
        if not readable:
            return
        session.begin_stage(Stage.EXTRACT, readable, mechanisms=offered)
        sink = _Sink(session)
        try:
            for request, later in _reads(session, adapter, readable):
                await _one_read(adapter, request, later, sink)
            sink.flush()
        finally:
            with session.transaction() as transaction:
                save_latencies(
                    transaction, session.job_id, session.connection.name, adapter.statistics(), session.now()
                )
    for name in readable:
        if name not in sink.ended and (row := session.stage_row(name, Stage.EXTRACT)) and row.state != "failed":
            session.fail_type(name, Stage.EXTRACT, _unfinished(session, name))


def _wanted(session: JobSession, offered: Sequence[str]) -> Sequence[str]:
    """The types of the resources that are named, and those of whole patients, or of everything."""
    request = session.request
    of_ids = tuple(dict.fromkeys(kind for kind, _ in request.ids))
    if of_ids and not request.patients:
        return of_ids
    return tuple(dict.fromkeys((*of_ids, *(request.resource_types or session.connection.resource_types or offered))))


def _reads(
    session: JobSession, adapter: Adapter, resource_types: Sequence[str]
) -> Iterator[tuple[ReadRequest, frozenset[str]]]:
    """What to ask the adapter for, one read after another, each with the types of which more comes after it."""
    if not session.request.is_named:
        yield _request(session, resource_types), frozenset()
        return
    planned = plan_reads(session, by_patient_only(adapter), resource_types)
    for name, error in planned.unreadable.items():
        session.fail_type(name, Stage.EXTRACT, error)
    with session.transaction() as transaction:
        session.add_errors(transaction, Stage.EXTRACT, planned.problems)
    # One read alone goes on where it was interrupted; several small ones begin again, which hashing makes harmless.
    cursor = session.load_cursor() if len(planned.requests) == 1 and not session.request.ids else None
    for number, request in enumerate(planned.requests):
        later = frozenset(name for other in planned.requests[number + 1 :] for name in other.resource_types)
        yield replace(request, cursor=cursor), later


async def _one_read(adapter: Adapter, request: ReadRequest, later: frozenset[str], sink: _Sink) -> None:
    request = replace(request, resource_types=[name for name in request.resource_types if name not in sink.ended])
    if not request.resource_types:
        return  # each has failed in a read before
    async for event in adapter.read(request):
        if isinstance(event, Page):
            sink.take(event)
        elif event.error is not None or event.resource_type not in later:
            sink.finish(event)


def _not_offered(session: JobSession, resource_type: str, offered: Mapping[str, ChangeMechanism]) -> JobError:
    return JobError(
        f"the connection does not offer {resource_type}",
        code="extract.type_not_offered",
        place=session.place,
        remedy=f"choose from: {', '.join(offered)}",
    )


def _skipped(session: JobSession, resource_types: Sequence[str]) -> Problem:
    return Problem(
        code="extract.type_not_offered",
        message=f"the server does not offer {', '.join(resource_types)}; left out",
        remedy="take them out of the connection's resource_types if that is right",
        source=session.place,
        severity=ErrorSeverity.WARNING,
    )


def _unfinished(session: JobSession, resource_type: str) -> JobError:
    return JobError(
        "the read ended without saying that the type is complete",
        code="extract.incomplete",
        place=f"{session.place}, {resource_type}",
        remedy="run the job again; report this if it persists",
    )


def _request(session: JobSession, resource_types: Sequence[str]) -> ReadRequest:
    request = session.request
    since: dict[str, datetime | None] = {}
    overlap = timedelta(seconds=session.connection.read.overlap_seconds)
    with session.home.database.read() as transaction:
        if request.window:
            since = dict.fromkeys(resource_types, request.window[0])
        elif request.type is not JobType.FULL_SYNC:
            known = watermarks_of(transaction, session.connection.name)
            since = {name: known[name] - overlap for name in resource_types if name in known}
    return ReadRequest(
        resource_types=resource_types,
        since=since,
        until=request.window[1] if request.window else None,
        cursor=session.load_cursor(),
        patients=session.known_patients,
    )


class _Sink:
    """Collects pages by resource type and makes them visible in batches, each with its cursor."""

    def __init__(self, session: JobSession) -> None:
        self._session = session
        self._buffers: dict[str, LandingBuffer] = {}
        self._problems: list[Problem] = []
        self._cursor: Cursor | None = None
        self._rows = 0
        self._bytes = 0
        self._flushed_at = time.monotonic()
        self._busy_since = time.monotonic()
        self._delivery = session.next_delivery()
        self.ended: set[str] = set()

    def take(self, page: Page) -> None:
        self._delivery += 1
        # Lines of files have no order among themselves; pages do.
        delivery = 0 if page.lines is not None else self._delivery
        buffer = self._buffer(page.resource_type)
        buffer.add(page, delivery, self._session.connection.read.max_resource_bytes)
        for deletion in page.deletions:
            self._buffer(deletion.resource_type).add_deletion(deletion, page.source, self._delivery)
        for problem in page.problems:
            if problem.body is not None and problem.severity is not ErrorSeverity.WARNING:
                buffer.refuse(problem, problem.body)
            elif (gone := seen_no_more(self._session, problem)) is not None:
                self._buffer(gone.resource_type).add_deletion(gone, page.source, self._delivery)
            else:
                self._problems.append(problem)
        self._cursor = page.cursor
        self._rows += len(page.bodies)
        self._bytes += sum(map(len, page.bodies))
        settings = self._session.home.settings
        overdue = time.monotonic() - self._flushed_at > FLUSH_SECONDS
        if self._rows >= settings.batch_rows or self._bytes >= settings.batch_bytes or overdue or not page.bodies:
            self.flush()

    def finish(self, done: TypeDone) -> None:
        self.flush(done)
        self.ended.add(done.resource_type)

    def flush(self, done: TypeDone | None = None) -> None:
        """Write the buffered rows as parts, then make parts, refusals, errors and cursor visible at once."""
        session = self._session
        written: list[WrittenPart] = []
        for resource_type, buffer in self._buffers.items():
            if buffer.remote_id:
                written.append(session.write_part(Dataset.EXTRACT, resource_type, buffer.table()))
        busy = time.monotonic() - self._busy_since
        shares = {name: len(buffer.remote_id) + 1 for name, buffer in self._buffers.items()}
        with session.transaction() as transaction:
            session.register(transaction, written)
            for resource_type, buffer in self._buffers.items():
                put_documents(transaction, [(content_hash(r.body), r.body) for r in buffer.refusals])
                quarantine_resources(
                    transaction, session.job_id, session.connection.name, resource_type, Stage.EXTRACT, buffer.refusals,
                    session.now(),
                )  # fmt: skip
                session.add_errors(transaction, Stage.EXTRACT, [r.as_error(resource_type) for r in buffer.refusals])
                session.count(
                    transaction,
                    resource_type,
                    Stage.EXTRACT,
                    busy_seconds=busy * shares[resource_type] / sum(shares.values()),
                    extracted=buffer.resources,
                    refused=len(buffer.refusals),
                    bytes=buffer.received_bytes,
                )
            session.add_errors(transaction, Stage.EXTRACT, self._problems)
            cursor = done.cursor if done else self._cursor
            if cursor is not None:
                session.save_cursor(transaction, cursor, self._delivery)
            if done:
                session.end_stage(
                    transaction, done.resource_type, Stage.EXTRACT, done.error, done.watermark, done.snapshot
                )
        for resource_type, buffer in self._buffers.items():
            session.progress.advanced(session.connection.name, Stage.EXTRACT, resource_type, len(buffer.remote_id))
        if done:
            session.progress.ended(session.connection.name, Stage.EXTRACT, done.resource_type)
        self._buffers.clear()
        self._problems.clear()
        self._cursor = None  # an older page's must not follow that of a type that has failed and is to be read afresh
        self._rows = self._bytes = 0
        self._flushed_at = self._busy_since = time.monotonic()
        session.check_cancelled()

    def _buffer(self, resource_type: str) -> LandingBuffer:
        return self._buffers.setdefault(resource_type, LandingBuffer())
