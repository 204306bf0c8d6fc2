"""Webhooks and their events as the API tells of them: a secret once, a body never."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from holovitals_pipelines.api.shapes.base import AnyJson, Asked, Instant, Name, Text, Told, shown_as
from holovitals_pipelines.model.vocabulary import Provider, WebhookEvent, WebhookStatus
from holovitals_pipelines.providers.webhooks.signatures import Algorithm, Scheme

Secret = Annotated[
    Text | None,
    Field(description="left out: one is made, and shown once", max_length=512, examples=["your-webhook-secret"]),
]


class AskedWebhook(Asked):
    """A vendor that is to tell us when something has happened."""

    model_config = shown_as(
        {
            "ehrProvider": "epic",
            "ehrConnectionId": "conn-123",
            "endpoint": "https://holovitals.example/api/sync/webhooks/receive",
            "secret": "your-webhook-secret",
            "events": ["PATIENT_UPDATED", "OBSERVATION_CREATED"],
        }
    )

    ehr_provider: Annotated[Provider | None, Field(examples=["epic"])] = None
    ehr_connection_id: Annotated[Name, Field(examples=["conn-123"])]
    endpoint: Annotated[
        Text,
        Field(
            description="where this installation is reached",
            max_length=2000,
            examples=["https://holovitals.example/api/sync/webhooks/receive"],
        ),
    ]
    secret: Secret = None
    events: Annotated[
        Sequence[WebhookEvent],
        Field(
            description="left out: all of them", max_length=100, examples=[["PATIENT_UPDATED", "OBSERVATION_CREATED"]]
        ),
    ] = ()
    scheme: Annotated[Scheme | None, Field(description="how deliveries are signed; left out: as the provider does")] = (
        None
    )
    signature_header: Annotated[Text | None, Field(max_length=100, examples=["x-webhook-signature"])] = None
    signature_algorithm: Algorithm = Algorithm.SHA256
    retry_attempts: Annotated[int, Field(ge=0, le=100)] = 3
    retry_delay: Annotated[int, Field(ge=0, le=3_600_000, description="milliseconds")] = 2000
    timeout: Annotated[int, Field(ge=100, le=120_000, description="milliseconds a delivery may take to arrive")] = (
        30_000
    )
    custom_headers: Annotated[
        Mapping[Text, Text], Field(description="headers each delivery must carry, with these values", max_length=20)
    ] = Field(default_factory=dict)


class Rotation(Asked):
    secret: Secret = None
    overlap_hours: Annotated[
        float, Field(ge=0, le=720, description="how long the secret before still counts", examples=[24])
    ] = 24


class Replay(Asked):
    """Which events are to be processed again."""

    ehr_connection_id: Annotated[Name, Field(examples=["conn-123"])]
    since: Instant
    until: Instant
    statuses: Annotated[Sequence[WebhookStatus], Field(min_length=1, max_length=10, examples=[["FAILED"]])]


class WebhookEntry(Told):
    """A registered webhook, without its secrets; of custom headers the names."""

    id: str
    ehr_provider: Provider | None
    ehr_connection_id: str
    endpoint: str
    events: Sequence[WebhookEvent]
    scheme: Scheme
    signature_header: str
    signature_algorithm: Algorithm
    retry_attempts: int
    retry_delay: int
    timeout: int
    custom_headers: Sequence[str]
    without_token: Annotated[bool, Field(description="deliveries are found by their signature")]
    enabled: bool
    created_by: str | None
    created_at: datetime
    updated_at: datetime | None
    previous_secret_until: datetime | None


class RegisteredWebhook(WebhookEntry):
    receive_path: Annotated[str, Field(description="has this webhook's own token: shown now and never again")]
    secret: Annotated[str | None, Field(description="the one that was made here: shown now and never again")] = None
    warnings: Sequence[str]


class EventHappening(Told):
    at: datetime
    kind: str
    status: WebhookStatus | None
    detail: Mapping[str, AnyJson] | None


class EventEntry(Told):
    """A webhook event, without its body."""

    id: str
    ehr_connection_id: str
    event_id: Annotated[str, Field(description="the vendor's")]
    webhook_id: str | None
    event: WebhookEvent
    vendor_event: str | None
    resource_type: str | None
    resource_id: str | None
    patient_id: str | None
    status: WebhookStatus
    attempts: int
    next_at: datetime | None
    job_id: str | None
    key: Annotated[str | None, Field(description="which secret had signed it: current, previous")]
    times_received: int
    altered: Annotated[int, Field(description="other bodies under its id")]
    error_code: str | None
    error_message: str | None
    received_at: datetime
    completed_at: datetime | None
    bytes: int
    history: Annotated[Sequence[EventHappening], Field(description="empty in lists")]


class EventStatistics(Told):
    total: int
    repeated: int
    altered: int
    by_status: Mapping[str, int]
    by_event: Mapping[str, Mapping[str, int]]


class Replayed(Told):
    events: Annotated[int, Field(description="how many are processed again")]
