"""What records point to is noted when they are read, fetched at the end of a job, and kept by its hash.

Law: content is no part of comparing records; what cannot be fetched fails no job: it is listed and tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1

import sqlalchemy as sa

from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.fhir.attachments import ELEMENTS, Attached, attachments_in
from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.model.attachment import AttachmentState, Content
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    ConfigurationError,
    GoneError,
    HoloVitalsError,
    NotFoundError,
    PermanentError,
    VendorError,
)
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.vocabulary import Direction, ErrorSeverity, Stage
from holovitals_pipelines.providers.adapter import Adapter, FetchesAttachments
from holovitals_pipelines.store import attachments as rows
from holovitals_pipelines.store import jobs
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.attachments import Address, Fetched, Row
from holovitals_pipelines.store.documents import get_documents, put_documents
from holovitals_pipelines.store.statistics import save_latencies

NO_ADDRESS = "attachment.no_address"
"""The vendor's record names a document and no way to its content."""
NOT_OFFERED = "attachment.not_offered"

_REFUSED_FOR_GOOD = frozenset(
    {
        NOT_OFFERED,
        "attachment.bad_address",
        "attachment.too_large",
        "epic.binary_only",
        "http.answer_too_large",
        "http.foreign_host",
        "http.scheme",
    }
)
"""Asking again cannot help while the address is the same."""
_OUT_OF_REACH = frozenset({"http.unreachable"})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A row to fetch, and what the vendor's document says at its place; None where it says something else by now."""

    row: Row
    attached: Attached | None


def note_attachments(
    session: JobSession, transaction: sa.Connection, resource_type: str, shown: Iterable[tuple[str, bytes]]
) -> None:
    """Note the addresses in what the vendor has shown of the type: remote ids and bodies in FHIR R4."""
    if resource_type not in ELEMENTS:
        return
    name = session.connection.name
    bodies = {link_id_of(name, resource_type, remote_id): body for remote_id, body in shown}
    _note(transaction, name, resource_type, bodies)


def note_attachments_since(
    session: JobSession, transaction: sa.Connection, resource_type: str, since: datetime
) -> None:
    """The same of what was read one by one since then."""
    if resource_type not in ELEMENTS:
        return
    name = session.connection.name
    for batch in rows.read_since(transaction, name, resource_type, since):
        documents = get_documents(transaction, [address for _, address in batch])
        _note(transaction, name, resource_type, {link_id: documents[address] for link_id, address in batch})


def _note(transaction: sa.Connection, connection: str, resource_type: str, bodies: Mapping[str, bytes]) -> None:
    found = [
        _address(link_id, attached)
        for link_id, body in bodies.items()
        for attached in attachments_in(resource_type, body)
        if attached.data is None
    ]
    rows.note_addresses(transaction, connection, resource_type, list(bodies), found)


def _began(session: JobSession, transaction: sa.Connection) -> datetime:
    job = jobs.get_job(transaction, session.job_id)
    return job.started_at or job.created_at


def _address(link_id: str, attached: Attached) -> Address:
    return Address(link_id, attached.place, attached.address_hash, NO_ADDRESS if attached.url is None else None)


def fetch_attachments(session: JobSession) -> None:
    """Fetch what is wanted, as much of it as one job may; failures are warnings. Raises JobError when cancelled."""
    settings, request = session.connection.attachments, session.request
    if not settings.fetch or request.direction is Direction.OUTBOUND:
        return
    batches = _batches(session, settings.a_job)
    first = next(batches, None)
    if first is not None:
        asyncio.run(_fetch_all(session, first, batches))


def _batches(session: JobSession, most: int) -> Iterator[list[_Wanted]]:
    """So few at a time as are asked for at once: their contents are held in memory together."""
    size, after = session.connection.read.concurrency, ("", "")
    while most > 0:
        with session.home.database.read() as transaction:
            # Who named patients or resources asked for these, and for nothing that waits beside them.
            since = _began(session, transaction) if session.request.is_named else None
            found = rows.wanted_rows(
                transaction,
                session.connection.name,
                limit=min(size, most),
                after=after,
                resource_types=session.request.resource_types,
                read_since=since,
            )
            bodies = get_documents(transaction, [document for _, document in found])
        if not found:
            return
        yield [_Wanted(row, _at_place(row, bodies[document])) for row, document in found]
        after = (found[-1][0].link_id, found[-1][0].place)
        most -= len(found)


def _at_place(row: Row, body: bytes) -> Attached | None:
    said = (one for one in attachments_in(row.resource_type, body) if one.place == row.place)
    return next((one for one in said if one.address_hash == row.address_hash), None)


async def _fetch_all(session: JobSession, first: list[_Wanted], others: Iterator[list[_Wanted]]) -> None:
    try:
        async with session.open_vendor() as adapter:
            try:
                batch: list[_Wanted] | None = first
                while batch is not None and await _fetch_batch(session, adapter, batch):
                    session.check_cancelled()
                    batch = next(others, None)
            finally:
                with session.transaction() as transaction:
                    name, told = session.connection.name, adapter.statistics()
                    save_latencies(transaction, session.job_id, name, told, session.now())
    except (VendorError, ConfigurationError) as error:
        with session.transaction() as transaction:
            session.add_errors(transaction, Stage.EXTRACT, [_warning(error, None)])


async def _fetch_batch(session: JobSession, adapter: Adapter, batch: Sequence[_Wanted]) -> bool:
    """Fetch and keep one batch; returns whether it is worth going on."""
    asked = [one for one in batch if one.attached is not None]
    answers = await asyncio.gather(*(_fetch(session, adapter, one) for one in asked))
    lost = [error for error in answers if isinstance(error, VendorError) and _is_about_all(error)]
    fetched: list[Fetched] = []
    bodies: list[tuple[bytes, bytes]] = []
    problems = [_warning(error, None) for error in lost[:1]]
    for one, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Content):
            held, disagreed = _held(one, answer)
            bodies.append((content_hash(answer.body), answer.body))
            fetched.append(held)
            problems += disagreed
        elif answer not in lost:
            fetched.append(_failed(one.row, answer, session.connection.attachments.attempts))
            problems.append(_warning(answer, one.row))
    with session.transaction() as transaction:
        put_documents(transaction, bodies)
        rows.note_fetched(transaction, fetched, session.now())
        session.add_errors(transaction, Stage.EXTRACT, problems)
    return not lost


async def _fetch(session: JobSession, adapter: Adapter, wanted: _Wanted) -> Content | VendorError:
    attached = wanted.attached
    assert attached is not None and attached.url is not None, "addresses without one are never wanted"
    if not isinstance(adapter, FetchesAttachments):
        return PermanentError(
            "there is no call known for the content of documents at this vendor",
            code=NOT_OFFERED,
            place=session.place,
            remedy="ask the vendor for the document",
        )
    try:
        limit = session.connection.attachments.max_bytes
        return await adapter.fetch_attachment(attached.url, attached.content_type, limit=limit)
    except VendorError as error:
        return error


def _is_about_all(error: VendorError) -> bool:
    """Whether nothing else can be fetched now either: no attempt is counted for that."""
    return isinstance(error, AuthenticationError) or error.code in _OUT_OF_REACH


def _held(wanted: _Wanted, content: Content) -> tuple[Fetched, list[Problem]]:
    """The content, kept whatever was said of it; what it is not is marked and told."""
    assert wanted.attached is not None
    code = wanted.attached.disagrees(content.body, sha1(content.body, usedforsecurity=False).digest())
    held = Fetched(
        wanted.row,
        AttachmentState.HELD,
        content_hash(content.body),
        content.content_type,
        len(content.body),
        code,
    )
    if code is None:
        return held, []
    problem = Problem(
        code=code,
        message="the content is not the one that its record describes; it is kept and marked",
        remedy="ask the vendor which of the two is right; `holovitals records attachments` lists it",
        source=wanted.row.place,
        resource_type=wanted.row.resource_type,
        severity=ErrorSeverity.WARNING,
        remote_id=wanted.row.remote_id,
    )
    return held, [problem]


def _failed(row: Row, error: HoloVitalsError, most_attempts: int) -> Fetched:
    if isinstance(error, GoneError | NotFoundError):
        return Fetched(row, AttachmentState.GONE, code=error.code)
    if error.code in _REFUSED_FOR_GOOD or row.attempts + 1 >= most_attempts:
        return Fetched(row, AttachmentState.REFUSED, code=error.code)
    return Fetched(row, AttachmentState.WANTED, code=error.code)


def _warning(error: HoloVitalsError, row: Row | None) -> Problem:
    return Problem(
        code=error.code,
        message=f"a document's content could not be fetched: {error.message}" if row else error.message,
        remedy=error.remedy,
        source=error.place,
        resource_type=row.resource_type if row else None,
        severity=ErrorSeverity.WARNING,
        remote_id=row.remote_id if row else None,
    )
