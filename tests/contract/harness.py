"""A simulated vendor and both ways to it: the adapter alone, and our whole side with a local store.

Law: what the vendor holds and was asked is read from the vendor, never from what our program says of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import orjson

from holovitals_pipelines.fhir.wire import MalformedResource, read_head
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.extract import Page, Problem, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.registry import open_adapter
from holovitals_pipelines.sandbox.credentials import DemoCredentials
from holovitals_pipelines.sandbox.process import RunningSandbox
from tests.contract.vendor import TOUCHED, Resource, VendorUnderTest
from tests.end_to_end.two_way import Ours, our_side
from tests.providers.loopback import FastClock


@dataclass
class Read:
    """Everything a read yielded."""

    events: list[ReadEvent]

    @property
    def ids(self) -> list[tuple[str, str]]:
        """(type, remote id) of every record, in order."""
        found = []
        for page in self.events:
            if isinstance(page, Page):
                names = [one.remote_id for one in page.named] if page.named is not None else None
                found += [(page.resource_type, name) for name in names or [_id(body) for body in page.bodies]]
        return found

    @property
    def bodies(self) -> list[bytes]:
        return [body for page in self.events if isinstance(page, Page) for body in page.bodies]

    @property
    def done(self) -> dict[str, TypeDone]:
        return {event.resource_type: event for event in self.events if isinstance(event, TypeDone)}

    @property
    def failures(self) -> dict[str, HoloVitalsError]:
        return {name: done.error for name, done in self.done.items() if done.error is not None}

    @property
    def problems(self) -> list[Problem]:
        return [problem for page in self.events if isinstance(page, Page) for problem in page.problems]


async def taken_from(
    adapter: Adapter, request: ReadRequest, after: int | None = None, between: Callable[[], None] | None = None
) -> Read:
    """What a read yields: to its end, or so many events, with something done `between` the first and the second."""
    taken: list[ReadEvent] = []
    events = adapter.read(request)
    async for event in events:
        assert orjson.loads(orjson.dumps(event.cursor)) == event.cursor, "a cursor is JSON"
        taken.append(event)
        if between is not None and len(taken) == 1:
            between()
        if len(taken) == after:
            break
    await events.aclose()  # type: ignore[attr-defined]
    return Read(taken)


def opened(make: Callable[[], Adapter], work: Callable[[Adapter], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with make() as adapter:
            return await work(adapter)

    return asyncio.run(run())


UNREADABLE = "unreadable: lands as sent and is quarantined"


def _id(body: bytes) -> str:
    try:
        return read_head(body).id
    except MalformedResource:
        return UNREADABLE


@dataclass(frozen=True)
class Bench:
    """One vendor on the bench: its sandbox from behind, and what opens an adapter to it."""

    vendor: VendorUnderTest
    running: RunningSandbox
    credentials: DemoCredentials
    folder: Path
    template: Path
    """An operational store that is up to date and empty, to be copied."""
    known: dict[str, Read] = field(default_factory=dict)

    def close(self) -> None:
        """Nothing is open between two reads."""

    def whole(self) -> Read:
        """An undisturbed read of everything, made once: tests edit records, but make and delete none."""
        if "whole" not in self.known:
            self.known["whole"] = self.read(page_size=500)
        return self.known["whole"]

    @property
    def types(self) -> list[str]:
        return list(dict.fromkeys(["Patient", self.vendor.paged_type, *self.vendor.other_types]))

    def patients(self) -> list[str]:
        return sorted(self.running.patient_ids(self.vendor.provider))

    def config(self, *, types: Sequence[str] | None = None, **read: Any) -> ConnectionConfig:
        listed = self.folder / "patients.txt"
        if self.vendor.lists_patients:
            listed.write_text("\n".join(self.patients()))
        declared = {name: value for name, value in self.vendor.connection.items() if name != "read"}
        auth = dict(declared.get("auth", {}))
        if auth.get("kind") == "smart_backend":
            auth["keys"] = [{"file": str(self.credentials.rsa_key)}]
        reading = {"patient_ids": {"file": str(listed)}, "max_retries": 3, "retry_delay_ms": 1, "page_size": 4}
        if not self.vendor.lists_patients:
            reading.pop("patient_ids")
        return ConnectionConfig.model_validate(
            {
                **declared,
                "name": "clinic",
                "provider": self.vendor.provider,
                "base_url": self.running.base_urls[self.vendor.base or self.vendor.provider],
                "auth": auth or {"kind": "none"},
                "resource_types": list(types or self.types),
                "read": {**reading, **self.vendor.connection.get("read", {}), **read},
                "write": {"enabled": True, "creates": True, "resource_types": [self.vendor.written_type]},
            }
        )

    def asked(self, since: dict[str, datetime | None] | None = None, cursor: Any = None) -> ReadRequest:
        return ReadRequest(self.types, since=since or {}, cursor=cursor, patients=self.patients)

    def read(self, request: ReadRequest | None = None, **more: Any) -> Read:
        """Read to the end, unless `after` says how many events are taken before the process dies."""
        after, between = more.pop("after", None), more.pop("between", None)
        clock = more.pop("clock", None)
        return self.at_desk(  # type: ignore[no-any-return]
            lambda adapter: taken_from(adapter, request or self.asked(), after, between), clock=clock, **more
        )

    def at_desk(self, work: Callable[[Adapter], Awaitable[Any]], clock: FastClock | None = None, **read: Any) -> Any:
        hands = (clock or FastClock()).as_clock()
        return opened(lambda: open_adapter(self.config(**read), self.secret, clock=hands), work)

    async def write_natively(self, adapter: Adapter) -> None:
        """An update as the adapter takes it: after the outbound rules, where the vendor has a form of its own."""
        kind, identity = self.vendor.written_type, self.held_ids(self.vendor.written_type)[-1]
        body = self.vendor.native_body
        if body is None:
            held = self.held(kind, identity)
            self.vendor.change(held)
            body = orjson.dumps(held)
        await adapter.update(kind, identity, body, version=None)

    def secret(self, reference: SecretRef) -> str:
        if reference.env is not None:
            return self.vendor.secrets[reference.env]
        assert reference.file is not None
        return Path(reference.file).read_text(encoding="utf-8")

    # the vendor, from behind

    def admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = httpx.request(method, f"{self.running.admin_url}/{path}", trust_env=False, **more)
        assert answer.is_success, answer.text
        return answer

    def fault(self, kind: str, **declared: Any) -> None:
        self.admin("POST", "faults", json={"kind": kind, "dialect": self.vendor.provider, **declared})

    def forget_faults(self) -> None:
        self.admin("DELETE", "faults")

    def forget_requests(self) -> None:
        self.admin("DELETE", "requests")

    def requests(self, path: str = "", method: str = "") -> list[dict[str, Any]]:
        from fnmatch import fnmatchcase

        log = self.admin("GET", f"requests?dialect={self.vendor.provider}").json()
        glob = path.replace("[", "[[]") or "*"
        return [row for row in log if fnmatchcase(row["path"], glob) and method in ("", row["method"])]

    def writes(self) -> int:
        """How often the written record was written since requests were forgotten."""
        vendor = self.vendor
        return sum(row["method"] == vendor.write_method for row in self.requests(vendor.write_path))

    def reads(self) -> int:
        """How often the engine looked at a record of the written type."""
        return len(self.requests(self.vendor.read_path, self.vendor.read_method))

    def edit_in_between(self, identity: str, reads: int) -> None:
        """Somebody edits the record as late as our side can notice: a vendor with versions refuses the write on top
        of it; at one without, the read before the write, after `reads` of them, shows it."""
        vendor, (element, value) = self.vendor, self.vendor.between
        moment: dict[str, Any] = {"path": vendor.write_path, "method": vendor.write_method}
        if not vendor.guarded:
            moment = {"path": vendor.read_path, "method": vendor.read_method, "skip": reads + 1}
        self.fault("edit_before_write", element=element, value=value, **moment)

    def catch_up(self) -> None:
        assert self.admin("GET", "faults").json() == [], "the edit has happened"

    def known_as(self, identity: str) -> str:
        """The id by which our side knows a record of the written or the paged type."""
        return identity

    def held_ids(self, kind: str) -> list[str]:
        return self.admin("GET", f"{self.vendor.provider}/ids/{kind}").text.split()

    def held(self, kind: str, identity: str) -> Resource:
        return self.admin("GET", f"{self.vendor.provider}/{kind}/{identity}").json()  # type: ignore[no-any-return]

    def put(self, resource: Resource) -> None:
        path = f"{self.vendor.provider}/{resource['resourceType']}/{resource['id']}"
        self.admin("PUT", path, json=resource)

    def touch(self, identity: str) -> None:
        """A clinician edits a record of the paged type."""
        held = self.held(self.vendor.held_as, identity)
        remark = {"url": TOUCHED, "valueString": "again"}
        self.put({**held, **self.vendor.touched(), "extension": [*held.get("extension", ()), remark]})

    # our side

    @contextmanager
    def ours(self, home: Path, database_url: str, environment: Callable[[str, str], None]) -> Iterator[Ours]:
        home.mkdir(exist_ok=True)
        for name, value in self.vendor.secrets.items():
            environment(name, value)
        with our_side(
            home, database_url, self.config(types=["Patient", self.vendor.written_type], page_size=200)
        ) as side:
            yield side
