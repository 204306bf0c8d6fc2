"""The warehouse's tables about how work comes in and is done: jobs with their waits, webhook events with what became of
them.

Law: no body, no vendor id and no name of a person is in them; an event's id is a hash.
"""

from __future__ import annotations

import sqlalchemy as sa

from holovitals_pipelines.store.tables import sync_job, webhook_log
from holovitals_pipelines.store.warehouse_columns import WarehouseTable, derive, make, take


def sync_jobs() -> WarehouseTable:
    c = sync_job.c
    return WarehouseTable(
        "sync_jobs",
        "One row a sync job.",
        [
            take(c.job_id, "the job"),
            take(c.connection, "the connection's name"),
            take(c.provider, "the vendor kind"),
            take(c.type, "FULL_SYNC, INCREMENTAL_SYNC, …"),
            take(c.direction, "INBOUND, OUTBOUND, BIDIRECTIONAL"),
            take(c.priority, "1 critical to 5 background"),
            take(c.status, "PENDING, QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED, RETRYING"),
            make(
                "resource_types",
                sa.cast(c.resource_types, sa.Text),
                "the types the job covers",
                "from_json(resource_types, '[\"VARCHAR\"]')",
                "VARCHAR[]",
            ),
            take(c.attempt, "1 for the first attempt"),
            take(c.lane, "who runs it: worker, dagster; null for a job that was run where it was asked"),
            take(c.run_id, "the Dagster run, when there is one"),
            take(c.created_at, "when the job was asked for"),
            take(c.queued_at, "since when it waits in the queue, of its newest attempt; null outside it"),
            take(c.next_at, "a job that will be tried again: not before"),
            take(c.dispatched_at, "when a worker was given it, of its newest attempt; null while it waits"),
            take(c.started_at, "when work on it began"),
            take(c.finished_at, "when it ended; null while it has not"),
            derive(
                "wait_seconds",
                "DOUBLE",
                "from the asking to the beginning of work; null while it has not begun",
                "epoch(started_at) - epoch(created_at)",
            ),
            derive(
                "duration_seconds",
                "DOUBLE",
                "from the start to the end, waits between attempts included",
                "epoch(finished_at) - epoch(started_at)",
            ),
            take(c.error_code, "why it failed"),
            take(c.error_message, "the same in a sentence, without health data"),
        ],
        changes_at="finished_at",
        replaced_by=("job_id",),
    )


def webhook_events() -> WarehouseTable:
    c = webhook_log.c
    return WarehouseTable(
        "webhook_events",
        "One row a received webhook event, without its body and the vendor's event id.",
        [
            take(c.log_id, "opaque id of the event"),
            take(c.source, "the connection it came to"),
            take(c.event_type, "PATIENT_UPDATED, …"),
            take(c.status, "RECEIVED, VALIDATED, PROCESSING, COMPLETED, FAILED, RETRYING, IGNORED"),
            take(c.attempts, "how often it was processed"),
            take(c.next_at, "when it will be processed again"),
            take(c.job_id, "the job that reads what it was about; see sync_jobs"),
            take(c.times_received, "how often the vendor sent it"),
            take(c.altered, "how often another body came under its id"),
            take(c.error_code, "why it failed, was put off or ignored"),
            take(c.received_at, "when it was stored"),
            take(c.completed_at, "when it was over; null while it is not"),
            derive(
                "seconds",
                "DOUBLE",
                "from its receipt to its end; null while it waits",
                "epoch(completed_at) - epoch(received_at)",
            ),
        ],
    )
