"""MEDITECH's messages, each made of what the site holds when it is sent (vendors.md §9.2, §10).

Law: what is no longer there when its turn comes is told by the event for that, or not at all.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from holovitals_pipelines.sandbox.clock import instant
from holovitals_pipelines.sandbox.dialects.meditech_chart import Chart, Json, coding, first, status_of, visit_of, words
from holovitals_pipelines.sandbox.dialects.meditech_hl7 import Heading, components, local_minutes, message, segment
from holovitals_pipelines.sandbox.dialects.meditech_results import is_ordered, orders, results
from holovitals_pipelines.sandbox.dialects.meditech_segments import ZFH, al1, cover, dg1, kin, mrn_of, pid, pv1
from holovitals_pipelines.sandbox.facts.meditech import (
    ADMISSIONS,
    ADT_VERSION,
    FACILITY,
    LABORATORY,
    LOCAL_CODES,
    LOINC_CODES,
    MIDNIGHT_RUN,
    ORU_VERSION,
)

LOINC, CVX = "http://loinc.org", "http://hl7.org/fhir/sid/cvx"
_WHOLE = frozenset({"A01", "A04", "A05", "A08", "A31"})
"""Events whose messages carry everything about the patient."""


@dataclass(frozen=True, slots=True)
class News:
    """What is to be told: an event of MSH-9 and whose it is; `identity` names the record, or the retired patient."""

    event: str
    patient: str
    identity: str = ""

    @property
    def port(self) -> str:
        """The link it goes over, where there are two."""
        return "results" if self.event.partition("^")[0] in ("ORU", "ORM", "OML") else "adt"


def written(news: News, chart: Chart, control: int) -> bytes | None:
    """The message; None where nothing is left to tell."""
    person = chart.last("Patient", news.patient)
    if person is None:
        return None
    kind, _, event = news.event.partition("^")
    body = _BODIES[kind](news, chart, person, event)
    if not body:
        return None
    is_lab = news.port == "results"
    now = instant(chart.site.clock.now_ms())
    sent = local_minutes(now, chart.zone)
    module = LABORATORY if is_lab else ADMISSIONS
    version = ORU_VERSION if kind in ("ORU", "ORM") else ADT_VERSION
    head = Heading(module, FACILITY, news.event, str(control), sent, version)
    if kind in ("ADT", "MDM"):
        body.insert(0, _evn(event, sent, midnight=event in ("A03", "A08") and control % 7 == 0))
    return message(head, body)


def _evn(event: str, sent: str, *, midnight: bool) -> str:
    return segment("EVN", {1: event, 2: sent, 5: MIDNIGHT_RUN if midnight else "ADMCLERK", 6: sent[:8]})


def _admission(news: News, chart: Chart, person: Json, event: str) -> list[str]:
    if event == "A40":
        return _merge(news, chart, person)
    if chart.person() is None:
        return []
    encounter = chart.last("Encounter", news.identity) if news.identity else None
    account = chart.account(encounter) if encounter is not None else ""
    told = [pid(chart, person, account)]
    if event in _WHOLE:
        told += kin(chart, person)
    # A31 is about the person, not about a visit.
    told.append(pv1(chart, encounter, event) if encounter is not None else segment("PV1", {1: "1", 2: "N"}))
    if event in _WHOLE:
        told += al1(chart)
    told += dg1(chart, _diagnoses(chart, news.identity))
    return [*told, *cover(chart), ZFH] if event in _WHOLE else told


def _diagnoses(chart: Chart, encounter: str) -> list[Json]:
    return [
        one
        for one in chart.all("Condition")
        if visit_of(one) == (f"Encounter/{encounter}" if encounter else "")
        and status_of(one.get("verificationStatus")) != "entered-in-error"
    ]


def _merge(news: News, chart: Chart, survivor: Json) -> list[str]:
    """PID-3 the survivor, MRG-1 the retired, of the same type (vendors.md §10)."""
    retired = chart.last("Patient", news.identity)
    if retired is None:
        return []
    name = first(retired.get("name"))
    fields = {
        1: components(mrn_of(retired), "", "", "", "MR", FACILITY),
        7: components(name.get("family"), next(iter(name.get("given") or []), "")),
    }
    return [pid(chart, survivor), segment("MRG", fields)]


def _results(news: News, chart: Chart, person: Json, event: str) -> list[str]:
    return _about(chart, person, results(chart, news.identity), visit=_visit(chart, news))


def _orders(news: News, chart: Chart, person: Json, event: str) -> list[str]:
    if not is_ordered(chart, news.identity):
        return []
    return _about(chart, person, orders(chart, news.identity), visit=_visit(chart, news))


def _visit(chart: Chart, news: News) -> Json | None:
    kind, _, identity = news.identity.partition("/")
    held = chart.last(kind, identity) or {}
    reference = f"Encounter/{identity}" if kind == "Encounter" else visit_of(held)
    return chart.last("Encounter", reference.partition("/")[2]) if reference else None


def _about(chart: Chart, person: Json, told: list[str], *, visit: Json | None) -> list[str]:
    if not told:
        return []
    known = [pid(chart, person, chart.account(visit) if visit is not None else "")]
    return [*known, *([pv1(chart, visit)] if visit is not None else []), *told]


def _vaccination(news: News, chart: Chart, person: Json, event: str) -> list[str]:
    held = chart.last("Immunization", news.identity)
    if held is None:
        return []
    gone = chart.living("Immunization", news.identity) is None or held.get("status") == "entered-in-error"
    dose = held.get("doseQuantity") or {}
    when = chart.minutes(held.get("occurrenceDateTime"))
    code = held.get("vaccineCode")
    number = chart.number("Immunization", news.identity)
    told = [
        segment("ORC", {1: "RE", 3: f"IZ{number}"}),
        segment(
            "RXA",
            {
                1: "0", 2: "1", 3: when, 4: when, 5: components(coding(code, CVX), words(code), "CVX"),
                6: str(dose.get("value", "999")), 7: components(dose.get("unit"), "", "UCUM") if dose else "",
                15: components(held.get("lotNumber")), 20: "NA" if held.get("status") == "not-done" else "CP",
                21: "D" if gone else "A",
            },
        ),
    ]  # fmt: skip
    reference = visit_of(held).partition("/")[2]
    return _about(chart, person, told, visit=chart.last("Encounter", reference) if reference else None)


def _document(news: News, chart: Chart, person: Json, event: str) -> list[str]:
    held = chart.last("DocumentReference", news.identity)
    if held is None:
        return []
    gone = chart.living("DocumentReference", news.identity) is None or held.get("status") == "entered-in-error"
    when, author = chart.minutes(held.get("date")), first(held.get("author"))
    kind, text = held.get("type"), words(held.get("type"))
    number = f"DOC{chart.number('DocumentReference', news.identity):07d}"
    doctor = chart.doctor(author)
    told = [
        segment(
            "TXA",
            {
                1: "1", 2: "DS" if coding(kind, LOINC) == "18842-5" else "PN", 3: "TX", 4: when, 5: doctor, 6: when,
                9: doctor, 12: number, 17: "AU" if held.get("docStatus") == "final" else "DI",
                # unverified: how MEDITECH tells that a document is gone; CA is HL7's table 0273.
                19: "CA" if gone else "AV",
            },
        ),
        segment(
            "OBX",
            {
                1: "1", 2: "TX", 3: components("NOTE", text, LOCAL_CODES, coding(kind, LOINC), text, LOINC_CODES),
                5: components(_text_of(chart, held)), 11: "F", 14: when,
            },
        ),
    ]  # fmt: skip
    reference = visit_of(held).partition("/")[2]
    return _about(chart, person, told, visit=chart.last("Encounter", reference) if reference else None)


def _text_of(chart: Chart, document: Json) -> str:
    attachment = first(document.get("content")).get("attachment") or {}
    data = attachment.get("data")
    if data is None and "url" in attachment:
        data = (chart.living("Binary", attachment["url"].rpartition("/")[2]) or {}).get("data")
    return base64.b64decode(data).decode("utf-8", "replace") if data else ""


_BODIES: dict[str, Callable[[News, Chart, Json, str], list[str]]] = {
    "ADT": _admission,
    "MDM": _document,
    "OML": _orders,
    "ORM": _orders,
    "ORU": _results,
    "VXU": _vaccination,
}
