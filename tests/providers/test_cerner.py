"""Oracle Health's ways (vendors.md §4): what is asked of a tenant, and what its few words of refusal mean."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.model.connection import SecretRef
from holovitals_pipelines.model.errors import (
    ConfigurationError,
    NotPermittedError,
    PermanentError,
    TransientError,
    VendorError,
)
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import ChangeMechanism

from .loopback import (
    FastClock,
    Handler,
    Outcome,
    Server,
    bundle,
    capability,
    connection,
    json,
    opened,
    outcome,
    read_all,
    serving,
)

ACCOUNT = {"kind": "client_secret", "client_id": "an account", "client_secret": {"env": "SECRET"}}
SEARCHED: dict[str, list[str]] = {
    "Patient": ["_id", "_count"],
    "Appointment": ["_id", "patient", "date", "_count"],
    "Condition": ["_id", "patient", "_lastUpdated"],
    "Observation": ["_id", "patient", "_lastUpdated", "_count"],
    "DocumentReference": ["_id", "patient", "_lastUpdated", "_count"],
    "Organization": ["_id", "identifier"],
    "Group": [],
}
SINCE = datetime(2026, 1, 31, 8, 0, 0, 123000, tzinfo=UTC)


@dataclass
class Tenant:
    """A tenant with patients a and b, each with one row of a type; `answer` may answer otherwise."""

    answer: Callable[[Request, str], Response | None] = lambda request, kind: None
    kick_off: Response | None = None
    tokens: list[dict[str, list[str]]] = field(default_factory=list)

    @contextmanager
    def run(self) -> Iterator[Server]:
        async def token(request: Request) -> Response:
            name, _, secret = b64decode(request.headers["authorization"][6:]).decode().partition(":")
            form = parse_qs((await request.body()).decode())
            self.tokens.append({**form, "account": [name], "secret": [secret]})
            return json({"access_token": "t", "expires_in": 570})

        def search(request: Request) -> Response:
            kind, who = request.path_params["type"], request.query_params.get("patient", "")
            row = {"resourceType": kind, "id": f"{kind}-{who}"}
            return self.answer(request, kind) or json(bundle([row] if who else []))

        def read(request: Request) -> Response:
            kind = request.path_params["type"]
            return self.answer(request, kind) or json({"resourceType": kind, "id": request.path_params["id"]})

        def manifest(_: Request) -> Response:
            files = [{"type": kind, "url": f"/file/{kind}"} for kind in ("Organization", "Patient")]
            return json({"transactionTime": "2026-01-01T00:00:00Z", "requiresAccessToken": True, "output": files})

        def file(request: Request) -> Response:
            kind = request.path_params["type"]
            return Response(orjson.dumps({"resourceType": kind, "id": "1"}) + b"\n")

        accepted = Response(status_code=202, headers={"content-location": "/status"})
        routes: dict[str, Handler] = {
            "/r4/metadata": lambda _: json(capability(SEARCHED, exports=["group"])),
            "/r4/.well-known/smart-configuration": lambda _: json({"token_endpoint": "/anywhere/token"}),
            "/anywhere/token": token,
            "/r4/Group/{id}/$export": lambda _: self.kick_off or accepted,
            "/status": manifest,
            "/file/{type}": file,
            "/r4/{type}": search,
            "/r4/{type}/{id}": read,
        }
        with serving(routes) as server:
            yield server


def declared(server: Server, **settings: Any) -> Any:
    read = {"max_retries": 1, **settings.pop("read", {})}
    return connection(f"{server.url}/r4", provider="cerner", read=read, **settings)


def secret(reference: SecretRef) -> str:
    return "of the account\n" if reference.env == "SECRET" else "b\n\n a \n"


def read(server: Server, clock: FastClock, request: ReadRequest, **settings: Any) -> Outcome:
    return read_all(declared(server, **settings), request, clock=clock.as_clock(), resolve_secret=secret)


def asking(*types: str, patients: str = "ab", **more: Any) -> ReadRequest:
    return ReadRequest(resource_types=types, patients=lambda: list(patients), **more)


def queries(server: Server, kind: str) -> list[dict[str, str]]:
    return [dict(request.query) for request in server.of(f"/r4/{kind}")]


def test_each_type_declares_how_its_changes_are_found(clock: FastClock) -> None:
    async def run(server: Server, **settings: Any) -> Any:
        async with opened(declared(server, **settings), clock=clock.as_clock()) as adapter:
            return adapter.mechanisms()

    with Tenant().run() as server:
        plain = asyncio.run(run(server))
        bulk = asyncio.run(run(server, read={"mode": "bulk", "group": "g"}))
    assert next(iter(plain)) == "Patient" or "Organization" not in plain
    assert plain["Patient"] is plain["Coverage"] is ChangeMechanism.FULL_RESCAN
    assert sum(how is ChangeMechanism.LAST_UPDATED for how in plain.values()) == 12
    assert bulk["Patient"] is bulk["Practitioner"] is ChangeMechanism.BULK_SINCE
    assert bulk["Coverage"] is ChangeMechanism.FULL_RESCAN, "not exported"


def test_the_token_is_asked_where_the_server_says_with_the_scopes_of_the_types(clock: FastClock) -> None:
    tenant = Tenant()
    types = ["Patient", "Condition", "Goal"]
    with tenant.run() as server:
        read(server, clock, asking("Patient"), auth=ACCOUNT, resource_types=types)
        read(server, clock, asking("Patient"), auth=ACCOUNT, resource_types=types, write={"enabled": True})
        read(server, clock, asking("Patient"), auth={**ACCOUNT, "scopes": "system/Patient.rs"}, resource_types=types)
        assert {request.headers["authorization"] for request in server.of("/r4/Patient/a")} == {"Bearer t"}
    reads = "system/Patient.read system/Condition.read system/Goal.read"
    assert [form["scope"][0] for form in tenant.tokens] == [
        reads,
        f"{reads} system/Patient.write system/Condition.write",
        "system/Patient.rs",
    ]
    assert tenant.tokens[0]["account"] == ["an%20account"]
    assert tenant.tokens[0]["secret"] == ["of%20the%20account"]


def test_searches_name_the_patient_and_only_what_the_type_takes(clock: FastClock) -> None:
    types = ("Appointment", "Condition", "Observation", "DocumentReference")
    with Tenant().run() as server:
        outcome = read(server, clock, asking(*types, since=dict.fromkeys(types, SINCE)), read={"page_size": 500})
        assert queries(server, "Condition") == [
            {"patient": who, "_lastUpdated": "ge2026-01-31T08:00:00.123Z"} for who in "ab"
        ]
        assert [(query["_count"], "_lastUpdated" in query) for query in queries(server, "Observation")] == [
            ("200", True),
            ("200", True),
        ]
        assert {query["_count"] for query in queries(server, "DocumentReference")} == {"100"}
        appointment = queries(server, "Appointment")[0]
    assert appointment["date"].startswith("ge1900") and "_lastUpdated" not in appointment
    assert {name: done.snapshot for name, done in outcome.done.items()} == {
        "Appointment": True,
        "Condition": False,
        "Observation": False,
        "DocumentReference": False,
    }


def test_a_patient_sync_reads_whole_charts(clock: FastClock) -> None:
    request = asking("Patient", "Condition", only_patients=["b"], since={"Condition": SINCE})
    with Tenant().run() as server:
        outcome = read(server, clock, request)
        assert queries(server, "Condition") == [{"patient": "b"}]
    assert sorted(outcome.ids) == ["Condition-b", "b"]


def test_listed_patients_are_the_whole_population(clock: FastClock) -> None:
    with Tenant().run() as server:
        listed = read(server, clock, asking("Patient", patients=""), read={"patient_ids": {"file": "list"}})
        known = read(server, clock, asking("Patient", patients="c"))
        nobody = read(server, clock, asking("Patient", patients=""))
    assert (listed.ids, listed.done["Patient"].snapshot) == (["a", "b"], True)
    assert (known.ids, known.done["Patient"].snapshot) == (["c"], False)
    error = nobody.done["Patient"].error
    assert isinstance(error, ConfigurationError) and error.code == "cerner.no_population"


def test_types_of_no_patient_are_exported_beside_one_that_is(clock: FastClock) -> None:
    with Tenant().run() as server:
        listed = {"group": "g-1", "patient_ids": {"file": "list"}}
        outcome = read(server, clock, asking("Organization", "Patient"), read=listed)
        [kicked] = [request for request in server.seen if request.path.endswith("$export")]
        without = read(server, clock, asking("Organization", since={"Organization": SINCE}))
    assert kicked.param("_type") == "Organization,Patient"
    assert {name: done.error for name, done in outcome.done.items()} == {"Organization": None, "Patient": None}
    assert sorted(outcome.ids) == ["1", "a", "b"], "the exported patient is left to the list"
    error = without.done["Organization"].error
    assert isinstance(error, ConfigurationError) and "read.group" in error.remedy


def test_bulk_without_a_group_is_a_mistake_in_the_settings(clock: FastClock) -> None:
    with Tenant().run() as server, pytest.raises(ConfigurationError) as caught:
        read(server, clock, asking("Patient"), read={"mode": "bulk"})
    assert caught.value.code == "cerner.no_group"


@pytest.mark.parametrize(
    ("refusal", "kind", "code"),
    [
        (Response("Tenant not valid or accessible", 403), NotPermittedError, "cerner.tenant"),
        (Response("no supported search parameters provided", 400), PermanentError, "cerner.no_parameters"),
        (json(outcome(code="throttled", severity="error"), 429), TransientError, "cerner.throttled"),
        (json(outcome(code="exception"), 500), TransientError, "http.500"),
        (Response("", 401), VendorError, "http.401"),
    ],
)
def test_what_a_refusal_means_is_told_by_its_words(
    clock: FastClock, refusal: Response, kind: type[VendorError], code: str
) -> None:
    tenant = Tenant(answer=lambda request, _: refusal)
    with tenant.run() as server:
        of_type = read(server, clock, asking("Condition")).done["Condition"].error
        single = _read_one(server, clock)
    assert isinstance(single, kind) and single.code == code
    assert isinstance(of_type, VendorError)
    assert "Smith" not in f"{of_type} {single}"


def _read_one(server: Server, clock: FastClock) -> VendorError:
    async def run() -> VendorError:
        async with opened(declared(server), clock=clock.as_clock()) as adapter:
            with pytest.raises(VendorError) as caught:
                await adapter.read_current("Condition", "1")
            return caught.value

    return asyncio.run(run())


def test_a_required_element_that_is_missing_is_asked_for_a_few_times_and_told_once(clock: FastClock) -> None:
    def answer(request: Request, kind: str) -> Response | None:
        poisoned = kind == "Condition" and request.query_params.get("patient") == "a"
        return json(outcome(code="required"), 500) if poisoned else None

    with Tenant(answer=answer).run() as server:
        result = read(server, clock, asking("Condition", "Observation"), read={"max_retries": 3})
        assert len([query for query in queries(server, "Condition") if query["patient"] == "a"]) == 4
    assert {name: (done.error, done.snapshot) for name, done in result.done.items()} == {
        "Condition": (None, False),
        "Observation": (None, True),
    }
    [problem] = result.problems
    assert (problem.code, problem.remote_id) == ("cerner.required_missing", "a")
    assert "Condition-b" in result.ids


def test_the_latest_of_rows_that_come_twice_stands(clock: FastClock) -> None:
    def row(identity: str, updated: str) -> dict[str, Any]:
        return {"resourceType": "Observation", "id": identity, "meta": {"lastUpdated": updated}}

    old, new = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    pages = {
        None: ([row("1", old), row("2", new), row("3", old)], "2"),
        "2": ([row("1", new), row("2", old), row("3", old)], None),
    }

    def answer(request: Request, kind: str) -> Response | None:
        rows, following = pages[request.query_params.get("pageContext")]
        onwards = f"{request.url.path}?direction=NEXT&pageContext={following}" if following else None
        return json(bundle(rows, next_url=onwards))

    with Tenant(answer=answer).run() as server:
        result = read(server, clock, asking("Observation", only_patients=["a"]))
    rows = [orjson.loads(body) for body in result.bodies]
    assert [(one["id"], one["meta"]["lastUpdated"]) for one in rows] == [("1", old), ("2", new), ("3", old), ("1", new)]
    assert {one["id"]: one["meta"]["lastUpdated"] for one in rows} == {"1": new, "2": new, "3": old}
