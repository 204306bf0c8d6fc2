"""Rows of attachments: what is wanted, what has come of it, and a new address that forgets the old one's content."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from holovitals_pipelines.fhir.canonical import HASH_VERSION, canonical_hash, content_hash
from holovitals_pipelines.model.attachment import AttachmentState
from holovitals_pipelines.store import attachments as store
from holovitals_pipelines.store.agreements import Reading, add_records, link_id_of
from holovitals_pipelines.store.attachments import Address, Fetched
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.documents import get_document, put_documents

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
KIND = "DocumentReference"
IDS = ["d1", "d2", "d3"]


def link_of(remote_id: str) -> str:
    return link_id_of("clinic", KIND, remote_id)


def seed(database: Database) -> None:
    with database.write() as transaction:
        readings = []
        for remote_id in IDS:
            body = f'{{"resourceType":"{KIND}","id":"{remote_id}","status":"current"}}'.encode()
            put_documents(transaction, [(content_hash(body), body)])
            readings.append(Reading(remote_id, None, None, content_hash(body), canonical_hash(body)))
        add_records(transaction, "clinic", KIND, readings, hash_version=HASH_VERSION, seen_at=NOW)
        note(transaction, dict.fromkeys(IDS, b"first"))


def note(transaction: sa.Connection, addresses: Mapping[str, bytes | None]) -> None:
    found = [
        Address(link_of(remote_id), "content[0].attachment", (address * 4)[:16])
        for remote_id, address in addresses.items()
        if address is not None
    ]
    store.note_addresses(transaction, "clinic", KIND, [link_of(remote_id) for remote_id in addresses], found)


def test_what_is_wanted_comes_in_order_and_in_parts(database: Database) -> None:
    seed(database)
    with database.read() as transaction:
        first = store.wanted_rows(transaction, "clinic", limit=2)
        last = first[-1][0]
        rest = store.wanted_rows(transaction, "clinic", limit=2, after=(last.link_id, last.place))
        other = store.wanted_rows(transaction, "clinic", limit=9, resource_types=["Media"])
        late = store.wanted_rows(transaction, "clinic", limit=9, read_since=NOW + timedelta(seconds=1))
        read = [pair for batch in store.read_since(transaction, "clinic", KIND, NOW, batch=2) for pair in batch]

    assert sorted(row.remote_id or "" for row, _ in [*first, *rest]) == IDS
    assert (len(first), len(rest), other, late) == (2, 1, [], [])
    assert sorted(link_id for link_id, _ in read) == sorted(map(link_of, IDS))


def test_content_is_found_by_the_record_and_forgotten_with_its_address(database: Database) -> None:
    seed(database)
    body = b"%PDF \x00\xff"
    with database.write() as transaction:
        [(row, _), *_] = store.wanted_rows(transaction, "clinic", limit=1)
        put_documents(transaction, [(content_hash(body), body)])
        held = Fetched(row, AttachmentState.HELD, content_hash(body), "application/pdf", len(body), None)
        store.note_fetched(transaction, [held], NOW)
    with database.read() as transaction:
        [kept] = store.rows_of_record(transaction, row.link_id)  # a record that a sync made is called as its link
        assert kept.document_hash is not None
        assert get_document(transaction, kept.document_hash) == body
        assert (kept.state, kept.content_type, kept.attempts, kept.fetched_at) == ("held", "application/pdf", 1, NOW)

    with database.write() as transaction:
        note(transaction, {row.remote_id or "": b"first"})
        assert store.rows_of_record(transaction, row.link_id) == [kept]
        note(transaction, {row.remote_id or "": b"other"})
        store.note_fetched(transaction, [held], NOW)  # late: the address is another by now
        [fresh] = store.rows_of_record(transaction, row.link_id)
        note(transaction, {row.remote_id or "": None})
        nothing = store.rows_of_record(transaction, row.link_id)

    assert (fresh.state, fresh.document_hash, fresh.attempts, nothing) == (AttachmentState.WANTED, None, 0, [])
    with database.read() as transaction:
        assert get_document(transaction, content_hash(body)) == body
