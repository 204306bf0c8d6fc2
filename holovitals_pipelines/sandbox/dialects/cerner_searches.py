"""Oracle Health's searches: what a search must name, `_lastUpdated`, pages with rows that come twice."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.sandbox.dialects.cerner_answers import poisoned, refusal, text
from holovitals_pipelines.sandbox.facts.cerner import (
    COUNTS,
    MOST_PATIENTS,
    NO_PARAMETERS,
    OTHER_COUNTS,
    PATIENT_NEEDS,
    SURFACE,
)
from holovitals_pipelines.sandbox.protocols import search
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_response, origin
from holovitals_pipelines.sandbox.protocols.pages import (
    PAGE_FAULT,
    PageFault,
    bundle_page,
    count_of,
    split_session_token,
)
from holovitals_pipelines.sandbox.site import Session, Site

_INSTANT = re.compile(r"(ge|le)\d{4}-\d\d-\d\dT")


def answer_search(site: Site, request: Request, base: str) -> Response:
    """The first page of a search, or the page a `next` link leads to."""
    kind = request.path_params["kind"]
    params = parse_qsl(request.url.query, keep_blank_values=True)
    context = next((value for name, value in params if name == "pageContext"), None)
    try:
        if context is not None:
            token, position = split_session_token(context)
            session = site.sessions.find(token)
            if session is None or session.kind != kind:
                # unverified: how a page context that is too old is answered.
                return refusal(404, "not-found", "the page is no longer available")
        else:
            started = _start(site, kind, params, request.url.query)
            if isinstance(started, Response):
                return started
            session, position = started, 0
            token = site.sessions.keep(started, site.settings.session_seconds)
    except ValueError:
        return refusal(400, "invalid", "a search parameter has an invalid value")
    rows = session.numbers[position : position + session.count]
    if any(is_poison(site, kind, number) for number in rows):
        return poisoned()
    fault = request.scope.get(PAGE_FAULT) or PageFault(repeat_rows=site.settings.repeat_rows if position else 0)
    base_url = origin(request) + base
    onwards = f"{base_url}/{kind}?direction=NEXT&pageContext={token}."
    return fhir_response(bundle_page(site, session, position, base_url, onwards, fault))


def is_poison(site: Site, kind: str, number: int) -> bool:
    return f"{kind}/{site.records.identity(number)}" in site.settings.poison


def _start(site: Site, kind: str, params: search.Params, query: str) -> Session | Response:
    """Raises ValueError for a parameter value that cannot be read."""
    asked = [(name, value) for name, value in params if name.split(":")[0] in SURFACE[kind].parameters]
    names = Counter(name.split(":")[0] for name, _ in asked)
    if not _is_enough(kind, names):
        return text(400, NO_PARAMETERS)
    times = [value for name, value in params if name == "_lastUpdated"]
    if times and (problem := _time_problem(kind, times, names)) is not None:
        return problem
    if kind == "Patient" and (problem := _patient_problem(asked, names)) is not None:
        return problem
    numbers: Any = _candidates(site, kind, asked)
    if times:
        numbers = site.records.updated_between(numbers, *search.time_window(times))
    if times and kind == "Observation":
        numbers = sorted(numbers, key=lambda n: site.records.version(n).updated_ms, reverse=True)
    content = [
        (name, value)
        for name, value in asked
        if name not in ("_id", "_count", "_lastUpdated", "patient", "subject") and search.is_searchable(kind, name)
    ]
    keep = search.matcher(kind, content)
    if keep is not None:
        numbers = [n for n in numbers if (body := site.records.body(n)) is not None and keep(body)]
    if kind == "Patient" and len(numbers) > MOST_PATIENTS:
        return refusal(422, "too-costly", f"more than {MOST_PATIENTS} patients qualify")
    count = len(numbers) or 1 if "_id" in names else count_of(params, *COUNTS.get(kind, OTHER_COUNTS))
    return Session(kind=kind, numbers=numbers, count=count, self_query=f"?{query}" if query else "")


def _is_enough(kind: str, names: Counter[str]) -> bool:
    """Whether a search names what its type has to be searched by."""
    if kind == "Patient":
        return any(name in PATIENT_NEEDS for name in names)
    if "_id" in names or not SURFACE[kind].of_a_patient:
        return any(name != "_count" for name in names)
    if kind == "Appointment":
        return bool(names["patient"] and names["date"])
    return bool(names["patient"] or names["subject"] or (names["identifier"] and kind != "Account"))


def _time_problem(kind: str, times: list[str], names: Counter[str]) -> Response | None:
    # unverified: the statuses of these refusals; the rules are documented (vendors.md §4.2).
    if "_lastUpdated" not in SURFACE[kind].parameters:
        return refusal(400, "not-supported", f"{kind} is not searched by _lastUpdated")
    if len(times) > (1 if kind == "MedicationDispense" else 2):
        return refusal(400, "invalid", "_lastUpdated is given too often")
    if names["date"]:
        return refusal(400, "invalid", "_lastUpdated and date exclude each other")
    if kind == "MedicationRequest" and not all(_INSTANT.match(value) for value in times):
        return refusal(400, "invalid", "_lastUpdated needs ge or le and a time")
    return None


def _patient_problem(asked: search.Params, names: Counter[str]) -> Response | None:
    births = [value for name, value in asked if name == "birthdate"]
    if any("T" in value for value in births):
        return refusal(400, "invalid", "birthdate has no time")
    if len(births) > 1 and sorted(value[:2] for value in births) != ["ge", "le"]:
        return refusal(400, "invalid", "two birthdates are one ge and one le")
    if any(count > 1 for name, count in names.items() if name != "birthdate"):
        return refusal(400, "invalid", "a parameter is given twice")
    return None


def _candidates(site: Site, kind: str, asked: search.Params) -> Any:
    records = site.records
    ids = [identity for name, value in asked if name == "_id" for identity in value.split(",")]
    patients = {value.rpartition("/")[2] for name, value in asked if name.split(":")[0] in ("patient", "subject")}
    if ids:
        found: Any = [n for identity in ids if (n := records.number(kind, identity)) is not None]
    elif patients and kind == "Appointment":
        found = [n for n in records.in_order(kind) if _takes_part(records.body(n), patients)]
    elif patients:
        found = records.in_chart(kind, patients.pop()) if len(patients) == 1 else []
    else:
        found = records.in_order(kind)
    if kind == "Patient" and not ids:
        # A patient who was merged is found by id only.
        found = [number for number in found if records.identity(number) not in site.merged]
    return records.live(kind, found)


def _takes_part(body: bytes | None, patients: set[str]) -> bool:
    actors = search.values_at(orjson.loads(body), "participant.actor.reference") if body is not None else []
    return any(actor.rpartition("/")[2] in patients for actor in actors)
