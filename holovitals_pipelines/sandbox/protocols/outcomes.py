"""Answers in FHIR's own words: resources, empty acknowledgements and OperationOutcomes, as HTTP responses."""

from __future__ import annotations

import re
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

FHIR_JSON = "application/fhir+json"


def fhir_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type=FHIR_JSON)


def issue(severity: str, code: str, text: str) -> dict[str, Any]:
    return {"severity": severity, "code": code, "details": {"text": text}, "diagnostics": text}


def outcome(*issues: dict[str, Any]) -> bytes:
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": list(issues)})


def refusal(
    status: int, code: str, text: str, headers: dict[str, str] | None = None, *, severity: str = "error"
) -> Response:
    return fhir_response(outcome(issue(severity, code, text)), status, headers)


def origin(request: Request) -> str:
    """Scheme and host as the client addressed them: links must lead back the way the request came."""
    return f"http://{request.headers.get('host', 'localhost')}"


_WORDS = {"metadata", "_history", "_search", "oauth2", "token", "bulk", "status", "files", ".well-known"}
_WORDS |= {"smart-configuration", "api", "FHIR", "R4", "r4", "bulk-export", "jobs", "storage", "oauth"}
_TYPE = re.compile(r"[A-Z][A-Za-z]+\Z")


def fhir_template(path: str) -> str:
    """A FHIR path without ids: `Observation/a1` → `Observation/{id}`, `files/a1/Condition.1.ndjson` → `…/Condition`."""
    parts = path.strip("/").split("/")
    shown = []
    for place, part in enumerate(parts):
        if part in _WORDS or part.startswith("$") or (_TYPE.match(part) and (place == 0 or parts[place - 1] == "R4")):
            shown.append(part)
        elif part.endswith(".ndjson"):
            shown.append(part.split(".")[0])
        else:
            shown.append("{id}")
    return "/".join(shown)
