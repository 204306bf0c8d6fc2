"""Epic's refusals: an OperationOutcome with one of Epic's codes, and what makes it refuse a create (vendors.md §3)."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from holovitals_pipelines.sandbox.facts.epic import CODES
from holovitals_pipelines.sandbox.protocols import search
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_response, outcome
from holovitals_pipelines.sandbox.site import Site


def epic_issue(code: str) -> dict[str, Any]:
    severity, kind, text = CODES[code]
    coding = {"system": "urn:oid:1.2.840.114350.1.13.861.1.7.2.657369", "code": code, "display": text}
    return {"severity": severity, "code": kind, "details": {"coding": [coding], "text": text}, "diagnostics": text}


def epic_refusal(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    return fhir_response(outcome(epic_issue(code)), status, headers)


def create_problem(site: Site, kind: str, sent: dict[str, Any]) -> Response | None:
    """59108 without a patient, 59144 with an unknown one, 59141 for what is there already, 59188 without a row."""
    if sent.get("resourceType") != kind:
        return epic_refusal(400, "59102")
    if kind == "Patient":
        keys = [f"{i.get('system', '')}|{i['value']}" for i in sent.get("identifier", []) if i.get("value")]
        return _duplicate(site, kind, site.records.in_order(kind), "identifier", keys)
    reference = str((sent.get("patient") or sent.get("subject") or {}).get("reference", ""))
    patient = reference.rpartition("/")[2]
    needs_patient = kind in ("AllergyIntolerance", "Condition")
    if (needs_patient or "Patient/" in reference) and site.records.number("Patient", patient) is None:
        return epic_refusal(400, "59108" if needs_patient else "59144")
    if kind == "Observation" and site.settings.unmapped_codes:
        unmapped = search.matcher(kind, [("code", ",".join(site.settings.unmapped_codes))])
        return epic_refusal(400, "59188") if unmapped is not None and unmapped(orjson.dumps(sent)) else None
    if not needs_patient:
        return None
    codings = [f"{coding.get('system')}|{coding.get('code')}" for coding in sent["code"].get("coding", [])]
    return _duplicate(site, kind, site.records.in_chart(kind, patient), "code", codings)


def _duplicate(site: Site, kind: str, numbers: Any, parameter: str, tokens: list[str]) -> Response | None:
    """59141 when one of the numbers has one of the tokens already."""
    keep = search.matcher(kind, [(parameter, ",".join(tokens))]) if tokens else None
    known = keep is not None and any((body := site.records.body(n)) and keep(body) for n in numbers)
    return epic_refusal(400, "59141") if known else None
