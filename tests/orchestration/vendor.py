"""A small vendor in a real sandbox: two dozen resources, and what a test does behind its back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from holovitals_pipelines.sandbox.process import RunningSandbox
from tests.local_http import LOCAL

TYPES = ("Patient", "Condition", "Observation")
"""The types the test connections offer, in processing order."""

PATIENTS = 4
OBSERVATIONS_EACH = 3


def patient(identity: str, family: str = "Doe") -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": identity,
        "identifier": [{"system": "urn:mrn", "value": identity}],
        "name": [{"family": family, "given": ["Ada"]}],
        "gender": "female",
        "birthDate": "1980-02-01",
    }


def condition(identity: str, subject: str) -> dict[str, Any]:
    status = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    return {
        "resourceType": "Condition",
        "id": identity,
        "clinicalStatus": {"coding": [{"system": status, "code": "active"}]},
        "code": {"text": "Asthma"},
        "subject": {"reference": f"Patient/{subject}"},
    }


def observation(identity: str, subject: str, value: float = 5.4) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"text": "Glucose"},
        "subject": {"reference": f"Patient/{subject}"},
        "effectiveDateTime": "2026-05-01",
        "valueQuantity": {"value": value, "unit": "mmol/L"},
    }


def write_population(path: Path) -> None:
    """One NDJSON file with everything the vendor holds."""
    people = [f"p{number}" for number in range(PATIENTS)]
    resources = [patient(one) for one in people]
    resources += [condition(f"c-{one}", one) for one in people]
    resources += [observation(f"o-{one}-{number}", one) for one in people for number in range(OBSERVATIONS_EACH)]
    path.write_text("".join(json.dumps(resource) + "\n" for resource in resources), encoding="utf-8")


@dataclass(frozen=True)
class Vendor:
    """The running sandbox, seen from behind: what it holds, edits, faults, and the requests it was sent."""

    running: RunningSandbox

    @property
    def address(self) -> str:
        return self.running.base_urls["fhir"]

    def holds(self) -> dict[str, int]:
        return {name: self._admin("GET", "counts").json()["fhir"].get(name, 0) for name in TYPES}

    def put(self, resource: Mapping[str, Any]) -> None:
        self._admin("PUT", f"fhir/{resource['resourceType']}/{resource['id']}", resource)

    def held(self, resource_type: str, identity: str) -> dict[str, Any]:
        """The resource as the vendor has it now."""
        answer: dict[str, Any] = self._admin("GET", f"fhir/{resource_type}/{identity}").json()
        return answer

    def delete(self, resource_type: str, identity: str) -> None:
        self._admin("DELETE", f"fhir/{resource_type}/{identity}")

    def requests(self) -> list[dict[str, Any]]:
        """Since the last `forget_requests`, oldest first."""
        answer: list[dict[str, Any]] = self._admin("GET", "requests?dialect=fhir").json()
        return answer

    def forget_requests(self) -> None:
        self._admin("DELETE", "requests")

    @contextmanager
    def fault(self, **declared: Any) -> Iterator[None]:
        """The fault for as long as the block lasts, however often it is met unless `times` says otherwise."""
        self._admin("POST", "faults", {"times": 0, **declared})
        try:
            yield
        finally:
            self._admin("DELETE", "faults")

    @contextmanager
    def turned(self, **knobs: Any) -> Iterator[None]:
        """Some of its settings otherwise for as long as the block lasts."""
        before = self._admin("GET", "fhir/settings").json()
        self._admin("POST", "fhir/settings", knobs)
        try:
            yield
        finally:
            self._admin("POST", "fhir/settings", {name: before[name] for name in knobs})

    def _admin(self, method: str, path: str, body: Any = None) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        answer = LOCAL.request(method, f"{self.running.admin_url}/{path}", content=content, timeout=30)
        answer.raise_for_status()
        return answer
