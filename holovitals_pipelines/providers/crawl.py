"""Reading by id, many at a time: one patient's rows after another's, or one resource after another.

The law: results come in the order of the ids, whatever the order of the answers, so a place in the list is a place
in the read; and at most a few pages for each of `read.concurrency` ids are held at once.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from holovitals_pipelines.model.errors import (
    AuthenticationError,
    GoneError,
    NotFoundError,
    NotPermittedError,
    PermanentError,
    TransientError,
    VendorError,
)
from holovitals_pipelines.model.extract import Deletion, Named, Page, Problem
from holovitals_pipelines.providers.answers import Meaning, meaning_of
from holovitals_pipelines.providers.fhir_rest import Found
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.progress import Progress, TypeRead

Fetch = Callable[[str], AsyncIterator[Found]]
"""Everything to read for one id."""

_PAGES_AHEAD = 2
_PAGE_ROWS = 1000
_PAGE_BYTES = 2 * 1024 * 1024
_PAGE_IDS = 250
"""Rows of several ids are handed over together: each page costs the engine a transaction."""

_MOST_FAILURES_IN_A_ROW = 20
"""So many ids failing one after the other are not about the ids."""

_DONE = object()


@dataclass(slots=True)
class _Batch:
    bodies: list[bytes] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    received_bytes: int = 0
    ids: int = 0

    def add(self, found: Found) -> None:
        self.bodies.extend(found.bodies)
        self.named.extend(found.named or ())
        self.problems.extend(found.problems)
        self.deletions.extend(found.deletions)
        self.received_bytes += found.received_bytes

    @property
    def full(self) -> bool:
        return len(self.bodies) >= _PAGE_ROWS or self.received_bytes >= _PAGE_BYTES or self.ids >= _PAGE_IDS


@dataclass(slots=True)
class _Failures:
    total: int = 0
    in_a_row: int = 0
    first: VendorError | None = None

    def count(self, error: VendorError) -> None:
        self.total += 1
        self.in_a_row += 1
        self.first = self.first or error


async def crawl(
    http: VendorHttp,
    ids: Sequence[str],
    fetch: Fetch,
    *,
    read: TypeRead,
    progress: Progress,
    source: str,
    by_own_id: bool = False,
) -> AsyncGenerator[Page, None]:
    """Pages of one type for sorted `ids`, from where `progress` left off.

    `by_own_id` says that the ids are the resources' own, so that an id the vendor calls deleted is a deletion of this
    type. An id that fails does not stop the others; the type fails at the end, or when too many fail in a row.
    """
    place = progress.place_in(read.resource_type)
    read.resume_watermark(place.get("watermark"))
    read.complete = read.complete and bool(place.get("complete", True))
    last: str | None = place.get("id")
    todo = ids[bisect_right(ids, last) :] if last is not None else ids
    batch = _Batch()
    failures = _Failures(total=place.get("failed", 0))

    def page() -> Page:
        here = {
            "id": last,
            "watermark": read.watermark_text(),
            "complete": read.complete,
            "failed": failures.total,
        }
        return Page(
            resource_type=read.resource_type,
            source=source,
            bodies=batch.bodies,
            cursor=progress.reach(read.resource_type, here),
            problems=batch.problems,
            deletions=batch.deletions,
            received_bytes=batch.received_bytes,
            named=batch.named or None,
        )

    async with aclosing(_in_order(todo, fetch, http.settings.concurrency)) as results:
        async for identity, item in results:
            if isinstance(item, Found):
                read.served(item.served_at)
                read.complete = read.complete and not item.partial
                failures.in_a_row = 0
                batch.add(_about(item, identity))
            elif isinstance(item, VendorError):
                read.complete = False
                batch.add(_tolerated(item, identity, http, failures, read.resource_type, source, by_own_id=by_own_id))
            else:
                last = identity
                batch.ids += 1
            if batch.full:
                yield page()
                batch = _Batch()
    if batch.ids or batch.bodies or batch.problems or batch.deletions:
        yield page()
    if failures.total:
        raise _incomplete(failures, len(ids), http.place(source))


def _tolerated(
    error: VendorError,
    identity: str,
    http: VendorHttp,
    failures: _Failures,
    resource_type: str,
    source: str,
    *,
    by_own_id: bool,
) -> Found:
    """What an id's error leaves behind. Raises it when it is not about this id alone."""
    meaning = meaning_of(error, http.table)
    if isinstance(error, AuthenticationError) or meaning is Meaning.DEFERRED:
        raise error
    if by_own_id and isinstance(error, GoneError):
        evidence = f"vendor code {error.vendor_code} on read" if error.vendor_code else f"{error.status} on read"
        return Found(deletions=[Deletion(resource_type, identity, evidence)])
    # The vendor spoke about this patient (merged, deleted, Break-the-Glass), not about the request.
    about_the_id = meaning in (Meaning.MERGED, Meaning.DELETED, Meaning.NOT_PERMITTED)
    if not about_the_id and not (by_own_id and isinstance(error, NotFoundError)):
        failures.count(error)
        if failures.in_a_row >= _MOST_FAILURES_IN_A_ROW:
            raise error
        if not isinstance(error, NotPermittedError | NotFoundError):
            return Found()
    return Found(
        problems=[
            Problem(
                code="read.not_found" if isinstance(error, NotFoundError) and meaning is None else error.code,
                message=error.message,
                remedy=error.remedy,
                source=source,
                resource_type=resource_type,
                remote_id=identity,
            )
        ]
    )


def _about(found: Found, identity: str) -> Found:
    """Names the patient in problems that hold no resource to tell: what was refused must be findable in the store."""
    if not found.problems:
        return found
    return replace(
        found,
        problems=[
            problem if problem.code.startswith("resource.") else replace(problem, remote_id=identity)
            for problem in found.problems
        ],
    )


def _incomplete(failures: _Failures, ids: int, place: str) -> VendorError:
    first = failures.first
    kind = TransientError if first is None or isinstance(first, TransientError) else PermanentError
    return kind(
        f"{failures.total} of {ids} ids could not be read" + (f"; the first because {first.message}" if first else ""),
        code="crawl.incomplete",
        place=place,
        remedy=first.remedy if first else "run the job again: those ids failed before the read was interrupted",
        status=first.status if first else None,
        vendor_code=first.vendor_code if first else None,
    )


async def _in_order(ids: Sequence[str], fetch: Fetch, concurrency: int) -> AsyncGenerator[tuple[str, Any], None]:
    """(id, Found), (id, VendorError) and, after each id's last, (id, the done mark), in the order of `ids`."""
    waiting = iter(ids)
    running: deque[tuple[str, asyncio.Queue[Any], asyncio.Task[None]]] = deque()

    def start_next() -> None:
        identity = next(waiting, None)
        if identity is None:
            return
        queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=_PAGES_AHEAD)
        running.append((identity, queue, asyncio.create_task(_fill(queue, fetch(identity)))))

    try:
        for _ in range(concurrency):
            start_next()
        while running:
            identity, queue, task = running[0]
            item = await queue.get()
            if isinstance(item, Exception) and not isinstance(item, VendorError):
                raise item
            yield identity, item
            if item is _DONE:
                await task
                running.popleft()
                start_next()
    finally:
        for _, _, task in running:
            task.cancel()
        for _, _, task in running:
            with suppress(asyncio.CancelledError):
                await task


async def _fill(queue: asyncio.Queue[Any], results: AsyncIterator[Found]) -> None:
    try:
        async for found in results:
            await queue.put(found)
    except Exception as error:  # noqa: BLE001 handed to the consumer, which raises what is not a vendor's
        await queue.put(error)
    await queue.put(_DONE)
