"""What Oracle Health refuses in the content of a write (vendors.md §4.3): issue codes and statuses are the vendor's.

Law: these rules are the API's alone; a clinician's edit at the vendor knows none of them.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from holovitals_pipelines.fhir.exact import exactly_equal, read_document
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sandbox.dialects.cerner_answers import refusal
from holovitals_pipelines.sandbox.facts.cerner import CONDITION_CATEGORIES, NO_KNOWN_ALLERGY, OBSERVATION_CATEGORIES
from holovitals_pipelines.sandbox.protocols.search import values_at
from holovitals_pipelines.sandbox.site import Site


def content_problem(site: Site, kind: str, sent: Document, held: Document | None) -> Response | None:
    """The refusal of a create (`held` is None) or of an update; None for content that is taken."""
    if "implicitRules" in sent:
        return refusal(422, "not-supported", "implicitRules is not supported")
    if _holds(sent, "modifierExtension"):
        return refusal(422, "extension", "modifier extensions are not supported")
    for refused in site.settings.unsupported:
        of, _, element = refused.partition(".")
        if of == kind and element in sent:
            return _rule(f"{element} is not supported")
    words = _RULES[kind](site, sent, held) if kind in _RULES else None
    return None if words is None else _rule(words)


def same_allergy(site: Site, sent: Document) -> int | None:
    """The number of the patient's allergy to the same thing: a duplicate updates it (vendors.md §1.2)."""
    codes = _codes(sent, "code.coding")
    patient = str(sent.get("patient", {}).get("reference", "")).rpartition("/")[2]
    for number, held in _chart(site, "AllergyIntolerance", patient):
        if codes & _codes(held, "code.coding"):
            return number
    return None


def _rule(words: str) -> Response:
    return refusal(422, "business-rule", words)


def _allergy(site: Site, sent: Document, held: Document | None) -> str | None:
    if held is not None:
        for path in ("code", "patient", "reaction.manifestation"):
            if not exactly_equal(values_at(sent, path), values_at(held, path)):
                return f"{path} cannot be changed"
        return None
    patient = str(sent.get("patient", {}).get("reference", "")).rpartition("/")[2]
    known = [other for _, other in _chart(site, "AllergyIntolerance", patient)]
    active = any("active" in _codes(other, "clinicalStatus.coding") for other in known)
    if _codes(sent, "code.coding") & NO_KNOWN_ALLERGY and active:
        return "no known allergy contradicts an active allergy"
    return None


def _condition(site: Site, sent: Document, held: Document | None) -> str | None:
    fits = _codes(sent, "category.coding") & CONDITION_CATEGORIES
    return None if fits else "the category is neither problem-list-item nor encounter-diagnosis"


def _observation(site: Site, sent: Document, held: Document | None) -> str | None:
    if held is None:
        return None
    if not _codes(held, "category.coding") & OBSERVATION_CATEGORIES:
        return "only laboratory and vital-signs are updated"
    for element in ("subject", "category"):
        if not exactly_equal(sent.get(element), held.get(element)):
            return f"{element} cannot be changed"
    return None


def _document(site: Site, sent: Document, held: Document | None) -> str | None:
    types = values_at(sent, "content.attachment.contentType")
    xhtml = all(str(named).partition(";")[0] == "application/xhtml+xml" for named in types)
    return None if held is not None or (types and xhtml) else "the content is not XHTML"


def _appointment(site: Site, sent: Document, held: Document | None) -> str | None:
    return None if sent.get("status") in ("proposed", "booked") else "the status is neither proposed nor booked"


_RULES = {
    "AllergyIntolerance": _allergy,
    "Appointment": _appointment,
    "Condition": _condition,
    "DocumentReference": _document,
    "Observation": _observation,
}


def _chart(site: Site, kind: str, patient: str) -> list[tuple[int, Document]]:
    from_chart = site.records.live(kind, site.records.in_chart(kind, patient))
    return [(n, read_document(body)) for n in from_chart if (body := site.records.body(n)) is not None]


def _codes(document: Document, path: str) -> set[str]:
    return {str(code) for code in values_at(document, f"{path}.code")}


def _holds(value: Any, name: str) -> bool:
    if isinstance(value, dict):
        return name in value or any(_holds(inner, name) for inner in value.values())
    return isinstance(value, list) and any(_holds(inner, name) for inner in value)
