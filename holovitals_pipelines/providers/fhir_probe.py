"""A FHIR server tried out: its CapabilityStatement against what it answers, type by type, with one small read each.

Law: a type counts as readable when it was read, not when it is declared (vendors.md §13.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from holovitals_pipelines.fhir.resource_types import PATIENT_COMPARTMENT
from holovitals_pipelines.fhir.wire import BundlePage, Head, MalformedResource, read_bundle, read_heads
from holovitals_pipelines.model.errors import ProtocolError, VendorError
from holovitals_pipelines.model.vocabulary import ChangeMechanism
from holovitals_pipelines.providers.fhir_rest import quoted, read_source
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.probe import Check, Finding, Verdict, refused, works
from holovitals_pipelines.providers.retry import http_date

_AHEAD = timedelta(days=2)
"""Beyond any skew of clocks: nothing was changed then yet."""
_WANTS_A_PATIENT = frozenset({400, 403, 422})

Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: how changes of each type are to be found, which types are declared, what searches must say."""

    mechanisms: Mapping[str, ChangeMechanism]
    declared: frozenset[str]
    fixed: Mapping[str, Params]
    """Parameters without which the vendor refuses a search of a type."""
    patient: str | None
    named_by: Mapping[str, str] = field(default_factory=dict)
    """The parameter that names the patient, where it is not the specification's."""


async def probe_types(http: VendorHttp, trial: Trial) -> list[Finding]:
    """Each type read once; `_lastUpdated` asked with a future moment where changes are found so; ETags looked for."""
    findings: list[Finding] = []
    shown: tuple[str, str] | None = None
    for name, mechanism in trial.mechanisms.items():
        try:
            page, asked = await _read(http, trial, name)
        except VendorError as error:
            findings.append(refused(Check.TYPES, error, name))
            continue
        if page is None:
            findings.append(_untried(name))
            continue
        findings.append(_readable(name, declared=name in trial.declared))
        if mechanism is ChangeMechanism.LAST_UPDATED:
            findings.append(await _filters(http, name, asked))
        shown = shown or _first_of(page, name)
    if shown is not None:
        findings.append(await _versions(http, *shown))
    return findings


def _first_of(page: BundlePage, name: str) -> tuple[str, str] | None:
    """The type and the id of the page's first resource."""
    heads = read_heads([entry.body for entry in page.entries if entry.resource_type == name][:1])
    return next(((name, head.id) for head in heads if isinstance(head, Head)), None)


async def _read(http: VendorHttp, trial: Trial, name: str) -> tuple[BundlePage | None, Params]:
    """One entry of the type and the parameters that brought it; no page where nothing can be asked."""
    fixed = trial.fixed.get(name)
    parameter = trial.named_by.get(name) or PATIENT_COMPARTMENT.get(name)
    if fixed is None:  # else: no search without a patient at this vendor
        try:
            return await _ask(http, name, ()), ()
        except VendorError as error:
            if error.status not in _WANTS_A_PATIENT or trial.patient is None or parameter is None:
                raise
    if trial.patient is None or parameter is None:
        return None, ()
    params = ((parameter, trial.patient), *(fixed or ()))
    return await _ask(http, name, params), params


async def _ask(http: VendorHttp, name: str, params: Params) -> BundlePage:
    operation = f"GET {name}?_count=1"
    answer = await http.request("GET", name, operation=operation, params=[*params, ("_count", "1")])
    try:
        return read_bundle(answer.body)
    except MalformedResource as malformed:
        raise ProtocolError(
            "the answer to a search is no FHIR Bundle",
            code=malformed.code,
            place=http.place(operation),
            remedy="check base_url, and whether a proxy or a login page stands between",
            status=answer.status,
        ) from None


async def _filters(http: VendorHttp, name: str, asked: Params) -> Finding:
    moment = (datetime.now(UTC) + _AHEAD).isoformat(timespec="seconds").replace("+00:00", "Z")
    try:
        page = await _ask(http, name, (*asked, ("_lastUpdated", f"ge{moment}")))
    except VendorError as error:
        return refused(Check.CHANGES, error, name)
    if page.entries:
        return Finding(
            Check.CHANGES,
            Verdict.NOTE,
            "probe.last_updated_ignored",
            "the server says that it filters by _lastUpdated, and does not: asked for changes of the day after "
            "tomorrow, it answered some, so every incremental read reads everything",
            "report it to the vendor; nothing is lost meanwhile, it only costs time: make incremental_cron rarer",
            name,
        )
    return works(Check.CHANGES, "probe.last_updated", "changes are found by _lastUpdated, which really filters", name)


async def _versions(http: VendorHttp, name: str, identity: str) -> Finding:
    try:
        answer = await http.request("GET", f"{name}/{quoted(identity)}", operation=read_source(name))
    except VendorError as error:
        return refused(Check.VERSIONS, error, name)
    served = http_date(answer.headers.get("date"))
    if "etag" in answer.headers:
        return works(Check.VERSIONS, "probe.etag", "single resources come with an ETag", name)
    dated = "" if served is not None else ", nor a Date"
    return Finding(
        Check.VERSIONS,
        Verdict.NOTE,
        "probe.no_etag",
        f"single resources come without an ETag{dated}: the server cannot guard writes by version",
        "nothing, unless two systems write there: writes are read before and compared after",
        name,
    )


def _readable(name: str, *, declared: bool) -> Finding:
    if declared:
        return works(Check.TYPES, "probe.readable", "can be read", name)
    return Finding(
        Check.TYPES,
        Verdict.NOTE,
        "probe.undeclared",
        "can be read, although the CapabilityStatement does not declare it",
        "nothing; the vendor may end it without notice",
        name,
    )


def _untried(name: str) -> Finding:
    return Finding(
        Check.TYPES,
        Verdict.NOTE,
        "probe.no_patient",
        "could not be tried: the vendor answers searches for a patient only, and no patient is known here yet",
        "set read.patient_ids or read.group, or sync first",
        name,
    )
