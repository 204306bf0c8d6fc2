"""What NextGen shows of the population: JSON of its own, nulls everywhere, local times beside times in UTC.

Law: an item has the members that recorded answers have, and no others; an encounter that was booked has an appointment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sandbox.facts.nextgen import (
    APPOINTMENT_MEMBERS,
    BOOKING_MEMBERS,
    DOCUMENT_MEMBERS,
    ENCOUNTER_MEMBERS,
    ENTERPRISE,
    NO_ID,
    PERSON_FLAGS,
    PERSON_MEMBERS,
    PRACTICE,
    SEXES,
)
from holovitals_pipelines.sandbox.records import Records

Item = dict[str, Any]

_TAIL = 0xFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class View:
    """What one session shows: the records, by clocks of its zone, at a moment."""

    records: Records
    zone: ZoneInfo
    now: datetime

    def person(self, number: int) -> Item:
        """As `GET persons/{id}` answers."""
        patient = self._held(number)
        identity, born = str(patient["id"]), _day(patient.get("birthDate"))
        doctor = _reference(_first(patient, "generalPractitioner"), "Practitioner")
        named = self._practitioner(doctor)
        died = patient.get("deceasedDateTime")
        known = {
            **_demographics(patient),
            "id": identity,
            "age": None if born is None else _age(born, self.now.astimezone(self.zone).date()),
            "contactSequence": "Home,Day,Alternate,Secondary,Email,Cell",
            "contactPreferenceDescription": "",
            "primaryCareProviderId": doctor,
            "primaryCareProviderFullName": named.get("full"),
            "primaryCareProviderFirstName": named.get("first"),
            "primaryCareProviderLastName": named.get("last"),
            "maritalStatus": _phrase(patient.get("maritalStatus")) or None,
            "preferredLanguage": _phrase(_first(patient, "communication").get("language")) or None,
            "isExpired": patient.get("deceasedBoolean") is True or died is not None,
            "expiredDate": _midnight(str(died)) if died is not None else None,
            "notificationPreferenceSelected": True,
            "udsVeteranStatus": "U",
            "currentGender": SEXES.get(patient.get("gender", "")),
            "createdBy": 0,
            "createTimestampTimezone": 0,
            "modifyTimestampTimezone": 0,
            "modifiedBy": -3145,
            "hasEmail": any(contact.get("system") == "email" for contact in patient.get("telecom", ())),
            "enterpriseId": ENTERPRISE,
            "practiceId": PRACTICE,
            **self._written(number),
        }
        return {
            **{name: known.get(name, False if name in PERSON_FLAGS else None) for name in PERSON_MEMBERS},
            "_links": [_link(f"/persons/{identity}", "self")],
        }

    def encounter(self, number: int) -> Item:
        """As `persons/{id}/chart/encounters` lists it."""
        held = self._held(number)
        person = _reference(held.get("subject"), "Patient") or NO_ID
        begun, ended = _moment(held.get("period", {}).get("start")), _moment(held.get("period", {}).get("end"))
        known = {
            "id": held["id"],
            "enterpriseId": ENTERPRISE,
            "practiceId": PRACTICE,
            "personId": person,
            **self._timed("timestamp", begun or self._stamp(number)),
            "timestampTimezone": 0,
            **self._place_and_provider(held),
            "isLocked": held.get("status") == "finished",
            "status": "U",
            "encounterNumber": number,
            "printOnStatements": True,
            "isSensitive": False,
            "suppressPortal": False,
            "suppressOutreach": False,
            **self._timed("checkInDateTime", begun),
            **self._timed("checkOutDateTime", ended),
            **self._written(number),
        }
        return _item(ENCOUNTER_MEMBERS, known, f"/persons/{person}/chart/encounters/{held['id']}")

    def document(self, number: int) -> Item:
        """As `persons/{id}/chart/documents` lists it."""
        held = self._held(number)
        person = _reference(held.get("subject"), "Patient") or NO_ID
        codings = held.get("type", {}).get("coding", ())
        made = self._timed("createTimestamp", _moment(held.get("date")) or self._stamp(number))
        known = {
            "id": held["id"],
            "personId": person,
            "description": _phrase(held.get("type")) or "Document",
            "itemType": "ICS",
            "createdBy": -3145,
            "createTimestampTimezone": 0,
            "modifiedBy": -3145,
            "modifyTimestampTimezone": 0,
            "encounterId": _reference(_first(held.get("context", {}), "encounter"), "Encounter"),
            "isRestricted": False,
            "enterpriseId": ENTERPRISE,
            "practiceId": PRACTICE,
            "loincCode": next((c["code"] for c in codings if c.get("system") == "http://loinc.org"), None),
            "diagnosticCategories": [],
            "isSensitive": False,
            "isSuppressPortal": False,
            "isSuppressOutreach": False,
            **self._written(number),
            **made,
        }
        return _item(DOCUMENT_MEMBERS, known, f"/persons/{person}/chart/documents/{held['id']}")

    def appointment(self, number: int) -> Item:
        """The appointment of an encounter, as `GET appointments/{id}` answers."""
        held = self._held(number)
        person = _reference(held.get("subject"), "Patient") or NO_ID
        patient = self.records.number("Patient", person)
        known = {
            **(_demographics(self._held(patient)) if patient is not None else {}),
            **self._place_and_provider(held),
            **self._booked(number, held),
            "id": twin(str(held["id"])),
            "details": "",
            "encounterId": held["id"],
            "eventName": _phrase(_first(held, "type")) or "Visit",
            "resourceIds": [],
            "personId": person,
            "email": None,
        }
        flags = ("isRescheduled", "promptToRetain", "isRetained", "procedureWithResident", "appointmentConfirmed")
        return _item(APPOINTMENT_MEMBERS, dict.fromkeys(flags, False) | known, f"appointments/{known['id']}")

    def booking(self, number: int) -> Item:
        """The appointment of an encounter, as lists name it."""
        held = self._held(number)
        known = {
            **self._booked(number, held),
            "categoryIds": [],
            "personId": _reference(held.get("subject"), "Patient") or NO_ID,
            "isRescheduled": False,
            "appointmentId": twin(str(held["id"])),
        }
        return _item(BOOKING_MEMBERS, known, f"appointments/{known['appointmentId']}")

    def was_booked(self, number: int) -> bool:
        """Whether an encounter has an appointment: visits have, stays in hospital and emergencies have not."""
        held = self._held(number)
        return held.get("class", {}).get("code") == "AMB" and "start" in held.get("period", {})

    def _booked(self, number: int, held: Document) -> Item:
        begun = _moment(held["period"]["start"]) or self.now
        ended = _moment(held["period"].get("end")) or begun
        here, until = begun.astimezone(self.zone), ended.astimezone(self.zone)
        status = held.get("status")
        written = self._written(number)
        return {
            "appointmentDate": f"{here:%Y-%m-%d}T00:00:00",
            "beginTime": f"{here:%H%M}",
            "endTime": f"{until:%H%M}",
            "duration": int((ended - begun).total_seconds() // 60),
            "isCancelled": status == "cancelled",
            "isKept": status == "finished",
            "isDeleted": status == "entered-in-error",
            "practiceId": PRACTICE,
            "eventId": NO_ID,
            "createTimestamp": written["createTimestamp"],
            "modifyTimestamp": written["modifyTimestamp"],
        }

    def _place_and_provider(self, held: Document) -> Item:
        place = _reference(_first(held, "location").get("location"), "Location")
        provider = _reference(_first(held, "participant").get("individual"), "Practitioner")
        named = self._practitioner(provider)
        return {
            "locationId": place,
            "locationName": self._known("Location", place).get("name"),
            "renderingProviderId": provider or NO_ID,
            "renderingProviderName": named.get("full"),
            "renderingProviderFirstName": named.get("first"),
            "renderingProviderLastName": named.get("last"),
        }

    def _practitioner(self, identity: str | None) -> Mapping[str, str]:
        name = _first(self._known("Practitioner", identity), "name")
        if "family" not in name:
            return {}
        given = " ".join(name.get("given", ()))
        return {"first": given, "last": name["family"], "full": f"{name['family']} MD, {given}"}

    def _held(self, number: int) -> Document:
        body = self.records.body(number)
        assert body is not None, "only what is there is shown"
        return read_document(body)

    def _known(self, kind: str, identity: str | None) -> Document:
        number = self.records.number(kind, identity) if identity is not None else None
        body = self.records.body(number) if number is not None else None
        return {} if body is None else read_document(body)

    def _stamp(self, number: int, *, first: bool = False) -> datetime:
        version = self.records.history(number)[0] if first else self.records.version(number)
        return datetime.fromtimestamp(version.updated_ms / 1000, UTC)

    def _written(self, number: int) -> Item:
        return {
            **self._timed("createTimestamp", self._stamp(number, first=True)),
            **self._timed("modifyTimestamp", self._stamp(number)),
        }

    def _timed(self, member: str, moment: datetime | None) -> Item:
        """A time three times: by the zone's clocks, in UTC, and how far those are apart in seconds."""
        if moment is None:
            return {}
        here = moment.astimezone(self.zone)
        offset = here.utcoffset()
        return {
            member: _clock(here),
            f"{member}Utc": _clock(moment.astimezone(UTC)),
            f"{member}LocalUtcOffset": int(offset.total_seconds()) if offset is not None else 0,
        }


def twin(identity: str) -> str:
    """The appointment's id of an encounter's, and back; what is no GUID has none and stays."""
    head, dash, tail = identity.rpartition("-")
    return f"{head}-{int(tail, 16) ^ _TAIL:012x}" if dash and len(tail) == 12 else identity


def _item(members: tuple[str, ...], known: Mapping[str, Any], href: str) -> Item:
    return {**{name: known.get(name) for name in members}, "_links": [_link(href, "self")]}


def _link(href: str, rel: str) -> Item:
    return {"href": href, "method": "GET", "rel": rel, "description": "", "vendorExtensions": {}}


def _demographics(patient: Document) -> Item:
    name, address = _first(patient, "name"), _first(patient, "address")
    given, lines = list(name.get("given", ())), list(address.get("line", ()))
    return {
        "firstName": given[0] if given else None,
        "middleName": given[1] if len(given) > 1 else "",
        "lastName": name.get("family"),
        "prefix": next(iter(name.get("prefix", ())), None),
        "suffix": next(iter(name.get("suffix", ())), None),
        "addressLine1": lines[0] if lines else None,
        "addressLine2": lines[1] if len(lines) > 1 else None,
        "city": address.get("city"),
        "state": address.get("state"),
        "zip": address.get("postalCode"),
        "county": address.get("district"),
        "country": address.get("country"),
        "homePhone": _reached(patient, "phone", "home"),
        "dayPhone": _reached(patient, "phone", "work"),
        "cellPhone": _reached(patient, "phone", "mobile"),
        "email": _reached(patient, "email", None),
        "sex": SEXES.get(patient.get("gender", "")),
        "dateOfBirth": _midnight(patient.get("birthDate")),
    }


def _first(held: Document, member: str) -> Document:
    return next((one for one in held.get(member, ()) if isinstance(one, dict)), {})


def _phrase(concept: Any) -> str:
    if not isinstance(concept, dict):
        return ""
    displays = (coding.get("display") for coding in concept.get("coding", ()))
    return str(concept.get("text") or next(filter(None, displays), ""))


def _reached(patient: Document, system: str, use: str | None) -> str | None:
    for contact in patient.get("telecom", ()):
        if contact.get("system") == system and use in (None, contact.get("use")):
            return str(contact.get("value", ""))
    return None


def _reference(held: Any, kind: str) -> str | None:
    named = held.get("reference", "") if isinstance(held, dict) else ""
    return str(named).removeprefix(f"{kind}/") if str(named).startswith(f"{kind}/") else None


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text is not None and len(text) == len("2000-01-31") else None


def _midnight(text: str | None) -> str | None:
    day = _day(text[:10]) if text is not None else None
    return None if day is None else f"{day.isoformat()}T00:00:00"


def _age(born: date, today: date) -> str:
    months = (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day)
    return f"{months // 12}y {months % 12}m"


def _moment(text: Any) -> datetime | None:
    if not isinstance(text, str) or "T" not in text:
        return None
    return datetime.fromisoformat(text)


def _clock(moment: datetime) -> str:
    """`2023-05-03T21:20:15.923`: zeros at the end are left out, as NextGen does."""
    text = f"{moment:%Y-%m-%dT%H:%M:%S}"
    millis = moment.microsecond // 1000
    return f"{text}.{millis:03d}".rstrip("0") if millis else text
