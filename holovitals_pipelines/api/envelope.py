"""What is around every call: its id, its size, its headers, its time, and one line in the log.

Law: the log has the route, never the path or the query, so no id and nothing that was searched for is in it.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from datetime import UTC, datetime
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holovitals_pipelines.api.documented import OPENS
from holovitals_pipelines.api.problems import unexpected
from holovitals_pipelines.api.security import CALLER
from holovitals_pipelines.api.state import ApiState
from holovitals_pipelines.engine.access_log import Access, write_access
from holovitals_pipelines.engine.tokens import Caller
from holovitals_pipelines.engine.webhooks.registration import RECEIVE_PATH

log = logging.getLogger("holovitals.api")

UNMATCHED = "(no such call)"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
_NOT_KEPT = "no-store"


class Envelope:
    """An ASGI application around the API. One call may send `max_body_bytes`, within `body_seconds`."""

    def __init__(self, app: ASGIApp, state: ApiState, max_body_bytes: int, body_seconds: float) -> None:
        self._app, self._state, self._most, self._seconds = app, state, max_body_bytes, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call_id = str(uuid4())
        scope["holovitals.call"] = call_id
        call = _Call(scope, call_id, self._state)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                if not call.access_told:
                    call.access_told = True
                    self._tell_access(scope, message, call_id)
                call.status = message["status"]
                _add_headers(MutableHeaders(scope=message), scope, call_id)
            elif not message.get("more_body"):
                call.tell()  # before the last byte: who has the answer finds it told
            await send(message)

        try:
            await self._app(scope, self._bounded(scope, receive), answer)
        except Exception as error:  # noqa: BLE001 what nobody expected must not reach the server's log with its text
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("unexpected %s in %s, call %s\n%s", type(error).__name__, _route(scope), call_id, frames)
            if call.status is not None:
                raise ConnectionAbortedError from None  # half an answer is out: the server ends the connection
            await unexpected(call_id, error)(scope, receive, answer)
        finally:
            call.tell()

    def _tell_access(self, scope: Scope, started: Message, call_id: str) -> None:
        """Of calls that answer health data, by somebody who is known."""
        parameter = (getattr(scope.get("route"), "openapi_extra", None) or {}).get(OPENS)
        caller: Caller | None = scope.get(CALLER)
        if parameter is None or caller is None or self._state.home is None:
            return
        subject = Headers(raw=started["headers"]).get("x-record-id") or scope.get("path_params", {}).get(parameter)
        call = f"{scope['method']} {_route(scope)}"
        access = Access(datetime.now(UTC), caller.name, call, started["status"], subject, call_id)
        write_access(self._state.home, access)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` that ends the call with 413 when it is told of, or has received, too much, with 408 when it waits
        too long for the rest. The receiver of webhooks has a time limit of its own."""
        declared = Headers(scope=scope).get("content-length", "")
        too_much = declared.isdecimal() and int(declared) > self._most
        timed = not scope["path"].startswith(RECEIVE_PATH)
        until = time.monotonic() + self._seconds
        received, whole = 0, False

        async def bounded() -> Message:
            nonlocal received, whole
            if too_much:
                raise HTTPException(413)
            if whole or not timed:
                message = await receive()
            else:
                try:
                    message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
                except TimeoutError:
                    raise HTTPException(408, headers={"Connection": "close"}) from None
            received += len(message.get("body", b""))
            whole = whole or not message.get("more_body", False)
            if received > self._most:
                raise HTTPException(413)
            return message

        return bounded


class _Call:
    """One call's numbers, told once."""

    def __init__(self, scope: Scope, call_id: str, state: ApiState) -> None:
        self._scope, self._call_id, self._meters = scope, call_id, state.meters
        self._began = time.perf_counter()
        self._told = False
        self.access_told = False
        """Or could not be: then the answer is that it failed."""
        self.status: int | None = None

    def tell(self) -> None:
        if self._told:
            return
        self._told = True
        seconds = time.perf_counter() - self._began
        route, status = _route(self._scope), self.status or 500
        method = self._scope["method"] if self._scope["method"] in _METHODS else "OTHER"
        self._meters.answered(method, route, status, seconds)
        log.info("%s %s %d %.1f ms %s", method, route, status, seconds * 1000, self._call_id)


def _add_headers(headers: MutableHeaders, scope: Scope, call_id: str) -> None:
    headers["X-Request-Id"] = call_id
    for name, value in _HEADERS.items():
        headers[name] = value
    if scope["path"].startswith("/api/") and "cache-control" not in headers:
        headers["Cache-Control"] = _NOT_KEPT
    if scope.get("scheme") == "https":
        headers["Strict-Transport-Security"] = "max-age=31536000"


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", None) or UNMATCHED
