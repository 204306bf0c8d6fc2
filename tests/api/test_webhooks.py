"""Webhooks over HTTP: registered with a secret shown once, received, looked at, processed again."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from holovitals_pipelines.store.tables import webhook_log
from tests.api.service import Service, is_problem

HOOKS = "/api/sync/webhooks"
AS_WRITTEN = (
    '{"ehrProvider":"epic","ehrConnectionId":"conn-123",'
    '"endpoint":"https://holovitals.example/api/sync/webhooks/receive","secret":"your-webhook-secret",'
    '"events":["PATIENT_UPDATED","OBSERVATION_CREATED"]}'
)
JSON = {"Content-Type": "application/json"}


def registered(api: Service, **asked: Any) -> dict[str, Any]:
    body = {"ehrConnectionId": "clinic", "endpoint": "https://us.example/hooks", **asked}
    answer = api.call("POST", HOOKS, "operator", json=body)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def delivered(api: Service, webhook: dict[str, Any], number: int, secret: str) -> str:
    """A delivery as the vendor makes it; the event's id."""
    body = json.dumps({"id": f"evt-{number}", "event": "PATIENT_UPDATED", "resourceId": f"p{number}"}).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    answer = api.http.post(webhook["receivePath"], content=body, headers={**JSON, "x-webhook-signature": signature})
    assert answer.status_code == 202, answer.text
    events = api.get(f"{HOOKS}/events?webhookId={webhook['id']}&limit=1")["items"]
    return str(events[0]["id"])


def test_the_vocabularys_request_works_as_written_and_warns_of_the_short_secret(api: Service) -> None:
    made = api.call("POST", HOOKS, "operator", content=AS_WRITTEN, headers=JSON)
    assert made.status_code == 201, made.text
    told = made.json()
    assert told["ehrConnectionId"] == "conn_123" and told["events"] == ["PATIENT_UPDATED", "OBSERVATION_CREATED"]
    assert told["warnings"] and told["receivePath"].startswith("/api/sync/webhooks/receive/")
    assert told["createdBy"] == "a-operator" and (told["retryAttempts"], told["retryDelay"]) == (3, 2000)
    again = api.call("GET", made.headers["location"])
    assert again.status_code == 200
    for answer in (made, again, api.call("GET", HOOKS)):
        assert "your-webhook-secret" not in answer.text
    assert "receivePath" not in again.json() and told["receivePath"] not in api.call("GET", HOOKS).text


def test_a_secret_that_was_made_is_shown_once_and_replaced_at_will(api: Service) -> None:
    webhook = registered(api)
    assert len(webhook["secret"]) >= 32 and not webhook["warnings"]
    assert webhook["secret"] not in api.call("GET", f"{HOOKS}/{webhook['id']}").text
    rotated = api.call("POST", f"{HOOKS}/{webhook['id']}/rotate", "operator", json={})
    assert rotated.status_code == 200 and rotated.json()["secret"] not in (None, webhook["secret"]), rotated.text
    assert rotated.json()["previousSecretUntil"] is not None
    delivered(api, webhook, 100, webhook["secret"])


def test_an_event_is_received_listed_without_its_body_and_processed_again(api: Service) -> None:
    webhook = registered(api, scheme="x-webhook-signature")
    event_id = delivered(api, webhook, 1, webhook["secret"])
    shown = api.get(f"{HOOKS}/events/{event_id}")
    assert (shown["status"], shown["ehrConnectionId"]) == ("RECEIVED", "clinic") and shown["history"]
    is_problem(api.call("POST", f"{HOOKS}/{event_id}/retry", "operator"), 409, "webhook.event_in_process")
    with api.home.database.write() as transaction:
        failed = webhook_log.update().where(webhook_log.c.log_id == event_id)
        transaction.execute(failed.values(status="FAILED", error_code="http.timeout"))
    again = api.call("POST", f"{HOOKS}/{event_id}/retry", "operator")
    assert again.status_code == 200 and again.json()["status"] == "RECEIVED", again.text
    assert again.json()["history"][-1]["detail"] == {"by": "a-operator"}
    numbers = api.get(f"{HOOKS}/statistics?ehrConnectionId=clinic")
    assert numbers["byStatus"]["RECEIVED"] >= 1 and numbers["total"] >= 1
    is_problem(api.call("GET", f"{HOOKS}/events/{event_id[:8]}"), 404, "webhook.event_unknown")


def test_what_was_received_in_a_time_is_replayed(api: Service) -> None:
    webhook = registered(api, scheme="x-webhook-signature", ehrConnectionId="conn-123")
    event_id = delivered(api, webhook, 2, webhook["secret"])
    with api.home.database.write() as transaction:
        transaction.execute(webhook_log.update().where(webhook_log.c.log_id == event_id).values(status="IGNORED"))
    now = datetime.now(UTC)
    asked = {
        "ehrConnectionId": "conn-123",
        "since": (now - timedelta(hours=1)).isoformat(),
        "until": (now + timedelta(hours=1)).isoformat(),
        "statuses": ["IGNORED"],
    }
    assert api.call("POST", f"{HOOKS}/replay", "operator", json=asked).json() == {"events": 1}
    is_problem(
        api.call("POST", f"{HOOKS}/replay", "operator", json=asked | {"statuses": ["RECEIVED"]}),
        422,
        "webhook.not_replayable",
    )


def test_pages_of_events_are_stable_while_others_arrive(api: Service) -> None:
    webhook = registered(api, scheme="x-webhook-signature")
    made = {delivered(api, webhook, 200 + number, webhook["secret"]) for number in range(4)}
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2, "webhookId": webhook["id"]}
    while True:
        page = api.get(f"{HOOKS}/events", params=query)
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
        delivered(api, webhook, 300 + len(seen), webhook["secret"])
    assert len(seen) == len(set(seen)) and made <= set(seen)


def test_a_deleted_webhook_takes_nothing_more(api: Service) -> None:
    webhook = registered(api, scheme="x-webhook-signature")
    is_problem(api.call("DELETE", f"{HOOKS}/{webhook['id'][:6]}", "operator"), 404, "webhook.unknown")
    assert api.call("DELETE", f"{HOOKS}/{webhook['id']}", "operator").status_code == 200
    assert webhook["id"] not in api.call("GET", HOOKS).text
    body = b'{"id":"late","event":"PATIENT_UPDATED","resourceId":"p"}'
    signature = hmac.new(webhook["secret"].encode(), body, hashlib.sha256).hexdigest()
    refused = api.http.post(webhook["receivePath"], content=body, headers={**JSON, "x-webhook-signature": signature})
    assert 400 <= refused.status_code < 500
    is_problem(
        api.call("POST", HOOKS, "operator", json={"ehrConnectionId": "clinic", "endpoint": "x"}), 422, "webhook.invalid"
    )
