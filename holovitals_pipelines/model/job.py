"""What is asked of a sync job, and what it reports when it has ended.

Law: a request that names patients or resources asks for these and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Direction, JobStatus, JobType, Priority


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is to be done; what it is about is in its request."""

    batch_size: int | None = None
    """Resources asked for in one page of a read; None: as the connection says. The vendor's own maximum is kept."""
    max_retries: int = 3
    """How often a job of the queue is tried again after a failure that may pass by itself."""
    retry_delay_ms: int = 2000
    """The longest wait before the first retry; it doubles with each further one."""
    timeout_ms: int | None = None
    """An attempt that takes longer stops at its next page boundary, and is tried again while attempts are left."""
    validate_data: bool = True
    """False leaves out the data-quality checks. What keeps wrong data out of the store is never left out."""
    resolve_conflicts: bool = True
    """False: no policy decides in this job, every conflict waits for a person."""
    notify_on_complete: bool = False
    """Tell the address of HOLOVITALS_NOTIFY_URL when the job has ended."""


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """One job to do at one connection. Empty `resource_types` means all the connection offers."""

    connection: str
    type: JobType = JobType.INCREMENTAL_SYNC
    resource_types: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    """PATIENT_SYNC, WEBHOOK_SYNC: remote patient ids, whose whole charts are read (of `resource_types`, if given). They
    stay in the operational store; tags and logs never carry them."""
    ids: tuple[tuple[str, str], ...] = ()
    """RESOURCE_SYNC, WEBHOOK_SYNC: (resource type, remote id) of single resources to read. As private as `patients`."""
    window: tuple[datetime, datetime | None] | None = None
    """A past interval to read again (backfill), up to when it is read if it has no end; it never moves a watermark."""
    direction: Direction = Direction.BIDIRECTIONAL
    """INBOUND writes nothing to the vendor in this job; OUTBOUND only brings marked links into agreement."""
    priority: Priority = Priority.NORMAL
    allow_deletes: bool = False
    """A person has looked at a mass deletion the breaker held, and lets it through."""
    replay: bool = False
    """What was landed before is transformed again, with the rules of now; the vendor is not called."""
    options: JobOptions = JobOptions()

    @property
    def is_named(self) -> bool:
        """Whether only what it names is read: such a read says nothing of the rest and moves no watermark."""
        return bool(self.patients or self.ids)

    def describe(self) -> dict[str, Any]:
        """JSON form, kept with the job; two requests are the same when these are equal."""
        plain = asdict(self)
        plain["window"] = [instant and instant.isoformat() for instant in self.window] if self.window else None
        plain["ids"] = [list(named) for named in self.ids]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


def request_from(plain: Mapping[str, Any]) -> SyncRequest:
    """The inverse of `SyncRequest.describe`."""
    window = plain.get("window")
    return SyncRequest(
        connection=plain["connection"],
        type=JobType(plain["type"]),
        resource_types=tuple(plain["resource_types"]),
        patients=tuple(plain["patients"]),
        ids=tuple((kind, remote_id) for kind, remote_id in plain.get("ids", ())),
        window=_window_from(*window) if window else None,
        direction=Direction(plain["direction"]),
        priority=Priority(plain["priority"]),
        allow_deletes=plain.get("allow_deletes", False),
        replay=plain.get("replay", False),
        options=JobOptions(**plain.get("options", {})),
    )


def _window_from(since: str, until: str | None) -> tuple[datetime, datetime | None]:
    return datetime.fromisoformat(since), datetime.fromisoformat(until) if until else None


_NAMES: Mapping[JobType, tuple[bool, bool]] = {
    JobType.PATIENT_SYNC: (True, False),
    JobType.RESOURCE_SYNC: (False, True),
    JobType.WEBHOOK_SYNC: (True, True),
}
"""Whether a type of job takes patients, and ids of resources; the others read whole types and take neither."""


def check_request(request: SyncRequest) -> None:
    """Raise ConfigurationError for a request whose type does not fit what it names."""
    patients, ids = _NAMES.get(request.type, (False, False))
    if (request.patients and not patients) or (request.ids and not ids):
        raise _unfit(request, f"a job of type {request.type} does not take what it was given by name")
    if request.type is JobType.PATIENT_SYNC and not request.patients:
        raise _unfit(request, "a PATIENT_SYNC names at least one patient")
    if request.type is JobType.WEBHOOK_SYNC and not request.is_named:
        raise _unfit(request, "a WEBHOOK_SYNC names what its events were about")
    if request.type is JobType.RESOURCE_SYNC and not (request.ids or request.resource_types or request.replay):
        raise _unfit(request, "a RESOURCE_SYNC names at least one resource type")
    since, until = request.window or (None, None)
    if since is not None and until is not None and since >= until:
        raise _unfit(request, "the window ends before it begins", "since is earlier than until")
    if request.window is not None and request.is_named:
        raise _unfit(request, "what is named is read as it is now, whatever the window", "leave since and until out")
    _check_options(request)


_RANGES: Mapping[str, tuple[int, int]] = {
    "batch_size": (1, 10_000),
    "max_retries": (0, 100),
    "retry_delay_ms": (0, 3_600_000),
    "timeout_ms": (1, 30 * 86_400_000),
}


def _check_options(request: SyncRequest) -> None:
    for name, (least, most) in _RANGES.items():
        value = getattr(request.options, name)
        if value is not None and not least <= value <= most:
            raise _unfit(request, f"the option {name} is out of range", f"between {least:,} and {most:,}")


_BY_NAME = "patients: PATIENT_SYNC or WEBHOOK_SYNC; ids: RESOURCE_SYNC or WEBHOOK_SYNC"


def _unfit(request: SyncRequest, message: str, remedy: str = _BY_NAME) -> ConfigurationError:
    return ConfigurationError(
        message, code="job.unfit_request", place=f"connection {request.connection}", remedy=remedy
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one resource type in one job.

    extracted = created + updated + unchanged + conflicts + quarantined + duplicates + superseded, once the type is
    through all stages; `unaccounted` is the difference, and anything but zero is a defect.
    """

    extracted: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    conflicts: int = 0
    quarantined: int = 0
    duplicates: int = 0
    superseded: int = 0
    deletions: int = 0
    absent: int = 0
    bytes: int = 0
    resolved: int = 0
    """Conflicts decided by policy, or that were none after all (clean merges); among `conflicts`, or found later."""
    held: int = 0
    pushed: int = 0
    removed: int = 0
    refused_writes: int = 0
    missed: int = 0
    """Changes a full read found that incremental reads would never have brought: missed_by_incremental."""
    extract_seconds: float = 0.0
    transform_seconds: float = 0.0
    reconcile_seconds: float = 0.0
    write_back_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        return self.extract_seconds + self.transform_seconds + self.reconcile_seconds + self.write_back_seconds

    @property
    def unaccounted(self) -> int:
        return self.extracted - (
            self.created
            + self.updated
            + self.unchanged
            + self.conflicts
            + self.quarantined
            + self.duplicates
            + self.superseded
        )

    def plus(self, other: Outcome) -> Outcome:
        return Outcome(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Outcome)})


@dataclass(frozen=True, slots=True)
class ReportedError:
    """One line of a job's error list, without health data."""

    severity: str
    code: str
    message: str
    remedy: str
    resource_type: str | None
    source: str | None
    line: int | None


@dataclass(frozen=True, slots=True)
class JobReport:
    """The end of a job, as the CLI prints it and the API answers it."""

    job_id: str
    connection: str
    provider: str
    type: JobType
    status: JobStatus
    attempt: int
    outcomes: Mapping[str, Outcome]
    errors: Sequence[ReportedError] = field(default_factory=tuple)
    error_count: int = 0
    """All errors and warnings of the job; `errors` holds the first of them."""
    seconds: float = 0.0
    started_at: datetime | None = None

    @property
    def total(self) -> Outcome:
        total = Outcome()
        for outcome in self.outcomes.values():
            total = total.plus(outcome)
        return total

    @property
    def succeeded(self) -> bool:
        return self.status is JobStatus.COMPLETED
