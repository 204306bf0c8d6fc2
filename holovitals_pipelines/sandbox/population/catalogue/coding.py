"""Code systems, and coded phrases serialised once."""

from __future__ import annotations

from typing import Any

import orjson

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CVX = "http://hl7.org/fhir/sid/cvx"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
UCUM = "http://unitsofmeasure.org"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"


def ready(value: Any) -> orjson.Fragment:
    """JSON serialised once: most of a resource is the same coded phrases over and over."""
    return orjson.Fragment(orjson.dumps(value))


def coded(system: str, code: str, display: str) -> orjson.Fragment:
    return ready({"coding": [{"system": system, "code": code, "display": display}], "text": display})


def flag(system: str, code: str, display: str | None = None) -> orjson.Fragment:
    """A CodeableConcept of HL7's own terminology."""
    coding = {"system": f"{TERMINOLOGY}/{system}", "code": code}
    return ready({"coding": [coding | {"display": display} if display else coding]})
