"""What a decision is made on, and what it says: plain data between the stores and the kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictStatus, ConflictType, ResolutionStrategy
from holovitals_pipelines.model.writing import READ_ONLY, WriteCapability
from holovitals_pipelines.sync.merge import Unit
from holovitals_pipelines.sync.policy import Policy
from holovitals_pipelines.sync.severity import GradedUnit, SeverityMatrix
from holovitals_pipelines.sync.sides import Side


@dataclass(frozen=True, slots=True)
class Rules:
    """By what conflicts are graded and decided."""

    matrix: SeverityMatrix
    policy: Policy

    @property
    def version(self) -> str:
        return f"{self.policy.version} {self.matrix.version}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A person's decision on a held conflict: what to hold, by unit name. It binds to the values that were seen."""

    strategy: ResolutionStrategy
    sides: Mapping[str, str] = field(default_factory=dict)
    """`local`, `remote` or `value` for each unit."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """For units whose side is `value`: the JSON value both sides are to hold, MISSING to remove it."""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class HeldConflict:
    """The link's open conflict: what it was about when it was last recorded."""

    conflict_id: str
    type: ConflictType
    revision: int
    local: Side | None
    remote: Side | None
    units: Mapping[str, tuple[str | None, str | None]]
    """(local, remote) as JSON text by unit name, as the person was shown them."""
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class InFlight:
    """A write whose outcome is not known: what was sent (None: a delete), and what local held then."""

    sent: Side | None
    snapshot: Side | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything known of one link at one moment. A side of None is absent; a shadow of None was agreed absent."""

    connection: str
    resource_type: str
    local: Side | None
    remote: Side | None
    base_local: Side | None
    base_remote: Side | None
    now: datetime
    capability: WriteCapability = READ_ONLY
    held: HeldConflict | None = None
    in_flight: InFlight | None = None
    earlier: tuple[InFlight, ...] = ()
    """Writes that were decided anew while in flight, since the last one that was confirmed; oldest first."""
    local_written_at: datetime | None = None
    remote_written_at: datetime | None = None
    tie_seconds: float = 2.0
    conflicts_on_patient: int = 1
    living_elsewhere: bool = False
    """The record is linked at other connections too: a delete here is no delete there (§2.5)."""


class Outcome(StrEnum):
    """What a decision did, in one word for counts and the log."""

    NOTHING = "nothing"
    ADOPT = "adopt"
    """Both hold the same although nobody had agreed on it yet."""
    PULL = "pull"
    PUSH = "push"
    MERGE = "merge"
    """Both sides changed, without contradiction."""
    CREATE_HERE = "create_here"
    CREATE_THERE = "create_there"
    DELETE_HERE = "delete_here"
    DELETE_THERE = "delete_there"
    UNLINK = "unlink"
    """The vendor deleted what other vendors still have: this link ends, the record stays, a person looks at it."""
    RESOLVE = "resolve"
    """A conflict was decided, by policy or by a person."""
    HOLD = "hold"
    """A conflict waits for a person."""
    DISSOLVE = "dissolve"
    """A held conflict is over: the sides no longer contradict each other."""


class Operation(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Intent:
    """What the vendor is to be asked; `document` is None for a delete."""

    operation: Operation
    document: Side | None


@dataclass(frozen=True, slots=True)
class RecordedUnit:
    """One unit of a recorded conflict, with its grade and what was chosen."""

    unit: Unit
    grade: GradedUnit | None = None
    strategy: ResolutionStrategy | None = None
    side: str | None = None
    """`local`, `remote`, `both`, `value`; None while undecided."""
    chosen: Any = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ConflictRecord:
    """A both-changed case to be recorded, decided or not."""

    type: ConflictType
    status: ConflictStatus
    severity: ConflictSeverity
    rule: str
    units: Sequence[RecordedUnit]
    strategy: ResolutionStrategy | None
    reason: str
    """Names and counts only."""
    actor: str | None
    """Who decided: `policy:<version>` or a person; None while held."""
    two_person: bool = False
    proposal: Side | None = None
    reopened: bool = False
    """A person's decision met other values than it was made on."""

    @property
    def conflicted(self) -> int:
        """Units in conflict; 0 for a clean merge."""
        return sum(recorded.unit.kind == "conflict" for recorded in self.units)


@dataclass(frozen=True, slots=True)
class Shadows:
    """What both sides are agreed to hold from now on; None: absent."""

    local: Side | None
    remote: Side | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from the facts. Everything in it is carried out in one transaction, or nothing."""

    outcome: Outcome
    local: Side | None
    """What local is to hold; the very object of the facts where nothing changes."""
    shadows: Shadows
    intent: Intent | None = None
    conflict: ConflictRecord | None = None
    standing: Sequence[Unit] | None = ()
    """Units that stay different; None: not looked at, what is listed stays listed."""
