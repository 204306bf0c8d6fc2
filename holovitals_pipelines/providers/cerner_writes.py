"""What Oracle Health lets a client write, and where a patch may change what (vendors.md §4.3, fhir.cerner.com)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from holovitals_pipelines.model.writing import UnitWrite

WRITTEN: Final = frozenset({
    "AllergyIntolerance", "Appointment", "Communication", "Condition", "Coverage", "DiagnosticReport",
    "DocumentReference", "Encounter", "FamilyMemberHistory", "Immunization", "MedicationRequest", "Observation",
    "Organization", "Patient", "Practitioner", "Procedure", "Provenance", "QuestionnaireResponse", "RelatedPerson",
})  # fmt: skip
"""Types that can be created, updated or patched: for them a scope to write is asked for."""

RESTRICTED: Final[Mapping[str, Mapping[str, UnitWrite]]] = {
    # reaction.manifestation cannot be changed either, reaction.severity can: that is left to the vendor's own refusal.
    "AllergyIntolerance": {
        "code": UnitWrite.IMMUTABLE,
        "patient": UnitWrite.IMMUTABLE,
        "note": UnitWrite.APPEND_ONLY,
    },
    "Observation": {"subject": UnitWrite.IMMUTABLE, "category": UnitWrite.IMMUTABLE},
}
"""Elements that an update of the whole cannot simply change."""


def _offered(lines: str) -> Mapping[str, frozenset[str]]:
    split = (line.split() for line in lines.splitlines())
    return MappingProxyType({path: frozenset(operations) for path, *operations in split})


def _items(element: str, *members: str) -> str:
    """A list whose items come and go, and of which these members can be changed, each after a test of the item's id."""
    item = f"/{element}/{{index}}"
    lines = [f"/{element}/- add", f"{item}/id test", f"{item} remove"]
    return "\n".join([*lines, *(f"{item}/{member} replace" for member in members)]) + "\n"


def _name(*more: str) -> str:
    members = ("family", "given", "prefix", "suffix", *more)
    return "/name/{index}/id test\n" + "\n".join(f"/name/{{index}}/{name} replace" for name in members) + "\n"


PATCHES: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "Patient": _offered(
        _items("identifier", "system", "value", "period")
        + _name("period")
        + _items("telecom", "value", "rank", "extension", "period")
        + _items("address", "line", "city", "district", "state", "postalCode", "country", "period")
        + _items("generalPractitioner")
        + "/gender replace\n/birthDate replace\n/maritalStatus replace\n/communication replace"
    ),
    "RelatedPerson": _offered(
        _items("identifier") + _items("relationship") + _items("telecom") + _items("address") + _name()
    ),
    "Encounter": _offered("/period/start replace\n/period/end replace\n/type replace"),
    "MedicationRequest": _offered("/status replace"),
    "Appointment": _offered(
        "/status replace\n/slot add replace\n/reasonCode add\n/cancelationReason add\n/comment replace"
    ),
    "Coverage": _offered("/dependent replace\n/period replace\n/relationship replace\n/subscriberId replace"),
}
"""By type, template of a path → operations. Extensions are left out: only some can be changed, by their urls."""


def patched_elements(resource_type: str) -> tuple[Mapping[str, UnitWrite], UnitWrite] | None:
    """What patches of a type can change, and what may be done with the rest; None for a type without known paths."""
    if resource_type not in PATCHES:
        return None
    elements = {template.split("/")[1] for template in PATCHES[resource_type]}
    return MappingProxyType(dict.fromkeys(sorted(elements), UnitWrite.WRITABLE)), UnitWrite.READ_ONLY
