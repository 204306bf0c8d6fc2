"""Bodies taken as the bytes they are, where a digit lost in parsing would be a value changed.

Law: nothing is parsed here but the media type.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from holovitals_pipelines.api.documented import FHIR
from holovitals_pipelines.api.problems import ApiError

_TAKEN = (FHIR, "application/json")


async def exact_body(request: Request) -> bytes:
    """The body's bytes. Raises ApiError (`api.media_type`, 415) unless it says that it is JSON."""
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if named not in _TAKEN:
        raise ApiError(
            "the body does not say that it is FHIR JSON",
            code="api.media_type",
            place="Content-Type",
            remedy=f"send Content-Type: {FHIR}",
        )
    return await request.body()


ResourceBody = Annotated[bytes, Depends(exact_body)]
RESOURCE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            FHIR: {
                "schema": {
                    "type": "object",
                    "required": ["resourceType"],
                    "properties": {"resourceType": {"type": "string"}},
                },
                "example": {"resourceType": "Patient", "id": "p1", "birthDate": "1951-02-03"},
            }
        },
    }
}
