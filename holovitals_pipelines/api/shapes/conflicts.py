"""Conflicts as the API tells of them: lists without a value of anybody, one side by side, what they add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from holovitals_pipelines.api.shapes.base import AnyJson, Asked, Name, Reason, Text, Told, shown_as
from holovitals_pipelines.engine.conflict_statistics import ConflictStatistics
from holovitals_pipelines.engine.conflict_view import (
    Row,
    ShownConflict,
    decision_code,
    elements_apart,
    rows_of,
)
from holovitals_pipelines.fhir.rendered import side_by_side
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictStatus, ConflictType, ResolutionStrategy
from holovitals_pipelines.store.conflicts import StoredConflict
from holovitals_pipelines.sync.unit_paths import WHOLE

Revision = Annotated[int, Field(ge=1, le=2_000_000_000, description="the revision you have looked at", examples=[1])]
ConflictId = Annotated[str, Field(examples=["conflict-789"])]


class ConflictEntry(Told):
    """A conflict without a value of anybody, and without what a person typed."""

    conflict_id: ConflictId
    connection: str
    resource_type: Annotated[str, Field(examples=["Patient"])]
    record_id: str
    type: ConflictType
    severity: ConflictSeverity | None
    status: ConflictStatus
    strategy: str | None
    revision: Annotated[int, Field(description="grows when the values change")]
    elements: Annotated[Sequence[str], Field(description="the elements in conflict", examples=[["birthDate"]])]
    units: int | None
    two_person: Annotated[bool, Field(description="a decision counts once a second person has approved it")]
    rule: str | None
    policy_version: str | None
    detected_at: datetime
    due_at: datetime | None
    decision: Annotated[str | None, Field(description="code of the decision that waits to be approved or applied")]
    decided_by: str | None
    decided_at: datetime | None
    approved_by: str | None
    post_review: str | None
    reopened: int

    @classmethod
    def of(cls, one: StoredConflict, elements: Sequence[str]) -> ConflictEntry:
        return cls(**_entry(one, elements))


_PLAIN = (
    "conflict_id", "connection", "resource_type", "record_id", "type", "severity", "status", "strategy", "revision",
    "units", "rule", "policy_version", "detected_at", "due_at", "decided_by", "decided_at", "approved_by",
    "post_review",
)  # fmt: skip


def _entry(one: StoredConflict, elements: Sequence[str]) -> dict[str, AnyJson]:
    return {name: getattr(one, name) for name in _PLAIN} | {
        "elements": list(elements),
        "two_person": bool(one.two_person),
        "decision": decision_code(one),
        "reopened": one.reopened or 0,
    }


JsonText = Annotated[
    str | None,
    Field(description="JSON, as a text so that no digit is lost; null: not there", examples=['"1951-02-03"']),
]


class Shown(Told):
    """A unit's values as people read them; values that differ never look the same. null: not there."""

    base: str | None
    local: str | None
    remote: str | None
    proposal: str | None


class UnitRow(Told):
    """One unit, side by side."""

    number: int | None
    unit: str
    element: str | None
    kind: str | None
    severity: str | None
    rule: str | None
    base: JsonText
    base_remote: JsonText
    local: JsonText
    remote: JsonText
    proposal: JsonText
    why: str | None
    chosen_side: str | None
    undecided: bool
    shown: Shown


class Happening(Told):
    seq: int
    at: datetime
    actor: str
    action: str
    reason: str | None


class ConflictDetail(ConflictEntry):
    """A conflict with everything a person needs to decide it. **Health data.**"""

    patient: str | None
    reason: str | None
    local_by: Annotated[str | None, Field(description="who wrote what local holds")]
    local_updated: datetime | None
    remote_by: str
    remote_updated: datetime | None
    reviewed_by: str | None
    rows: Sequence[UnitRow]
    history: Sequence[Happening]

    @classmethod
    def of_shown(cls, shown: ShownConflict) -> ConflictDetail:
        one = shown.conflict
        elements = sorted({unit.element or "" for unit in shown.open_units})
        return cls(
            **_entry(one, elements),
            patient=one.patient,
            reason=one.reason,
            local_by=shown.local_by,
            local_updated=one.local_updated,
            remote_by=one.connection,
            remote_updated=one.remote_updated,
            reviewed_by=one.reviewed_by,
            rows=[_row(row) for row in _rows(shown)],
            history=[
                Happening(seq=h.seq, at=h.at, actor=h.actor, action=h.action, reason=h.reason) for h in shown.history
            ],
        )


def _rows(shown: ShownConflict) -> list[Row]:
    rows = rows_of(shown)
    return rows + elements_apart(shown) if any(row.unit == WHOLE for row in rows) else rows


def _row(row: Row) -> UnitRow:
    proposal = None if row.undecided else row.proposal
    shown = side_by_side({"base": row.base, "local": row.local, "remote": row.remote, "proposal": proposal})
    return UnitRow(**{name: getattr(row, name) for name in Row.__dataclass_fields__}, shown=Shown(**shown))


class UnitChoice(Asked):
    """What to hold of one unit."""

    side: Annotated[
        Literal["local", "remote", "value"], Field(description="a side's value, or one of your own", examples=["local"])
    ]
    value: Annotated[
        Text | None,
        Field(description="with `value`: JSON as a text; null removes the unit", max_length=200_000, examples=['"x"']),
    ] = None


class Decision(Asked):
    """A person's decision on a conflict."""

    model_config = shown_as(
        {"conflictId": "conflict-789", "strategy": "LAST_WRITE_WINS", "reason": "Remote data is more recent"}
    )

    conflict_id: Annotated[Name, Field(examples=["conflict-789"])]
    strategy: Annotated[
        ResolutionStrategy,
        Field(
            description="LOCAL_WINS and REMOTE_WINS speak for every unit; LAST_WRITE_WINS and FIRST_WRITE_WINS by the "
            "sides' times, and never on a critical conflict; MANUAL and MERGE by `choices` or `resolvedValue`",
            examples=["LAST_WRITE_WINS"],
        ),
    ]
    reason: Reason
    revision: Annotated[
        Revision | None,
        Field(description="the revision you have looked at; may be left out while the conflict has only had one"),
    ] = None
    choices: Annotated[
        Mapping[Name, UnitChoice] | None,
        Field(description="by unit, as the conflict names them: one for each unit in conflict"),
    ] = None
    resolved_value: Annotated[
        AnyJson,
        Field(
            description="values of your own: of the one unit in conflict, or an object of values by unit; null removes"
        ),
    ] = None

    @property
    def has_value(self) -> bool:
        return "resolved_value" in self.model_fields_set


class Approval(Asked):
    revision: Annotated[Revision | None, Field(description="or If-Match")] = None
    decision: Annotated[
        str | None, Field(description="only the decision of this code", pattern="^[0-9a-f]{8}$", examples=["0c1d2e3f"])
    ] = None


class Withdrawal(Asked):
    decision: Annotated[
        str | None, Field(description="only the decision of this code", pattern="^[0-9a-f]{8}$", examples=["0c1d2e3f"])
    ] = None


class Undoing(Asked):
    reason: Reason


class Decided(ConflictEntry):
    applied_at_next_sync: Annotated[bool, Field(description="false: a second person has to approve it first")]

    @classmethod
    def of_decided(cls, one: StoredConflict, elements: Sequence[str]) -> Decided:
        waits = bool(one.two_person) and not one.approved_by
        return cls(**_entry(one, elements), applied_at_next_sync=not waits)


class Undone(Told):
    """What undoing a decision has made of the record; `seq` is the entry in the audit log, by which to undo this."""

    conflict_id: ConflictId
    record_id: str
    version: int
    state: str
    seq: int


class ConflictGroup(Told):
    connection: str
    resource_type: str
    type: str
    severity: str | None
    status: str
    strategy: str | None
    count: int


class ContestedElement(Told):
    resource_type: str
    element: str
    count: int


class ConflictNumbers(Told):
    """What the conflicts add up to: counts of conflicts, each once, in its present state."""

    total: int
    open: int
    overdue: int
    clean: Annotated[int, Field(description="both sides changed, and nothing contradicts")]
    automatic: int
    by_people: int
    automatic_share: float | None
    overridden: int
    overridden_share: float | None
    reopened: int
    review_due: int
    median_seconds: float | None
    p95_seconds: float | None
    groups: Sequence[ConflictGroup]
    contested: Sequence[ContestedElement]

    @classmethod
    def of(cls, told: ConflictStatistics) -> ConflictNumbers:
        plain = [name for name in cls.model_fields if name not in ("groups", "contested")]
        groups = [ConflictGroup(**{n: getattr(g, n) for n in ConflictGroup.model_fields}) for g in told.groups]
        contested = [
            ContestedElement(resource_type=c.resource_type, element=c.element, count=c.count) for c in told.contested
        ]
        return cls(**{name: getattr(told, name) for name in plain}, groups=groups, contested=contested)
