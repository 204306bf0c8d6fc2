"""Persons as the API tells of them: the patient table, which opens no record, and a person's chart, which does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from holovitals_pipelines.api.shapes.base import Told
from holovitals_pipelines.engine.patient_chart import Chart
from holovitals_pipelines.engine.person_pages import Person
from holovitals_pipelines.engine.person_view import ConflictPlace, Event, Origin, ToldValue
from holovitals_pipelines.engine.record_changes import RecordChange


class PatientId(Told):
    """One id by which a vendor knows a person."""

    provider: Annotated[str, Field(examples=["epic"])]
    connection: str
    remote_id: str
    record_id: str
    linked_at: datetime


class PatientRecord(Told):
    """A record of type Patient that is of this person, and on what that rests."""

    record_id: str
    connection: Annotated[str, Field(description="that first brought it, or `local`")]
    how: Annotated[str, Field(description="alone, exact: by a trusted identifier, manual: a person said so")]
    decided_by: str
    at: datetime
    state: Annotated[str, Field(description="active, gone")]


class PatientEntry(Told):
    patient_key: str
    last_synced_at: datetime | None
    ids: Sequence[PatientId]
    records: Sequence[PatientRecord]
    name: Annotated[str | None, Field(description="only where `names` asked for it")] = None
    birth_date: Annotated[str | None, Field(description="likewise, as people write it")] = None

    @classmethod
    def of(cls, one: Person, name: str | None = None, birth_date: str | None = None) -> PatientEntry:
        return cls(
            patient_key=one.patient_key,
            last_synced_at=one.last_synced_at,
            ids=[PatientId(**{name: getattr(i, name) for name in PatientId.model_fields}) for i in one.ids],
            records=[
                PatientRecord(**{name: getattr(m, name) for name in PatientRecord.model_fields}) for m in one.members
            ],
            name=name,
            birth_date=birth_date,
        )


class ChartValue(Told):
    """What one Patient record says of an element."""

    element: Annotated[str, Field(examples=["birthDate"])]
    connection: str
    value: Annotated[str | None, Field(description="as people read it; null: it says nothing of it")]
    agreement: Annotated[str, Field(description="as most, differs, told by one, not told")]
    record_id: str

    @classmethod
    def of(cls, one: ToldValue) -> ChartValue:
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class ChartOrigin(Told):
    """Since when an element of a Patient record is as it is, and who made it so."""

    element: str
    connection: str
    value: str
    since: datetime
    version: int
    by: Annotated[str | None, Field(description="vendor, policy, person")]
    actor: str
    why: str | None
    strategy: str | None
    record_id: str

    @classmethod
    def of(cls, one: Origin) -> ChartOrigin:
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class ChartEvent(Told):
    """A record of the person, in a line."""

    happened: datetime | None
    connection: str
    resource_type: str
    what: Annotated[str, Field(examples=["Body weight: 72 kg"])]
    status: str
    version: int
    changed_by: str
    record_id: str

    @classmethod
    def of(cls, one: Event) -> ChartEvent:
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class ChartConflict(Told):
    """A place in which two sides of a record contradicted each other."""

    status: str
    severity: str | None
    resource_type: str
    connection: str
    element: str | None
    here: str | None
    vendor: str | None
    chosen: str | None
    decided_by: str | None
    decided_at: datetime | None
    why: str | None
    conflict_id: str

    @classmethod
    def of(cls, one: ConflictPlace) -> ChartConflict:
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class ChartChange(Told):
    """An entry of the audit log that made a version of one of the person's records."""

    seq: int
    at: datetime
    resource_type: str
    record_id: str
    before_version: int | None
    after_version: int
    action: str
    by: str
    actor: str
    why: str
    strategy: str | None
    conflict_id: str | None
    job_id: str | None

    @classmethod
    def of(cls, one: RecordChange) -> ChartChange:
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class PatientChart(Told):
    """Everything the store holds of a person, in the short forms that people read. **Health data.**"""

    person: PatientEntry
    values: Sequence[ChartValue]
    origins: Sequence[ChartOrigin]
    events: Annotated[Sequence[ChartEvent], Field(description="the newest first")]
    event_count: int
    by_type: Annotated[Mapping[str, int], Field(description="how many events of each resource type")]
    conflicts: Annotated[Sequence[ChartConflict], Field(description="open ones first")]
    changes: Annotated[Sequence[ChartChange], Field(description="the newest first")]
    change_count: int

    @classmethod
    def of(cls, chart: Chart) -> PatientChart:
        return cls(
            person=PatientEntry.of(chart.person, chart.usual("name"), chart.usual("birthDate")),
            values=[ChartValue.of(one) for one in chart.values],
            origins=[ChartOrigin.of(one) for one in chart.origins],
            events=[ChartEvent.of(one) for one in chart.events],
            event_count=chart.event_count,
            by_type=chart.by_type,
            conflicts=[ChartConflict.of(one) for one in chart.conflicts],
            changes=[ChartChange.of(one) for one in chart.changes],
            change_count=chart.change_count,
        )
