"""A Binary as FHIR R4 serves it: as itself where the Accept header names its media type, else as a resource."""

from __future__ import annotations

from base64 import b64decode

import orjson
from starlette.requests import Request
from starlette.responses import Response


def as_itself(request: Request, binary: bytes) -> Response | None:
    """The content alone, exactly; None where the client did not ask for its media type."""
    held = orjson.loads(binary)
    media_type = str(held.get("contentType", "")).partition(";")[0].strip().lower()
    asked = [one.partition(";")[0].strip().lower() for one in request.headers.get("accept", "").split(",")]
    if not media_type or media_type not in asked:
        return None
    return Response(b64decode(held.get("data", "")), headers={"Content-Type": str(held["contentType"])})
