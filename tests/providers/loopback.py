"""A Starlette application on a real loopback port, in a thread, with a record of every request it got."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.extract import Deletion, Page, Problem, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.clock import Clock
from holovitals_pipelines.providers.registry import open_adapter

Result = TypeVar("Result")
Handler = Callable[[Request], Awaitable[Response] | Response]


@dataclass(frozen=True)
class Seen:
    """One request as it came in."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    def param(self, name: str) -> str | None:
        return next((value for key, value in self.query if key == name), None)


@dataclass
class Server:
    url: str
    seen: list[Seen] = field(default_factory=list)

    def of(self, path: str) -> list[Seen]:
        return [request for request in self.seen if request.path == path]

    @property
    def netloc(self) -> str:
        return self.url.removeprefix("http://")


class _Host:
    """A uvicorn server in a thread, whose application is changed from test to test: starting one takes longer."""

    def __init__(self) -> None:
        self.app = Starlette()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._answer, interface="asgi3", log_level="critical", lifespan="off", date_header=False
        )
        runner = uvicorn.Server(config)
        threading.Thread(target=runner.run, kwargs={"sockets": [listener]}, daemon=True).start()
        while not runner.started:
            time.sleep(0.002)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


_idle: list[_Host] = []


@contextmanager
def serving(routes: Mapping[str, Handler], *, methods: Sequence[str] = ("GET", "POST", "DELETE")) -> Iterator[Server]:
    """A server answering `routes` (path → handler) on 127.0.0.1; unknown paths are 404."""
    host = _idle.pop() if _idle else _Host()
    server = Server(host.url)

    def recorded(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            query = list(request.query_params.multi_items())
            server.seen.append(Seen(request.method, request.url.path, query, dict(request.headers), body))
            made = handler(request)
            answer = await made if isinstance(made, Awaitable) else made
            answer.headers.setdefault("date", format_datetime(datetime.now(UTC), usegmt=True))
            return answer

        return endpoint

    host.app = Starlette(
        routes=[Route(path, recorded(handler), methods=list(methods)) for path, handler in routes.items()]
    )
    try:
        yield server
    finally:
        host.app = Starlette()
        _idle.append(host)


class FastClock:
    """Real time, except that sleeping takes none: it only moves the hands."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ahead += seconds
        await asyncio.sleep(0)

    def as_clock(self, *, chance: float = 0.5) -> Clock:
        return Clock(
            monotonic=lambda: time.monotonic() + self.ahead,
            sleep=self.sleep,
            now=lambda: datetime.now(UTC) + timedelta(seconds=self.ahead),
            chance=lambda: chance,
        )


def json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return Response(body, status, dict(headers or {}), media_type="application/fhir+json")


def patient(number: int | str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", **more}


def bundle(resources: Sequence[Any], *, next_url: str | None = None, total: int | None = None) -> dict[str, Any]:
    page: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if total is not None:
        page["total"] = total
    if next_url is not None:
        page["link"] = [{"relation": "next", "url": next_url}]
    page["entry"] = [{"resource": resource, "search": {"mode": "match"}} for resource in resources]
    return page


def outcome(vendor_code: str | None = None, *, severity: str = "fatal", code: str = "processing") -> dict[str, Any]:
    issue: dict[str, Any] = {"severity": severity, "code": code, "diagnostics": "Smith, John is not to be shown"}
    if vendor_code is not None:
        issue["details"] = {"coding": [{"code": vendor_code}], "text": "Smith, John is not to be shown"}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def capability(
    types: Mapping[str, Sequence[str]],
    *,
    exports: Sequence[str] = (),
    version: str = "4.0.1",
    writes: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """A CapabilityStatement: type → search parameters; `exports` of system, patient, group; `writes` of create, update,
    delete; `more` goes into every type."""
    resources = [
        {
            **more,
            "type": name,
            "interaction": [{"code": code} for code in ("read", "search-type", *writes)],
            "searchParam": [{"name": param} for param in params],
            "operation": [{"name": "export"}] if name.lower() in exports else [],
        }
        for name, params in types.items()
    ]
    rest: dict[str, Any] = {"mode": "server", "resource": resources}
    if "system" in exports:
        rest["operation"] = [{"name": "export"}]
    return {"resourceType": "CapabilityStatement", "fhirVersion": version, "rest": [rest]}


def connection(base_url: str, **settings: Any) -> ConnectionConfig:
    """A declaration; `read` and `auth` as dicts, provider `fhir` unless given."""
    return ConnectionConfig.model_validate({"name": "clinic", "provider": "fhir", "base_url": base_url, **settings})


def no_secrets(reference: SecretRef) -> str:
    raise AssertionError(f"no secret was to be asked for: {reference}")


@dataclass
class Outcome:
    """Everything a read yielded, sorted."""

    events: list[ReadEvent] = field(default_factory=list)

    @property
    def pages(self) -> list[Page]:
        return [event for event in self.events if isinstance(event, Page)]

    @property
    def done(self) -> dict[str, TypeDone]:
        done = [event for event in self.events if isinstance(event, TypeDone)]
        assert len({event.resource_type for event in done}) == len(done), "one TypeDone a type"
        return {event.resource_type: event for event in done}

    @property
    def bodies(self) -> list[bytes]:
        return [body for page in self.pages for body in page.bodies]

    @property
    def ids(self) -> list[str]:
        return [orjson.loads(body)["id"] for body in self.bodies]

    @property
    def problems(self) -> list[Problem]:
        return [problem for page in self.pages for problem in page.problems]

    @property
    def deletions(self) -> list[Deletion]:
        return [deletion for page in self.pages for deletion in page.deletions]


async def collect(events: AsyncIterator[ReadEvent]) -> Outcome:
    """All events; each cursor is proven to be JSON by a round trip."""
    result = Outcome()
    async for event in events:
        assert orjson.loads(orjson.dumps(event.cursor)) == event.cursor
        result.events.append(event)
    return result


def read_all(config: ConnectionConfig, request: ReadRequest, **hooks: Any) -> Outcome:
    """Open, read to the end, close."""

    async def run() -> Outcome:
        async with opened(config, **hooks) as adapter:
            return await collect(adapter.read(request))

    return asyncio.run(run())


def opened(
    config: ConnectionConfig, *, resolve_secret: Callable[[SecretRef], str] = no_secrets, **hooks: Any
) -> Adapter:
    return open_adapter(config, resolve_secret, **hooks)


def at_desk(config: ConnectionConfig, work: Callable[[Adapter], Awaitable[Result]], **hooks: Any) -> Result:
    """Open, do the work, close."""

    async def run() -> Result:
        async with opened(config, **hooks) as adapter:
            return await work(adapter)

    return asyncio.run(run())


def interrupted(config: ConnectionConfig, request: ReadRequest, *, after: int, **hooks: Any) -> Outcome:
    """Open, take `after` events, then stop as a killed process would: nothing is finished."""

    async def run() -> Outcome:
        result = Outcome()
        async with opened(config, **hooks) as adapter:
            events = adapter.read(request)
            async for event in events:
                result.events.append(event)
                if len(result.events) == after:
                    break
            await events.aclose()  # type: ignore[attr-defined]
        return result

    return asyncio.run(run())
