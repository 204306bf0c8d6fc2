"""What a record carries or points to, for people: the list of it, and its content as it was received.

Law: content that is handed out is the content that was filed: its hash is checked each time.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from holovitals_pipelines.engine.local_records import read_record
from holovitals_pipelines.fhir.attachments import Attached, attachments_in
from holovitals_pipelines.model.attachment import AttachmentState, Content
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.attachments import Row, rows_of_record
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.documents import get_document

INLINE = "inline"
"""The state of content that the record itself carries."""


@dataclass(frozen=True, slots=True)
class RecordAttachment:
    """One Attachment of a record. `connection` is whose record points to it; None where the record carries it."""

    place: str
    connection: str | None
    state: str
    content_type: str | None
    size: int | None
    code: str | None
    """Why it is not held, or what about it is not as the record says."""
    attempts: int = 0
    fetched_at: datetime | None = None


def attachments_of(database: Database, record_id: str) -> list[RecordAttachment]:
    """All of a record, by place. Raises StoreError for an unknown record."""
    inline, rows = _inline(database, record_id), _rows(database, record_id)
    carried = [RecordAttachment(one.place, None, INLINE, one.content_type, one.size, None) for one in inline]
    pointed = [_shown(row) for row in rows]
    return sorted([*carried, *pointed], key=lambda one: (one.place, one.connection or ""))


def _shown(row: Row) -> RecordAttachment:
    content = (row.content_type, row.size, row.code)
    return RecordAttachment(row.place, row.connection, row.state.value, *content, row.attempts, row.fetched_at)


def content_of(database: Database, record_id: str, place: str, *, connection: str | None = None) -> Content:
    """The content at a place. Raises StoreError where there is none, or where it is not what was filed."""
    for one in _inline(database, record_id):
        if one.place == place and connection is None:
            return Content(_decoded(one, record_id), one.content_type)
    rows = [row for row in _rows(database, record_id) if row.place == place and connection in (None, row.connection)]
    held = {row.document_hash: row for row in rows if row.document_hash is not None}
    if len(held) == 1:
        [(address, row)] = held.items()
        with database.read() as transaction:
            return Content(get_document(transaction, address), row.content_type)
    raise _nothing(record_id, rows, ambiguous=len(held) > 1)


def _rows(database: Database, record_id: str) -> list[Row]:
    with database.read() as transaction:
        return rows_of_record(transaction, record_id)


def _inline(database: Database, record_id: str) -> list[Attached]:
    shown = read_record(database, record_id)
    return [one for one in attachments_in(shown.resource_type, shown.body) if one.data is not None]


def _decoded(attached: Attached, record_id: str) -> bytes:
    try:
        return b64decode(attached.data or "", validate=True)
    except ValueError:
        raise StoreError(
            "the content that the record carries is not base64",
            code="attachment.not_base64",
            place=f"record {record_id}, {attached.place}",
            remedy="correct the record; `holovitals records show` shows it as it is",
        ) from None


def _nothing(record_id: str, rows: Sequence[Row], *, ambiguous: bool) -> StoreError:
    if ambiguous:
        return StoreError(
            "two vendors hold different content there",
            code="attachment.ambiguous",
            place=f"record {record_id}",
            remedy=f"name one: --connection {' or '.join(sorted(row.connection for row in rows))}",
        )
    wanted = any(row.state is AttachmentState.WANTED for row in rows)
    why = next((row.code for row in rows if row.code), None)
    return StoreError(
        "the content is not held" + (f" ({why})" if why else ""),
        code="attachment.not_held",
        place=f"record {record_id}",
        remedy="the next sync of its connection fetches it" if wanted else "see: holovitals records attachments",
    )
