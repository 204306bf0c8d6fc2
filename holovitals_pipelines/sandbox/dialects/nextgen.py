"""NextGen's native API (vendors.md §7.1, §12): a token, a session, OData lists, and persons that are written.

Law: outside a session nothing is answered, and what is shown has the members that recorded answers have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.dialects.nextgen_fhir import ENTERPRISE as FHIR_BASE
from holovitals_pipelines.sandbox.dialects.nextgen_fhir import GROUP, OFFICE, fhir_routes
from holovitals_pipelines.sandbox.dialects.nextgen_items import Item, View, twin
from holovitals_pipelines.sandbox.dialects.nextgen_odata import BadQueryError, conditions, count, is_guid
from holovitals_pipelines.sandbox.dialects.nextgen_persons import (
    DuplicatePersonError,
    NotTakenError,
    change_person,
    create_person,
)
from holovitals_pipelines.sandbox.edits import edit_row
from holovitals_pipelines.sandbox.facts.nextgen import (
    API_VERSION,
    BAD_QUERY,
    BOOKING_MEMBERS,
    DOCUMENT_MEMBERS,
    DUPLICATE,
    ENCOUNTER_MEMBERS,
    ENTERPRISE,
    INNER_API,
    NO_CRITERIA,
    NO_METHOD,
    NO_SESSION,
    NOT_A_GUID,
    PRACTICE,
)
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_template
from holovitals_pipelines.sandbox.protocols.pages import page_fault_of
from holovitals_pipelines.sandbox.site import Dialect, Expiring, Site
from holovitals_pipelines.sandbox.splice import with_members, without_server_meta

BASE = "/nextgen/nge-api/api"
TOKEN = "/nextgen/nge-oauth/token"  # noqa: S105 a path
_KNOWN = ("$skip", "$top", "$filter", "$orderby", "$expand", "$inlinecount")


@dataclass(frozen=True, slots=True)
class NextGenSettings:
    """Knobs. With `cyclic_pages` a link to the next page leads to the same one."""

    client_id: str = "sandbox-client"
    client_secret: str = "sandbox"  # noqa: S105 a simulator's
    site_id: str = "sandbox-site"
    token_seconds: int = 3600
    session_minutes: float = 600.0
    zone: str = "America/New_York"
    """Of sessions that name none."""
    page_rows: int = 25
    cyclic_pages: bool = False
    empty_success: bool = False
    """Writes are answered without a body; a person that was made is then named by Location alone."""
    refused_persons: tuple[str, ...] = ()
    """Persons whose records the user may not see."""


class _RefusedError(Exception):
    """An answer that is no success; raised by endpoints."""

    def __init__(self, status: int, message: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class _Desk:
    """One vendor's site, with the tokens and sessions it gave out: a session remembers its zone."""

    site: Site
    tokens: Expiring[str]
    sessions: Expiring[str]

    def bearer(self, request: Request) -> None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or self.tokens.find(token) is None:
            raise _RefusedError(401, "Unauthorized")

    def view(self, request: Request) -> View:
        """What the session of a request sees. unverified: how a call outside a session is refused."""
        self.bearer(request)
        zone = self.sessions.find(request.headers.get("x-ng-sessionid", ""))
        if zone is None:
            raise _RefusedError(401, NO_SESSION)
        return View(self.site.records, ZoneInfo(zone), self.site.clock.now())

    def number(self, kind: str, identity: str) -> int:
        """Of a living record. What is there is found, whatever its id looks like: the population's are GUIDs."""
        records, site = self.site.records, self.site
        if identity in site.settings.refused_persons:
            raise _RefusedError(403)
        number = records.number(kind, identity)
        if number is None and not is_guid(identity):
            raise _RefusedError(400, NOT_A_GUID.format(identity))
        if number is None or identity in site.merged or records.version(number).body is None:
            raise _RefusedError(404)
        return number

    def chart(self, request: Request, kind: str) -> Sequence[int]:
        person = request.path_params["id"]
        self.number("Patient", person)
        return self.living(request, kind, self.site.records.in_chart(kind, person))

    def living(self, request: Request, kind: str, numbers: Sequence[int]) -> Sequence[int]:
        """What is left of these; the first on the page may be edited by somebody just now."""
        records, fault = self.site.records, page_fault_of(request.scope)
        found = list(records.live(kind, numbers))
        if fault.edit is not None and found:
            edit_row(self.site, found[min(count(request.query_params.get("$skip"), 0), len(found) - 1)], fault.edit)
            found = list(records.live(kind, found))
        return found


def open_site(site: Site) -> list[BaseRoute]:
    """The routes of the API and of its token endpoint."""
    desk = _Desk(site, Expiring(site.clock), Expiring(site.clock))
    site.own_tokens.append(desk.tokens.forget_all)
    site.own_sessions.append(desk.sessions.forget_all)
    seen: dict[tuple[int, str], tuple[int, Item | None]] = {}

    def booking(view: View, number: int) -> Item | None:
        """An encounter's appointment; remembered, because every page of the list goes through all of them."""
        key, version = (number, view.zone.key), site.records.version(number).number
        if seen.get(key, (0, None))[0] != version:
            seen[key] = (version, view.booking(number) if view.was_booked(number) else None)
        return seen[key][1]

    def bookings(view: View, numbers: Iterable[int]) -> list[Item]:
        return [item for number in numbers if (item := booking(view, number)) is not None]

    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        settings: NextGenSettings = site.settings
        given = tuple(form.get(name) for name in ("grant_type", "client_id", "client_secret", "site_id"))
        if given != ("client_credentials", settings.client_id, settings.client_secret, settings.site_id):
            return _json({"error": "invalid_client"}, 400)
        issued = desk.tokens.keep(settings.client_id, settings.token_seconds)
        return _json({"access_token": issued, "token_type": "Bearer", "expires_in": settings.token_seconds})

    async def log_in(request: Request) -> Response:
        desk.bearer(request)
        told = _told(await request.body())
        zone = told.get("timeZone") or site.settings.zone
        try:
            ZoneInfo(str(zone))
        except (ZoneInfoNotFoundError, ValueError):
            raise _RefusedError(400, "The time zone is not valid.") from None
        if (told.get("enterpriseId"), told.get("practiceId")) != (ENTERPRISE, PRACTICE):
            raise _RefusedError(400, "The practice is not valid for the user.")
        session = desk.sessions.keep(str(zone), site.settings.session_minutes * 60)
        return Response(status_code=200, headers={"X-NG-SessionID": session})

    async def person(request: Request) -> Response:
        view = desk.view(request)
        number = desk.number("Patient", request.path_params["id"])
        if request.method == "PATCH":
            change_person(site, number, _told(await request.body()))
            return Response(status_code=200) if site.settings.empty_success else _json(view.person(number))
        return _json(view.person(number))

    async def persons(request: Request) -> Response:
        view = desk.view(request)
        identity = create_person(site, _told(await request.body()))
        place = {"Location": f"{INNER_API}/persons/{identity}"}
        number = site.records.number("Patient", identity)
        if site.settings.empty_success or number is None:
            return Response(status_code=201, headers=place)
        return _json(view.person(number), 201, place)

    async def lookup(request: Request) -> Response:
        desk.view(request)
        raise _RefusedError(400, NO_CRITERIA)

    async def encounters(request: Request) -> Response:
        view = desk.view(request)
        rows = [view.encounter(number) for number in desk.chart(request, "Encounter")]
        return _list(site, request, rows, ENCOUNTER_MEMBERS)

    async def documents(request: Request) -> Response:
        view = desk.view(request)
        rows = [view.document(number) for number in desk.chart(request, "DocumentReference")]
        return _list(site, request, rows, DOCUMENT_MEMBERS)

    async def appointments_of(request: Request) -> Response:
        view = desk.view(request)
        return _list(site, request, bookings(view, desk.chart(request, "Encounter")), BOOKING_MEMBERS)

    async def appointments(request: Request) -> Response:
        view = desk.view(request)
        living = desk.living(request, "Encounter", site.records.in_order("Encounter"))
        return _list(site, request, bookings(view, living), BOOKING_MEMBERS)

    async def appointment(request: Request) -> Response:
        view = desk.view(request)
        number = desk.number("Encounter", twin(request.path_params["id"]))
        if not view.was_booked(number):
            raise _RefusedError(404)
        return _json(view.appointment(number))

    async def step(request: Request) -> Response:
        """An appointment is cancelled or kept: its encounter shows it."""
        view = desk.view(request)
        number = desk.number("Encounter", twin(request.path_params["id"]))
        body = site.records.body(number)
        if body is None or not view.was_booked(number):
            raise _RefusedError(404)
        status = "cancelled" if request.url.path.endswith("/cancel") else "finished"
        site.records.put(
            "Encounter", site.records.identity(number), with_members(body, {"status": orjson.dumps(status)})
        )
        return Response(status_code=200)

    async def no_get(request: Request) -> Response:
        desk.view(request)
        raise _RefusedError(405, NO_METHOD.format(request.method))

    routes: list[tuple[str, Callable[[Request], Any], list[str]]] = [
        ("users/me/login-defaults", log_in, ["PUT"]),
        ("persons", persons, ["POST"]),
        ("persons", no_get, ["GET"]),
        ("persons/lookup", lookup, ["GET"]),
        ("persons/{id}", person, ["GET", "PATCH"]),
        ("persons/{id}/appointments", appointments_of, ["GET"]),
        ("persons/{id}/chart/encounters", encounters, ["GET"]),
        ("persons/{id}/chart/documents", documents, ["GET"]),
        ("appointments", appointments, ["GET"]),
        ("appointments/{id}", appointment, ["GET"]),
        ("appointments/{id}/cancel", step, ["POST"]),
        ("appointments/{id}/kept", step, ["PUT"]),
    ]
    return [
        Route(TOKEN, token, methods=["POST"]),
        *fhir_routes(site),
        *(Route(f"{BASE}/{path}", partial(_answered, endpoint), methods=methods) for path, endpoint, methods in routes),
    ]


async def _answered(endpoint: Callable[[Request], Any], request: Request) -> Response:
    """What an endpoint answers, also where it refuses."""
    try:
        response: Response = await endpoint(request)
    except _RefusedError as refusal:
        body = b"" if refusal.message is None else _pretty({"message": refusal.message})
        return Response(body, refusal.status, media_type="application/json")
    except BadQueryError:
        return _json({"message": BAD_QUERY}, 400)
    except NotTakenError:
        return _json({"message": "The request is invalid."}, 400)
    except DuplicatePersonError:
        return _json({"message": DUPLICATE}, 409)
    return response


def _list(site: Site, request: Request, rows: Sequence[Item], members: Sequence[str]) -> Response:
    """One page of a list, as its OData parameters want it."""
    query = request.query_params
    if any(name.startswith("$") and name not in _KNOWN for name in query):
        raise BadQueryError
    asked = conditions(query["$filter"], members) if "$filter" in query else []
    found = [row for row in rows if all(holds(row) for holds in asked)]
    total = len(found)
    skipped = count(query.get("$skip"), 0)
    left = found[skipped:][: count(query.get("$top"), total)]
    page = left[: site.settings.page_rows]
    again = found[max(0, skipped - page_fault_of(request.scope).repeat_rows) : skipped]
    further = None
    if len(page) < len(left):
        path = request.url.path.removeprefix(BASE)
        further = f"{INNER_API}{path}?$skip={skipped if site.settings.cyclic_pages else skipped + len(page)}"
    counted = total if query.get("$inlinecount") == "allpages" else None
    return _json({"items": [*again, *page], "nextPageLink": further, "count": counted})


def _told(body: bytes) -> Mapping[str, Any]:
    try:
        told = orjson.loads(body)
    except ValueError as error:
        raise NotTakenError from error
    if not isinstance(told, dict):
        raise NotTakenError
    return told


def _pretty(answer: object) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n")


def _json(answer: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    known = {"api-version": API_VERSION, **(headers or {})}
    return Response(_pretty(answer), status, known, media_type="application/json")


def _failure(status: int, words: str, headers: dict[str, str]) -> Response:
    """unverified: how NextGen words a failure; its refusals have a `message` (recorded)."""
    return _json({"message": words}, status, headers)


def _target(site: Site, path: str, body: bytes) -> tuple[str, str] | None:
    folder, _, rest = path.partition("/")
    identity = rest.partition("/")[0]
    if folder == "appointments":
        return "Encounter", twin(identity)
    return ("Patient", identity) if folder == "persons" and identity else None


_WORDS = frozenset({"persons", "appointments", "chart", "encounters", "documents", "lookup", "users", "me"})
_PLAIN = _WORDS | {"cancel", "kept", "login-defaults", "nge-oauth", "nge-api", "api", "token"}


def _template(path: str) -> str:
    shown, fhir, resource = path.partition("fhir/r4/")
    if fhir:
        return f"{shown}{fhir}{fhir_template(resource)}"
    return "/".join(part if part in _PLAIN else "{id}" for part in path.split("/"))


DIALECT = Dialect(
    name="nextgen",
    base=BASE,
    settings=NextGenSettings,
    present=without_server_meta,
    open=open_site,
    template=_template,
    group=GROUP,
    faces={"nextgen_fhir": FHIR_BASE, "nextgen_office_fhir": OFFICE},
    failure=_failure,
    target=_target,
)
