"""The one HTTP client: retries, waits, statistics, limits, and what never leaves it."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.model.connection import ReadSettings
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    GoneError,
    NotFoundError,
    NotPermittedError,
    PermanentError,
    ProtocolError,
    TransientError,
    VendorError,
)
from holovitals_pipelines.providers.answers import Answer, Meaning, VendorRule, classify
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.rate import TokenBucket
from holovitals_pipelines.providers.retry import backoff, retry_after

from .loopback import FastClock, Handler, Server, json, outcome, serving

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def http_to(server: Server, clock: FastClock, **settings: Any) -> VendorHttp:
    return VendorHttp("clinic", f"{server.url}/fhir", ReadSettings(**settings), clock=clock.as_clock())


def ask(server: Server, clock: FastClock, path: str = "Patient", **settings: Any) -> Answer:
    async def run() -> Answer:
        http = http_to(server, clock, **settings)
        try:
            return await http.request("GET", path, operation="GET Patient")
        finally:
            await http.close()

    return asyncio.run(run())


def fails(times: int, answer: Response) -> Handler:
    left = [times]

    def handler(_: Request) -> Response:
        left[0] -= 1
        return answer if left[0] >= 0 else json({})

    return handler


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_repeated(clock: FastClock, status: int) -> None:
    with serving({"/fhir/Patient": fails(3, Response(status_code=status))}) as server:
        assert ask(server, clock, max_retries=3).status == 200
        assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, PermanentError),
        (401, AuthenticationError),
        (403, NotPermittedError),
        (404, NotFoundError),
        (405, NotPermittedError),
        (410, GoneError),
        (422, PermanentError),
        (501, NotPermittedError),
    ],
)
def test_what_cannot_pass_is_asked_once(clock: FastClock, status: int, error: type[VendorError]) -> None:
    with serving({"/fhir/Patient": lambda _: Response(status_code=status)}) as server:
        with pytest.raises(error) as caught:
            ask(server, clock)
        assert len(server.seen) == 1
    assert type(caught.value) is error
    assert caught.value.status == status
    assert caught.value.place == "connection clinic, GET Patient"
    assert caught.value.remedy


def test_repeats_are_bounded_and_spread(clock: FastClock) -> None:
    with serving({"/fhir/Patient": lambda _: Response(status_code=503)}) as server:
        with pytest.raises(TransientError):
            ask(server, clock, max_retries=4, retry_delay_ms=1000)
        assert len(server.seen) == 5
    assert clock.slept == [0.5, 1.0, 2.0, 4.0], "full jitter, here always at its middle"


def test_a_wait_the_server_asks_for_is_kept(clock: FastClock) -> None:
    with serving({"/fhir/Patient": fails(1, Response(status_code=429, headers={"retry-after": "17"}))}) as server:
        ask(server, clock)
    assert clock.slept[0] == pytest.approx(17.25, abs=0.3)


def test_no_wait_goes_beyond_the_ceiling(clock: FastClock) -> None:
    with serving({"/fhir/Patient": fails(1, Response(status_code=429, headers={"retry-after": "999999"}))}) as server:
        ask(server, clock, max_poll_seconds=120)
    assert 120 <= clock.slept[0] <= 121


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("30", 30),
        (" 2.5 ", 2.5),
        ("-10", 0),
        ("1e9999", 300),
        ("18000", 300),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(days=9), usegmt=True), 0),
        (str(int(NOW.timestamp()) + 45), 45),
        (str(int(NOW.timestamp()) - 45), 0),
    ],
)
def test_every_spelling_of_retry_after_is_understood(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, now=NOW, ceiling=300) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_breaks_the_reader(header: str) -> None:
    seconds = retry_after(header, now=NOW, ceiling=300)
    assert seconds is None or 0 <= seconds <= 300


@given(st.integers(0, 10_000), st.floats(0, 0.999), st.none() | st.floats(0, 300))
def test_a_backoff_is_never_shorter_than_asked_and_never_endless(
    attempt: int, chance: float, asked: float | None
) -> None:
    wait = backoff(attempt, base_seconds=0.5, chance=chance, asked=asked)
    assert (asked or 0) <= wait <= (60 if asked is None else asked + 1)


def test_the_body_is_asked_before_the_status() -> None:
    def judged(status: int, body: dict[str, Any], table: Any = None) -> VendorError | None:
        content = json(body).body
        assert isinstance(content, bytes)
        answer = Answer(status, httpx.Headers(), content, httpx.URL("http://x"))
        return classify(answer, place="p", table=table or {})

    assert isinstance(judged(400, outcome(code="transient")), TransientError)
    assert isinstance(judged(400, outcome(code="throttled")), TransientError)
    assert isinstance(judged(500, outcome(code="not-found")), NotFoundError)
    assert isinstance(judged(404, outcome(code="deleted")), GoneError)
    assert isinstance(judged(500, outcome(code="exception")), TransientError)
    assert isinstance(judged(404, outcome(code="unknown")), NotFoundError)
    table = {"77": VendorRule(Meaning.DELETED, "vendor.deleted", "gone there")}
    error = judged(400, outcome("77"), table)
    assert isinstance(error, GoneError)
    assert (error.code, error.vendor_code) == ("vendor.deleted", "77")
    assert judged(200, outcome("77"), table) is None


def test_a_dropped_connection_is_repeated(clock: FastClock) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    ]

    def serve() -> None:
        for answer in answers:
            peer, _ = listener.accept()
            peer.recv(65536)
            peer.sendall(answer)
            peer.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        port = listener.getsockname()[1]
        assert ask(Server(f"http://127.0.0.1:{port}"), clock).body == b"{}"
        thread.join(5)
        assert not thread.is_alive()
    finally:
        listener.close()


def test_a_server_that_does_not_answer_in_time_is_transient(clock: FastClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = Server(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TransientError) as caught:
            ask(server, clock, timeout_seconds=0.05, max_retries=1)
    assert caught.value.code == "http.timeout"


def test_a_redirect_on_the_same_host_is_followed_and_an_endless_one_is_not(clock: FastClock) -> None:
    routes: dict[str, Handler] = {
        "/fhir/Patient": lambda _: Response(status_code=301, headers={"location": "/fhir/moved"}),
        "/fhir/moved": lambda _: json({}),
        "/fhir/round": lambda _: Response(status_code=302, headers={"location": "/fhir/round"}),
    }
    with serving(routes) as server:
        assert ask(server, clock).status == 200
        with pytest.raises(ProtocolError, match="more than 5 times"):
            ask(server, clock, "round")


def test_a_redirect_of_an_api_request_to_another_host_is_refused(clock: FastClock) -> None:
    with serving({"/x": lambda _: json({})}) as elsewhere:
        location = {"location": f"{elsewhere.url}/x"}
        with serving({"/fhir/Patient": lambda _: Response(status_code=307, headers=location)}) as server:
            with pytest.raises(ProtocolError) as caught:
                ask(server, clock)
            assert caught.value.code == "http.foreign_host"
        assert elsewhere.seen == []


def test_an_encrypted_connection_never_goes_on_in_the_clear() -> None:
    http = VendorHttp("clinic", "https://ehr.example/fhir", ReadSettings())
    assert str(http.resolve("http://ehr.example/fhir/Patient?page=2")) == "https://ehr.example/fhir/Patient?page=2"
    with pytest.raises(ProtocolError) as caught:
        http.name_origin(httpx.URL("http://files.example/1"), operation="GET $export-file")
    assert caught.value.code == "http.downgrade"


def test_statistics_are_kept_by_operation_and_hold_no_ids(clock: FastClock) -> None:
    def slow_once(request: Request) -> Response:
        if request.path_params["id"] == "17":
            time.sleep(0.05)
            return Response(status_code=404)
        return json({"x": "y" * 100})

    async def run(server: Server) -> Any:
        http = http_to(server, clock)
        for number in range(20):
            try:
                await http.request("GET", f"Patient/{number}", operation="GET Patient/{id}")
            except NotFoundError:
                continue
        await http.close()
        return http.statistics()

    with serving({"/fhir/Patient/{id}": slow_once}) as server:
        [row] = asyncio.run(run(server))
    assert (row.operation, row.requests, row.failures, row.retries) == ("GET Patient/{id}", 20, 1, 0)
    assert row.received_bytes == 19 * 108
    assert 0 < row.p50_ms <= row.p95_ms <= row.max_ms
    assert row.max_ms >= 50
    assert row.p50_ms < 50


def test_no_more_requests_are_under_way_than_configured(clock: FastClock) -> None:
    under_way: list[int] = [0, 0]

    async def handler(_: Request) -> Response:
        under_way[0] += 1
        under_way[1] = max(under_way)
        await asyncio.sleep(0.01)
        under_way[0] -= 1
        return json({})

    async def run(server: Server) -> None:
        http = http_to(server, clock, concurrency=3)
        await asyncio.gather(*(http.request("GET", "Patient", operation="GET Patient") for _ in range(12)))
        await http.close()

    with serving({"/fhir/Patient": handler}) as server:
        asyncio.run(run(server))
    assert under_way[1] == 3


def test_a_rate_spaces_requests_evenly_in_the_order_they_were_asked_for(clock: FastClock) -> None:
    async def run() -> list[float]:
        bucket = TokenBucket(10, clock.as_clock())
        return [round(await bucket.acquire(), 2) for _ in range(3)]

    waits = asyncio.run(run())
    assert waits == pytest.approx([0, 0.1, 0.1], abs=0.02)


def test_request_addresses_never_reach_the_log(clock: FastClock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), serving({"/fhir/Patient/marker-id": lambda _: json({})}) as server:
        ask(server, clock, "Patient/marker-id?name=marker-name")
    assert "marker" not in caplog.text
