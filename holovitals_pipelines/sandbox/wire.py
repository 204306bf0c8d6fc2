"""The wire between a vendor and its clients: logs every request, sets the clock's Date, and lets faults happen.

The law: the log holds no id and no query value that could be one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.edits import edit_of, edit_target
from holovitals_pipelines.sandbox.faults import Fault, FaultKind, FaultPlan, fault_from_header, malformed
from holovitals_pipelines.sandbox.people import merge_patients
from holovitals_pipelines.sandbox.protocols.outcomes import refusal
from holovitals_pipelines.sandbox.protocols.pages import PAGE_FAULT, PageFault
from holovitals_pipelines.sandbox.site import Site

NOTE = "holovitals.note"
"""Key in the ASGI scope under which an endpoint leaves a reason for the log."""

_SHOWN_PARAMETERS = {
    "_count", "_format", "_lastUpdated", "_lastupdated", "_outputFormat", "_since", "_sort", "_summary", "_total",
    "_type", "authoredon", "category", "date", "issued", "onset-date", "period", "recorded-date", "status",
}  # fmt: skip
_SHOWN_HEADERS = {"accept", "prefer", "range", "content-type"}

_BROKEN_BODIES = {
    FaultKind.CUT, FaultKind.TRUNCATED, FaultKind.INVALID_UTF8, FaultKind.WRONG_TYPE, FaultKind.LONG_LINE,
    FaultKind.DUPLICATE_IDS, FaultKind.SCHEMA_DRIFT, FaultKind.PARTIAL_BULK,
}  # fmt: skip

_TOLD = "the sandbox was told to fail"

Transports = MutableMapping[tuple[str, int], asyncio.Transport]
"""Open connections by the client's address, so that a fault can cut one."""


class RequestLog:
    """What clients asked, newest last, without ids. At most 100,000 entries."""

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=100_000)

    def add(self, entry: dict[str, Any]) -> None:
        self._entries.append(entry)

    def entries(self, dialect: str | None = None) -> list[dict[str, Any]]:
        return [entry for entry in self._entries if dialect in (None, entry["dialect"])]

    def clear(self) -> None:
        self._entries.clear()


class Wire:
    """ASGI middleware around all vendors."""

    def __init__(
        self, app: ASGIApp, sites: Mapping[str, Site], plan: FaultPlan, log: RequestLog, transports: Transports
    ) -> None:
        self._app = app
        self._sites = sites
        self._plan = plan
        self._log = log
        self._transports = transports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        site = self._sites.get(scope["path"].split("/")[1]) if scope["type"] == "http" else None
        if site is None:
            await self._app(scope, receive, send)
            return
        dialect = site.dialect
        body = b""
        if dialect.action is not None or scope["method"] not in ("GET", "HEAD"):
            body, receive = await _taken(receive)
        template = _template(site, scope["path"])
        if dialect.action is not None and (named := dialect.action(body)):
            template = f"{template}/{named}"
        entry = _log_entry(site, scope, template)
        self._log.add(entry)
        try:
            fault = self._fault(site, scope, template)
        except ConfigurationError as error:
            await refusal(400, "invalid", str(error))(scope, receive, send)
            return
        if fault is not None:
            entry["fault"] = fault.kind

        ahead = float(fault.option("seconds", 300)) if fault is not None and fault.kind is FaultKind.CLOCK_SKEW else 0.0

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
                message["headers"] = [*message["headers"], (b"date", site.clock.http_date(ahead).encode())]
            elif message["type"] == "http.response.body":
                entry["bytes"] += len(message.get("body", b""))
            await send(message)

        await self._serve(site, fault, body, scope, receive, observed)
        if NOTE in scope:
            entry["note"] = scope[NOTE]

    def _fault(self, site: Site, scope: Scope, template: str) -> Fault | None:
        for name, value in scope["headers"]:
            if name == b"x-sandbox-fault":
                return fault_from_header(value.decode("latin-1"))
        return self._plan.take(site.dialect.name, scope["method"], template)

    async def _serve(
        self, site: Site, fault: Fault | None, body: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if fault is None:
            await self._app(scope, receive, send)
            return
        failed = site.dialect.failure
        answer: Response | None = None
        match fault.kind:
            case FaultKind.LATENCY:
                await asyncio.sleep(float(fault.option("seconds", 0.1)))
            case FaultKind.STATUS:
                answer = failed(int(fault.option("status", 503)), _TOLD, {})
            case FaultKind.THROTTLE:
                wait = fault.option("retry_after", None)
                headers = {} if wait is None else {"Retry-After": str(wait)}
                answer = failed(429, "too many requests", headers)
            case FaultKind.HTML:
                answer = HTMLResponse("<!DOCTYPE html><html><body><h1>Sign in</h1></body></html>")
            case FaultKind.EXPIRE_SESSIONS:
                site.end_sessions()
            case FaultKind.REVOKE_TOKENS:
                site.revoke_tokens()
            case FaultKind.ROTATE_KEYS:
                if site.tokens is not None:
                    site.tokens.forget_key(str(fault.option("kid", "")))
            case FaultKind.MERGE_PATIENTS:
                merge_patients(site, fault.option("retired", ""), fault.option("survivor", ""))
            case FaultKind.CLOCK_SKEW:
                pass  # the Date is all that is wrong
            case FaultKind.REPEAT_ROWS:
                scope[PAGE_FAULT] = PageFault(repeat_rows=int(fault.option("rows", 1)))
            case FaultKind.EDIT_BEFORE_WRITE:
                edit_target(site, scope["path"], body, fault)
            case FaultKind.STATUS_AFTER_COMMIT:
                await self._app(scope, receive, _swallow)
                answer = failed(int(fault.option("status", 500)), _TOLD, {})
            case FaultKind.EDIT_PAGE:
                scope[PAGE_FAULT] = PageFault(edit=edit_of(fault))
            case FaultKind.DROP:
                self._cut_line(scope)
                return
            case FaultKind.DROP_AFTER_COMMIT:
                await self._app(scope, receive, _swallow)
                self._cut_line(scope)
                return
            case _:
                assert fault.kind in _BROKEN_BODIES
                await self._serve_broken(fault, scope, receive, send)
                return
        await (answer or self._app)(scope, receive, send)

    async def _serve_broken(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        """Collect the whole answer, spoil its body, and send it with the length the fault calls for."""
        start: Message = {}
        parts: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self._app(scope, receive, collect)
        body = b"".join(parts)
        is_ndjson = any(name == b"content-type" and b"ndjson" in value for name, value in start["headers"])
        broken = malformed(fault, body, is_ndjson)
        announced = len(body) if fault.kind is FaultKind.CUT else len(broken)
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(announced).encode())]})
        if fault.kind is FaultKind.CUT:
            await send({"type": "http.response.body", "body": broken, "more_body": True})
            await asyncio.sleep(0)
            self._close_line(scope)
        else:
            await send({"type": "http.response.body", "body": broken})

    def _cut_line(self, scope: Scope) -> None:
        transport = self._transports.get(tuple(scope["client"] or ()))
        if transport is not None:
            transport.abort()

    def _close_line(self, scope: Scope) -> None:
        """Like a peer that goes away after what it has sent: the bytes already written arrive."""
        transport = self._transports.get(tuple(scope["client"] or ()))
        if transport is not None:
            transport.close()


async def _swallow(message: Message) -> None:
    return None


async def _taken(receive: Receive) -> tuple[bytes, Receive]:
    """A request's whole body, and what gives it to the next who asks."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = bool(message.get("more_body", False))
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again


def _template(site: Site, path: str) -> str:
    base = site.dialect.base
    below = path[len(base) :] if path.startswith(base) else path[len(site.dialect.prefix) :]
    return site.dialect.template(below.strip("/"))


def _log_entry(site: Site, scope: Scope, template: str) -> dict[str, Any]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return {
        "at": site.clock.now().isoformat(),
        "dialect": site.dialect.name,
        "method": scope["method"],
        "path": template,
        "query": [[name, value if name in _SHOWN_PARAMETERS else "{…}"] for name, value in query],
        "headers": {name: value for name, value in headers.items() if name in _SHOWN_HEADERS},
        "had_authorization": "authorization" in headers,
        "had_if_match": "if-match" in headers,
        "had_if_none_exist": "if-none-exist" in headers,
        "status": None,
        "bytes": 0,
        "fault": None,
    }
