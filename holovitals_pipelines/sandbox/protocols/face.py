"""A FHIR interface to records that a vendor also shows another way: one table a vendor, and what is alike in all.

The law: it shows and takes what the vendor holds, as little of it as the vendor's CapabilityStatement declares.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.edits import edit_row
from holovitals_pipelines.sandbox.protocols import search
from holovitals_pipelines.sandbox.protocols.face_export import export_of_face, face_export_routes
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_response, origin, refusal
from holovitals_pipelines.sandbox.protocols.pages import page_fault_of
from holovitals_pipelines.sandbox.protocols.rest import capability_statement
from holovitals_pipelines.sandbox.protocols.view import PLAIN, View
from holovitals_pipelines.sandbox.site import Expiring, Site
from holovitals_pipelines.sandbox.splice import glance

Params = search.Params
Check = Callable[[Site, Request, str, str], Response | None]
"""(site, request, type, one of `crus`) → why not, or None."""


def _open(site: Site, request: Request, kind: str, letter: str) -> Response | None:
    return None


def _anything(site: Site, kind: str, params: Params) -> Response | None:
    return None


@dataclass(frozen=True, slots=True)
class Face:
    """What one vendor's FHIR interface is like; `writes` are letters of `cu` by type, other types are read only."""

    software: Mapping[str, str]
    base: str
    types: Sequence[str]
    parameters: Sequence[str] = ("_count",)
    """Declared for every type, beside `_id` and `patient`."""
    filters_by_time: Callable[[Site], bool] = lambda site: False
    """Whether `_lastUpdated` does anything, declared or not."""
    link: str = "session"
    """The parameter of a next link that names the page."""
    count: str = "_count"
    most_rows: int = 1000
    writes: Mapping[str, str] = field(default_factory=dict)
    exports: Sequence[str] = ()
    """`Group`, `Patient`: what has an `$export`."""
    bulk: str = ""
    """Where exports are, if not at the base."""
    polled: bool = False
    """The status address is `$export-poll-status?_jobId=`."""
    group: str = ""
    """The Group of all patients."""
    statement: Mapping[str, Any] = field(default_factory=dict)
    """Members of the CapabilityStatement's resources, for all types."""
    view: View = PLAIN
    denied: Check = _open
    problem: Callable[[Site, str, Params], Response | None] = _anything
    """Why a search is refused."""
    too_large: Callable[[Site, int], Response | None] = lambda site, rows: None
    """Why a page of so many rows is refused."""
    headers: Callable[[], dict[str, str]] = dict


@dataclass(frozen=True, slots=True)
class _Search:
    kind: str
    numbers: Sequence[int]
    count: int


def face_routes(site: Site, face: Face) -> list[BaseRoute]:
    """The routes of the interface."""
    records, base = site.records, face.base
    searches: Expiring[_Search] = Expiring(site.clock)
    site.own_sessions.append(searches.forget_all)

    def answered(response: Response) -> Response:
        response.headers.update(face.headers())
        return response

    def refused(request: Request, kind: str, letter: str) -> Response | None:
        if (denied := face.denied(site, request, kind, letter)) is not None:
            return answered(denied)
        if kind not in face.types:
            return answered(refusal(404, "not-supported", f"there is no {kind} here"))
        if letter in "cu" and letter not in face.writes.get(kind, ""):
            return answered(refusal(405, "not-supported", f"{kind} is not written here"))
        return None

    def living(kind: str, shown_id: str) -> int | None:
        number = face.view.number(site, kind, shown_id)
        return number if number is not None and records.body(number) is not None else None

    async def metadata(request: Request) -> Response:
        return answered(capability_statement(site, dict(face.software), _declared(face), instantiates=[]))

    async def read(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        if (no := refused(request, kind, "r")) is not None:
            return no
        number = face.view.number(site, kind, identity)
        if number is None or (kind == "Patient" and records.identity(number) in site.merged):
            return answered(refusal(404, "not-found", f"there is no such {kind}"))
        if records.body(number) is None:
            return answered(refusal(410, "deleted", f"the {kind} was deleted"))
        return answered(fhir_response(face.view.show(site, number)))

    async def search_type(request: Request) -> Response:
        kind = request.path_params["kind"]
        if (no := refused(request, kind, "s")) is not None:
            return no
        query = (await request.body()).decode() if request.method == "POST" else request.url.query
        return answered(_searched(site, face, searches, request, kind, parse_qsl(query, keep_blank_values=True)))

    async def create(request: Request) -> Response:
        kind = request.path_params["kind"]
        if (no := refused(request, kind, "c")) is not None:
            return no
        return await write(request, kind, str(uuid.uuid4()), 201)

    async def update(request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["id"]
        if (no := refused(request, kind, "u")) is not None:
            return no
        if (number := living(kind, identity)) is None:
            return answered(refusal(404, "not-found", f"there is no such {kind}"))
        return await write(request, kind, records.identity(number), 200)

    async def write(request: Request, kind: str, identity: str, status: int) -> Response:
        try:
            body = face.view.take(await request.body())
            if glance(body).type != kind:
                raise ValueError("another type")
            records.put(kind, identity, body)
        except (ValueError, KeyError):
            return answered(refusal(400, "structure", f"the body is not a {kind}"))
        number = records.number(kind, identity)
        assert number is not None
        shown = face.view.shown_id(site, number)
        headers = {"Location": f"{origin(request)}{base}/{kind}/{shown}"}
        return answered(fhir_response(face.view.show(site, number), status, headers))

    async def export(request: Request) -> Response:
        if (denied := face.denied(site, request, "Group", "r")) is not None:
            return answered(denied)
        return answered(
            export_of_face(site, request, face.types, face.view, face.group, face.bulk or base, polled=face.polled)
        )

    bulk_base = face.bulk or base
    paths = {"Group": f"{bulk_base}/Group/{{group}}/$export", "Patient": f"{bulk_base}/Patient/$export"}
    return [
        Route(f"{base}/metadata", metadata),
        *(Route(paths[level], export) for level in face.exports),
        *face_export_routes(site, bulk_base, lambda request: face.denied(site, request, "Group", "r")),
        Route(f"{base}/{{kind}}/_search", search_type, methods=["POST"]),
        Route(f"{base}/{{kind}}/{{id}}", read),
        Route(f"{base}/{{kind}}/{{id}}", update, methods=["PUT"]),
        Route(f"{base}/{{kind}}", search_type),
        Route(f"{base}/{{kind}}", create, methods=["POST"]),
    ]


def _searched(
    site: Site, face: Face, searches: Expiring[_Search], request: Request, kind: str, params: Params
) -> Response:
    """A search's first page, or the one a next link leads to."""
    given = dict(params)
    try:
        if face.link in given:
            name, _, place = given[face.link].rpartition(".")
            found, position = searches.find(name), int(place)
            if found is None or found.kind != kind:
                return refusal(410, "expired", "the search has expired; start it again")
        else:
            if (problem := face.problem(site, kind, params)) is not None:
                return problem
            count = min(max(int(given.get(face.count, 100)), 1), face.most_rows)
            found, position = _Search(kind, _found(site, face, kind, params), count), 0
            if (large := face.too_large(site, min(count, len(found.numbers)))) is not None:
                return large
            name = searches.keep(found, 600)
    except ValueError:
        return refusal(400, "invalid", "a search parameter has an invalid value")
    return fhir_response(_page(site, face, found, position, request, name))


def _found(site: Site, face: Face, kind: str, params: Params) -> Sequence[int]:
    records, own = site.records, {"_id", "patient", "subject", "_lastUpdated", *face.parameters}
    patients = {value for name, value in params if name in ("patient", "subject")}
    ids = [identity for name, value in params if name == "_id" for identity in value.split(",")]
    numbers: Sequence[int] = records.in_order(kind)
    if ids:
        numbers = [n for identity in ids if (n := face.view.number(site, kind, identity)) is not None]
    elif patients:
        known = [face.view.number(site, "Patient", one.rpartition("/")[2]) for one in patients]
        charts = [records.in_chart(kind, records.identity(n)) for n in known if n is not None]
        numbers = [n for chart in charts for n in chart]
    times = [value for name, value in params if name == "_lastUpdated"]
    if times and face.filters_by_time(site):
        numbers = records.updated_between(numbers, *search.time_window(times))
    keep = search.matcher(kind, [(n, v) for n, v in params if n not in own and search.is_searchable(kind, n)])
    living = [n for n in records.live(kind, numbers) if kind != "Patient" or records.identity(n) not in site.merged]
    return [n for n in living if keep is None or keep(records.body(n) or b"{}")]


def _page(site: Site, face: Face, found: _Search, position: int, request: Request, name: str) -> bytes:
    here, fault = f"{origin(request)}{face.base}", page_fault_of(request.scope)
    if fault.edit is not None and position < len(found.numbers):
        edit_row(site, found.numbers[position], fault.edit)
    end = min(position + found.count, len(found.numbers))
    rows = found.numbers[max(0, position - fault.repeat_rows) : end]
    entries = []
    for number in rows:
        if site.records.body(number) is not None:
            url = f"{here}/{found.kind}/{face.view.shown_id(site, number)}"
            body = face.view.show(site, number)
            entries.append(b'{"fullUrl":%s,"resource":%s,"search":{"mode":"match"}}' % (orjson.dumps(url), body))
    links = [{"relation": "self", "url": f"{here}/{found.kind}"}]
    if end < len(found.numbers):
        links.append({"relation": "next", "url": f"{here}/{found.kind}?{face.link}={name}.{end}"})
    return b'{"resourceType":"Bundle","type":"searchset","total":%d,"link":%s%s}' % (
        len(found.numbers),
        orjson.dumps(links),
        b',"entry":[%s]' % b",".join(entries) if entries else b"",
    )


def _declared(face: Face) -> list[dict[str, Any]]:
    words = {"c": "create", "u": "update"}
    shown: list[dict[str, Any]] = []
    for kind in face.types:
        verbs = ["read", "search-type", *(words[letter] for letter in face.writes.get(kind, ""))]
        resource: dict[str, Any] = {
            "type": kind,
            "interaction": [{"code": verb} for verb in verbs],
            "searchParam": [{"name": name, "type": "token"} for name in ("_id", "patient", *face.parameters)],
            **face.statement,
        }
        if kind in face.exports:
            definition = f"http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{kind.lower()}-export"
            resource["operation"] = [{"name": "export", "definition": definition}]
        shown.append(resource)
    return shown
