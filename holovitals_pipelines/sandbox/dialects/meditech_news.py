"""What MEDITECH tells its feed: everything it holds, patient by patient, or what an edit changed, as an event.

Law: an edit is told once, by the event that its record's kind and its change of state call for; kinds that no message
of MEDITECH's carries are seen through FHIR only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.sandbox.dialects.meditech_chart import Chart, Json, visit_of
from holovitals_pipelines.sandbox.dialects.meditech_messages import News
from holovitals_pipelines.sandbox.dialects.meditech_results import is_laboratory
from holovitals_pipelines.sandbox.dialects.meditech_segments import class_of
from holovitals_pipelines.sandbox.facts.meditech import EVENTS
from holovitals_pipelines.sandbox.site import Site
from holovitals_pipelines.sandbox.splice import glance

_BY_RECORD: Mapping[str, str] = {"DocumentReference": "MDM^T02", "Immunization": "VXU^V04"}
_IN_WHOLE_MESSAGES = frozenset({"AllergyIntolerance", "Coverage", "RelatedPerson"})


def everything(site: Site, zone: ZoneInfo, orders: str) -> Iterator[News]:
    """A patient's visits as they went, what was found, and the record as it stands; then who was merged."""
    for number in site.records.live("Patient", site.records.in_order("Patient")):
        patient = site.records.identity(number)
        if patient in site.merged:
            yield News("ADT^A31", patient)
        else:
            yield from _life(Chart(site, patient, zone), orders)
    for retired, survivor in site.merged.items():
        yield News("ADT^A40", survivor, retired)


def _life(chart: Chart, orders: str) -> Iterator[News]:
    patient = chart.patient
    for encounter in chart.all("Encounter"):
        yield News(f"ADT^{_beginning(encounter)}", patient, encounter["id"])
        event = EVENTS.get(encounter.get("status", ""))
        if event in ("A03", "A11"):
            yield News(f"ADT^{event}", patient, encounter["id"])
    yield _person(chart)
    yield from _found(chart, orders)
    for kind, event in _BY_RECORD.items():
        for one in chart.all(kind):
            yield News(event, patient, one["id"])


def _found(chart: Chart, orders: str) -> Iterator[News]:
    patient, reported = chart.patient, set[str | None]()
    for report in chart.all("DiagnosticReport"):
        reported.update(one.get("reference") for one in report.get("result") or [])
        yield from _ordered(patient, f"DiagnosticReport/{report['id']}", orders)
        yield News("ORU^R01", patient, f"DiagnosticReport/{report['id']}")
    visits: dict[str, None] = {}
    for one in chart.all("Observation"):
        if f"Observation/{one['id']}" in reported:
            continue
        if is_laboratory(one) or not visit_of(one):
            yield News("ORU^R01", patient, f"Observation/{one['id']}")
        else:
            visits[visit_of(one)] = None
    yield from (News("ORU^R01", patient, visit) for visit in visits)
    for one in chart.all("ServiceRequest"):
        yield from _ordered(patient, f"ServiceRequest/{one['id']}", orders)


def _ordered(patient: str, identity: str, orders: str) -> list[News]:
    return [News(orders, patient, identity)] if orders else []


def _person(chart: Chart) -> News:
    """A08 with the last visit, A31 of somebody who was never here."""
    visits = chart.all("Encounter")
    return News("ADT^A08", chart.patient, visits[-1]["id"]) if visits else News("ADT^A31", chart.patient)


def _beginning(encounter: Json) -> str:
    if encounter.get("status") == "planned":
        return "A05"
    return "A01" if class_of(encounter) == "I" else "A04"


def changed(site: Site, zone: ZoneInfo, orders: str, kind: str, identity: str) -> list[News]:
    """The news of a write that was just done."""
    number = site.records.number(kind, identity)
    assert number is not None, "it was just written"
    versions = site.records.history(number)
    held = [version.body for version in versions if version.body is not None]
    patient = glance(held[-1]).patient if held else None
    if patient is None or site.records.number("Patient", patient) is None:
        return []
    chart, resource = Chart(site, patient, zone), read_document(held[-1])
    is_gone = versions[-1].body is None
    if kind == "Encounter":
        before = None if len(versions) < 2 or versions[-2].body is None else read_document(versions[-2].body)
        return [News(f"ADT^{'A11' if is_gone else _step(before, resource)}", patient, identity)]
    if kind in _BY_RECORD:
        return [News(_BY_RECORD[kind], patient, identity)]
    if kind in ("DiagnosticReport", "ServiceRequest"):
        ordered = _ordered(patient, f"{kind}/{identity}", orders if kind == "ServiceRequest" else "")
        return ordered or [News("ORU^R01", patient, f"{kind}/{identity}")] * (kind == "DiagnosticReport")
    if kind == "Observation":
        return _measured(chart, resource)
    if kind == "Condition":
        visit = visit_of(resource).partition("/")[2]
        return [News("ADT^A08", patient, visit) if visit else News("ADT^A31", patient)]
    # unverified: how MEDITECH tells that a person is deleted; it says nothing here.
    return [_person(chart)] if kind in _IN_WHOLE_MESSAGES or (kind == "Patient" and not is_gone) else []


def _measured(chart: Chart, observation: Json) -> list[News]:
    """An observation is told with the order it belongs to: its report's, or its visit's."""
    reference = f"Observation/{observation['id']}"
    for report in chart.all("DiagnosticReport"):
        if any(one.get("reference") == reference for one in report.get("result") or []):
            return [News("ORU^R01", chart.patient, f"DiagnosticReport/{report['id']}")]
    alone = is_laboratory(observation) or not visit_of(observation)
    return [News("ORU^R01", chart.patient, reference if alone else visit_of(observation))]


def _step(before: Json | None, after: Json) -> str:
    """The event that leads from one state of a visit to the next."""
    was, now = (before or {}).get("status"), after.get("status")
    if before is None:
        return EVENTS.get(str(now)) or _beginning(after)
    if was == now:
        moved = before.get("location") != after.get("location") and now == "in-progress"
        return "A02" if moved else "A08"
    if was == "finished" and now == "in-progress":
        return "A13"
    return EVENTS.get(str(now)) or _beginning(after)
