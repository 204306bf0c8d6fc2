"""Single resources over the wire, against servers that answer in every way a server may."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import (
    ConfigurationError,
    GoneError,
    HoloVitalsError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    ProtocolError,
    TransientError,
    VersionConflictError,
)
from holovitals_pipelines.model.writing import READ_ONLY, Absent, Concurrency, Present, UnitWrite, Written
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.write_overview import write_overview

from .loopback import (
    FastClock,
    Handler,
    Server,
    at_desk,
    bundle,
    capability,
    connection,
    json,
    outcome,
    patient,
    serving,
)

ALL = {"enabled": True, "creates": True, "deletes": True}
METHODS = ("GET", "POST", "PUT", "DELETE")
ONE = "/fhir/Patient/p1"
BODY = orjson.dumps(patient(1))


@contextmanager
def server_of(
    routes: dict[str, Handler],
    *,
    versioning: str | None = "versioned-update",
    params: tuple[str, ...] = (),
    **more: Any,
) -> Iterator[Server]:
    if versioning is not None:
        more["versioning"] = versioning
    statement = capability({"Patient": params}, writes=("create", "update", "delete"), **more)
    with serving({"/fhir/metadata": lambda _: json(statement), **routes}, methods=METHODS) as server:
        yield server


def declared(server: Server, write: dict[str, Any] | None = None, **settings: Any) -> ConnectionConfig:
    reading = {"max_retries": 3, "retry_delay_ms": 1}
    return connection(f"{server.url}/fhir", write=ALL if write is None else write, read=reading, **settings)


def writes(server: Server) -> list[str]:
    return [f"{seen.method} {seen.path}" for seen in server.seen if seen.method != "GET"]


def update(server: Server, *, version: str | None = "3", **settings: Any) -> Written:
    async def work(desk: Adapter) -> Written:
        return await desk.update("Patient", "p1", BODY, version=version)

    return at_desk(declared(server, **settings), work, clock=FastClock().as_clock())


def create(server: Server, *identifiers: tuple[str, str], **settings: Any) -> Written:
    async def work(desk: Adapter) -> Written:
        return await desk.create("Patient", BODY, identifiers)

    return at_desk(declared(server, **settings), work, clock=FastClock().as_clock())


def read(server: Server) -> Present | Absent:
    async def work(desk: Adapter) -> Present | Absent:
        return await desk.read_current("Patient", "p1")

    return at_desk(declared(server), work, clock=FastClock().as_clock())


def find(server: Server, *identifiers: tuple[str, str]) -> list[Present]:
    async def work(desk: Adapter) -> list[Present]:
        return list(await desk.find("Patient", identifiers))

    return at_desk(declared(server), work, clock=FastClock().as_clock())


# what may be written


@pytest.mark.parametrize(
    "write",
    [
        {},
        {"enabled": False, "creates": True, "deletes": True},
        {"enabled": True, "resource_types": ["Observation"], "creates": True, "deletes": True},
    ],
    ids=["default", "disabled", "another type"],
)
def test_a45_nothing_is_sent_that_the_settings_do_not_allow(write: dict[str, Any]) -> None:
    async def work(desk: Adapter) -> None:
        assert desk.write_capability("Patient") == READ_ONLY
        for attempt in (
            desk.create("Patient", BODY),
            desk.update("Patient", "p1", BODY, version=None),
            desk.delete("Patient", "p1", version=None),
        ):
            with pytest.raises(ConfigurationError) as refused:
                await attempt
            assert refused.value.code == "write.not_enabled"

    with server_of({}) as server:
        at_desk(declared(server, write), work)
        assert writes(server) == []


def test_the_capability_is_what_both_the_settings_and_the_server_allow() -> None:
    async def work(desk: Adapter) -> None:
        patients = desk.write_capability("Patient")
        assert (patients.create, patients.update, patients.delete) == (False, True, False)
        assert patients.of("gender") is UnitWrite.READ_ONLY and patients.of("birthDate") is UnitWrite.WRITABLE
        assert desk.write_capability("Basic") == READ_ONLY, "the statement does not know it"
        [line] = write_overview(desk, ["Patient"])
        assert line.operations == ("update",) and "gender read only" in line.sentence
        assert write_overview(desk, ["Basic"])[0].sentence == "read only"

    with server_of({}) as server:
        at_desk(declared(server, {"enabled": True, "read_only_elements": {"Patient": ["gender"]}}), work)


def test_a_type_that_is_not_synced_is_not_written() -> None:
    async def work(desk: Adapter) -> None:
        assert desk.write_capability("Patient") == READ_ONLY

    with server_of({}) as server:
        at_desk(declared(server, resource_types=["Observation"]), work)


@pytest.mark.parametrize(
    ("param", "conditional", "keeps"), [((), False, False), (("identifier",), False, True), ((), True, True)]
)
def test_own_identifiers_are_built_on_where_the_server_can_be_asked_for_them(
    param: tuple[str, ...], conditional: bool, keeps: bool
) -> None:
    async def work(desk: Adapter) -> None:
        assert desk.write_capability("Patient").keeps_identifiers is keeps

    with server_of({}, params=param, conditionalCreate=conditional) as server:
        at_desk(declared(server), work)


@pytest.mark.parametrize(
    ("versioning", "etag", "version_id", "before", "after"),
    [
        ("versioned-update", True, True, Concurrency.ETAG, Concurrency.ETAG),
        ("versioned-update", False, True, Concurrency.ETAG, Concurrency.VERSION),
        ("versioned-update", False, False, Concurrency.ETAG, Concurrency.NONE),
        ("versioned", True, True, Concurrency.VERSION, Concurrency.ETAG),
        ("versioned", False, True, Concurrency.VERSION, Concurrency.VERSION),
        ("versioned", False, False, Concurrency.VERSION, Concurrency.NONE),
        ("no-version", True, True, Concurrency.NONE, Concurrency.NONE),
        (None, True, True, Concurrency.NONE, Concurrency.VERSION),
        (None, False, False, Concurrency.NONE, Concurrency.NONE),
    ],
)
def test_a_declared_guard_is_believed_as_far_as_reading_bears_it_out(
    versioning: str | None, etag: bool, version_id: bool, before: Concurrency, after: Concurrency
) -> None:
    shown = json(patient(1, meta={"versionId": "7"} if version_id else {}), headers={"ETag": 'W/"7"'} if etag else {})

    async def work(desk: Adapter) -> None:
        assert desk.write_capability("Patient").concurrency is before
        current = await desk.read_current("Patient", "p1")
        assert isinstance(current, Present) and (current.version == "7") is (etag or version_id)
        assert desk.write_capability("Patient").concurrency is after
        await desk.update("Patient", "p1", BODY, version=current.version)

    with server_of({ONE: lambda _: shown}, versioning=versioning) as server:
        at_desk(declared(server), work)
        put = server.seen[-1]
        assert put.headers.get("if-match") == ('W/"7"' if after is Concurrency.ETAG else None)


# update and delete


def test_an_update_names_the_version_it_replaces_and_asks_for_what_was_stored() -> None:
    stored = orjson.dumps(patient(1, active=True, meta={"versionId": "4"}))
    with server_of({ONE: lambda _: json(stored, headers={"ETag": 'W/"4"'})}) as server:
        assert update(server) == Written("p1", "4", stored)
        put = server.seen[-1]
        assert put.body == BODY and put.headers["content-type"] == "application/fhir+json"
        assert (put.headers["if-match"], put.headers["prefer"]) == ('W/"3"', "return=representation")


def test_a_write_without_a_version_sends_no_condition() -> None:
    with server_of({ONE: lambda _: json(BODY)}) as server:
        update(server, version=None)
        assert "if-match" not in server.seen[-1].headers


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        (json(patient(1, meta={"versionId": "5"}), headers={"ETag": 'W/"4"'}), "4"),
        (json(patient(1, meta={"versionId": "5"}), headers={"ETag": '"4"'}), "4"),
        (json(patient(1, meta={"versionId": "5"}), headers={"Location": "Patient/p1/_history/6"}), "5"),
        (Response(status_code=200, headers={"Location": "http://x/fhir/Patient/p1/_history/6"}), "6"),
        (Response(status_code=204), None),
    ],
    ids=["etag", "strong etag", "meta", "location", "nothing"],
)
def test_the_new_version_is_learnt_from_wherever_the_server_tells_it(answer: Response, version: str | None) -> None:
    with server_of({ONE: lambda _: answer}) as server:
        assert update(server).version == version


def test_a_success_without_a_representation_shows_nothing_stored() -> None:
    told = json(outcome(severity="information", code="informational"), headers={"ETag": 'W/"4"'})
    for answer in (Response(status_code=200, headers={"ETag": 'W/"4"'}), told):
        with server_of({ONE: lambda _, answer=answer: answer}) as server:
            assert update(server) == Written("p1", "4", None)


@pytest.mark.parametrize(
    "answer",
    [
        Response("<html>Sign in</html>", media_type="text/html"),
        json(b'{"resourceType":"Patient","id":"p1","na'),
        json(patient(2)),
        json({"resourceType": "Basic", "id": "p1"}),
        Response(status_code=202),
        Response(status_code=500),
        json(outcome(code="exception"), 503),
    ],
    ids=["html", "cut", "another patient", "another type", "202", "500", "503"],
)
def test_an_answer_that_does_not_say_what_happened_is_an_unknown_outcome_and_not_sent_again(answer: Response) -> None:
    with server_of({ONE: lambda _: answer}) as server:
        with pytest.raises(OutcomeUnknownError) as unknown:
            update(server)
        assert unknown.value.code == "write.outcome_unknown"
        assert writes(server) == [f"PUT {ONE}"]


def test_an_answer_that_does_not_come_in_time_is_an_unknown_outcome_and_not_sent_again() -> None:
    async def late(_: Request) -> Response:
        await asyncio.sleep(1)
        return json(BODY)

    with server_of({ONE: late}) as server:
        with pytest.raises(OutcomeUnknownError):
            update(server, write={**ALL, "timeout_seconds": 0.1})
        assert writes(server) == [f"PUT {ONE}"]


@pytest.mark.parametrize(
    "turned_away",
    [
        Response(status_code=429, headers={"Retry-After": "2"}),
        Response(status_code=429),
        Response(status_code=503, headers={"Retry-After": "1"}),
        json(outcome(severity="error", code="lock-error"), 409),
    ],
    ids=["429 with a time", "429", "503 with a time", "locked"],
)
def test_what_was_turned_away_unread_is_sent_again(turned_away: Response) -> None:
    answers = [turned_away, turned_away, json(BODY)]
    with server_of({ONE: lambda _: answers.pop(0)}) as server:
        assert update(server).stored == BODY
        assert writes(server) == [f"PUT {ONE}"] * 3


def test_a_server_that_always_turns_away_is_transient_and_nothing_happened() -> None:
    with server_of({ONE: lambda _: Response(status_code=429)}) as server:
        with pytest.raises(TransientError) as busy:
            update(server)
        assert not isinstance(busy.value, OutcomeUnknownError)
        assert writes(server) == [f"PUT {ONE}"] * 4


def test_a_redirected_write_goes_nowhere() -> None:
    elsewhere = {ONE: lambda _: Response(status_code=307, headers={"Location": "/fhir/Patient/p2"})}
    with server_of({**elsewhere, "/fhir/Patient/p2": lambda _: json(patient(2))}) as server:
        with pytest.raises(ProtocolError):
            update(server)
        assert writes(server) == [f"PUT {ONE}"]


def test_a_version_no_header_can_hold_is_never_sent() -> None:
    with server_of({ONE: lambda _: json(BODY)}) as server:
        for version in ('3"', "3\r\nX-Evil: 1", "", "é"):
            with pytest.raises(ProtocolError) as refused:
                update(server, version=version)
            assert refused.value.code == "write.version_unsendable"
        assert writes(server) == []


def test_a_delete_of_what_has_changed_is_a_conflict_even_where_the_server_would_not_notice() -> None:
    held = json(patient(1), headers={"ETag": 'W/"4"'})

    def careless(request: Request) -> Response:
        return held if request.method == "GET" else Response(status_code=204)

    async def stale(desk: Adapter) -> None:
        await desk.delete("Patient", "p1", version="3")

    async def current(desk: Adapter) -> None:
        await desk.delete("Patient", "p1", version="4")

    with server_of({ONE: careless}) as server:
        with pytest.raises(VersionConflictError):
            at_desk(declared(server), stale)
        assert writes(server) == []
        at_desk(declared(server), current)
        assert writes(server) == [f"DELETE {ONE}"] and server.seen[-1].headers["if-match"] == 'W/"4"'


def test_a_delete_of_what_is_gone_says_so() -> None:
    async def work(desk: Adapter) -> None:
        await desk.delete("Patient", "p1", version="3")

    with server_of({ONE: lambda _: Response(status_code=410)}) as server:
        with pytest.raises(GoneError):
            at_desk(declared(server), work)
        assert writes(server) == []


# create


def test_an_empty_created_is_known_by_its_location() -> None:
    place = "http://elsewhere/r4/tenant/Patient/e.A-1%2B/_history/2"
    with server_of({"/fhir/Patient": lambda _: Response(status_code=201, headers={"Location": place})}) as server:
        assert create(server) == Written("e.A-1+", "2", None)


@pytest.mark.parametrize("place", [None, "http://x/fhir/Basic/b1", "http://x/fhir/Patient"])
def test_a_create_that_does_not_say_what_it_made_is_an_unknown_outcome(place: str | None) -> None:
    headers = {"Location": place} if place else {}
    with server_of({"/fhir/Patient": lambda _: Response(status_code=201, headers=headers)}) as server:
        with pytest.raises(OutcomeUnknownError):
            create(server)
        assert writes(server) == ["POST /fhir/Patient"]


def test_a_create_is_conditional_where_the_server_says_it_can_be() -> None:
    identifiers = [("urn:us", "a|b,c"), ("urn:us", "Ä 2")]
    for can in (True, False):
        with server_of({"/fhir/Patient": lambda _: json(BODY, 201)}, conditionalCreate=can) as server:
            create(server, *identifiers)
            sent = server.seen[-1].headers.get("if-none-exist")
            assert sent == ("identifier=urn:us|a%5C|b%5C,c,urn:us|%C3%84%202" if can else None)


@pytest.mark.parametrize("shows", [True, False])
def test_a_conditional_create_of_what_is_there_brings_what_is_there(shows: bool) -> None:
    there = orjson.dumps(patient(9, identifier=[{"system": "urn:us", "value": "1"}]))
    headers = {"Location": "http://x/fhir/Patient/p9/_history/3", "ETag": 'W/"3"'}
    posted = json(there, headers=headers) if shows else Response(status_code=200, headers=headers)
    routes: dict[str, Handler] = {
        "/fhir/Patient": lambda _: posted,
        "/fhir/Patient/p9": lambda _: json(there, headers={"ETag": 'W/"3"'}),
    }
    with server_of(routes, conditionalCreate=True) as server:
        assert create(server, ("urn:us", "1")) == Written("p9", "3", there)


# read


def test_what_is_there_is_shown_byte_for_byte() -> None:
    raw = b'{ "resourceType":"Patient",\n "id":"p1","x_unknown":1.500, "meta":{"lastUpdated":"2026-01-02T03:04:05Z"}}'
    with server_of({ONE: lambda _: json(raw, headers={"ETag": 'W/"a-1"'})}) as server:
        current = read(server)
    assert current == Present("p1", raw, "a-1", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("answer", "evidence"),
    [
        (Response(status_code=410), "410 Gone"),
        (json(outcome(code="deleted"), 410), "410 Gone"),
        (Response(status_code=404), "404 Not Found"),
        (json(outcome(code="not-found"), 404), "404 Not Found"),
    ],
)
def test_a6_absence_is_what_the_server_says_it_is(answer: Response, evidence: str) -> None:
    with server_of({ONE: lambda _: answer}) as server:
        assert read(server) == Absent(evidence)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response("<html>404</html>", 404, media_type="text/html"), ProtocolError),
        (Response("Service not registered with API gateway.", 404), ProtocolError),
        (json(outcome(severity="error", code="not-supported"), 404), NotPermittedError),
        (json(outcome(severity="error", code="not-found"), 400), HoloVitalsError),
        (json(outcome(severity="error", code="processing")), ProtocolError),
        (json(patient(2)), ProtocolError),
        (json(b'{"resourceType":"Patient","id":"p1","name'), TransientError),
        (Response("<html>Sign in</html>", media_type="text/html"), ProtocolError),
    ],
    ids=["html 404", "gateway", "no such type", "400", "outcome in 200", "another", "cut", "html"],
)
def test_a5_nothing_else_is_taken_for_absence(answer: Response, error: type[HoloVitalsError]) -> None:
    with server_of({ONE: lambda _: answer}) as server, pytest.raises(error):
        read(server)


# find


def carrying(number: int, *identifiers: tuple[str, str]) -> dict[str, Any]:
    held = [{"system": system, "value": value} for system, value in identifiers]
    return patient(number, identifier=held, meta={"versionId": "2"})


def test_a_resource_is_found_once_by_any_of_its_identifiers_and_on_every_page() -> None:
    both = carrying(1, ("urn:us", "1"), ("urn:mrn", "7"))
    other = carrying(2, ("urn:mrn", "7"))

    def search(request: Request) -> Response:
        if request.query_params.get("page"):
            return json(bundle([other]))
        if request.query_params["identifier"] == "urn:us|1":
            return json(bundle([both], total=1))
        return json(bundle([both], next_url=f"{request.url}&page=2", total=2))

    with server_of({"/fhir/Patient": search}) as server:
        found = find(server, ("urn:us", "1"), ("urn:mrn", "7"), ("urn:us", "1"))
        assert [(one.remote_id, one.version) for one in found] == [("p1", "2"), ("p2", "2")]
        assert [seen.param("identifier") for seen in server.of("/fhir/Patient")][:2] == ["urn:us|1", "urn:mrn|7"]


def test_a_server_that_does_not_search_by_identifier_is_not_believed() -> None:
    everybody = [carrying(number, ("urn:mrn", str(number))) for number in range(3)]
    with server_of({"/fhir/Patient": lambda _: json(bundle(everybody, next_url="?page=2"))}) as server:
        with pytest.raises(NotPermittedError) as caught:
            find(server, ("urn:us", "1"))
        assert caught.value.code == "find.not_searched" and len(server.of("/fhir/Patient")) == 1


def test_a_search_that_shows_less_than_it_found_proves_nothing() -> None:
    page = bundle([])
    page["entry"] = [{"resource": outcome(severity="error", code="incomplete"), "search": {"mode": "outcome"}}]
    with server_of({"/fhir/Patient": lambda _: json(page)}) as server, pytest.raises(PermanentError) as caught:
        find(server, ("urn:us", "1"))
    assert caught.value.code == "find.incomplete"


def test_nothing_found_is_nothing_there() -> None:
    with server_of({"/fhir/Patient": lambda _: json(bundle([], total=0))}) as server:
        assert find(server, ("urn:us", "1")) == []


# the clock


def test_the_vendors_clock_is_compared_with_every_answer() -> None:
    def behind(_: Request) -> Response:
        date = format_datetime(datetime.now(UTC) - timedelta(seconds=90), usegmt=True)
        return json(BODY, headers={"Date": date})

    async def work(desk: Adapter) -> float:
        assert desk.clock_skew_seconds() < 2, "the statement came with the right time"
        await desk.read_current("Patient", "p1")
        return desk.clock_skew_seconds()

    with server_of({ONE: behind}) as server:
        assert 88 <= at_desk(declared(server), work) <= 90.5


def test_an_answer_out_of_a_cache_tells_no_time() -> None:
    def cached(_: Request) -> Response:
        date = format_datetime(datetime.now(UTC) - timedelta(hours=9), usegmt=True)
        return json(BODY, headers={"Date": date, "Age": "32400"})

    async def work(desk: Adapter) -> float:
        await desk.read_current("Patient", "p1")
        return desk.clock_skew_seconds()

    with server_of({ONE: cached}) as server:
        assert at_desk(declared(server), work) < 2


def test_no_error_and_no_statistic_holds_an_id_or_an_identifier() -> None:
    async def work(desk: Adapter) -> list[str]:
        said = []
        for attempt in (
            desk.read_current("Patient", "secret-id"),
            desk.delete("Patient", "secret-id", version=None),
            desk.find("Patient", [("urn:secret", "secret-value")]),
            desk.create("Patient", BODY, [("urn:secret", "secret-value")]),
        ):
            with pytest.raises(HoloVitalsError) as caught:
                await attempt
            said.append(f"{caught.value} {vars(caught.value)}")
        return [*said, *(row.operation for row in desk.statistics())]

    refuse: Handler = lambda _: json(outcome("Smith", code="processing"), 422)  # noqa: E731
    with server_of({"/fhir/Patient/{id}": refuse, "/fhir/Patient": refuse}) as server:
        said = at_desk(declared(server), work, clock=FastClock().as_clock())
    assert len(said) > 4 and not [text for text in said if "secret" in text or "John" in text]
