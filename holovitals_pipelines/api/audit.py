"""The audit log, and who may call, for auditors.

Law: bodies are named by their hashes here; nothing of a record's content is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from holovitals_pipelines.api.documented import documented
from holovitals_pipelines.api.security import CAN_AUDIT, Auditor
from holovitals_pipelines.api.shapes.base import AnyJson, Limit, Name, PageOf, Text, Told
from holovitals_pipelines.api.state import OpenHome
from holovitals_pipelines.engine.access_log import access_page
from holovitals_pipelines.engine.auditing import entry_page, show_entry
from holovitals_pipelines.engine.job_requests import connection_of
from holovitals_pipelines.engine.tokens import list_tokens
from holovitals_pipelines.model.vocabulary import Role
from holovitals_pipelines.store.audit import LoggedEntry
from holovitals_pipelines.store.tokens import StoredToken

routes = APIRouter(tags=["audit"])


class AuditEntry(Told):
    """One entry of the log; each holds the hash of the one before."""

    seq: int
    at: datetime
    actor: Annotated[str, Field(description="a connection, a person, a token's name, or policy:<version>")]
    action: Annotated[str, Field(examples=["edit"])]
    record_id: str | None
    link_id: str | None
    connection: str | None
    conflict_id: str | None
    before_document: str | None
    after_document: str | None
    before_version: int | None
    after_version: int | None
    cause: str | None
    job_id: str | None
    policy_version: str | None
    detail: Mapping[str, AnyJson] | None
    previous_entry: str | None
    entry_hash: str

    @classmethod
    def of(cls, one: LoggedEntry) -> AuditEntry:
        def told(name: str) -> AnyJson:
            value = getattr(one, name)
            return value.hex() if isinstance(value, bytes) else value

        return cls(**{name: told(name) for name in cls.model_fields})


class AccessEntry(Told):
    """One call that opened health data, or asked for it."""

    at: datetime
    caller: Annotated[str, Field(description="the token's name")]
    call: Annotated[str, Field(examples=["GET /api/records/{resource_type}/{identity}"])]
    status: int
    subject: Annotated[str | None, Field(description="the id that the call named: of a record, a conflict, a person")]
    call_id: Annotated[str, Field(description="as X-Request-Id had it")]


class TokenEntry(Told):
    """A token, which is itself kept nowhere."""

    token_id: str
    name: str
    roles: Sequence[Role]
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: Annotated[datetime | None, Field(description="to the hour")]
    valid: bool

    @classmethod
    def of(cls, one: StoredToken) -> TokenEntry:
        plain = {name: getattr(one, name) for name in cls.model_fields if name != "valid"}
        return cls(**plain, valid=one.is_valid(datetime.now(UTC)))


@routes.get("/api/audit", **documented(CAN_AUDIT, 404))
def list_entries(
    home: OpenHome,
    caller: Auditor,
    record_id: Annotated[Name | None, Query(alias="recordId")] = None,
    connection: Annotated[Name | None, Query(examples=["clinic"])] = None,
    conflict_id: Annotated[Name | None, Query(alias="conflictId")] = None,
    job_id: Annotated[Name | None, Query(alias="jobId")] = None,
    actor: Annotated[Name | None, Query()] = None,
    action: Annotated[Name | None, Query(examples=["edit"])] = None,
    cursor: Annotated[Text | None, Query(max_length=1000)] = None,
    limit: Annotated[Limit, Query()] = 100,
) -> PageOf[AuditEntry]:
    """Who changed what, from which source, and why: the newest first."""
    wanted = {
        "record_id": record_id,
        "connection": connection_of(home, connection) if connection is not None else None,
        "conflict_id": conflict_id,
        "job_id": job_id,
        "actor": actor,
        "action": action,
    }
    page = entry_page(home, wanted, cursor=cursor, limit=limit)
    return PageOf(items=[AuditEntry.of(one) for one in page.items], next=page.next)


@routes.get("/api/audit/access", **documented(CAN_AUDIT))
def list_access(
    home: OpenHome,
    caller: Auditor,
    of_caller: Annotated[Name | None, Query(alias="caller", description="only calls of this token's name")] = None,
    subject: Annotated[Name | None, Query(description="only calls that named this id")] = None,
    cursor: Annotated[Text | None, Query(max_length=1000)] = None,
    limit: Annotated[Limit, Query()] = 100,
) -> PageOf[AccessEntry]:
    """Who looked at health data through this API: the newest first."""
    page = access_page(home, caller=of_caller, subject=subject, cursor=cursor, limit=limit)
    return PageOf(items=[AccessEntry(**one.plain()) for one in page.items], next=page.next)


@routes.get("/api/audit/tokens", **documented(CAN_AUDIT))
def tokens(home: OpenHome, caller: Auditor) -> PageOf[TokenEntry]:
    """Who may call, in which roles, since when, until when: the newest first."""
    return PageOf(items=[TokenEntry.of(one) for one in list_tokens(home.database)], next=None)


@routes.get("/api/audit/{seq}", **documented(CAN_AUDIT, 404))
def show(seq: Annotated[int, Path(ge=1, le=9_000_000_000_000_000)], home: OpenHome, caller: Auditor) -> AuditEntry:
    """One entry."""
    return AuditEntry.of(show_entry(home, seq))
