"""Allscripts' Unity as vendors.md §6 and §12 describe it: a token, a user, actions, rows of texts, errors in 200."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.dialects.allscripts_fhir import BASE as FHIR_BASE
from holovitals_pipelines.sandbox.dialects.allscripts_fhir import GROUP, TENANT, fhir_routes, token_policy
from holovitals_pipelines.sandbox.dialects.allscripts_rows import (
    Row,
    chart_row,
    no_row,
    patient_row,
    provider_row,
)
from holovitals_pipelines.sandbox.dialects.allscripts_saves import SAVES, Call, target_of
from holovitals_pipelines.sandbox.edits import Edit, edit_row
from holovitals_pipelines.sandbox.facts.allscripts import (
    CHART_TEXTS,
    DATES,
    LOGGED_OUT,
    NO_LICENCE,
    NO_SUCH_ACTION,
    NO_SUCH_PATIENT,
    NOT_LOGGED_IN,
    NOT_TAKEN,
    PATIENT_TEXTS,
    PROVIDER_TEXTS,
    RETIRED,
    SECTIONS,
    TIMES,
    ZONES,
)
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_template
from holovitals_pipelines.sandbox.protocols.pages import page_fault_of
from holovitals_pipelines.sandbox.site import Dialect, Site
from holovitals_pipelines.sandbox.splice import without_server_meta

BASE = "/allscripts"
SERVICE = f"{BASE}/Unity/UnityService.svc/json"

_MEMBERS = (
    "Action", "AppUserID", "Appname", "PatientID", "Token", "Data",
    "Parameter1", "Parameter2", "Parameter3", "Parameter4", "Parameter5", "Parameter6",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AllscriptsSettings:
    """Knobs. `zone` is a Windows name; `refused_patients` are those whose charts the user may not see."""

    service_user: str = "Sandbox-Service"
    service_password: str = "sandbox"  # noqa: S105 a simulator's
    ehr_user: str = "jmedici"
    ehr_password: str = "password01"  # noqa: S105 a simulator's
    idle_minutes: float = 20.0
    zone: str = "Eastern Standard Time"
    quoted_token: bool = True
    refused_patients: tuple[str, ...] = ()
    fhir_filters_by_time: bool = True
    """Whether the FHIR interface's `_lastUpdated`, which it does not declare, does anything."""
    fhir_most_rows: int = 0
    """A page of more rows is answered 413; 0: never."""
    fhir_redacted: int = 0
    """So many observations are shown redacted by the FHIR interface."""


@dataclass(slots=True)
class _Session:
    used_ms: int
    has_user: bool = False


class _RefusedError(Exception):
    """What Unity says inside its 200; raised by actions."""


def open_site(site: Site) -> list[BaseRoute]:
    """The routes of the service."""
    sessions: dict[str, _Session] = {}
    site.own_tokens.append(sessions.clear)
    site.own_sessions.append(sessions.clear)

    async def get_token(request: Request) -> Response:
        asked = orjson.loads(await request.body())
        settings: AllscriptsSettings = site.settings
        if (asked.get("Username"), asked.get("Password")) != (settings.service_user, settings.service_password):
            return Response(NO_LICENCE, media_type="application/json")
        token = str(uuid.uuid4()).upper()
        sessions[token] = _Session(site.clock.now_ms())
        return Response(f'"{token}"' if settings.quoted_token else token, media_type="application/json")

    async def retire(request: Request) -> Response:
        sessions.pop(orjson.loads(await request.body()).get("Token", ""), None)
        return Response(RETIRED, media_type="text/xml")

    async def magic(request: Request) -> Response:
        sent = orjson.loads(await request.body())
        call = {name: str(sent.get(name) or "") for name in _MEMBERS}
        name = call["Action"]
        _edited_now(site, call, page_fault_of(request.scope).edit)
        try:
            rows = _answer(site, _session(site, sessions, call["Token"]), call)
        except _RefusedError as refusal:
            return _json([{"Error": f"Magic Error - Action: {name} - {refusal}"}])
        return _json([{f"{name.lower()}info": rows}])

    return [
        Route(f"{SERVICE}/GetToken", get_token, methods=["POST"]),
        Route(f"{SERVICE}/RetireSecurityToken", retire, methods=["POST"]),
        Route(f"{SERVICE}/MagicJson", magic, methods=["POST"]),
        *fhir_routes(site),
    ]


def _json(answer: object) -> Response:
    return Response(orjson.dumps(answer), media_type="application/json")


def _session(site: Site, sessions: dict[str, _Session], token: str) -> _Session:
    """The session of a token, used now. One that was idle too long, like one that never was, is logged out."""
    now, session = site.clock.now_ms(), sessions.get(token)
    if session is None or now - session.used_ms > site.settings.idle_minutes * 60_000:
        sessions.pop(token, None)
        raise _RefusedError(LOGGED_OUT)
    session.used_ms = now
    return session


def _answer(site: Site, session: _Session, call: Call) -> list[Row]:
    name, settings = call["Action"], site.settings
    if name == "GetUserAuthentication":
        given = (call["AppUserID"], call["Parameter1"])
        session.has_user = given == (settings.ehr_user, settings.ehr_password)
        return [{"ValidUser": "YES" if session.has_user else "NO", "ErrorMessage": ""}]
    if not session.has_user:
        raise _RefusedError(NOT_LOGGED_IN)
    if call["PatientID"] and call["PatientID"] in settings.refused_patients:
        raise _RefusedError(NO_SUCH_PATIENT)
    if name in SAVES:
        try:
            if call["PatientID"] and _living(site, "Patient", call["PatientID"]) is None:
                raise _RefusedError(NO_SUCH_PATIENT)
            return [SAVES[name](site, call)]
        except (ValueError, KeyError, StopIteration):
            raise _RefusedError(NOT_TAKEN) from None
    if name not in _READS:
        raise _RefusedError(NO_SUCH_ACTION)
    return _READS[name](site, call)


def _edited_now(site: Site, call: Call, edit: Edit | None) -> None:
    """Somebody edits what the section that is asked for shows first."""
    section = next((name for name in SECTIONS if name.lower() == call["Parameter1"].lower()), None)
    if edit is None or section is None:
        return
    records, kind = site.records, SECTIONS[section]
    living = records.live(kind, records.in_chart(kind, call["PatientID"]))
    shown = (n for n in living if chart_row(section, records.body(n) or b"{}", _zone(site)) is not None)
    if (first := next(shown, None)) is not None:
        edit_row(site, first, edit)


def _living(site: Site, kind: str, identity: str) -> bytes | None:
    number = site.records.number(kind, identity)
    if number is None or (kind == "Patient" and identity in site.merged):
        return None
    return site.records.body(number)


def _get_patient(site: Site, call: Call) -> list[Row]:
    body = _living(site, "Patient", call["PatientID"])
    return [no_row(PATIENT_TEXTS, "mrn") if body is None else patient_row(body)]


def _get_patient_by_mrn(site: Site, call: Call) -> list[Row]:
    for number in site.records.live("Patient", site.records.in_order("Patient")):
        body = site.records.body(number)
        identity = site.records.identity(number)
        if body is not None and identity not in site.merged and patient_row(body)["mrn"] == call["Parameter1"]:
            return [{"ID": identity, **patient_row(body)}]
    return [no_row(("ID", *PATIENT_TEXTS), "ID")]


def _get_providers(site: Site, call: Call) -> list[Row]:
    numbers = site.records.live("Practitioner", site.records.in_order("Practitioner"))
    rows = [provider_row(body) for number in numbers if (body := site.records.body(number)) is not None]
    return rows or [no_row(PROVIDER_TEXTS, "personid")]


def _get_clinical_summary(site: Site, call: Call) -> list[Row]:
    wanted = call["Parameter1"].lower()
    rows: list[Row] = []
    for section, kind in SECTIONS.items():
        if wanted not in ("", "list", section.lower()):
            continue
        for number in site.records.live(kind, site.records.in_chart(kind, call["PatientID"])):
            body = site.records.body(number)
            row = None if body is None else chart_row(section, body, _zone(site))
            if row is not None:
                rows.append(row)
    return rows or [no_row(CHART_TEXTS, "transid")]


def _get_changed_patients(site: Site, call: Call) -> list[Row]:
    """Ids only: whose record, or anything in whose chart, has changed since."""
    records = site.records
    kinds = ["Patient", *dict.fromkeys(SECTIONS.values())]
    windows = _windows(_moment(call["Parameter1"]), _zone(site))
    changed = {
        kind: {number for window in windows for number in records.updated_between(records.in_order(kind), *window)}
        for kind in kinds
    }
    named = [
        identity
        for number in records.in_order("Patient")
        if (identity := records.identity(number)) not in site.merged
        and any(not changed[kind].isdisjoint(records.in_chart(kind, identity)) for kind in kinds if changed[kind])
    ]
    return [{"patientid": identity} for identity in named] or [{"patientid": "0"}]


def _moment(text: str) -> datetime:
    """A local time in any of the forms that Unity itself uses."""
    for form in (f"{day}{time}" for day in DATES for time in TIMES):
        try:
            return datetime.strptime(text, form.replace("%-d", "%d"))  # noqa: DTZ007 the site's, without offset
        except ValueError:
            continue
    raise _RefusedError(NOT_TAKEN)


def _windows(since: datetime, zone: ZoneInfo) -> list[tuple[float, float]]:
    """When the site's clocks showed `since` or later, in ms since the epoch.

    In the hour that comes twice that is not all the time after it: the second pass begins before it once more.
    """
    first, second = (since.replace(tzinfo=zone, fold=fold).timestamp() * 1000 for fold in (0, 1))
    if second <= first:
        return [(first, float("inf"))]
    again = since.replace(minute=0, second=0, tzinfo=zone, fold=1).timestamp() * 1000
    return [(first, again), (second, float("inf"))]


def _get_server_info(site: Site, call: Call) -> list[Row]:
    here = site.clock.now().astimezone(_zone(site))
    return [
        {
            "ServerDateTimeOffset": here.isoformat(timespec="microseconds"),
            "ServerTime": f"{here:%Y-%m-%dT%H:%M:%S}",
            "uaibornondate": "10/07/2013",
            "ProductVersion": "11.2.3.32.000",
            "System": "Enterprise EHR",
            "ServerTimeZone": site.settings.zone,
        }
    ]


def _echo(site: Site, call: Call) -> list[Row]:
    return [dict(call) | {"Token": ""}]


def _zone(site: Site) -> ZoneInfo:
    return ZoneInfo(ZONES[site.settings.zone])


_READS: Mapping[str, Callable[[Site, Call], list[Row]]] = {
    "Echo": _echo,
    "GetChangedPatients": _get_changed_patients,
    "GetClinicalSummary": _get_clinical_summary,
    "GetPatient": _get_patient,
    "GetPatientByMRN": _get_patient_by_mrn,
    "GetProviders": _get_providers,
    "GetServerInfo": _get_server_info,
}
_ACTIONS = frozenset({"GetUserAuthentication", *_READS, *SAVES})


def _template(path: str) -> str:
    shown, tenant, resource = path.partition(f"{TENANT}/")
    if tenant:
        return f"{shown}{tenant}{fhir_template(resource)}"
    return path  # of Unity's names an operation; ids stand in the bodies


def _called(body: bytes) -> Call:
    """A request's members; none of one that is not MagicJson's."""
    try:
        sent = orjson.loads(body)
    except ValueError:
        return {}
    return {name: str(sent.get(name) or "") for name in _MEMBERS} if isinstance(sent, dict) and "Action" in sent else {}


def _action(body: bytes) -> str:
    name = _called(body).get("Action", "")
    return name if name in _ACTIONS else ""


def _target(site: Site, path: str, body: bytes) -> tuple[str, str] | None:
    _, tenant, resource = path.partition(f"{TENANT}/")
    if tenant:
        kind, _, identity = resource.partition("/")
        return (kind, identity) if identity else None
    call = _called(body)
    return target_of(call) if call else None


def _failure(status: int, words: str, headers: dict[str, str]) -> Response:
    """unverified: how the web server before Unity words a failure; Unity itself answers 200."""
    return HTMLResponse(f"<html><body><h1>{status}</h1><p>{words}</p></body></html>", status, headers)


DIALECT = Dialect(
    name="allscripts",
    base=BASE,
    settings=AllscriptsSettings,
    present=without_server_meta,
    open=open_site,
    template=_template,
    tokens=token_policy,
    group=GROUP,
    faces={"allscripts_fhir": FHIR_BASE},
    failure=_failure,
    target=_target,
    action=_action,
)
