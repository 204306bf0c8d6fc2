"""Every enumeration users meet, spelled as they see it (HTTP API, CLI, warehouse, Dagster tags)."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from holovitals_pipelines.model.plug_ins import PlugIn, plugged_in


class Provider(StrEnum):
    """The vendor kinds a connection can have; `FHIR` is any FHIR R4 server."""

    EPIC = "epic"
    CERNER = "cerner"
    MEDITECH = "meditech"
    ALLSCRIPTS = "allscripts"
    NEXTGEN = "nextgen"
    ATHENAHEALTH = "athenahealth"
    ECLINICALWORKS = "eclinicalworks"
    FHIR = "fhir"

    @classmethod
    def _missing_(cls, value: object) -> Provider | None:
        """A vendor that an installed package brings is one as well."""
        if not isinstance(value, str) or value not in plugged_in(PlugIn.PROVIDERS):
            return None
        brought = str.__new__(cls, value)
        brought._name_, brought._value_ = value.upper(), value
        member: Provider = cls._value2member_map_.setdefault(value, brought)  # type: ignore[assignment]
        return member

    @property
    def is_ours(self) -> bool:
        """Whether it is one of those above, and not of an installed package."""
        return self.name in Provider.__members__


class JobType(StrEnum):
    FULL_SYNC = "FULL_SYNC"
    INCREMENTAL_SYNC = "INCREMENTAL_SYNC"
    PATIENT_SYNC = "PATIENT_SYNC"
    RESOURCE_SYNC = "RESOURCE_SYNC"
    WEBHOOK_SYNC = "WEBHOOK_SYNC"


class Direction(StrEnum):
    """INBOUND reads from the EHR, OUTBOUND writes to it."""

    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"
    BIDIRECTIONAL = "BIDIRECTIONAL"


class Priority(IntEnum):
    CRITICAL = 1
    HIGH = 2
    NORMAL = 3
    LOW = 4
    BACKGROUND = 5


class JobStatus(StrEnum):
    PENDING = "PENDING"
    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    RETRYING = "RETRYING"


TERMINAL_STATUSES = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})

ALLOWED_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.CANCELLED}),
    JobStatus.QUEUED: frozenset({JobStatus.PROCESSING, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.PROCESSING: frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.RETRYING}),
    JobStatus.RETRYING: frozenset({JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.FAILED: frozenset({JobStatus.RETRYING}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}
"""The only status changes a job may make; every other one raises."""


class Stage(StrEnum):
    """The stages of the main job, in order; each can be killed and run again."""

    EXTRACT = "extract"
    TRANSFORM = "transform"
    RECONCILE = "reconcile"
    WRITE_BACK = "write_back"
    """Marked links are read and decided again; what is to be written goes out."""


class Dataset(StrEnum):
    """What a landing-zone part holds."""

    EXTRACT = "extract"
    RECORDS = "records"
    FINDINGS = "findings"


class ChangeMechanism(StrEnum):
    """How a resource type's changes are found at a vendor (vendors.md §13.1)."""

    LAST_UPDATED = "last_updated"
    CHANGE_FEED = "change_feed"
    IDS_ONLY_FEED = "ids_only_feed"
    DATE_RESCAN = "date_window_rescan"
    BULK_SINCE = "bulk_since"
    HL7V2_PUSH = "push_hl7v2"
    FULL_RESCAN = "full_rescan"


class ErrorSeverity(StrEnum):
    CRITICAL = "CRITICAL"
    ERROR = "ERROR"
    WARNING = "WARNING"


class ConflictType(StrEnum):
    UPDATE_UPDATE = "UPDATE_UPDATE"
    UPDATE_DELETE = "UPDATE_DELETE"
    DELETE_UPDATE = "DELETE_UPDATE"
    CREATE_CREATE = "CREATE_CREATE"


class ConflictSeverity(StrEnum):
    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class ConflictStatus(StrEnum):
    DETECTED = "DETECTED"
    PENDING_REVIEW = "PENDING_REVIEW"
    RESOLVED = "RESOLVED"
    IGNORED = "IGNORED"


class ResolutionStrategy(StrEnum):
    LAST_WRITE_WINS = "LAST_WRITE_WINS"
    FIRST_WRITE_WINS = "FIRST_WRITE_WINS"
    LOCAL_WINS = "LOCAL_WINS"
    REMOTE_WINS = "REMOTE_WINS"
    MERGE = "MERGE"
    MANUAL = "MANUAL"
    CUSTOM = "CUSTOM"


class RuleType(StrEnum):
    """The nine kinds of transformation rules."""

    FIELD_MAPPING = "FIELD_MAPPING"
    VALUE_MAPPING = "VALUE_MAPPING"
    DATA_TYPE_CONVERSION = "DATA_TYPE_CONVERSION"
    CONCATENATION = "CONCATENATION"
    SPLIT = "SPLIT"
    CALCULATION = "CALCULATION"
    CONDITIONAL = "CONDITIONAL"
    LOOKUP = "LOOKUP"
    CUSTOM_FUNCTION = "CUSTOM_FUNCTION"


class SourceFormat(StrEnum):
    """What records are written in before they are transformed, and after."""

    FHIR_R4 = "FHIR_R4"
    FHIR_STU3 = "FHIR_STU3"
    FHIR_DSTU2 = "FHIR_DSTU2"
    HL7_V2 = "HL7_V2"
    CDA = "CDA"
    CUSTOM_JSON = "CUSTOM_JSON"
    CUSTOM_XML = "CUSTOM_XML"


class WebhookEvent(StrEnum):
    """What a vendor says has happened; CUSTOM is whatever is none of the fifteen."""

    PATIENT_CREATED = "PATIENT_CREATED"
    PATIENT_UPDATED = "PATIENT_UPDATED"
    PATIENT_DELETED = "PATIENT_DELETED"
    OBSERVATION_CREATED = "OBSERVATION_CREATED"
    OBSERVATION_UPDATED = "OBSERVATION_UPDATED"
    MEDICATION_CREATED = "MEDICATION_CREATED"
    MEDICATION_UPDATED = "MEDICATION_UPDATED"
    ALLERGY_CREATED = "ALLERGY_CREATED"
    ALLERGY_UPDATED = "ALLERGY_UPDATED"
    CONDITION_CREATED = "CONDITION_CREATED"
    CONDITION_UPDATED = "CONDITION_UPDATED"
    ENCOUNTER_CREATED = "ENCOUNTER_CREATED"
    ENCOUNTER_UPDATED = "ENCOUNTER_UPDATED"
    DOCUMENT_CREATED = "DOCUMENT_CREATED"
    DOCUMENT_UPDATED = "DOCUMENT_UPDATED"
    CUSTOM = "CUSTOM"


class WebhookStatus(StrEnum):
    RECEIVED = "RECEIVED"
    """Verified and kept; nothing has looked at it yet."""
    VALIDATED = "VALIDATED"
    """What it is about is known."""
    PROCESSING = "PROCESSING"
    """A job reads it."""
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RETRYING = "RETRYING"
    IGNORED = "IGNORED"
    """Kept, counted, and nothing done: an unknown kind, or one the webhook is not registered for."""


class Role(StrEnum):
    """What a token of the HTTP API allows."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    RESOLVER = "resolver"
    APPROVER = "approver"
    AUDITOR = "auditor"


class Lane(StrEnum):
    """Who runs a job that waits: the warm worker, or Dagster's own queue."""

    WORKER = "worker"
    DAGSTER = "dagster"
