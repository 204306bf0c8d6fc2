"""Senders of webhooks, each signing as its scheme has it, and a home that registers them.

Law: what is signed here is computed from the schemes' own descriptions, never by the code under test.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.webhooks.receiving import Receiver
from holovitals_pipelines.engine.webhooks.registration import NewWebhook, register
from holovitals_pipelines.engine.webhooks.views import EventFilter, EventView, list_events, view_event
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.store.tables import webhook_log

ENDPOINT = "https://holovitals.example/hooks"
SECRET = "a-secret-of-more-than-twenty-four-bytes"
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

CONNECTIONS = [
    ConnectionConfig(name="clinic", provider=Provider.FHIR, base_url="http://127.0.0.1:9/fhir"),
    ConnectionConfig(name="athena", provider=Provider.ATHENAHEALTH, base_url="http://127.0.0.1:9/v1/195900"),
    ConnectionConfig(name="ecw", provider=Provider.ECLINICALWORKS, base_url="http://127.0.0.1:9/ecw"),
]


def hexadecimal(secret: str, body: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), body, getattr(hashlib, algorithm)).hexdigest()


def in_base64(secret: str, body: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, getattr(hashlib, algorithm)).digest()).decode()


def event(number: int, kind: str = "OBSERVATION_UPDATED", **more: Any) -> dict[str, Any]:
    about = {"resourceType": "Observation", "resourceId": f"o{number}"}
    return {"id": f"e{number}", "type": kind, **(more or about)}


@dataclass
class Sender:
    """One registered webhook of `x-webhook-signature`, and who sends to it."""

    home: Home
    token: str
    webhook_id: str

    def deliver(self, told: Mapping[str, Any] | bytes, at: datetime = AT, **headers: str) -> int:
        """The status of the answer."""
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        signed = {"x-webhook-signature": hexadecimal(SECRET, body)}
        return asyncio.run(Receiver(self.home).receive(self.token, signed | headers, body, at)).status

    def event(self, event_id: str) -> EventView:
        with self.home.database.read() as transaction:
            log_id = transaction.execute(
                sa.select(webhook_log.c.log_id).where(webhook_log.c.event_id == event_id)
            ).scalar_one()
        return view_event(self.home, log_id)

    def statuses(self) -> dict[str, str]:
        return {one.event_id: one.status for one in list_events(self.home, EventFilter(), limit=1000).items}


def sender(home: Home, connection: str = "clinic", **options: Any) -> Sender:
    registered = register(home, NewWebhook(connection, ENDPOINT, secret=SECRET, **options), "somebody")
    return Sender(home, registered.receive_path.rsplit("/", 1)[1], registered.webhook.webhook_id)
