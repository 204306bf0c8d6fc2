"""What the versions of a person's records say: the timeline, elements side by side and by origin, then beside now.

Law: every value is of the version it is told with, in the short form people read; nothing is opened or written here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.patient_records import HeldVersion
from holovitals_pipelines.engine.record_changes import RecordChange
from holovitals_pipelines.fhir.clinical_text import apart_text, described, element_text, happened, status_of
from holovitals_pipelines.fhir.exact import read_document, write_value
from holovitals_pipelines.fhir.rendered import rendered
from holovitals_pipelines.store.bulk import fetch_by_keys
from holovitals_pipelines.store.conflicts import OPEN
from holovitals_pipelines.store.tables import sync_conflict, sync_conflict_field

BOOKKEEPING = ("resourceType", "id", "meta", "text", "extension", "contained", "language", "implicitRules")
VENDORS_OWN = ("identifier", "generalPractitioner", "managingOrganization", "link", "photo")
"""Elements in which every vendor names things of its own, so that no two could agree."""
_SHORT, _LONG = 90, 300
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """A record of the person that is there now."""

    happened: datetime | None
    connection: str
    resource_type: str
    what: str
    status: str
    version: int
    changed_by: str
    record_id: str


@dataclass(frozen=True, slots=True)
class ToldValue:
    """What one Patient record says of an element; None where it says nothing of it."""

    element: str
    connection: str
    value: str | None
    agreement: str
    """as most, differs, told by one, not told."""
    record_id: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Since which version of a Patient record an element is as it is, and who made it so."""

    element: str
    connection: str
    value: str
    since: datetime
    version: int
    by: str | None
    """vendor, policy or person; None where the audit log does not say."""
    actor: str
    why: str | None
    strategy: str | None
    record_id: str


@dataclass(frozen=True, slots=True)
class ConflictPlace:
    """A unit in which the sides of a record contradicted each other."""

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


@dataclass(frozen=True, slots=True)
class Difference:
    """An element of a record that is another now than it was then."""

    resource_type: str
    connection: str
    element: str
    then: str | None
    now: str | None
    changed_at: datetime
    by: str | None
    actor: str
    why: str | None
    record_id: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How many records of the person a connection had told of from this instant on."""

    at: datetime
    connection: str
    records: int


def timeline(versions: Sequence[HeldVersion]) -> list[Event]:
    """In the order in which things happened; those of which nobody tells when come last."""
    events = []
    for one in _current(versions):
        if one.state == "active" and one.resource_type != "Patient":
            document = read_document(one.body)
            told = (happened(document), one.connection, one.resource_type, described(document), status_of(document))
            events.append(Event(*told, one.version, one.changed_by, one.record_id))
    return sorted(events, key=lambda event: (event.happened or _NEVER, event.resource_type, event.what))


def side_by_side(versions: Sequence[HeldVersion]) -> list[ToldValue]:
    """A row an element and Patient record: those first of which the most records tell."""
    told: dict[str, dict[str, str]] = defaultdict(dict)
    patients = [one for one in _current(versions) if one.resource_type == "Patient" and one.state == "active"]
    for one in patients:
        for element, value in _elements(one).items():
            if element not in VENDORS_OWN:
                told[element][one.record_id] = element_text(value, _SHORT)
    rows = []
    for element in sorted(told, key=lambda name: (-len(told[name]), name)):
        values = Counter(told[element].values())
        usual = values.most_common(1)[0][0]
        for one in patients:
            said = told[element].get(one.record_id)
            rows.append(ToldValue(element, one.connection, said, _agreement(said, usual, values), one.record_id))
    return rows


def _agreement(value: str | None, usual: str, values: Counter[str]) -> str:
    if value is None:
        return "not told"
    if values.total() == 1:
        return "told by one"
    return "as most" if value == usual and values[usual] > 1 else "differs"


def origins(versions: Sequence[HeldVersion], changes: Sequence[RecordChange]) -> list[Origin]:
    """What was changed most often comes first."""
    made = _made_by(changes)
    rows = []
    for line in _by_record(one for one in versions if one.resource_type == "Patient"):
        held = [_elements(one) for one in line]
        for element, value in held[-1].items():
            since = len(line) - 1
            while since > 0 and held[since - 1].get(element) == value:
                since -= 1
            first = line[since]
            change = made.get((first.record_id, first.version))
            by, why, strategy = (change.by, change.why, change.strategy) if change else (None, None, None)
            actor = change.actor if change else first.changed_by
            text = element_text(value, _SHORT)
            rows.append(
                Origin(
                    element, first.connection, text, first.at, first.version, by, actor, why, strategy, first.record_id
                )
            )
    return sorted(rows, key=lambda row: (row.version, row.since), reverse=True)


def then_and_now(versions: Sequence[HeldVersion], changes: Sequence[RecordChange], at: datetime) -> list[Difference]:
    made = _made_by(changes)
    rows = []
    for line in _by_record(versions):
        now, then = line[-1], next((one for one in reversed(line) if one.at <= at), None)
        if then is None or then.version == now.version:
            continue
        before, after = _elements(then), _elements(now)
        if then.state != now.state:
            before, after = {"(record)": f'"{then.state}"'}, {"(record)": f'"{now.state}"'}
        change = made.get((now.record_id, now.version))
        by, why = (change.by, change.why) if change else (None, None)
        actor = change.actor if change else now.changed_by
        for element in sorted({**before, **after}):
            if before.get(element) != after.get(element):
                was, becomes = apart_text(before.get(element), after.get(element), _LONG)
                of = (now.resource_type, now.connection, element)
                rows.append(Difference(*of, was, becomes, now.at, by, actor, why, now.record_id))
    return rows


def known(versions: Sequence[HeldVersion]) -> list[Standing]:
    """Each instant at which a record came or went, and how many of the connection were known from then on."""
    steps: Counter[tuple[datetime, str]] = Counter()
    for line in _by_record(versions):
        was = False
        for one in line:
            steps[one.at, one.connection] += (one.state == "active") - was
            was = one.state == "active"
    standing: Counter[str] = Counter()
    rows = []
    for (at, connection), more in sorted(steps.items()):
        standing[connection] += more
        if more:
            rows.append(Standing(at, connection, standing[connection]))
    return rows


def conflict_places(transaction: sa.Connection, record_ids: Collection[str]) -> list[ConflictPlace]:
    """Of these records, open conflicts first."""
    c, unit = sync_conflict.c, sync_conflict_field.c
    query = sa.select(
        c.status, c.severity, c.resource_type, c.connection, unit.element, unit.local, unit.remote, unit.chosen,
        c.decided_by, c.decided_at, unit.why, c.conflict_id, c.record_id,
    ).join(
        sync_conflict_field,
        sa.and_(unit.conflict_id == c.conflict_id, unit.revision == c.revision, unit.kind == "conflict"),
    )  # fmt: skip
    found: list[tuple[Any, ...]] = [
        tuple(row) for part in fetch_by_keys(transaction, query, c.record_id, sorted(record_ids)) for row in part
    ]
    ordered = sorted(found, key=lambda row: (row[0] not in OPEN, row[11], row[4] or ""))
    return [ConflictPlace(*row[:5], *(rendered(text) for text in row[5:8]), *row[8:12]) for row in ordered]


def _elements(one: HeldVersion) -> dict[str, str]:
    """What the record says, element by element, each as exact JSON text."""
    document = read_document(one.body)
    return {name: write_value(value) for name, value in document.items() if name not in BOOKKEEPING}


def _by_record(versions: Iterable[HeldVersion]) -> list[list[HeldVersion]]:
    lines: dict[str, list[HeldVersion]] = defaultdict(list)
    for one in versions:
        lines[one.record_id].append(one)
    return list(lines.values())


def _current(versions: Sequence[HeldVersion]) -> list[HeldVersion]:
    return [line[-1] for line in _by_record(versions)]


def _made_by(changes: Sequence[RecordChange]) -> dict[tuple[str, int | None], RecordChange]:
    return {(one.record_id, one.after_version): one for one in changes}
