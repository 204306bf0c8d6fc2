"""Records, their versions, their links, and the persons they are of, as the API tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from holovitals_pipelines.api.shapes.base import Told
from holovitals_pipelines.engine.local_records import LocalRecord, RecordVersion
from holovitals_pipelines.engine.record_view import ListedRecord, RecordLink

RecordId = Annotated[str, Field(examples=["4f2a9c0de1b84e6d8f0a1b2c3d4e5f60"])]
State = Annotated[Literal["active", "deleted"], Field(examples=["active"])]


class RecordEntry(Told):
    """A record without its content."""

    record_id: RecordId
    resource_type: Annotated[str, Field(examples=["Patient"])]
    version: Annotated[int, Field(examples=[3])]
    state: State
    changed_by: Annotated[str, Field(description="a connection, or the name of a token or person")]
    updated_at: datetime

    @classmethod
    def of(cls, one: ListedRecord) -> RecordEntry:
        return cls(**{name: getattr(one, name) for name in ListedRecord.__dataclass_fields__})


class ChangedRecord(Told):
    """What a change has made of a record."""

    record_id: RecordId
    resource_type: str
    version: int
    state: State

    @classmethod
    def of(cls, one: LocalRecord) -> ChangedRecord:
        return cls(
            record_id=one.record_id,
            resource_type=one.resource_type,
            version=one.version,
            state="deleted" if one.state == "deleted" else "active",
        )


class Version(Told):
    """One version of a record, without its content."""

    version: int
    state: State
    changed_by: str
    at: datetime
    document: Annotated[str, Field(description="hash of the exact body")]


class RecordHistory(Told):
    """Every version, the newest first."""

    record_id: RecordId
    versions: Sequence[Version]

    @classmethod
    def of(cls, record_id: str, versions: Sequence[RecordVersion]) -> RecordHistory:
        told = [
            Version(
                version=one.version,
                state="deleted" if one.state == "deleted" else "active",
                changed_by=one.changed_by,
                at=one.at,
                document=one.document_hash.hex(),
            )
            for one in versions
        ]
        return cls(record_id=record_id, versions=told)


class StandingDifference(Told):
    element: str
    severity: str
    reason: str
    since: datetime


class WaitingWrite(Told):
    operation: str
    state: str
    attempts: int
    next_at: datetime | None
    error: str | None


class Link(Told):
    """One connection's side of a record."""

    link_id: str
    connection: str
    remote_id: str | None
    state: str
    agreed: Annotated[bool | None, Field(description="whether both sides held the same at the last agreement")]
    changed_here: bool
    marked: Annotated[str | None, Field(description="why the link will be looked at again")]
    conflict_id: Annotated[str | None, Field(description="the open conflict")]
    standing: Sequence[StandingDifference]
    waiting: Annotated[WaitingWrite | None, Field(description="the write that is not confirmed, or was refused")]


class RecordLinks(Told):
    record_id: RecordId
    links: Sequence[Link]

    @classmethod
    def of(cls, record_id: str, links: Sequence[RecordLink]) -> RecordLinks:
        return cls(record_id=record_id, links=[_link(one) for one in links])


def _link(one: RecordLink) -> Link:
    plain = ("link_id", "connection", "remote_id", "state", "agreed", "changed_here", "marked", "conflict_id")
    standing = [
        StandingDifference(element=s.element, severity=s.severity, reason=s.reason, since=s.since) for s in one.standing
    ]
    names = ("operation", "state", "attempts", "next_at", "error")
    waiting = WaitingWrite(**{name: getattr(one.waiting, name) for name in names}) if one.waiting else None
    return Link(**{name: getattr(one, name) for name in plain}, standing=standing, waiting=waiting)
