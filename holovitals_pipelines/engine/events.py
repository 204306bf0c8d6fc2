"""The read that follows events: what a vendor says has changed is read again, in one job.

Law: an event is a hint. Nothing of its payload is taken, and several about one patient or one resource are one read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.progress import Progress
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.engine.vendors import AdapterFactory
from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Priority


@dataclass(frozen=True, slots=True)
class VendorEvent:
    """What one event was about, by the vendor's ids: a resource, or (`resource_type` None) a patient's whole chart."""

    remote_id: str
    resource_type: str | None = None


def request_after(connection: str, events: Iterable[VendorEvent]) -> SyncRequest:
    """The one WEBHOOK_SYNC that reads what all these events were about."""
    told = set(events)
    patients = {event.remote_id for event in told if event.resource_type is None}
    ids = {(event.resource_type, event.remote_id) for event in told if event.resource_type is not None}
    order = {name: place for place, name in enumerate(in_processing_order(kind for kind, _ in ids))}
    return SyncRequest(
        connection,
        JobType.WEBHOOK_SYNC,
        patients=tuple(sorted(patients)),
        ids=tuple(sorted(ids, key=lambda named: (order[named[0]], named[1]))),
        priority=Priority.HIGH,
    )


def sync_after(
    home: Home,
    connection: str,
    events: Iterable[VendorEvent],
    *,
    progress: Progress | None = None,
    adapter_for: AdapterFactory | None = None,
) -> JobReport:
    """Read what the events were about, decide, and report. Raises as `run_sync` does, ConfigurationError for none."""
    return run_sync(home, request_after(connection, events), progress=progress, adapter_for=adapter_for)
