"""What one event of a delivery says: what has happened, and to what. Read from the bytes as they were kept.

Law: a notice is a hint by ids; no value of a resource is taken from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from holovitals_pipelines.model.vocabulary import WebhookEvent

Json = Mapping[str, Any]


class Kind(StrEnum):
    """What an event asks for, before any handler is asked."""

    CHANGE = "change"
    SIGN_OF_LIFE = "sign_of_life"
    """A handshake or a heartbeat: there is nothing to read."""
    SOMETHING = "something"
    """Something has changed, and it is not said what: a notification without content."""
    UNKNOWN = "unknown"
    """An event of a name that nobody knows."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Notice:
    """`name` is the event's name in the vendor's own words; `patient_id` alone means the patient's whole chart."""

    kind: Kind
    event: WebhookEvent
    name: str
    resource_type: str | None = None
    remote_id: str | None = None
    patient_id: str | None = None


_GROUPS: Mapping[str, str] = {
    "Patient": "PATIENT",
    "Observation": "OBSERVATION",
    "Medication": "MEDICATION",
    "MedicationRequest": "MEDICATION",
    "MedicationStatement": "MEDICATION",
    "MedicationDispense": "MEDICATION",
    "MedicationAdministration": "MEDICATION",
    "AllergyIntolerance": "ALLERGY",
    "Condition": "CONDITION",
    "Encounter": "ENCOUNTER",
    "DocumentReference": "DOCUMENT",
}
_ID = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")


def event_of(resource_type: str | None, verb: str) -> WebhookEvent:
    """The event of a verb (CREATED, UPDATED, DELETED) on a resource type; CUSTOM where it is none of the fifteen."""
    try:
        return WebhookEvent(f"{_GROUPS.get(resource_type or '', '')}_{verb}")
    except ValueError:
        return WebhookEvent.CUSTOM


def named_event(name: str) -> WebhookEvent | None:
    """`PATIENT_UPDATED`, `patient.updated`, `Patient.update` and the like; None for a name that is none of ours."""
    plain = re.sub(r"[^A-Za-z]+", "_", name).strip("_").upper()
    for candidate in (plain, f"{plain}D", f"{plain}ED"):
        if candidate in WebhookEvent.__members__:
            return WebhookEvent(candidate)
    return None


def safe_id(value: Any) -> str | None:
    """An id as text; None for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) if _ID.fullmatch(str(value)) else None


def safe_type(value: Any) -> str | None:
    return value if isinstance(value, str) and _TYPE.fullmatch(value) else None


def safe_name(value: Any, otherwise: str = "") -> str:
    """A vendor's name for an event, cut to what the log has room for."""
    if not isinstance(value, str):
        return otherwise
    return re.sub(r"[\x00-\x1f\x7f]", "", value)[:128] or otherwise


def referred(reference: Any) -> tuple[str | None, str | None]:
    """(type, id) of `Patient/1`, also at the end of a URL and with a version."""
    if not isinstance(reference, str):
        return None, None
    parts = reference.partition("/_history/")[0].rstrip("/").split("/")
    if len(parts) < 2 or safe_type(parts[-2]) is None:
        return None, None
    return parts[-2], safe_id(parts[-1])


def patient_of(resource: Json) -> str | None:
    """Whose chart a resource belongs to, by its own references."""
    for element in ("subject", "patient", "beneficiary"):
        told = resource.get(element)
        kind, identity = referred(told.get("reference") if isinstance(told, Mapping) else None)
        if kind == "Patient":
            return identity
    return None


UNREADABLE = Notice(Kind.UNREADABLE, WebhookEvent.CUSTOM, "unreadable")


def plain_notice(told: Json) -> Notice:
    """The general form, `{"id": …, "type": "PATIENT_UPDATED", "resourceType": …, "resourceId": …, "patientId": …}`.

    What it is about may also stand in `data`, as Standard Webhooks has it.
    """
    data = told.get("data")
    about: Json = {**told, **data} if isinstance(data, Mapping) else told
    said = next((told[key] for key in ("type", "event", "eventType", "event_type") if key in told), None)
    name = safe_name(said, "(none)")
    event = named_event(name)
    patient = safe_id(_first(about, "patientId", "patient_id"))
    kind = safe_type(_first(about, "resourceType", "resource_type"))
    identity = safe_id(_first(about, "resourceId", "resource_id", "remoteId"))
    if kind is None and event is not None and event.name.startswith("PATIENT_"):
        kind, identity = "Patient", identity or patient
    if kind is None or identity is None:
        kind = identity = None
    if kind == "Patient":
        patient = None
    return Notice(
        Kind.UNKNOWN if event is None else Kind.CHANGE, event or WebhookEvent.CUSTOM, name, kind, identity, patient
    )


def _first(about: Json, *names: str) -> Any:
    return next((about[name] for name in names if name in about), None)
