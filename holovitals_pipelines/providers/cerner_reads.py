"""How Oracle Health's types are read (vendors.md §4.2), and what becomes of rows that come twice or not at all.

Law: of a row that comes several times the latest stands, and a record the vendor cannot show is told, not passed over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.fhir.wire import MalformedResource, read_head
from holovitals_pipelines.model.errors import TransientError
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.providers.cerner_errors import REQUIRED_MISSING
from holovitals_pipelines.providers.fhir_rest import Found


@dataclass(frozen=True, slots=True)
class CernerType:
    """How one type is read for one patient: whether `_lastUpdated` narrows it, the largest page, fixed parameters."""

    timed: bool = False
    most_count: int = 1000
    params: tuple[tuple[str, str], ...] = ()


_WHOLE, _TIMED = CernerType(), CernerType(timed=True)

CERNER_TYPES: Mapping[str, CernerType] = {
    "Patient": _WHOLE,
    "RelatedPerson": _WHOLE,
    "Device": _WHOLE,
    "Coverage": _WHOLE,
    "Encounter": _TIMED,
    # A date is required. unverified: that the search goes back so far.
    "Appointment": CernerType(params=(("date", "ge1900-01-01T00:00:00.000Z"),)),
    "AllergyIntolerance": _TIMED,
    "Condition": _TIMED,
    "FamilyMemberHistory": _WHOLE,
    "CareTeam": _WHOLE,
    "Goal": _WHOLE,
    "CarePlan": _WHOLE,
    "NutritionOrder": _TIMED,
    "ServiceRequest": _TIMED,
    "MedicationRequest": _TIMED,
    "MedicationDispense": _TIMED,
    "MedicationAdministration": _WHOLE,
    "Immunization": _TIMED,
    "Procedure": _TIMED,
    "Observation": CernerType(timed=True, most_count=200),
    "DiagnosticReport": _TIMED,
    "QuestionnaireResponse": _WHOLE,
    "DocumentReference": CernerType(timed=True, most_count=100),
    "Consent": _WHOLE,
}
"""What can be searched by patient (vendors.md §4.2)."""

SHARED_TYPES = ("Organization", "Location", "Practitioner")
"""Of no patient: they come with a Group's export only."""

EXPORTED = frozenset({
    *SHARED_TYPES, "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Device", "DiagnosticReport",
    "DocumentReference", "Encounter", "Goal", "Immunization", "MedicationRequest", "Observation", "Patient",
    "Procedure",
})  # fmt: skip


async def latest(pages: AsyncIterator[Found]) -> AsyncIterator[Found]:
    """Without the rows that came before: the same id can be on several pages, and the latest of them counts.

    One that was changed meanwhile is handed on again: what is read later stands.
    """
    seen: dict[str, tuple[datetime | None, bytes]] = {}
    """By id, when the row handed on last was updated, and its hash."""
    async for found in pages:
        fresh = []
        for body in found.bodies:
            try:
                head = read_head(body)
            except MalformedResource:
                fresh.append(body)  # quarantined by who takes it, with its bytes
                continue
            updated, before = seen.get(head.id, (None, b""))
            older = updated is not None and head.last_updated is not None and head.last_updated < updated
            if (now := content_hash(body)) != before and not older:
                seen[head.id] = (head.last_updated, now)
                fresh.append(body)
        yield replace(found, bodies=fresh)


async def readable(pages: AsyncIterator[Found], resource_type: str, source: str) -> AsyncIterator[Found]:
    """What can be read; a record that the vendor cannot show, however often it is asked, ends it as a problem."""
    try:
        async for found in pages:
            yield found
    except TransientError as error:
        if error.code != REQUIRED_MISSING.code:
            raise
        problem = Problem(error.code, error.message, error.remedy, source, resource_type=resource_type)
        yield Found(problems=[problem], partial=True)
