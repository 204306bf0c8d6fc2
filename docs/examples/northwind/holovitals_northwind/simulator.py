"""Northwind EHR as the sandbox plays it, written from its documentation and never from the adapter.

Law: what the site holds is FHIR; what it shows is Northwind's own form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.edits import edit_row
from holovitals_pipelines.sandbox.protocols.pages import page_fault_of
from holovitals_pipelines.sandbox.site import Dialect, Expiring, Site
from holovitals_pipelines.sandbox.splice import without_server_meta

BASE = "/northwind/v1"
TOKEN = "/northwind/oauth/token"
KINDS = {"patients": "Patient", "allergies": "AllergyIntolerance"}
SEXES = {"male": "M", "female": "F"}


@dataclass(frozen=True, slots=True)
class Settings:
    """The knobs: `--set northwind.most_rows=2`."""

    client_id: str = "holovitals"
    client_secret: str = "sandbox"
    most_rows: int = 50
    """The largest page it gives, whatever a client asks for."""


class Refused(Exception):
    def __init__(self, status: int, error: str) -> None:
        self.status, self.error = status, error


def open_site(site: Site) -> list[BaseRoute]:
    tokens: Expiring[str] = Expiring(site.clock)
    site.own_tokens.append(tokens.forget_all)  # `revoke_tokens` ends them

    async def token(request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if (form.get("client_id"), form.get("client_secret")) != (site.settings.client_id, site.settings.client_secret):
            raise Refused(401, "invalid_client")
        return answer({"access_token": tokens.keep("client", 3600), "token_type": "Bearer", "expires_in": 3600})

    def admitted(request: Request) -> str:
        """The FHIR type that the first part of the path stands for."""
        if tokens.find(request.headers.get("authorization", "").removeprefix("Bearer ")) is None:
            raise Refused(401, "invalid_token")
        return KINDS[request.url.path.removeprefix(BASE).split("/")[1]]

    async def listing(request: Request) -> Response:
        """Rows in the order they were made, after the row that `page_token` names."""
        kind, query = admitted(request), request.query_params
        since, after = query.get("changed_since"), int(query.get("page_token", -1))
        held = site.records.in_chart(kind, query["patient"]) if "patient" in query else site.records.in_order(kind)
        numbers = [number for number in held if number > after]
        if since is not None:
            low = datetime.fromisoformat(since).timestamp() * 1000
            numbers = site.records.updated_between(numbers, low, float("inf"))
        rows = min(int(query.get("page_size", 50)), site.settings.most_rows)
        page = list(site.records.live(kind, numbers))[:rows]
        if page and (edit := page_fault_of(request.scope).edit) is not None:
            edit_row(site, page[0], edit)  # the fault `edit_page`
        return answer(
            {
                "items": [shown(site, number) for number in page],
                "next_page_token": str(page[-1]) if len(page) == rows else None,
            }
        )

    def found(request: Request, kind: str) -> int:
        number = site.records.number(kind, request.path_params["id"])
        if number is None:
            raise Refused(404, "not_found")
        if site.records.body(number) is None:
            raise Refused(410, "deleted")
        return number

    async def single(request: Request) -> Response:
        return answer(shown(site, found(request, admitted(request))))

    async def change(request: Request) -> Response:
        """A patient is changed under the revision that the client has seen; members that are not named stay."""
        number = found(request, admitted(request))
        if request.headers.get("if-match") != str(site.records.version(number).number):
            raise Refused(412 if "if-match" in request.headers else 428, "stale_revision")
        told = orjson.loads(await request.body())
        patient = orjson.loads(site.records.body(number) or b"{}")
        name = patient["name"][0]
        name["family"] = told["lastName"]
        name["given"] = [told["firstName"], *name.get("given", [])[1:]]
        patient["birthDate"] = told["dateOfBirth"]
        patient["gender"] = {letter: gender for gender, letter in SEXES.items()}[told["sex"]]
        site.records.put("Patient", site.records.identity(number), orjson.dumps(patient))
        return answer(shown(site, number))

    paths: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("POST", TOKEN, token),
        ("GET", f"{BASE}/patients", listing),
        ("GET", f"{BASE}/allergies", listing),
        ("GET", f"{BASE}/patients/{{id}}", single),
        ("GET", f"{BASE}/allergies/{{id}}", single),
        ("PATCH", f"{BASE}/patients/{{id}}", change),
    ]
    return [Route(path, guarded(endpoint), methods=[method]) for method, path, endpoint in paths]


def guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refused as refused:
            return answer({"error": refused.error}, refused.status)

    return answered


def shown(site: Site, number: int) -> dict[str, object]:
    """A record in Northwind's own words."""
    version = site.records.version(number)
    held = orjson.loads(version.body or b"{}")
    changed = datetime.fromtimestamp(version.updated_ms / 1000).astimezone().isoformat(timespec="milliseconds")
    row: dict[str, object] = {"id": site.records.identity(number), "revision": version.number, "changedAt": changed}
    if site.records.kind(number) == "Patient":
        name = held["name"][0]
        return row | {
            "lastName": name.get("family"),
            "firstName": next(iter(name.get("given", [])), None),
            "dateOfBirth": held.get("birthDate"),
            "sex": SEXES.get(held.get("gender", "")),
        }
    return row | {
        "patientId": held["patient"]["reference"].removeprefix("Patient/"),
        "substance": held.get("code", {}).get("text") or held["code"]["coding"][0]["display"],
        "state": held.get("clinicalStatus", {}).get("coding", [{}])[0].get("code", "active").upper(),
    }


def answer(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def template(path: str) -> str:
    """`patients/17` as `patients/{id}`: by it faults and the request log know a request."""
    folder, slash, identity = path.removeprefix("v1/").partition("/")
    return f"{folder}/{{id}}" if identity and folder in KINDS else folder + slash + identity


def target(site: Site, path: str, body: bytes) -> tuple[str, str] | None:
    """What a request is about: what somebody else may edit just before it."""
    folder, _, identity = path.partition("/")
    return (KINDS[folder], identity) if identity and folder in KINDS else None


def failure(status: int, words: str, headers: dict[str, str]) -> Response:
    return answer({"error": "busy"}, status, headers)


DIALECT = Dialect(
    name="northwind",
    base=BASE,
    settings=Settings,
    present=without_server_meta,
    open=open_site,
    template=template,
    failure=failure,
    target=target,
)
