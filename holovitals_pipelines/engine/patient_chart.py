"""One person on one page: what each vendor says, where it came from, what happened when, and what contradicts.

Law: nothing here changes anything. It opens health data: whoever calls it notes the access first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from holovitals_pipelines.engine.patient_records import versions_of_person
from holovitals_pipelines.engine.person_pages import Person, person_of
from holovitals_pipelines.engine.person_view import (
    ConflictPlace,
    Event,
    Origin,
    ToldValue,
    conflict_places,
    origins,
    side_by_side,
    timeline,
)
from holovitals_pipelines.engine.record_changes import RecordChange, changes_of
from holovitals_pipelines.store.database import Database


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything the store holds of a person, in the short forms that people read."""

    person: Person
    values: Sequence[ToldValue]
    origins: Sequence[Origin]
    events: Sequence[Event]
    """The newest first; those of which nobody tells when come last."""
    event_count: int
    by_type: dict[str, int]
    conflicts: Sequence[ConflictPlace]
    changes: Sequence[RecordChange]
    """The newest first."""
    change_count: int

    def usual(self, element: str) -> str | None:
        """What most Patient records say of the element."""
        said = Counter(one.value for one in self.values if one.element == element and one.value is not None)
        return said.most_common(1)[0][0] if said else None


def patient_chart(database: Database, patient_key: str, limit: int = 500) -> Chart:
    """At most `limit` events and as many changes. Raises StoreError (`person.unknown`)."""
    person = person_of(database, patient_key)
    with database.read() as transaction:
        versions = versions_of_person(transaction, patient_key)
        records = sorted({one.record_id for one in versions})
        changes = changes_of(transaction, records)
        places = conflict_places(transaction, records)
    events = timeline(versions)
    dated = [one for one in events if one.happened is not None]
    ordered = [*reversed(dated), *(one for one in events if one.happened is None)]
    return Chart(
        person=person,
        values=side_by_side(versions),
        origins=origins(versions, changes),
        events=ordered[:limit],
        event_count=len(events),
        by_type=dict(Counter(one.resource_type for one in events).most_common()),
        conflicts=places,
        changes=list(reversed(changes))[:limit],
        change_count=len(changes),
    )
