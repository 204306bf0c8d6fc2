"""A small clinic of our own: valid resources of many types, as NDJSON files with the counts and ids to expect."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_TEXT = {"text": "x"}
_DRAFTS: dict[str, dict[str, Any]] = {
    "Observation": {"status": "final", "code": _TEXT},
    "Condition": {"code": _TEXT},
    "Encounter": {"status": "finished", "class": {"code": "AMB"}},
    "Immunization": {"status": "completed", "vaccineCode": _TEXT, "occurrenceDateTime": "2026-01-02"},
    "Procedure": {"status": "completed", "code": _TEXT},
    "DiagnosticReport": {"status": "final", "code": _TEXT},
    "AllergyIntolerance": {"code": _TEXT},
    "MedicationRequest": {"status": "active", "intent": "order", "medicationCodeableConcept": _TEXT},
    "CarePlan": {"status": "active", "intent": "plan"},
    "CareTeam": {"status": "active"},
}
_ABOUT = {"Immunization": "patient", "AllergyIntolerance": "patient"}
CLINICAL_TYPES = tuple(_DRAFTS)


def patient(number: int, family: str = "Doe", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": family}], "gender": "female", **more}


def clinical(resource_type: str, number: int, about: str = "p0") -> dict[str, Any]:
    """A valid resource of the type about a patient."""
    about_patient = {_ABOUT.get(resource_type, "subject"): {"reference": f"Patient/{about}"}}
    identity = f"{resource_type.lower()}-{number}"
    return {"resourceType": resource_type, "id": identity, **_DRAFTS[resource_type], **about_patient}


def line(resource: dict[str, Any]) -> bytes:
    """The resource as the server's software writes it: without spaces."""
    return json.dumps(resource, separators=(",", ":")).encode()


def write_clinic(folder: Path, *, patients: int, each: int, types: tuple[str, ...] = CLINICAL_TYPES) -> Path:
    """`folder` with a file a type and an `expected.json` worked out here, not by the program."""
    folder.mkdir(parents=True)
    held = {"Patient": [patient(n) for n in range(patients)]}
    held |= {name: [clinical(name, n, f"p{n % patients}") for n in range(each)] for name in types}
    expected = {}
    for name, resources in held.items():
        (folder / f"{name}.ndjson").write_bytes(b"".join(line(resource) + b"\n" for resource in resources))
        ids = sorted(resource["id"] for resource in resources)
        digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
        expected[name] = {"count": len(ids), "ids_sha256": digest}
    total = sum(one["count"] for one in expected.values())
    (folder / "expected.json").write_text(json.dumps({"total": total, "types": expected}), encoding="utf-8")
    return folder
