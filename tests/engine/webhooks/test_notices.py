"""What deliveries are taken to say, by the form they come in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holovitals_pipelines.model.vocabulary import WebhookEvent
from holovitals_pipelines.providers.webhooks.deliveries import parts_of, read_notice, stored_id
from holovitals_pipelines.providers.webhooks.notices import Kind, Notice
from tests.engine.webhooks.senders import CONNECTIONS

CLINIC, ATHENA, _ = CONNECTIONS
SUBSCRIPTION = {"reference": "Subscription/s1"}


def notice(told: Any, connection: Any = CLINIC, hint: tuple[str, str] | None = None) -> Notice:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return read_notice(connection, body, hint)


def bundle(*events: dict[str, Any], entries: Any = (), kind: str = "event-notification", **more: Any) -> dict[str, Any]:
    status = {"resourceType": "SubscriptionStatus", "type": kind, "subscription": SUBSCRIPTION, **more}
    status["notificationEvent"] = list(events)
    return {"resourceType": "Bundle", "type": "history", "entry": [{"resource": status}, *entries]}


def focus(number: int, reference: str = "Observation/o1") -> dict[str, Any]:
    return {"eventNumber": str(number), "focus": {"reference": reference}}


@pytest.mark.parametrize(
    ("told", "event", "about"),
    [
        ({"type": "patient.updated", "patientId": "p1"}, "PATIENT_UPDATED", ("Patient", "p1", None)),
        ({"event": "Patient.update", "patientId": 17}, "PATIENT_UPDATED", ("Patient", "17", None)),
        ({"type": "ALLERGY_CREATED", "patientId": "p1"}, "ALLERGY_CREATED", (None, None, "p1")),
        (
            {"type": "condition.created", "data": {"resourceType": "Condition", "resourceId": "c1", "patientId": "p1"}},
            "CONDITION_CREATED",
            ("Condition", "c1", "p1"),
        ),
        ({"type": "DOCUMENT_UPDATED"}, "DOCUMENT_UPDATED", (None, None, None)),
        ({"type": "OBSERVATION_CREATED", "patientId": {"x": 1}}, "OBSERVATION_CREATED", (None, None, None)),
    ],
)
def test_the_plain_form(told: Any, event: str, about: tuple[str | None, ...]) -> None:
    found = notice(told)
    assert (found.kind, found.event) == (Kind.CHANGE, WebhookEvent(event))
    assert (found.resource_type, found.remote_id, found.patient_id) == about


def test_a_resource_that_has_a_type_of_its_own_is_a_resource() -> None:
    allergy = {
        "resourceType": "AllergyIntolerance",
        "id": "a1",
        "type": "allergy",
        "patient": {"reference": "Patient/p"},
    }
    found = notice(allergy | {"meta": {"versionId": "1"}})
    assert (found.event, found.resource_type, found.remote_id) == ("ALLERGY_CREATED", "AllergyIntolerance", "a1")
    assert found.patient_id == "p"


def test_an_address_says_what_a_delivery_without_a_body_is_about() -> None:
    assert notice(b"", hint=("Condition", "c1")).remote_id == "c1"
    assert notice(b"").kind is Kind.SOMETHING


def test_an_event_of_a_backported_subscription_is_about_its_focus() -> None:
    entry = {"fullUrl": "https://x/Observation/o1", "request": {"method": "POST", "url": "Observation"}}
    resource = {"resourceType": "Observation", "id": "o1", "subject": {"reference": "Patient/p1"}}
    found = notice(bundle(focus(3), entries=[entry | {"resource": resource}]))
    assert (found.event, found.resource_type, found.remote_id, found.patient_id) == (
        "OBSERVATION_CREATED", "Observation", "o1", "p1",
    )  # fmt: skip


def test_the_status_may_be_parameters_as_the_backport_has_it() -> None:
    event = [
        {"name": "event-number", "valueString": "4"},
        {"name": "focus", "valueReference": {"reference": "https://x/fhir/Encounter/e1/_history/2"}},
    ]
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "subscription", "valueReference": SUBSCRIPTION},
            {"name": "type", "valueCode": "event-notification"},
            {"name": "notification-event", "part": event},
        ],
    }
    told = {"resourceType": "Bundle", "type": "history", "entry": [{"resource": parameters}]}
    found = notice(told)
    assert (found.event, found.resource_type, found.remote_id) == ("ENCOUNTER_UPDATED", "Encounter", "e1")
    [part] = parts_of(json.dumps(told).encode(), None)
    assert stored_id(part) == "Subscription/s1#4"


def test_athenahealths_patients_are_known_by_the_id_of_the_interface_that_is_used() -> None:
    identifier = {"system": "urn:athenahealth:athenanet:patient:195900", "value": "1"}
    event = {"id": "x", "focus": {"reference": "Patient/a-195900.E-1", "identifier": identifier}}
    topic = "https://api.platform.athenahealth.com/fhir/r4/SubscriptionTopic/"
    told = bundle(event, topic=topic + "Patient.delete")
    assert (notice(told, ATHENA).event, notice(told, ATHENA).remote_id) == ("PATIENT_DELETED", "1")
    facing_fhir = ATHENA.model_copy(update={"format": "FHIR_R4"})
    assert notice(told, facing_fhir).remote_id == "a-195900.E-1"
    problem = notice(bundle(event, topic=topic + "PatientProblem.update"), ATHENA)
    assert (problem.event, problem.patient_id, problem.resource_type) == ("CONDITION_UPDATED", "1", None)


def test_an_event_is_the_same_in_whatever_bundle_it_comes() -> None:
    together = parts_of(json.dumps(bundle(focus(1), focus(2), eventsSinceSubscriptionStart="2")).encode(), None)
    again = parts_of(json.dumps(bundle(focus(2), eventsSinceSubscriptionStart="3")).encode(), None)
    assert [stored_id(part) for part in together] == ["Subscription/s1#1", "Subscription/s1#2"]
    assert (again[0].event_id, again[0].identity) == (together[1].event_id, together[1].identity)
    assert notice(together[1].body).remote_id == "o1"


@pytest.mark.parametrize(
    "odd",
    [
        {"resourceType": "Bundle", "entry": "none"},
        {"resourceType": "Bundle", "entry": [1, 2]},
        bundle({"focus": {"reference": {"deep": 1}}}, {"focus": 7}),
        bundle(focus(1), entries=[3, {"resource": 4}]),
        {"type": {"a": 1}, "data": [1]},
        {"type": "x" * 10_000, "id": [1]},
        [[[]], 3, None],
    ],
)
def test_odd_deliveries_are_kept_and_break_nothing(odd: Any) -> None:
    raw = json.dumps(odd).encode()
    parts = parts_of(raw, None)
    assert parts and all(part.body for part in parts)
    for part in parts:
        found = notice(part.body)
        assert len(found.name) <= 128
