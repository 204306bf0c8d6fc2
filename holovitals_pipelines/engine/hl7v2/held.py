"""The records of a connection that receives HL7 v2, as its adapter asks for them: from the home's database.

Law: what is given is what the messages told, with local times in the site's zone where one is declared; what the
vendor accepted of us is merged as if it had told it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property

import orjson

from holovitals_pipelines.engine.conversion import Conversions
from holovitals_pipelines.engine.hl7v2.applying import apply_received
from holovitals_pipelines.engine.hl7v2.charts import Charts
from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.providers.meditech.held import Held
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.hl7_records import (
    StoredRecord,
    put_records,
    records_by_id,
    records_changed,
    records_of_patients,
)
from holovitals_pipelines.transform.hl7v2_merging import merge
from holovitals_pipelines.transform.hl7v2_times import in_zone

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
OURS = 0
"""In place of a message's number, where a record was made by what we sent."""


class HeldInDatabase:
    """See `providers.meditech.held.HeldRecords`."""

    def __init__(self, database: Database, connection: ConnectionConfig) -> None:
        self._database = database
        self._connection = connection
        self._name = connection.name
        self._zone = connection.vendor.timezone

    @cached_property
    def _conversions(self) -> Conversions:
        return Conversions(self._database, self._connection)

    def refresh(self) -> None:
        apply_received(self._database, self._connection)

    def changed(
        self, resource_type: str, *, since: datetime | None, until: datetime, after: str, most: int
    ) -> Sequence[Held]:
        with self._database.read() as transaction:
            found = records_changed(
                transaction,
                self._name,
                resource_type,
                since=since or _BEGINNING,
                until=until,
                after=after,
                most=most,
            )
        return self._held(found)

    def by_id(self, resource_type: str, remote_ids: Sequence[str]) -> Sequence[Held]:
        with self._database.read() as transaction:
            found = records_by_id(transaction, self._name, resource_type, sorted(set(remote_ids)))
        return self._held(found[one] for one in sorted(found))

    def of_patients(self, resource_type: str, patient_ids: Sequence[str]) -> Sequence[Held]:
        with self._database.read() as transaction:
            return self._held(records_of_patients(transaction, self._name, resource_type, sorted(set(patient_ids))))

    def as_we_write_it(self, resource_type: str, body: bytes) -> Document:
        inbound, outbound = self._conversions.inbound(resource_type), self._conversions.outbound(resource_type)
        if inbound is None or outbound is None:
            return {}
        shown = inbound.convert(body).body
        written = None if shown is None else outbound.convert(shown).body
        return {} if written is None else read_document(written)

    def tell(self, resource_type: str, record: Document) -> Held:
        with self._database.write() as transaction:
            now = datetime.now(UTC)
            known = records_by_id(transaction, self._name, resource_type, [record["id"]]).get(record["id"])
            if resource_type != "Patient":
                record = Charts(transaction, self._name, {}).with_survivor(record)
            patient = record["id"] if resource_type == "Patient" else record["patient"]["id"]
            stored = known or StoredRecord(resource_type, record["id"], b"", patient, None, OURS, now)
            merged = merge(None if known is None else orjson.loads(known.body), record)
            # `told_at` stays: it is the vendor's clock, and what the vendor tells next must not seem late by ours.
            stored = replace(stored, body=orjson.dumps(merged), changed_at=now)
            put_records(transaction, self._name, [stored])
        return self._held([stored])[0]

    def _held(self, stored: Iterable[StoredRecord]) -> list[Held]:
        return [
            Held(one.remote_id, body := self._shown(one.body), content_hash(body).hex(), one.changed_at, one.message_id)
            for one in stored
        ]

    def _shown(self, body: bytes) -> bytes:
        return body if self._zone is None else orjson.dumps(in_zone(orjson.loads(body), self._zone))
