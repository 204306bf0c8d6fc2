"""FHIR subscription notifications: R4 rest-hook, and R5 as backported to R4 (vendors.md §2.3), with athenahealth's.

Law: a focus names what is to be read; a resource that came along is looked at for its ids only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from holovitals_pipelines.model.vocabulary import WebhookEvent
from holovitals_pipelines.providers.webhooks.notices import (
    Json,
    Kind,
    Notice,
    event_of,
    patient_of,
    referred,
    safe_id,
    safe_name,
    safe_type,
)

_VERBS: Mapping[str, str] = {"POST": "CREATED", "PUT": "UPDATED", "PATCH": "UPDATED", "DELETE": "DELETED"}
_TOPIC_VERBS: Mapping[str, str] = {"create": "CREATED", "delete": "DELETED", "schedule": "CREATED"}
_EVENTS = ("event-notification", "query-event")
_TOPIC_TYPES: Mapping[str, str] = {
    "Patient": "Patient",
    "LabResult": "Observation",
    "PatientProblem": "Condition",
    "ClinicalEncounterDiagnosis": "Condition",
    "Encounter": "Encounter",
    "Prescription": "MedicationRequest",
    "HistoricalMedication": "MedicationRequest",
}
"""athenahealth's topics (vendors.md §5.6), by the type of resource that tells of them."""


def status_of(bundle: Json) -> dict[str, Any] | None:
    """The status that leads a notification, in R5's form; None for a Bundle that is no notification."""
    entries = bundle.get("entry")
    first = entries[0] if isinstance(entries, list) and entries else None
    resource = first.get("resource") if isinstance(first, Mapping) else None
    if bundle.get("resourceType") != "Bundle" or not isinstance(resource, Mapping):
        return None
    if resource.get("resourceType") == "SubscriptionStatus":
        return dict(resource)
    return _of_parameters(resource) if resource.get("resourceType") == "Parameters" else None


def _of_parameters(resource: Json) -> dict[str, Any] | None:
    """backport-subscription-status-r4: the status as parameters, each event in one with parts."""
    given = [one for one in resource.get("parameter", []) if isinstance(one, Mapping)]
    plain = {str(one.get("name")): _value(one) for one in given if "part" not in one}
    if "type" not in plain and "subscription" not in plain:
        return None
    events = [
        {_camel(str(part.get("name"))): _value(part) for part in one["part"] if isinstance(part, Mapping)}
        for one in given
        if one.get("name") == "notification-event" and isinstance(one.get("part"), list)
    ]
    return {_camel(name): value for name, value in plain.items()} | {"notificationEvent": events}


def _value(parameter: Json) -> Any:
    return next((value for name, value in parameter.items() if name.startswith("value")), None)


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(word.title() for word in rest)


def events_of(status: Json) -> Sequence[Json]:
    told = status.get("notificationEvent")
    return [one for one in told if isinstance(one, Mapping)] if isinstance(told, list) else []


def event_id_of(status: Json, event: Json) -> str | None:
    """The event's own id (athenahealth), else its number, which a subscription never gives twice.

    athenahealth's numbers start anew in each Bundle, so there the id is the only name an event has.
    """
    if (identity := safe_id(event.get("id"))) is not None:
        return identity
    subscription, number = status.get("subscription"), safe_id(event.get("eventNumber"))
    reference = subscription.get("reference") if isinstance(subscription, Mapping) else subscription
    if number is None or not isinstance(reference, str):
        return None
    return f"{reference}#{number}"


def entries_of(bundle: Json, event: Json) -> Iterator[Json]:
    """The entries that came along with one event: its focus, what belongs to it, its AuditEvent."""
    context = event.get("additionalContext")
    told = [event.get("focus"), *(context if isinstance(context, list) else [context])]
    references = [one.get("reference") for one in told if isinstance(one, Mapping)]
    wanted = {one for one in references if isinstance(one, str)}
    named = {referred(one) for one in wanted}
    for entry in bundle["entry"][1:]:
        resource = entry.get("resource") if isinstance(entry, Mapping) else None
        about = _named(resource) if isinstance(resource, Mapping) else (None, None)
        same_id = about[1] is not None and about[1] == event.get("id")
        at = entry.get("fullUrl") if isinstance(entry, Mapping) else None
        if isinstance(entry, Mapping) and (
            (isinstance(at, str) and at in wanted) or about in named - {_NOBODY} or same_id
        ):
            yield entry


_NOBODY = (None, None)


def _named(resource: Json) -> tuple[str | None, str | None]:
    return safe_type(resource.get("resourceType")), safe_id(resource.get("id"))


def notification_notice(bundle: Json, status: Json, *, native_ids: bool) -> Notice:
    """The notice of a notification with one event, or none. `native_ids`: patients are known by the vendor's own id."""
    told = safe_name(status.get("type"), "(none)")
    events = events_of(status)
    if told not in _EVENTS and not events:
        return Notice(Kind.SIGN_OF_LIFE, WebhookEvent.CUSTOM, told)
    if not events:
        return Notice(Kind.SOMETHING, WebhookEvent.CUSTOM, _topic(status) or told)
    event = events[0]
    focus = event.get("focus")
    kind, identity = _focus(focus if isinstance(focus, Mapping) else {}, native_ids)
    topic = _topic(status)
    entries = list(entries_of(bundle, event))
    resource_type, verb = _of_topic(topic)
    resource_type, verb = resource_type or kind, verb or _verb(entries, kind) or "UPDATED"
    resources = [one["resource"] for one in entries if isinstance(one.get("resource"), Mapping)]
    patient = next(filter(None, map(patient_of, resources)), None)
    if kind is None or identity is None:
        return Notice(Kind.SOMETHING, event_of(resource_type, verb), topic or told)
    if kind == "Patient" and resource_type not in (None, "Patient"):
        return Notice(Kind.CHANGE, event_of(resource_type, verb), topic or told, patient_id=identity)
    return Notice(Kind.CHANGE, event_of(resource_type, verb), topic or told, kind, identity, patient)


def _focus(focus: Json, native_ids: bool) -> tuple[str | None, str | None]:
    kind, identity = referred(focus.get("reference"))
    identifier = focus.get("identifier")
    if isinstance(identifier, Mapping) and (native_ids or identity is None):
        system = str(identifier.get("system", ""))
        if "patient" in system and safe_id(identifier.get("value")) is not None:
            return "Patient", safe_id(identifier["value"])
    return kind, identity


def _topic(status: Json) -> str:
    topic = status.get("topic")
    return safe_name(topic.rsplit("/", 1)[-1] if isinstance(topic, str) else None)


def _of_topic(topic: str) -> tuple[str | None, str | None]:
    """athenahealth's topics say both type and verb: `Patient.update`, `LabResult.create`."""
    group, dot, verb = topic.partition(".")
    if not dot or not group[:1].isupper():
        return None, None
    # A merge, a cancel or a sign-off is no creation: what it means is seen when the resource is read.
    return _TOPIC_TYPES.get(group, group), _TOPIC_VERBS.get(verb, "UPDATED")


def _verb(entries: Sequence[Json], kind: str | None) -> str | None:
    for entry in entries:
        request = entry.get("request")
        resource = entry.get("resource")
        about = resource.get("resourceType") if isinstance(resource, Mapping) else kind
        if isinstance(request, Mapping) and about == kind and request.get("method") in _VERBS:
            return _VERBS[request["method"]]
    return None


def resource_notice(resource: Json) -> Notice:
    """R4 rest-hook with a payload: the resource itself."""
    kind, identity = safe_type(resource.get("resourceType")), safe_id(resource.get("id"))
    meta = resource.get("meta")
    first = isinstance(meta, Mapping) and str(meta.get("versionId")) == "1"
    if kind is None or identity is None:
        return Notice(Kind.SOMETHING, WebhookEvent.CUSTOM, "rest-hook")
    patient = None if kind == "Patient" else patient_of(resource)
    return Notice(
        Kind.CHANGE, event_of(kind, "CREATED" if first else "UPDATED"), f"rest-hook {kind}", kind, identity, patient
    )
