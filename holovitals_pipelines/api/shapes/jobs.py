"""Jobs and what they add up to, as the API tells of them (`engine/job_views.py` says what each number counts)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from holovitals_pipelines.api.shapes.base import AnyJson, Asked, Instant, Name, Told, shown_as
from holovitals_pipelines.model.vocabulary import (
    Direction,
    ErrorSeverity,
    JobStatus,
    JobType,
    Lane,
    Priority,
    Provider,
    Stage,
)

JobId = Annotated[str, Field(examples=["7f3c1c0e-6f0a-4b4e-9a51-0d8e5a1f2b3c"])]


class AskedOptions(Asked):
    """How a job is to be done. Times are in milliseconds."""

    batch_size: Annotated[int | None, Field(ge=1, le=10_000, examples=[100])] = None
    max_retries: Annotated[int, Field(ge=0, le=100, examples=[3])] = 3
    retry_delay: Annotated[int, Field(ge=0, le=3_600_000, examples=[2000])] = 2000
    timeout: Annotated[int | None, Field(ge=1, le=30 * 86_400_000)] = None
    validate_data: bool = True
    resolve_conflicts: bool = True
    notify_on_complete: bool = False


class AskedFilters(Asked):
    """Narrows what is read; `since` and `until` name a past window to be read again."""

    resource_types: Annotated[Sequence[Name] | None, Field(max_length=200, examples=[["Patient", "Observation"]])] = (
        None
    )
    since: Instant | None = None
    until: Instant | None = None


class NewJob(Asked):
    """What a job is to do."""

    model_config = shown_as(
        {
            "type": "PATIENT_SYNC",
            "direction": "INBOUND",
            "priority": 2,
            "ehrProvider": "epic",
            "ehrConnectionId": "conn-123",
            "patientId": "patient-456",
        }
    )

    type: Annotated[JobType, Field(examples=["PATIENT_SYNC"])]
    direction: Annotated[Direction, Field(examples=["INBOUND"])] = Direction.BIDIRECTIONAL
    priority: Annotated[Priority, Field(description="1 CRITICAL … 5 BACKGROUND", examples=[2])] = Priority.NORMAL
    ehr_provider: Annotated[Provider | None, Field(examples=["epic"])] = None
    ehr_connection_id: Annotated[
        Name, Field(description="a hyphen is an underscore of the name", examples=["conn-123"])
    ]
    patient_id: Annotated[Name | None, Field(description="the vendor's id of a patient", examples=["patient-456"])] = (
        None
    )
    resource_type: Annotated[Name | None, Field(examples=["Observation"])] = None
    resource_ids: Annotated[Sequence[Name] | None, Field(description="the vendor's ids", max_length=10_000)] = None
    filters: AskedFilters | None = None
    options: AskedOptions | None = None

    def plain(self) -> dict[str, AnyJson]:
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


class JobSummary(Told):
    patients_processed: int
    resources_created: int
    resources_updated: int
    resources_deleted: int
    resources_written: int
    bytes_transferred: int


class JobResult(Told):
    """processed = succeeded + failed + skipped, once the job is through."""

    records_processed: int
    records_succeeded: int
    records_failed: int
    records_skipped: int
    summary: JobSummary


class ErrorContext(Told):
    source: str | None
    line: int | None


class JobErrorEntry(Told):
    severity: ErrorSeverity
    code: str
    message: str
    remedy: str
    resource_type: str | None
    context: ErrorContext


class JobConflict(Told):
    conflict_id: str
    resource_type: str
    type: str
    severity: str | None
    status: str


class JobHappening(Told):
    at: datetime
    kind: str
    status: JobStatus | None
    detail: Mapping[str, AnyJson] | None


class JobProgress(Told):
    resource_type: str
    stage: Stage
    state: str
    extracted: int
    seconds: float


class FailureOfJob(Told):
    code: str
    message: str | None


class JobEntry(Told):
    """A job, without its errors, conflicts and history."""

    id: JobId
    type: JobType
    direction: Direction
    priority: Annotated[int, Field(ge=1, le=5)]
    status: JobStatus
    ehr_provider: Provider
    ehr_connection_id: str
    resource_types: Sequence[str]
    filters: Mapping[str, AnyJson]
    options: Mapping[str, int | bool | None]
    attempt: int
    run_id: Annotated[str | None, Field(description="the Dagster run")]
    lane: Lane | None
    requested_by: str | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    cancelling: bool
    next_at: datetime | None
    error: FailureOfJob | None
    result: JobResult
    progress: Sequence[JobProgress]


class JobDetail(JobEntry):
    """A job with its errors, conflicts and history, and with the vendor's ids that it names."""

    patient_id: str | None
    patient_ids: Sequence[str]
    resource_ids: Sequence[str]
    errors: Annotated[Sequence[JobErrorEntry], Field(description="the first of them")]
    error_count: int
    conflicts: Annotated[Sequence[JobConflict], Field(description="the first of them")]
    conflict_count: int
    history: Sequence[JobHappening]


class CreatedJob(JobDetail):
    joined: Annotated[
        bool, Field(description="an identical job waits already, or the Idempotency-Key is of this job: nothing is new")
    ]


class Sums(Told):
    """Jobs that ended; durations in seconds."""

    total_jobs: int
    completed_jobs: int
    failed_jobs: int
    cancelled_jobs: int
    records_processed: int
    records_succeeded: int
    records_failed: int
    records_created: int
    records_updated: int
    records_written: Annotated[int, Field(description="sent to the vendor")]
    conflicts_found: int
    average_duration: float | None
    total_duration: float
    bytes_transferred: int
    success_rate: float | None


class SumsOfConnection(Sums):
    connection: str
    last_sync_time: datetime | None
    next_scheduled_sync: datetime | None


class SumsOfDay(Sums):
    connection: str
    day: Annotated[str, Field(examples=["2026-03-01"])]


class Statistics(Sums):
    since: datetime | None
    until: datetime | None
    active_jobs: int
    queued_jobs: int
    last_sync_time: datetime | None
    next_scheduled_sync: datetime | None
    by_connection: Sequence[SumsOfConnection]
    by_day: Sequence[SumsOfDay]
