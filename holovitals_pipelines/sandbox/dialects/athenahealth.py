"""athenahealth's v1 REST API as vendors.md §5 and §12 describe it: charts, forms, change feeds that a read empties."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.dialects import athenahealth_forms as forms
from holovitals_pipelines.sandbox.dialects import athenahealth_views as views
from holovitals_pipelines.sandbox.dialects.athenahealth_answers import (
    answered,
    encoded,
    form_of,
    listing,
    record_array,
)
from holovitals_pipelines.sandbox.dialects.athenahealth_feeds import answer_feed
from holovitals_pipelines.sandbox.dialects.athenahealth_fhir import BASE as FHIR_BASE
from holovitals_pipelines.sandbox.dialects.athenahealth_fhir import GROUP, fhir_routes
from holovitals_pipelines.sandbox.facts.athenahealth import DEPARTMENTS, FEEDS, NO_SERVICE, PRACTICE
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_template
from holovitals_pipelines.sandbox.site import Dialect, Expiring, Site
from holovitals_pipelines.sandbox.splice import without_server_meta

BASE = f"/athenahealth/v1/{PRACTICE}"
TOKEN = "/athenahealth/oauth2/v1/token"  # noqa: S105 a path


@dataclass(frozen=True, slots=True)
class AthenaSettings:
    """Knobs; seconds and counts. The default client is the one that the demonstration is told of."""

    client_id: str = "holovitals-sandbox"
    client_secret: str = "holovitals-sandbox-secret"  # noqa: S105 a simulated vendor's
    token_seconds: int = 3600
    default_limit: int = 100
    most_limit: int = 1000
    requests_per_second: int = 0
    """0: no maximum."""
    mashery: bool = False
    """Throttle as the old gateway did: 403 with a header of its own."""
    change_delay_seconds: float = 0.0
    """How long a change takes to appear in its feed: up to 5 minutes in production."""
    processed_hours: float = 72.0
    """How long messages that were read can be looked at again."""
    refuse_writes: bool = False
    """Refuse them as the API does: with status 200."""


_CHART: Mapping[str, tuple[str, str, views.View]] = {
    "chart/problems": ("Condition", "problems", views.problem),
    "chart/allergies": ("AllergyIntolerance", "allergies", views.allergy),
    "chart/medications": ("MedicationRequest", "medications", views.medication),
    "chart/labresults": ("Observation", "results", views.lab_result),
    "patients/documents/encounterdocument": ("DocumentReference", "encounterdocuments", views.document),
    "patients/documents/admin": ("DocumentReference", "admins", views.document),
    "patients/appointments": ("Encounter", "appointments", views.appointment),
}
"""Lists of one patient, by their address without the id: the resources, the member, and how they are shown."""


def open_site(site: Site) -> list[BaseRoute]:
    """The routes of the server."""
    tokens: Expiring[str] = Expiring(site.clock)
    site.own_tokens.append(tokens.forget_all)
    site.shared["feeds"] = {}

    def client_of(request: Request) -> str | None:
        return tokens.find(request.headers.get("authorization", "").removeprefix("Bearer "))

    async def token(request: Request) -> Response:
        return _issue(site, tokens, request.headers.get("authorization", ""), await form_of(request))

    async def api(request: Request) -> Response:
        client = client_of(request)
        if client is None:
            return answered({"error": "Unauthorized", "detailedmessage": "Invalid Access Token"}, 401)
        if (refused := _throttled(site)) is not None:
            return refused
        return await _answer(site, request, client)

    methods = ["GET", "POST", "PUT", "DELETE"]
    return [
        Route(TOKEN, token, methods=["POST"]),
        *fhir_routes(site, lambda request: client_of(request) is not None),
        Route(f"{BASE}/{{path:path}}", api, methods=methods),
        Route("/athenahealth/{path:path}", _no_service, methods=methods),
    ]


async def _no_service(request: Request) -> Response:
    return PlainTextResponse(NO_SERVICE, 404)


def _issue(site: Site, tokens: Expiring[str], authorization: str, form: forms.Form) -> Response:
    settings = site.settings
    named = (form.get("client_id", ""), form.get("client_secret", ""))
    if authorization.startswith("Basic "):
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        named = (unquote(pair[0]), unquote(pair[2]))
    if named != (settings.client_id, settings.client_secret):
        return answered({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
    if form.get("grant_type") != "client_credentials":
        return answered({"error": "unsupported_grant_type"}, 400)
    if "athena/service/Athenanet.MDP.*" not in form.get("scope", "").split():
        return answered({"error": "invalid_scope"}, 400)
    count = site.shared["tokens"] = site.shared.get("tokens", 0) + 1
    lifetime = settings.token_seconds
    # Both forms have been seen (vendors.md §5.1).
    told = str(lifetime) if count % 2 else lifetime
    value = tokens.keep(settings.client_id, lifetime)
    return answered({"access_token": value, "token_type": "Bearer", "expires_in": told, "scope": form["scope"]})


def _throttled(site: Site) -> Response | None:
    most = site.settings.requests_per_second
    if not most:
        return None
    second = site.clock.now_ms() // 1000
    last, asked = site.shared.get("second", (second, 0))
    asked = asked + 1 if last == second else 1
    site.shared["second"] = (second, asked)
    if asked <= most:
        return None
    if site.settings.mashery:
        headers = {"X-Mashery-Error-Code": "ERR_403_DEVELOPER_OVER_QPS", "Retry-After": "1"}
        return HTMLResponse("<h1>Developer Over Qps</h1>", 403, headers)
    return answered({"error": "Too Many Requests"}, 429)


async def _answer(site: Site, request: Request, client: str) -> Response:
    path, method = request.path_params["path"].strip("/"), request.method
    parts = path.split("/")
    feed, changed, rest = path.partition("/changed")
    if changed and feed in FEEDS:
        return await answer_feed(site, request, client, feed, rest)
    if path == "departments" and method == "GET":
        return listing(site, request, "departments", DEPARTMENTS, lambda one: orjson.dumps(dict(one)))
    if method in ("POST", "PUT"):
        return await _written(site, request, parts)
    if method != "GET":
        return PlainTextResponse(NO_SERVICE, 404)
    if path == "patients":
        return _patients(site, request)
    if len(parts) == 2 and parts[0] == "patients":
        number = views.number_of(site, "Patient", parts[1])
        return _no_patient() if number is None else record_array([encoded(views.shown(site, number, views.patient))])
    listed = "/".join([parts[0], *parts[2:]])
    if listed in _CHART and len(parts) > 2:
        return _chart(site, request, listed, parts[1])
    return PlainTextResponse(NO_SERVICE, 404)


def _patients(site: Site, request: Request) -> Response:
    asked = {name: value for name, value in request.query_params.items() if name not in ("limit", "offset")}
    if not asked:
        return answered({"error": "Additional fields are required.", "missingfields": ["departmentid"]}, 400)
    records, department = site.records, asked.pop("departmentid", None)
    living = [n for n in records.live("Patient", records.in_order("Patient")) if records.identity(n) not in site.merged]
    if department is not None:
        living = [n for n in living if views.department_of(views.native_id(site, n)) == department]
    if asked:
        living = [n for n in living if _fits(views.shown(site, n, views.patient), asked)]
    return listing(site, request, "patients", living, lambda n: encoded(views.shown(site, n, views.patient)))


def _fits(record: views.Json, asked: Mapping[str, str]) -> bool:
    return all(str(record.get(name, "")).lower() == value.lower() for name, value in asked.items())


def _chart(site: Site, request: Request, listed: str, patient: str) -> Response:
    kind, items, view = _CHART[listed]
    owner = views.number_of(site, "Patient", patient)
    if listed != "patients/appointments" and "departmentid" not in request.query_params:
        return answered({"error": "Additional fields are required.", "missingfields": ["departmentid"]}, 400)
    if owner is None:
        return _no_patient()
    records = site.records
    numbers = records.live(kind, records.in_chart(kind, records.identity(owner)))
    rows = [number for number in numbers if _belongs(listed, records.body(number) or b"{}")]

    def show(number: int) -> bytes:
        record = encoded(views.shown(site, number, view))
        return b"[%s]" % record if listed == "chart/medications" else record

    return listing(site, request, items, rows, show)


def _belongs(listed: str, body: bytes) -> bool:
    """Whether a resource is in the list: results of laboratories, and documents with or without an encounter."""
    if listed == "chart/labresults":
        return views.is_laboratory(orjson.loads(body))
    if listed.startswith("patients/documents"):
        return views.is_of_encounter(orjson.loads(body)) is listed.endswith("encounterdocument")
    return True


async def _written(site: Site, request: Request, parts: Sequence[str]) -> Response:
    if "application/x-www-form-urlencoded" not in request.headers.get("content-type", ""):
        return answered({"error": "The request body must be form-encoded."}, 400)
    form = await form_of(request)
    if site.settings.refuse_writes:
        return answered({"success": False, "errormessage": "The record is locked by another user."})
    if long := forms.too_long(form):
        return answered({"error": "A field is too long.", "detailedmessage": ", ".join(long)}, 400)
    try:
        if request.method == "POST" and parts == ["patients"]:
            return _new_patient(site, form)
        if request.method == "PUT" and len(parts) == 2 and parts[0] == "patients":
            return _updated_patient(site, form, parts[1])
        if request.method == "POST" and len(parts) == 3 and (parts[0], parts[2]) == ("chart", "problems"):
            return _new_problem(site, form, parts[1])
    except ValueError:
        return answered({"error": "The data provided is invalid.", "detailedmessage": "a date is MM/DD/YYYY"}, 400)
    return PlainTextResponse(NO_SERVICE, 404)


def _new_patient(site: Site, form: forms.Form) -> Response:
    if missing := forms.missing_fields(form, "departmentid", "lastname", "firstname", "dob"):
        return answered({"error": "Additional fields are required.", "missingfields": missing}, 400)
    identity = forms.new_id(site, "Patient")
    forms.put_patient(site, identity, form)
    return answered([{"patientid": identity, "errormessage": ""}])


def _updated_patient(site: Site, form: forms.Form, native: str) -> Response:
    number = views.number_of(site, "Patient", native)
    if number is None:
        return _no_patient()
    forms.put_patient(site, site.records.identity(number), form)
    return answered([{"patientid": native}])


def _new_problem(site: Site, form: forms.Form, native: str) -> Response:
    owner = views.number_of(site, "Patient", native)
    if owner is None:
        return _no_patient()
    if forms.missing_fields(form, "departmentid", "snomedcode"):
        return answered({"success": False, "errormessage": "The snomedcode is missing."})
    identity = forms.new_id(site, "Condition")
    forms.put_problem(site, identity, site.records.identity(owner), form)
    return answered({"success": True, "problemid": int(identity)})


def _no_patient() -> Response:
    return answered({"error": "The patient does not exist.", "detailedmessage": "The PATIENTID is invalid."}, 404)


def _failure(status: int, words: str, headers: dict[str, str]) -> Response:
    """unverified: how the gateway words a failure; its 429 has been seen with an `error` only."""
    answer = answered({"error": words}, status)
    answer.headers.update(headers)
    return answer


def _target(site: Site, path: str, body: bytes) -> tuple[str, str] | None:
    parts = path.split("/")
    number = views.number_of(site, "Patient", parts[1]) if len(parts) == 2 and parts[0] == "patients" else None
    return None if number is None else ("Patient", site.records.identity(number))


def _template(path: str) -> str:
    """Numbers of the practice's records stand for themselves nowhere in the log."""
    if path.startswith("fhir/r4/"):
        return f"fhir/r4/{fhir_template(path.removeprefix('fhir/r4/'))}"
    return "/".join("{id}" if part.isdecimal() else part for part in path.split("/"))


DIALECT = Dialect(
    name="athenahealth",
    base=BASE,
    settings=AthenaSettings,
    present=without_server_meta,
    open=open_site,
    template=_template,
    group=GROUP,
    faces={"athenahealth_fhir": FHIR_BASE},
    failure=_failure,
    target=_target,
)
