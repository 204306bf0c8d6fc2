"""Whose a record is when numbers of patients were made one: what was told of a retired number is the survivor's.

Law: a record keeps the number that it was told with (`patient.told`); it goes back by that when a patient is parted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import orjson
import sqlalchemy as sa

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.store.hl7_records import StoredRecord, records_by_id, records_of_patients
from holovitals_pipelines.transform.hl7v2_merging import belonging_to, told_with

CHARTED: Final = (
    "Encounter", "AllergyIntolerance", "Condition", "Immunization", "Observation", "DiagnosticReport",
    "DocumentReference",
)  # fmt: skip
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Known:
    """A record as it is after the messages so far."""

    record: Document
    stored: StoredRecord

    def packed(self) -> StoredRecord:
        return replace(self.stored, body=orjson.dumps(self.record))


class Charts:
    """The records of one batch of messages, by patient; `known` is the batch's own, and grows by what is moved."""

    def __init__(self, transaction: sa.Connection, connection: str, known: dict[Key, Known]) -> None:
        self._transaction = transaction
        self._connection = connection
        self._known = known

    def survivor_of(self, patient_id: str) -> str:
        """The patient whom a number is of now."""
        passed = {patient_id}
        while (named := self._patient(patient_id).get("replacedBy")) is not None and named["id"] not in passed:
            patient_id = named["id"]
            passed.add(patient_id)
        return patient_id

    def with_survivor(self, record: Document) -> Document:
        """The record as that of the patient whom the number it was told with is of now."""
        survivor = self.survivor_of(told_with(record))
        return record if survivor == record["patient"]["id"] else belonging_to(record, survivor)

    def settle(self, patient_id: str, message_id: int, now: datetime) -> Sequence[Key]:
        """Give what stands with a patient to whom it is of now; returns what was moved."""
        for resource_type in CHARTED:
            for stored in records_of_patients(self._transaction, self._connection, resource_type, [patient_id]):
                key = resource_type, stored.remote_id
                self._known.setdefault(key, Known(orjson.loads(stored.body), stored))
        theirs = [
            key for key, one in self._known.items() if key[0] != "Patient" and one.stored.patient_id == patient_id
        ]
        moved = []
        for key in theirs:
            one = self._known[key]
            record = self.with_survivor(one.record)
            if record["patient"] != one.record["patient"]:
                stored = replace(one.stored, patient_id=record["patient"]["id"], message_id=message_id, changed_at=now)
                self._known[key] = Known(record, stored)
                moved.append(key)
        return moved

    def _patient(self, patient_id: str) -> Document:
        key = "Patient", patient_id
        if key not in self._known:
            found = records_by_id(self._transaction, self._connection, "Patient", [patient_id]).get(patient_id)
            if found is None:
                return {}
            self._known[key] = Known(orjson.loads(found.body), found)
        return self._known[key].record
