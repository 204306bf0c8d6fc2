"""One patient's records as MEDITECH's messages need them: documents of the chart, numbers, people and places by name.

Law: a number is a function of the record, so that a message sent again names the same visit, order and specimen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.sandbox.dialects.meditech_hl7 import components, local_minutes
from holovitals_pipelines.sandbox.facts.meditech import FACILITY
from holovitals_pipelines.sandbox.site import Site

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """The view of a site from one patient's chart; `zone` is that of the site's clocks."""

    site: Site
    patient: str
    zone: ZoneInfo

    def person(self) -> Json | None:
        return self.living("Patient", self.patient)

    def living(self, kind: str, identity: str) -> Json | None:
        number = self.site.records.number(kind, identity)
        body = None if number is None else self.site.records.body(number)
        return None if body is None else read_document(body)

    def last(self, kind: str, identity: str) -> Json | None:
        """The record as it stands, or as it last stood."""
        number = self.site.records.number(kind, identity)
        if number is None:
            return None
        bodies = [version.body for version in self.site.records.history(number) if version.body is not None]
        return read_document(bodies[-1]) if bodies else None

    def all(self, kind: str) -> list[Json]:
        """In the order they came."""
        records = self.site.records
        numbers = records.live(kind, records.in_chart(kind, self.patient))
        return [read_document(body) for number in numbers if (body := records.body(number)) is not None]

    def number(self, kind: str, identity: str) -> int:
        """The record's own number at the site, by which its visit, order or specimen is called."""
        number = self.site.records.number(kind, identity)
        assert number is not None, "only what the site holds is shown"
        return number

    def account(self, encounter: Json) -> str:
        return f"MA{self.number('Encounter', encounter['id']):07d}"

    def minutes(self, text: str | None) -> str:
        return local_minutes(text, self.zone) if text else ""

    def referred(self, reference: Json | None) -> Json | None:
        kind, _, identity = (reference or {}).get("reference", "").rpartition("/")
        return self.living(kind.rpartition("/")[2], identity) if kind else None

    def doctor(self, reference: Json | None, *, short: bool = False) -> str:
        """`DOCX^Doc^Test^^^^^^^^^^XX`; the short form ends with the name."""
        held = self.referred(reference)
        name = first((held or {}).get("name"))
        if not name:
            return ""
        family, given = name.get("family", ""), " ".join(filter(None, name.get("given") or []))
        known = f"{family[:3]}{given[:1]}".upper() + str(self.number("Practitioner", (held or {})["id"]) % 100)
        return components(known, family, given, *([] if short else [None] * 9 + ["XX"]))

    def place(self, encounter: Json, kind: str) -> str:
        """PV1-3: a unit, and room and bed where somebody is admitted."""
        held = self.referred((first(encounter.get("location")) or {}).get("location"))
        if held is None:
            return FACILITY
        unit = "".join(word[:3] for word in str(held.get("name", "")).upper().split())[:10] or FACILITY
        room = self.number("Encounter", encounter["id"]) % 400
        return components(unit, f"U{room:03d}", "1") if kind == "I" else components(unit)

    def ever(self, kind: str, encounter: str) -> list[Json]:
        """Of a visit, also what has been deleted since."""
        records, wanted = self.site.records, f"Encounter/{encounter}"
        held = (self.last(kind, records.identity(number)) for number in records.in_chart(kind, self.patient))
        return [one for one in held if one is not None and visit_of(one) == wanted]


def first(values: Any) -> Json:
    return values[0] if values else {}


def visit_of(resource: Json) -> str:
    """`Encounter/{id}` of the visit a record belongs to; empty where it belongs to none."""
    within = (first((resource.get("context") or {}).get("encounter")), resource.get("encounter") or {})
    return next((one["reference"] for one in within if "reference" in one), "")


def coding(concept: Any, system: str) -> str:
    """The concept's code in a system, else empty."""
    codings = (concept or {}).get("coding") or []
    return next((one.get("code", "") for one in codings if one.get("system") == system), "")


def words(concept: Any) -> str:
    """What a person reads of the concept."""
    concept = concept or {}
    codings = concept.get("coding") or []
    return str(concept.get("text") or next((one["display"] for one in codings if one.get("display")), ""))


def status_of(concept: Any) -> str:
    return str(first((concept or {}).get("coding")).get("code", ""))
