"""The local side of records over HTTP: list, read, create, edit and delete with If-Match, versions and links.

Law: every change here is a change of `engine/local_records.py`: logged, and on its way to the vendors.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status

from holovitals_pipelines.api.bodies import RESOURCE_BODY, ResourceBody
from holovitals_pipelines.api.documented import FHIR, documented, not_modified, resource
from holovitals_pipelines.api.preconditions import IfMatch, IfNoneMatch, is_known, quoted, seen_version, unchanged
from holovitals_pipelines.api.security import (
    CAN_OPERATE,
    CAN_READ,
    CAN_READ_OR_AUDIT,
    Operator,
    Reader,
    ReaderOrAuditor,
)
from holovitals_pipelines.api.shapes.base import Instant, Limit, Name, PageOf, Text
from holovitals_pipelines.api.shapes.records import ChangedRecord, RecordEntry, RecordHistory, RecordLinks
from holovitals_pipelines.api.state import OpenHome
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_requests import connection_of
from holovitals_pipelines.engine.local_records import (
    LocalRecord,
    create_record,
    delete_record,
    edit_record,
    history_of,
    read_record,
)
from holovitals_pipelines.engine.record_pages import RecordFilter, record_named, record_page
from holovitals_pipelines.engine.record_view import links_of
from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.errors import StoreError

routes = APIRouter(tags=["records"])

Type = Annotated[Text, Path(alias="type", description="resource type", examples=["Patient"], max_length=64)]
Identity = Annotated[
    Text,
    Path(
        alias="id",
        description="the record's id here, or the id a vendor gave it",
        examples=["4f2a9c0d"],
        max_length=256,
    ),
]
AtConnection = Annotated[
    Name | None, Query(description="whose id it is, where several vendors have it", examples=["clinic"])
]


@routes.get("/api/records", **documented(CAN_READ, 404))
def list_records(
    home: OpenHome,
    caller: Reader,
    resource_type: Annotated[Name | None, Query(alias="type", examples=["Patient"])] = None,
    connection: Annotated[Name | None, Query(description="only records linked there", examples=["clinic"])] = None,
    state: Annotated[str | None, Query(pattern="^(active|deleted)$")] = None,
    changed_since: Annotated[Instant | None, Query(alias="changedSince")] = None,
    cursor: Annotated[Text | None, Query(description="`next` of the page before", max_length=1000)] = None,
    limit: Annotated[Limit, Query()] = 100,
) -> PageOf[RecordEntry]:
    """Records without their content, in the order of their ids: each is on one page, whatever changes meanwhile."""
    if connection is not None:
        connection = connection_of(home, connection)
    wanted = RecordFilter(resource_type, connection, state, changed_since)
    page = record_page(home.database, wanted, cursor=cursor, limit=limit)
    return PageOf(items=[RecordEntry.of(one) for one in page.items], next=page.next)


@routes.post(
    "/api/records/{type}",
    status_code=status.HTTP_201_CREATED,
    **documented(
        CAN_OPERATE, 404, 415, answers=resource(201, "The record as it was made."), body=RESOURCE_BODY, opens="id"
    ),
)
def create(
    resource_type: Type,
    home: OpenHome,
    caller: Operator,
    body: ResourceBody,
    connection: Annotated[
        list[Name] | None, Query(description="create it at these vendors too; repeatable", examples=[["clinic"]])
    ] = None,
) -> Response:
    """Make a new record here, and at the named connections with the next sync, where their API allows it."""
    at = [connection_of(home, name) for name in connection or ()]
    _refuse_another_type(body, resource_type)
    made = create_record(home.database, resource_type, body, connections=at, actor=caller.name)
    return _resource(made, 201, {"Location": f"/api/records/{resource_type}/{made.record_id}"})


@routes.get(
    "/api/records/{type}/{id}",
    **documented(CAN_READ, 404, 409, 410, answers=resource() | not_modified(), opens="id"),
)
def read(
    resource_type: Type,
    identity: Identity,
    home: OpenHome,
    caller: Reader,
    connection: AtConnection = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The record's exact body, its version as ETag. **This answers health data.**"""
    found = _found(home, resource_type, identity, connection)
    if found.state == "deleted":
        raise StoreError(
            f"the record was deleted in version {found.version}",
            code="record.gone",
            place=f"record {found.record_id}",
            remedy=f"its versions stay readable: /api/records/{found.resource_type}/{found.record_id}/history; "
            f'a PUT with If-Match: "{found.version}" brings it back',
        )
    if is_known(if_none_match, str(found.version)):
        return unchanged(str(found.version))
    return _resource(found)


@routes.put(
    "/api/records/{type}/{id}",
    **documented(
        CAN_OPERATE,
        404,
        409,
        412,
        415,
        428,
        answers=resource(200, "The record as it is now."),
        body=RESOURCE_BODY,
        opens="id",
    ),
)
def edit(
    resource_type: Type,
    identity: Identity,
    home: OpenHome,
    caller: Operator,
    body: ResourceBody,
    connection: AtConnection = None,
    if_match: IfMatch = None,
) -> Response:
    """Change the record here, against the version that was read; the change flows out to its vendors.

    The body is the whole resource, and has to be valid FHIR. A deleted record comes back.
    """
    seen = seen_version(if_match)
    found = _found(home, resource_type, identity, connection)
    _refuse_another_type(body, resource_type)
    return _resource(edit_record(home.database, found.record_id, body, seen_version=seen, actor=caller.name))


@routes.delete(
    "/api/records/{type}/{id}",
    **documented(CAN_OPERATE, 404, 409, 412, 428, opens="id"),
)
def delete(
    resource_type: Type,
    identity: Identity,
    home: OpenHome,
    caller: Operator,
    response: Response,
    connection: AtConnection = None,
    if_match: IfMatch = None,
) -> ChangedRecord:
    """Delete the record here, and at its vendors where their API allows it. Its versions stay readable."""
    seen = seen_version(if_match)
    found = _found(home, resource_type, identity, connection)
    gone = delete_record(home.database, found.record_id, seen_version=seen, actor=caller.name)
    response.headers["ETag"] = quoted(gone.version)
    return ChangedRecord.of(gone)


@routes.get("/api/records/{type}/{id}/history", **documented(CAN_READ_OR_AUDIT, 404, 409))
def history(
    resource_type: Type, identity: Identity, home: OpenHome, caller: ReaderOrAuditor, connection: AtConnection = None
) -> RecordHistory:
    """Every version, the newest first: who made it and when. Nothing of the content."""
    found = _named(home, resource_type, identity, connection)
    return RecordHistory.of(found, history_of(home.database, found))


@routes.get(
    "/api/records/{type}/{id}/history/{version}",
    **documented(CAN_READ, 404, 409, 410, answers=resource(), opens="id"),
)
def read_version(
    resource_type: Type,
    identity: Identity,
    version: Annotated[int, Path(ge=1, le=2_000_000_000, examples=[2])],
    home: OpenHome,
    caller: Reader,
    connection: AtConnection = None,
) -> Response:
    """The exact body of one version. **This answers health data.**"""
    found = _named(home, resource_type, identity, connection)
    told = read_record(home.database, found, version=version)
    if told.state == "deleted":
        raise StoreError(
            f"version {version} is the deletion",
            code="record.gone",
            place=f"record {found}",
            remedy="the version before has what was deleted",
        )
    return _resource(told)


@routes.get("/api/records/{type}/{id}/links", **documented(CAN_READ, 404, 409))
def links(
    resource_type: Type, identity: Identity, home: OpenHome, caller: Reader, connection: AtConnection = None
) -> RecordLinks:
    """Where the record is linked, whether both sides agree, what stays different, and what waits to be written."""
    found = _named(home, resource_type, identity, connection)
    return RecordLinks.of(found, links_of(home.database, found))


def _found(home: Home, resource_type: str, identity: str, connection: str | None) -> LocalRecord:
    return read_record(home.database, _named(home, resource_type, identity, connection))


def _named(home: Home, resource_type: str, identity: str, connection: str | None) -> str:
    at = connection_of(home, connection) if connection is not None else None
    return record_named(home.database, resource_type, identity, at)


def _refuse_another_type(body: bytes, resource_type: str) -> None:
    try:
        named = read_document(body).get("resourceType")
    except MalformedResource as error:
        raise StoreError(error.message, code="record.invalid", place="body", remedy=error.remedy) from None
    if named != resource_type:
        raise StoreError(
            f"the body's resourceType is not {type}" if resource_type.isalnum() else "the types differ",
            code="record.invalid",
            place="body.resourceType",
            remedy="send a resource of the type the path names",
        )


def _resource(shown: LocalRecord, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    told = {"ETag": quoted(shown.version), "X-Record-Id": shown.record_id, **(headers or {})}
    return Response(shown.body, status_code, told, f"{FHIR}; charset=utf-8")
