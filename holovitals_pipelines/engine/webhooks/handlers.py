"""Who decides what an event asks for: a handler by source and event, and the usual one where there is no other.

Law: a handler only says what is to be read; it gets no store and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Priority, WebhookEvent
from holovitals_pipelines.providers.webhooks.notices import Kind
from holovitals_pipelines.settings import Settings

ANY = "*"
SIGN_OF_LIFE = "webhook.sign_of_life"
UNKNOWN_EVENT = "webhook.unknown_event"


@dataclass(frozen=True, slots=True)
class Event:
    """What a handler is told: names and ids. `name` is the event's name in the vendor's own words."""

    source: str
    """The connection."""
    provider: str
    event_id: str
    event: WebhookEvent
    name: str
    kind: Kind
    resource_type: str | None = field(repr=False, default=None)
    remote_id: str | None = field(repr=False, default=None)
    patient_id: str | None = field(repr=False, default=None)


@dataclass(slots=True)
class Queue:
    """What a handler asks for. Asking for nothing means: ignore the event."""

    source: str
    resources: set[tuple[str, str]] = field(default_factory=set)
    patients: set[str] = field(default_factory=set)
    requests: list[SyncRequest] = field(default_factory=list)
    ignored: str = "webhook.ignored"

    def read(self, resource_type: str, remote_id: str) -> None:
        """Read one resource from the vendor."""
        self.resources.add((resource_type, remote_id))

    def read_patient(self, remote_id: str) -> None:
        """Read a patient's whole chart from the vendor."""
        self.patients.add(remote_id)

    def sync_changes(self) -> None:
        """Read whatever has changed at the vendor since the last time."""
        self.submit(SyncRequest(self.source, JobType.INCREMENTAL_SYNC, priority=Priority.HIGH))

    def submit(self, request: SyncRequest) -> None:
        """Put any job into the queue."""
        self.requests.append(request)

    def ignore(self, code: str) -> None:
        """Do nothing, and say why: `code` is told with the event's status IGNORED."""
        self.ignored = code


Handler = Callable[[Event, Queue], None]
Handlers = Mapping[tuple[str, str], Handler]
"""By (source, event): a connection, a provider or `*`; an event of ours, a vendor's own name for one, or `*`."""


def usual_handler(event: Event, queue: Queue) -> None:
    """Read what the event is about, by its id if it has one, through the patient's chart if not."""
    if event.kind is Kind.SIGN_OF_LIFE:
        queue.ignore(SIGN_OF_LIFE)
    elif event.kind is Kind.UNKNOWN:
        queue.ignore(UNKNOWN_EVENT)
    elif event.event is WebhookEvent.PATIENT_CREATED and event.remote_id is not None:
        queue.read_patient(event.remote_id)
    elif event.resource_type is not None and event.remote_id is not None:
        queue.read(event.resource_type, event.remote_id)
    elif event.patient_id is not None:
        queue.read_patient(event.patient_id)
    else:
        queue.sync_changes()


def handler_for(handlers: Handlers, event: Event) -> tuple[Handler, bool]:
    """The nearest handler, and whether it is one of the installation's own."""
    for source in (event.source, event.provider, ANY):
        for name in (event.name, event.event.value, ANY):
            if (found := handlers.get((source, name))) is not None:
                return found, True
    return usual_handler, False


def installed_handlers(settings: Settings) -> Handlers:
    """Those of HOLOVITALS_WEBHOOK_HANDLERS. Raises ConfigurationError (`webhook.handlers`)."""
    return _load(settings.webhook_handlers) if settings.webhook_handlers else {}


@cache
def _load(module: str) -> Handlers:
    try:
        found: Handlers = dict(import_module(module).HANDLERS)
        usable = all([type(part) for part in key] == [str, str] and callable(one) for key, one in found.items())
    except Exception:  # noqa: BLE001 whatever the module does while it is imported
        usable = False
    if not usable:
        raise ConfigurationError(
            "the module of webhook handlers cannot be used; events wait until it can",
            code="webhook.handlers",
            place="HOLOVITALS_WEBHOOK_HANDLERS",
            remedy="name a module that can be imported and has HANDLERS = {(source, event): handler};"
            " see docs/webhooks.md",
        )
    return found
