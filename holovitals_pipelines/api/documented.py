"""What /openapi.json says beyond the shapes: which problems a call answers with, and which roles may make it.

Law: what a call can answer is written where the call is, and what is not written there is never answered.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from holovitals_pipelines.api.problems import MEDIA_TYPE
from holovitals_pipelines.api.security import Allowed
from holovitals_pipelines.api.shapes.base import Problem

OPENS = "x-health-data-of"
FHIR = "application/fhir+json"

_SAYS = {
    400: "The request cannot be read.",
    401: "The call has no valid token.",
    403: "The token has no role that may do this.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "It contradicts what is there now.",
    410: "It was deleted; its versions stay readable.",
    412: "It has changed since it was read.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "Values are missing or do not fit; `errors` names the fields.",
    428: "Say which version was seen: If-Match.",
    429: "Too many calls; Retry-After says how long to wait.",
    502: "The vendor refused or answered with something else.",
    503: "A store, or the vendor, cannot be reached now.",
}
_OF_EVERY_CALL = (400, 401, 403, 408, 413, 422, 429, 503)


def documented(
    allowed: Allowed | None,
    *statuses: int,
    answers: dict[int, dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
    opens: str | None = None,
) -> dict[str, Any]:
    """Arguments of a route: the problems it answers with, what else it answers, and the roles that may call it.

    `allowed` None: no token is asked for. `body` describes a request body that the route takes as bytes; `opens` names
    the path parameter of the id whose health data is answered: such calls are told in the log of accesses.
    """
    responses: dict[int | str, dict[str, Any]] = {
        status: _problem(status) for status in sorted({*_OF_EVERY_CALL, *statuses})
    }
    return {
        "responses": responses | dict(answers or {}),
        "openapi_extra": {**_roles(allowed), **(body or {}), **_opening(opens)},
    }


def _roles(allowed: Allowed | None) -> dict[str, Any]:
    return {"x-roles": [role.value for role in allowed.roles]} if allowed is not None else {}


def _opening(parameter: str | None) -> dict[str, Any]:
    return {OPENS: parameter} if parameter is not None else {}


def _problem(status: int, says: str | None = None) -> dict[str, Any]:
    return {
        "description": f"{HTTPStatus(status).phrase}. {says or _SAYS[status]}",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def resource(status: int = 200, description: str = "The exact body.") -> dict[int, dict[str, Any]]:
    """An answer that is a FHIR resource, with its version as ETag."""
    return {
        status: {
            "description": description,
            "headers": {"ETag": {"description": "the version, for If-Match", "schema": {"type": "string"}}},
            "content": {FHIR: {"schema": {"type": "object"}, "example": {"resourceType": "Patient", "id": "p1"}}},
        }
    }


def not_modified() -> dict[int, dict[str, Any]]:
    return {304: {"description": "It is still what If-None-Match names."}}


_RECEIVE: dict[str, Any] = {
    "post": {
        "tags": ["webhooks"],
        "summary": "Receive",
        "operationId": "receive_webhook",
        "description": "Where vendors send events. The raw body is verified by its signature and stored, then "
        "answered; no token of this API is asked for. Without a token in the path, the signature finds the webhook.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {}, "example": {"event": "PATIENT_UPDATED", "resourceId": "1"}}},
        },
        "responses": {
            "202": {
                "description": "It is stored, and will be processed.",
                "content": {"application/json": {"schema": {"type": "object"}, "example": {"status": "received"}}},
            },
            **{
                str(status): _problem(status, says)
                for status, says in (
                    (401, "No webhook vouches for the delivery."),
                    (408, "It took too long to arrive."),
                    (413, "It is too large."),
                    (503, "It could not be stored: send it again."),
                )
            },
        },
    }
}


class DocumentedApi(FastAPI):
    """A FastAPI application whose document knows our problems."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            told = super().openapi()
            schema = Problem.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
            schemas = told.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(schema.pop("$defs", {}))
            schemas["Problem"] = schema
            told["paths"]["/api/sync/webhooks/receive"] = _RECEIVE
            token = {"name": "token", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            with_token = {**_RECEIVE["post"], "parameters": [token], "operationId": "receive_webhook_of_token"}
            told["paths"]["/api/sync/webhooks/receive/{token}"] = {"post": with_token}
            for path in told["paths"].values():
                for operation in path.values():
                    _name_roles(operation)
            self.openapi_schema = told
        return self.openapi_schema


def _name_roles(operation: dict[str, Any]) -> None:
    roles = operation.get("x-roles")
    if roles:
        operation["description"] = f"{operation.get('description', '')}\n\nRoles: {', '.join(roles)}.".strip()
