"""What persons are called, for lists that people choose from.

Law: health data: whoever calls this notes whom it is about first. Where vendors disagree, what most say is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from holovitals_pipelines.engine.person_pages import Person
from holovitals_pipelines.fhir.clinical_text import element_text
from holovitals_pipelines.fhir.exact import read_document, write_value
from holovitals_pipelines.store.bulk import fetch_by_keys
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.tables import record

_LONGEST = 90
NameAndBirth = tuple[str | None, str | None]


def names_of(database: Database, persons: Sequence[Person]) -> Mapping[str, NameAndBirth]:
    """Name and birth date of each person by key, as people write them; None where no vendor tells."""
    ids = sorted({member.record_id for one in persons for member in one.members if member.state == "active"})
    query = sa.select(record.c.record_id, record.c.document_hash).where(record.c.state == "active")
    with database.read() as transaction:
        rows = [row for part in fetch_by_keys(transaction, query, record.c.record_id, ids) for row in part]
        bodies = get_documents(transaction, list({bytes(row[1]) for row in rows}))
    said = {row[0]: _said(bodies[bytes(row[1])]) for row in rows}
    return {
        one.patient_key: _usual([said[member.record_id] for member in one.members if member.record_id in said])
        for one in persons
    }


def _said(body: bytes) -> NameAndBirth:
    document = read_document(body)
    names, born = document.get("name"), document.get("birthDate")
    first = names[0] if isinstance(names, list) and names else None
    return (_text(first), _text(born))


def _text(value: object) -> str | None:
    return element_text(write_value(value), _LONGEST) if value is not None else None


def _usual(said: Sequence[NameAndBirth]) -> NameAndBirth:
    name, born = (
        next((value for value, _ in Counter(one[place] for one in said if one[place] is not None).most_common(1)), None)
        for place in (0, 1)
    )
    return name, born
