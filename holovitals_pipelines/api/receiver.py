"""Where vendors' webhooks arrive: the raw bytes go to the receiver as they came, and its answer goes back.

Law: nothing is parsed here; what is too large or too slow is refused without being read to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from holovitals_pipelines.engine.webhooks.receiving import LARGEST_BODY, TOO_LARGE, TOO_SLOW, Answer, Receiver
from holovitals_pipelines.engine.webhooks.registration import RECEIVE_PATH
from holovitals_pipelines.providers.webhooks.notices import safe_id, safe_type

QUICK_SECONDS = 2.0
"""A delivery that takes longer to arrive is looked up: its webhook says how long it may take."""


def receiver_routes(get_receiver: Callable[[], Receiver]) -> list[Route]:
    """`POST /api/sync/webhooks/receive/{token}` and its like. They ask for no token of the API: signatures vouch.

    FHIR R4 servers that send a payload add type and id to the address; healow says DELETE without a body.
    """

    async def receive(request: Request) -> Response:
        answer = await _taken(get_receiver(), request)
        return Response(answer.body, answer.status, dict(answer.headers))

    methods = ["POST", "PUT", "DELETE"]
    return [
        Route(RECEIVE_PATH, receive, methods=methods, name="receive_without_token"),
        Route(f"{RECEIVE_PATH}/{{token}}", receive, methods=methods, name="receive"),
        Route(f"{RECEIVE_PATH}/{{token}}/{{type}}/{{id}}", receive, methods=methods, name="receive_resource"),
    ]


async def _taken(receiver: Receiver, request: Request) -> Answer:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > LARGEST_BODY:
        return TOO_LARGE
    token: str | None = request.path_params.get("token")
    reading = asyncio.ensure_future(_body(request))
    try:
        done, _ = await asyncio.wait({reading}, timeout=QUICK_SECONDS)
        if not done:
            allowed = await receiver.seconds_to_arrive(token)
            done, _ = await asyncio.wait({reading}, timeout=max(0.0, allowed - QUICK_SECONDS))
        if not done:
            return TOO_SLOW
        raw = reading.result()
    except ClientDisconnect:
        return TOO_SLOW  # nobody is there to read it
    finally:
        reading.cancel()
    if raw is None:
        return TOO_LARGE
    return await receiver.receive(token, _headers(request), raw, datetime.now(UTC), about=_about(request))


async def _body(request: Request) -> bytes | None:
    """All of it; None as soon as it is too much."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _headers(request: Request) -> dict[str, str]:
    """By lower-case name; one that was sent twice is joined, as HTTP has it."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _about(request: Request) -> tuple[str, str] | None:
    kind, identity = safe_type(request.path_params.get("type")), safe_id(request.path_params.get("id"))
    return (kind, identity) if kind is not None and identity is not None else None
