"""Addresses of code systems: HL7's own moved to terminology.hl7.org with R4.

Law: each address has one successor and is the predecessor of one; others stay as they are.
"""

from __future__ import annotations

import re

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_BEFORE = "http://hl7.org/fhir/"

_MOVED = """
admit-source allergyintolerance-clinical allergyintolerance-verification condition-category condition-clinical
condition-ver-status data-absent-reason diagnosis-role diet discharge-disposition encounter-type
location-physical-type observation-category organization-type participant-type referencerange-meaning
service-category service-type
"""

_SUCCESSORS = {f"{_BEFORE}{name}": f"{TERMINOLOGY}{name}" for name in _MOVED.split()}

_of_v2_or_v3 = re.compile(r"http://hl7\.org/fhir/(v[23])/([A-Za-z0-9.-]+)").fullmatch


def system_in_r4(system: str) -> str:
    """`http://hl7.org/fhir/v3/ActCode` is `http://terminology.hl7.org/CodeSystem/v3-ActCode` in R4."""
    found = _of_v2_or_v3(system)
    if found:
        return f"{TERMINOLOGY}{found[1]}-{found[2]}"
    return _SUCCESSORS.get(system, system)
