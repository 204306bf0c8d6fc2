"""Webhooks of the simulated vendors: each change is told, signed as that vendor signs, until it is acknowledged.

Law: what a vendor's webhook looks like is from vendors.md (§2.3, §5.6); where the vendor has none, the plain form of
this project is sent. A delivery is repeated, the same bytes, until it was answered 2xx.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args
from uuid import uuid4

import httpx
import orjson

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import WebhookEvent
from holovitals_pipelines.sandbox.clock import instant
from holovitals_pipelines.sandbox.dialects.athenahealth_views import native_id
from holovitals_pipelines.sandbox.facts.athenahealth import PRACTICE
from holovitals_pipelines.sandbox.site import Site
from holovitals_pipelines.sandbox.splice import glance

Form = Literal["athenahealth", "rest-hook", "rest-hook-empty", "backport-id-only", "backport-full", "plain"]
FORMS: tuple[str, ...] = get_args(Form)
_USUAL: Mapping[str, Form] = {"athenahealth": "athenahealth", "fhir": "backport-id-only"}
_SERVER_SIGNED = frozenset({"eclinicalworks"})
_TOPICS: Mapping[str, str] = {
    "Patient": "Patient",
    "Condition": "PatientProblem",
    "Observation": "LabResult",
    "Encounter": "Encounter",
    "MedicationRequest": "Prescription",
}
_PLAIN: Mapping[str, str] = {
    "Patient": "PATIENT",
    "Observation": "OBSERVATION",
    "MedicationRequest": "MEDICATION",
    "AllergyIntolerance": "ALLERGY",
    "Condition": "CONDITION",
    "Encounter": "ENCOUNTER",
    "DocumentReference": "DOCUMENT",
}
_AGAIN_SECONDS = 0.2
_PROFILE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-notification"


@dataclass(frozen=True, slots=True)
class _Delivery:
    method: str
    path: str
    body: bytes


class WebhookSender:
    """Tells one address of every change at a site, in order. `restart` within the sandbox's loop."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._waiting: deque[_Delivery] = deque()
        self._some = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._url = self._secret = ""
        self._form: Form = "plain"
        self._number = 0
        self._subscription = str(uuid4())
        self.sent = self.accepted = 0
        self._before = site.records.watch
        site.records.watch = self._told

    def restart(self, url: str, secret: str, form: str | None, *, handshake: bool) -> None:
        """Begin anew with another receiver. Raises ConfigurationError for an unknown form."""
        if form is not None and form not in FORMS:
            raise ConfigurationError(
                f"there is no such form: {form}", code="sandbox.unknown_form", remedy=f"choose from {', '.join(FORMS)}"
            )
        self.stop()
        self._url, self._secret = url.rstrip("/"), secret
        self._form = form or _USUAL.get(self._site.dialect.name, "plain")  # type: ignore[assignment]
        self._number, self._subscription = 0, str(uuid4())
        self.sent = self.accepted = 0
        if handshake and self._form.startswith("backport"):
            self._file(_Delivery("POST", "", self._sign_of_life("handshake")))
        self._task = asyncio.create_task(self._send())

    def heartbeat(self) -> None:
        """Say that the subscription lives."""
        self._file(_Delivery("POST", "", self._sign_of_life("heartbeat")))

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None
        self._waiting.clear()

    def progress(self) -> dict[str, Any]:
        return {"pending": len(self._waiting), "sent": self.sent, "accepted": self.accepted}

    def _told(self, kind: str, identity: str) -> None:
        """A record was written or deleted; from any thread."""
        if self._before is not None:
            self._before(kind, identity)
        if self._task is not None:
            delivery = self._delivery(kind, identity)
            if delivery is not None:
                self._file(delivery)

    def _file(self, delivery: _Delivery) -> None:
        self._waiting.append(delivery)
        self._loop.call_soon_threadsafe(self._some.set)

    async def _send(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while True:
                while not self._waiting:
                    self._some.clear()
                    await self._some.wait()
                one = self._waiting[0]
                self.sent += 1
                status = 0
                with suppress(httpx.HTTPError):
                    url, headers = self._url + one.path, self._signed(one.body)
                    answer = await client.request(one.method, url, content=one.body, headers=headers)
                    status = answer.status_code
                if 200 <= status < 300:
                    self._waiting.popleft()
                    self.accepted += 1
                else:
                    await asyncio.sleep(_AGAIN_SECONDS)

    def _signed(self, body: bytes) -> dict[str, str]:
        digest = hmac.new(self._secret.encode(), body, hashlib.sha256)
        if self._form == "athenahealth":
            return {"X-Hub-Signature": f"sha256={digest.hexdigest()}", "Content-Type": "application/json"}
        if self._form != "plain":
            # A FHIR Subscription has no signature, only headers that its owner gave (channel.header).
            return {"Authorization": f"Bearer {self._secret}", "Content-Type": "application/fhir+json"}
        if self._site.dialect.name in _SERVER_SIGNED:
            return {"X-Server-Signature": base64.b64encode(digest.digest()).decode(), "X-Client-Id": "sandbox"}
        return {"X-Webhook-Signature": digest.hexdigest(), "Content-Type": "application/json"}

    # what is said

    def _delivery(self, kind: str, identity: str) -> _Delivery | None:
        number = self._site.records.number(kind, identity)
        assert number is not None, "it was just written"
        versions = self._site.records.history(number)
        body = versions[-1].body
        verb = "delete" if body is None else "create" if len(versions) == 1 else "update"
        if self._form == "athenahealth":
            return self._of_athenahealth(kind, number, verb)
        if self._form == "rest-hook-empty":
            return _Delivery("POST", "", b"")
        if self._form == "rest-hook":
            if body is None:
                return None  # R4 tells of creates and updates; that some servers tell of deletes is unverified
            return _Delivery("PUT", f"/{kind}/{identity}", body)
        if self._form.startswith("backport"):
            return self._backport(kind, identity, verb, body)
        name = f"{_PLAIN.get(kind)}_{verb.upper()}D"
        event = name if name in WebhookEvent.__members__ else WebhookEvent.CUSTOM.value
        told = {"id": str(uuid4()), "type": event, "resourceType": kind, "resourceId": identity}
        return _Delivery("POST", "", orjson.dumps(told))

    def _of_athenahealth(self, kind: str, number: int, verb: str) -> _Delivery | None:
        """Id-only: a status, and an AuditEvent whose id is the event's; counters are strings and begin with each."""
        site, topic = self._site, _TOPICS.get(kind)
        if topic is None:
            return None
        # unverified: only Patient topics are shown with their focus; that the others' focus is the patient is assumed.
        patient = number if kind == "Patient" else self._patient_of(number)
        if patient is None:
            return None
        own, event_id, now = native_id(site, patient), str(uuid4()), instant(site.clock.now_ms())
        focus = {
            "reference": f"Patient/a-{PRACTICE}.E-{own}",
            "identifier": {"system": f"urn:athenahealth:athenanet:patient:{PRACTICE}", "value": str(own)},
        }
        event = {"id": event_id, "eventNumber": "1", "timestamp": now, "focus": focus}
        canonical = f"https://api.platform.athenahealth.com/fhir/r4/SubscriptionTopic/{topic}.{verb}"
        status = self._status("event-notification", [event]) | {"topic": canonical, "eventsSinceSubscriptionStart": "1"}
        audit = {
            "resourceType": "AuditEvent",
            "id": event_id,
            "type": {"system": "https://fhir.athena.io/CodeSystem/SubscriptionTopic", "code": f"{topic}.{verb}"},
            "recorded": now,
            "entity": [{"what": focus}],
        }
        return _Delivery("POST", "", self._bundle(status, {"resource": audit}))

    def _patient_of(self, number: int) -> int | None:
        site = self._site
        held = [one.body for one in site.records.history(number) if one.body is not None]
        patient = glance(held[-1]).patient if held else None
        return None if patient is None else site.records.number("Patient", patient)

    def _backport(self, kind: str, identity: str, verb: str, body: bytes | None) -> _Delivery:
        self._number += 1
        url = f"{self._site.dialect.base}/{kind}/{identity}"
        event = {
            "eventNumber": str(self._number),
            "timestamp": instant(self._site.clock.now_ms()),
            "focus": {"reference": f"{kind}/{identity}"},
        }
        method = {"create": "POST", "update": "PUT", "delete": "DELETE"}[verb]
        entry: dict[str, Any] = {"fullUrl": url, "request": {"method": method, "url": f"{kind}/{identity}"}}
        if self._form == "backport-full" and body is not None:
            entry["resource"] = orjson.loads(body)
        return _Delivery("POST", "", self._bundle(self._status("event-notification", [event]), entry))

    def _sign_of_life(self, kind: str) -> bytes:
        return self._bundle(self._status(kind, []))

    def _status(self, kind: str, events: list[dict[str, Any]]) -> dict[str, Any]:
        status: dict[str, Any] = {
            "resourceType": "SubscriptionStatus",
            "status": "requested" if kind == "handshake" else "active",
            "type": kind,
            "eventsSinceSubscriptionStart": str(self._number),
            "subscription": {"reference": f"Subscription/{self._subscription}"},
        }
        return status | ({"notificationEvent": events} if events else {})

    def _bundle(self, status: dict[str, Any], *entries: dict[str, Any]) -> bytes:
        request = {"method": "GET", "url": f"{status['subscription']['reference']}/$status"}
        leading = {"fullUrl": f"urn:uuid:{uuid4()}", "resource": status, "request": request}
        return orjson.dumps(
            {
                "resourceType": "Bundle",
                "id": str(uuid4()),
                "meta": {"profile": [_PROFILE]},
                "type": "history",
                "timestamp": instant(self._site.clock.now_ms()),
                "entry": [leading, *entries],
            }
        )
