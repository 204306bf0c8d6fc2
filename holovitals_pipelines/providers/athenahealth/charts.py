"""What is read of one patient, list by list, and what its items are called: declarations, and records made of items.

Law: a record is its item's own bytes and whose it is; its id names the patient, so that it can be read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

import msgspec

from holovitals_pipelines.model.extract import Named, Problem
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.providers.athenahealth.calls import Listing, ListOf, Members, members_of, text_of
from holovitals_pipelines.providers.fhir_rest import Found, quoted
from holovitals_pipelines.providers.outcomes import too_large

EASTERN = ZoneInfo("America/New_York")
"""All timestamps of the API, whatever the department's zone (vendors.md §5.2)."""

Zones = Mapping[str, str]
"""The zone's name by department."""


@dataclass(frozen=True, slots=True)
class ChartList:
    """A list of one patient: its address with `{patient}`, the member that holds the items, and what numbers them."""

    path: str
    items: str
    number: str
    nested: bool = False
    """A list of lists."""
    by_department: bool = True
    params: tuple[tuple[str, str], ...] = ()

    def of(self, patient: str, department: str | None) -> ListOf:
        asked = (("departmentid", department),) if department is not None and self.by_department else ()
        path = self.path.format(patient=quoted(patient))
        return ListOf(path, self.items, self.path.format(patient="{id}"), (*asked, *self.params))


@dataclass(frozen=True, slots=True)
class ChartType:
    """How a resource type's records are read, and when they were changed."""

    lists: tuple[ChartList, ...]
    changed: Callable[[Members], datetime | None]
    of_site: bool = False
    """The record says the zone of its department instead of the patient, whom its item names."""


def _never(item: Members) -> None:
    return None


def _modified(item: Members) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text_of(item, "lastmodifieddatetime"))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _modified_eastern(item: Members) -> datetime | None:
    """None in the hours that Eastern clocks skip or show twice: which moment it was is not said."""
    try:
        local = datetime.strptime(text_of(item, "lastmodified"), "%m/%d/%Y %H:%M:%S").replace(tzinfo=EASTERN)
    except ValueError:
        return None
    return local if local.utcoffset() == local.replace(fold=1).utcoffset() else None


CHARTS: Mapping[str, ChartType] = MappingProxyType(
    {
        "AllergyIntolerance": ChartType((ChartList("chart/{patient}/allergies", "allergies", "allergenid"),), _never),
        "Condition": ChartType((ChartList("chart/{patient}/problems", "problems", "problemid"),), _modified),
        "MedicationRequest": ChartType(
            (ChartList("chart/{patient}/medications", "medications", "medicationentryid", nested=True),), _never
        ),
        "Observation": ChartType((ChartList("chart/{patient}/labresults", "results", "labresultid"),), _never),
        "DocumentReference": ChartType(
            (
                ChartList(
                    "patients/{patient}/documents/encounterdocument", "encounterdocuments", "encounterdocumentid"
                ),
                ChartList("patients/{patient}/documents/admin", "admins", "adminid"),
            ),
            _modified,
        ),
        "Appointment": ChartType(
            (
                ChartList(
                    "patients/{patient}/appointments",
                    "appointments",
                    "appointmentid",
                    by_department=False,
                    params=(("showpast", "true"), ("showcancelled", "true")),
                ),
            ),
            _modified_eastern,
            of_site=True,
        ),
    }
)
"""unverified: the addresses of allergies, of documents and of a patient's appointments, the member `allergies`, and the
two parameters; vendors.md names the records, public clients these addresses."""


def record_id(patient: str, number: str) -> str:
    return f"{patient}-{number}"


def split_record_id(remote_id: str) -> tuple[str, str]:
    """(patient, the item's number); the patient is "" in an id that is not a chart's."""
    patient, hyphen, number = remote_id.partition("-")
    return (patient, number) if hyphen else ("", remote_id)


@dataclass(frozen=True, slots=True)
class ChartReader:
    """Makes records of the items of one patient's lists."""

    resource_type: str
    zones: Zones
    largest: int

    def found(self, listed: ChartList, page: Listing, patient: str, wanted: AbstractSet[str] | None) -> Found:
        """The items as records; only those with a number that is `wanted`, where not all are.

        An item that cannot be told from others is a problem with its bytes.
        """
        bodies: list[bytes] = []
        named: list[Named] = []
        problems: list[Problem] = []
        for item in _flat(page.items) if listed.nested else page.items:
            try:
                record, name = self._record(listed, item, patient)
            except ValueError:
                problems.append(self._unnamed(listed, item))
                continue
            if wanted is not None and split_record_id(name.remote_id)[1] not in wanted:
                continue
            if len(record) > self.largest:
                source = listed.of(patient, None).operation
                problems.append(
                    too_large(record, len(record), limit=self.largest, source=source, wanted=self.resource_type)
                )
                continue
            bodies.append(record)
            named.append(name)
        return Found(bodies, problems, (), page.served_at, page.received_bytes, named=named)

    def _record(self, listed: ChartList, item: bytes, patient: str) -> tuple[bytes, Named]:
        """Raises ValueError for an item without its number."""
        how = CHARTS[self.resource_type]
        members = members_of(item)
        number = text_of(members, listed.number)
        if not number:
            raise ValueError("no number")
        own = text_of(members, "patientid")
        owner = own if own not in ("", "0") else patient
        if how.of_site:
            zone = self.zones.get(text_of(members, "departmentid"))
            record = b'{"site":%s,"item":%s}' % (msgspec.json.encode({"timezone": zone} if zone else {}), item)
        else:
            record = b'{"patient":{"patientid":%s},"item":%s}' % (msgspec.json.encode(patient), item)
        return record, Named(record_id(owner, number), last_updated=how.changed(members))

    def _unnamed(self, listed: ChartList, item: bytes) -> Problem:
        return Problem(
            code="extract.no_id",
            message=f"an item has no {listed.number}",
            remedy="report it to the practice: without it a record can neither be told from others nor read again",
            source=listed.of("", None).operation,
            resource_type=self.resource_type,
            body=item,
        )

    def missed(self, patient: str, numbers: AbstractSet[str]) -> Found:
        """What was to be read and is not among the patient's records: told, and never taken for a deletion."""
        return Found(
            problems=[
                Problem(
                    code="resource.not_in_chart",
                    message="a record that was to be read is not in its patient's chart",
                    remedy="nothing: the next full read finds out whether it is gone",
                    source=CHARTS[self.resource_type].lists[0].of("", None).operation,
                    resource_type=self.resource_type,
                    severity=ErrorSeverity.WARNING,
                    remote_id=record_id(patient, number) if patient else number,
                )
                for number in sorted(numbers)
            ]
        )


def _flat(items: Sequence[bytes]) -> list[bytes]:
    """The inner items of a list of lists. unverified: what it means that entries stand together."""
    flat: list[bytes] = []
    for entry in items:
        try:
            flat += [bytes(one) for one in msgspec.json.decode(entry, type=list[msgspec.Raw])]
        except (msgspec.DecodeError, UnicodeDecodeError):
            flat.append(entry)
    return flat
