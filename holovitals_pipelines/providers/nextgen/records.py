"""What NextGen's items are called: persons, their charts' lists, and appointments with the zone their times are in.

Law: an item's own bytes stay as they came; a record without an id is a problem with its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec

from holovitals_pipelines.model.extract import Named, Problem
from holovitals_pipelines.providers.fhir_rest import Found, quoted
from holovitals_pipelines.providers.outcomes import too_large


class Head(msgspec.Struct, frozen=True):
    """What is read of an item here; the rest is left to the rules."""

    id: str | None = None
    booking: str | None = msgspec.field(default=None, name="appointmentId")
    """What a list of appointments calls the id."""
    person: str | None = msgspec.field(default=None, name="personId")
    modified: str | None = msgspec.field(default=None, name="modifyTimestampUtc")


@dataclass(frozen=True, slots=True)
class Chart:
    """A list in a person's chart; `{}` stands for the person."""

    path: str
    operation: str

    def of(self, person: str) -> str:
        return self.path.format(quoted(person))


PERSON = "GET persons/{id}"
APPOINTMENT = "GET appointments/{id}"
APPOINTMENTS = "GET appointments"
BOOKED = Chart("persons/{}/appointments", "GET persons/{id}/appointments")
CHARTS: Mapping[str, Chart] = MappingProxyType(
    {
        "Encounter": Chart("persons/{}/chart/encounters", "GET persons/{id}/chart/encounters"),
        "DocumentReference": Chart("persons/{}/chart/documents", "GET persons/{id}/chart/documents"),
    }
)
"""The chart's other lists (allergies, problems, medications, …) exist, but what their items hold is not public."""

TYPES = ("Patient", "Encounter", "Appointment", "DocumentReference")


def head_of(item: bytes) -> Head | None:
    """None for what is no item."""
    try:
        return msgspec.json.decode(item, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def named(head: Head, remote_id: str) -> Named:
    return Named(remote_id, last_updated=_moment(head.modified))


def at_site(item: bytes, timezone: str) -> bytes:
    """An appointment and the zone of the session it was read in: its times name none."""
    return b'{"site":{"timezone":%s},"item":%s}' % (msgspec.json.encode(timezone), item)


def found_in(
    items: Iterable[bytes],
    resource_type: str,
    source: str,
    *,
    limit: int,
    served_at: datetime | None = None,
    received_bytes: int = 0,
) -> Found:
    """Items as records of a type; what has no id, or is larger than `limit`, is a problem."""
    bodies: list[bytes] = []
    names: list[Named] = []
    problems: list[Problem] = []
    for item in items:
        head = head_of(item)
        if len(item) > limit:
            problems.append(too_large(item, len(item), limit=limit, source=source, wanted=resource_type))
        elif head is None or not head.id:
            problems.append(no_id(item, resource_type, source))
        else:
            bodies.append(item)
            names.append(named(head, head.id))
    return Found(bodies, problems, (), served_at, received_bytes, partial=bool(problems), named=names)


def no_id(item: bytes, resource_type: str, source: str) -> Problem:
    return Problem(
        code="extract.no_id",
        message="an item has no id",
        remedy="report it to the vendor: without its id a record can neither be told from others nor read again",
        source=source,
        resource_type=resource_type,
        body=item,
    )


def _moment(text: str | None) -> datetime | None:
    """A time in UTC, which NextGen writes without saying so."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
