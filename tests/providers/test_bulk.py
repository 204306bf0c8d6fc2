"""Bulk Data $export, with the habits of real servers (vendors.md §2.2, §3.5, §4.4; libraries.md §3.7, §7)."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from holovitals_pipelines.model.errors import ConfigurationError, PermanentError, ProtocolError, TransientError
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import ChangeMechanism, ErrorSeverity

from .loopback import (
    FastClock,
    Handler,
    Outcome,
    Server,
    bundle,
    capability,
    connection,
    interrupted,
    json,
    opened,
    outcome,
    patient,
    read_all,
    serving,
)

SERVER_TIME = "2026-05-06T07:08:09.123+02:00"
NDJSON = "application/fhir+ndjson"


def ndjson(resources: Sequence[Any]) -> bytes:
    return b"".join(orjson.dumps(resource) + b"\n" for resource in resources)


def observation(number: int) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": f"o{number}"}


@dataclass
class ExportServer:
    """A server with one export: files by path, and how its status answers before the manifest."""

    files: dict[str, bytes | Handler] = field(default_factory=dict)
    output: list[dict[str, Any]] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    before: list[Handler] = field(default_factory=list)
    kick_off: Handler | None = None
    exports: tuple[str, ...] = ("system",)
    types: tuple[str, ...] = ("Patient", "Observation")

    def add(self, resource_type: str, content: bytes | Handler, *, count: int | None = None) -> None:
        path = f"/files/{len(self.files)}"
        self.files[path] = content
        entry: dict[str, Any] = {"type": resource_type, "url": path}
        if count is not None:
            entry["count"] = count
        self.output.append(entry)

    def report(self, member: str, content: bytes) -> None:
        path = f"/files/{len(self.files)}"
        self.files[path] = content
        self.manifest.setdefault(member, []).append({"type": "OperationOutcome", "url": path})

    @contextmanager
    def run(self) -> Iterator[Server]:
        def kick_off(request: Request) -> Response:
            if self.kick_off is not None:
                return self.kick_off(request)  # type: ignore[return-value]
            return Response(status_code=202, headers={"content-location": "/status/1"})

        def status(request: Request) -> Response:
            if request.method == "DELETE":
                return Response(status_code=202)
            if self.before:
                return self.before.pop(0)(request)  # type: ignore[return-value]
            manifest = {"transactionTime": SERVER_TIME, "requiresAccessToken": False, "output": self.output}
            return json({**manifest, **self.manifest})

        def file(request: Request) -> Response:
            content = self.files[request.url.path]
            if callable(content):
                return content(request)  # type: ignore[return-value]
            return Response(content, media_type=NDJSON)

        routes: dict[str, Handler] = {
            "/fhir/metadata": lambda _: json(capability({name: [] for name in self.types}, exports=self.exports)),
            "/fhir/$export": kick_off,
            "/fhir/Patient/$export": kick_off,
            "/fhir/Group/{id}/$export": kick_off,
            "/status/1": status,
            "/files/{name}": file,
        }
        with serving(routes) as server:
            yield server


@pytest.fixture
def export() -> ExportServer:
    return ExportServer()


BOTH = ReadRequest(resource_types=["Patient", "Observation"])
PATIENTS = ReadRequest(resource_types=["Patient"])


def read(server: Server, clock: FastClock, request: ReadRequest = PATIENTS, **settings: Any) -> Outcome:
    settings = {"max_retries": 2, **settings}
    return read_all(connection(f"{server.url}/fhir", read=settings), request, clock=clock.as_clock())


def test_one_export_brings_all_types_with_exact_bytes_and_line_numbers(export: ExportServer, clock: FastClock) -> None:
    odd = b'{"resourceType":"Patient" , "id":"p2", "x": 1.50}'
    export.add("Patient", b'{"resourceType":"Patient","id":"p1"}\r\n\r\n' + odd + b"\r\n")
    export.add("Observation", ndjson([observation(1)]))
    export.add("Patient", ndjson([patient(3)])[:-1])
    with export.run() as server:
        result = read(server, clock, BOTH)
        [kick_off] = server.of("/fhir/$export")
        assert kick_off.param("_type") == "Patient,Observation"
        assert kick_off.headers["prefer"] == "respond-async"
        assert kick_off.headers["accept"] == "application/fhir+json"
        assert [seen.method for seen in server.of("/status/1")] == ["GET", "DELETE"]
    assert result.bodies == [
        b'{"resourceType":"Patient","id":"p1"}',
        odd,
        b'{"resourceType":"Patient","id":"p3"}',
        b'{"resourceType":"Observation","id":"o1"}',
    ]
    assert [list(page.lines) for page in result.pages if page.lines] == [[1, 3], [1], [1]]
    assert [page.source for page in result.pages if page.bodies] == [
        "GET $export-file Patient 1 of 2",
        "GET $export-file Patient 2 of 2",
        "GET $export-file Observation 1 of 1",
    ]
    for done in result.done.values():
        assert done.watermark == datetime(2026, 5, 6, 5, 8, 9, 123000, tzinfo=UTC)
        assert done.snapshot
        assert done.error is None


def test_a_type_without_a_file_is_a_type_without_rows(export: ExportServer, clock: FastClock) -> None:
    export.add("Patient", ndjson([patient(1)]))
    with export.run() as server:
        result = read(server, clock, BOTH)
    assert result.done["Observation"].snapshot
    assert result.done["Observation"].watermark is not None


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        ("7", 7),
        ("18000", 300),
        ("-5", 0.1),
        ("0", 0.1),
        ("nonsense", 1),
        (None, 1),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True), 50),
        (lambda: str(int(datetime.now(UTC).timestamp()) + 40), 40),
        (lambda: str(int(datetime.now(UTC).timestamp() * 1000)), 300),
    ],
    ids=["seconds", "five hours", "negative", "zero", "nonsense", "absent", "date", "epoch", "epoch in ms"],
)
def test_polls_wait_as_asked_within_reason(
    export: ExportServer, clock: FastClock, retry_after: Any, expected: float
) -> None:
    value = retry_after() if callable(retry_after) else retry_after
    headers = {"x-progress": "in progress"} | ({"retry-after": value} if value is not None else {})
    export.before = [lambda _: Response(status_code=202, headers=headers)]
    export.add("Patient", ndjson([patient(1)]))
    with export.run() as server:
        result = read(server, clock)
    assert result.ids == ["p1"]
    assert clock.slept == [pytest.approx(expected, abs=2)]


def test_a_transient_status_is_polled_again(export: ExportServer, clock: FastClock) -> None:
    export.before = [
        lambda _: json(outcome(code="transient"), 500),
        lambda _: json(outcome(code="throttled"), 429, {"retry-after": "3"}),
    ]
    export.add("Patient", ndjson([patient(1)]))
    with export.run() as server:
        assert read(server, clock).ids == ["p1"]


def test_an_export_that_failed_on_the_server_ends_each_of_its_types(export: ExportServer, clock: FastClock) -> None:
    export.before = [lambda _: json(outcome(code="invalid"), 400)]
    with export.run() as server:
        result = read(server, clock, BOTH)
        assert server.of("/fhir/Patient") == []
    assert {name: type(done.error) for name, done in result.done.items()} == {
        "Patient": PermanentError,
        "Observation": PermanentError,
    }


def test_the_status_address_is_in_the_cursor_before_the_export_is_ready(export: ExportServer, clock: FastClock) -> None:
    export.before = [lambda _: Response(status_code=202)] * 3
    export.add("Patient", ndjson([patient(1)]))
    with export.run() as server:
        config = connection(f"{server.url}/fhir")
        killed = interrupted(config, PATIENTS, after=1, clock=clock.as_clock())
        assert killed.bodies == []
        again = ReadRequest(resource_types=["Patient"], cursor=killed.events[0].cursor)
        result = read_all(config, again, clock=clock.as_clock())
        assert len(server.of("/fhir/$export")) == 1
    assert result.ids == ["p1"]


def big_file(count: int = 20_000) -> bytes:
    return ndjson([patient(number, text="t" * 600) for number in range(count)])


def test_a_read_killed_between_pages_costs_no_line_and_doubles_none(export: ExportServer, clock: FastClock) -> None:
    content = big_file()
    ranges: list[str | None] = []

    def file(request: Request) -> Response:
        ranges.append(request.headers.get("range"))
        return ranged(content, request)

    export.add("Patient", file)
    with export.run() as server:
        config = connection(f"{server.url}/fhir")
        killed = interrupted(config, PATIENTS, after=3, clock=clock.as_clock())
        again = ReadRequest(resource_types=["Patient"], cursor=killed.events[-1].cursor)
        result = read_all(config, again, clock=clock.as_clock())
        assert len(server.of("/fhir/$export")) == 1
    assert 0 < len(killed.ids) < 20_000
    assert killed.ids + result.ids == [f"p{number}" for number in range(20_000)]
    lines = [line for page in killed.pages + result.pages for line in page.lines or ()]
    assert lines == list(range(1, 20_001))
    assert ranges[0] is None
    assert ranges[1] is not None


def test_an_expired_export_is_asked_for_anew_when_a_read_resumes(export: ExportServer, clock: FastClock) -> None:
    export.add("Patient", ndjson([patient(1)]))
    with export.run() as server:
        config = connection(f"{server.url}/fhir")
        killed = interrupted(config, PATIENTS, after=1, clock=clock.as_clock())
        export.before = [lambda _: Response(status_code=404)]
        again = ReadRequest(resource_types=["Patient"], cursor=killed.events[0].cursor)
        result = read_all(config, again, clock=clock.as_clock())
        assert len(server.of("/fhir/$export")) == 2
    assert result.ids == ["p1"]


def ranged(content: bytes, request: Request, *, etag: str = '"v1"') -> Response:
    header = request.headers.get("range")
    if header is None:
        return Response(content, media_type=NDJSON, headers={"etag": etag})
    start = int(header.removeprefix("bytes=").removesuffix("-"))
    return Response(
        content[start:],
        206,
        {"etag": etag, "content-range": f"bytes {start}-{len(content) - 1}/{len(content)}"},
        NDJSON,
    )


def broken_off(content: bytes, after: int, headers: dict[str, str] | None = None) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield content[:after]

    return StreamingResponse(
        body(), headers={"content-length": str(len(content)), **(headers or {})}, media_type=NDJSON
    )


def drops_first(content: bytes, answer: Callable[[Request], Response], **headers: str) -> Handler:
    dropped: list[bool] = []

    def file(request: Request) -> Response:
        if not dropped:
            dropped.append(True)
            return broken_off(content, len(content) // 2 + 7, headers)
        return answer(request)

    return file


def test_a_dropped_download_goes_on_where_it_stopped_when_the_server_has_ranges(
    export: ExportServer, clock: FastClock
) -> None:
    content = big_file(9000)
    export.add("Patient", drops_first(content, lambda request: ranged(content, request), etag='"v1"'), count=9000)
    with export.run() as server:
        result = read(server, clock)
        first, second = server.of("/files/0")
    assert result.done["Patient"].error is None
    assert b"".join(body + b"\n" for body in result.bodies) == content
    assert "range" not in first.headers
    assert second.headers["range"].startswith("bytes=")
    assert second.headers["if-range"] == '"v1"'
    assert second.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_dropped_download_without_ranges_starts_again_and_doubles_no_line(
    export: ExportServer, clock: FastClock, packed: bool
) -> None:
    content = big_file(9000)
    sent = gzip.compress(content, 1) if packed else content
    headers = {"content-encoding": "gzip"} if packed else {}
    whole = Response(sent, media_type=NDJSON, headers=headers)
    dropped: list[bool] = []

    def file(request: Request) -> Response:
        if not dropped:
            dropped.append(True)
            return broken_off(sent, len(sent) // 2, headers)
        return whole

    export.add("Patient", file)
    with export.run() as server:
        result = read(server, clock)
        assert len(server.of("/files/0")) == 2
    assert result.done["Patient"].error is None
    assert b"".join(body + b"\n" for body in result.bodies) == content


def test_a_file_that_changes_under_the_reader_is_read_from_its_start(export: ExportServer, clock: FastClock) -> None:
    old, new = big_file(9000), ndjson([patient(number) for number in range(5)])
    export.add("Patient", drops_first(old, lambda _: Response(new, headers={"etag": '"v2"'}), etag='"v1"'))
    with export.run() as server:
        result = read(server, clock)
    assert result.done["Patient"].error is None
    assert result.ids[-5:] == ["p0", "p1", "p2", "p3", "p4"]


def test_a_file_shorter_than_its_length_is_an_error_naming_file_and_line(
    export: ExportServer, clock: FastClock
) -> None:
    content = ndjson([patient(number) for number in range(10)])
    export.add("Patient", lambda _: broken_off(content, len(content) // 2))
    export.add("Observation", ndjson([observation(1)]))
    with export.run() as server:
        result = read(server, clock, BOTH)
        assert [seen.method for seen in server.of("/status/1")] == ["GET"], "files are kept for a retry"
    error = result.done["Patient"].error
    assert isinstance(error, ProtocolError)
    assert error.code == "bulk.file_truncated"
    assert "Patient 1 of 1" in error.place
    assert "clinic" in error.place
    assert result.done["Patient"].watermark is None
    assert result.done["Observation"].error is None
    assert "o1" in result.ids


def test_a_last_line_that_is_not_whole_is_an_error_and_the_good_lines_are_kept(
    export: ExportServer, clock: FastClock
) -> None:
    export.add("Patient", ndjson([patient(1), patient(2)]) + b'{"resourceType":"Patient","id":"p')
    with export.run() as server:
        result = read(server, clock)
    error = result.done["Patient"].error
    assert error is not None
    assert error.code == "bulk.file_truncated"
    assert "after line 2" in error.message
    assert result.ids == ["p1", "p2"]


def test_fewer_lines_than_the_manifest_counts_is_an_error(export: ExportServer, clock: FastClock) -> None:
    export.add("Patient", ndjson([patient(1), patient(2)]), count=3)
    with export.run() as server:
        result = read(server, clock)
    error = result.done["Patient"].error
    assert error is not None
    assert error.code == "bulk.file_truncated"
    assert "counts 3 resources, 2 came" in error.message
    assert result.ids == ["p1", "p2"]


def test_a_count_that_agrees_is_no_error_after_a_resume_either(export: ExportServer, clock: FastClock) -> None:
    content = big_file(12_000)
    export.add("Patient", lambda request: ranged(content, request), count=12_000)
    with export.run() as server:
        config = connection(f"{server.url}/fhir")
        killed = interrupted(config, PATIENTS, after=2, clock=clock.as_clock())
        again = ReadRequest(resource_types=["Patient"], cursor=killed.events[-1].cursor)
        result = read_all(config, again, clock=clock.as_clock())
    assert result.done["Patient"].error is None


def test_a_ten_megabyte_line_goes_to_quarantine_and_the_rest_goes_on(export: ExportServer, clock: FastClock) -> None:
    large = orjson.dumps(patient(2, text="x" * 10_000_000))
    export.add("Patient", ndjson([patient(1)]) + large + b"\n" + ndjson([patient(3)]), count=3)
    with export.run() as server:
        result = read(server, clock)
    assert result.ids == ["p1", "p3"]
    [problem] = result.problems
    assert (problem.code, problem.line, problem.resource_type) == ("resource.too_large", 2, "Patient")
    assert problem.body == large
    assert result.done["Patient"].error is None


def test_outcomes_and_strays_between_the_lines_are_problems_with_their_line(
    export: ExportServer, clock: FastClock
) -> None:
    lines = [patient(1), outcome(severity="warning"), observation(9), patient(4)]
    export.add("Patient", ndjson(lines) + b"not json at all\n" + ndjson([patient(6)]))
    with export.run() as server:
        result = read(server, clock)
    assert result.ids == ["p1", "p4", "p6"]
    assert [(problem.code, problem.line) for problem in result.problems] == [
        ("outcome.reported", 2),
        ("resource.wrong_type", 3),
        ("json.malformed", 5),
    ]
    [page] = [page for page in result.pages if page.bodies]
    assert list(page.lines or ()) == [1, 4, 6]


@pytest.mark.parametrize("media_type", ["text/html", NDJSON])
def test_a_web_page_instead_of_ndjson_is_a_clear_error(export: ExportServer, clock: FastClock, media_type: str) -> None:
    export.add("Patient", lambda _: Response("<html>Sign in</html>", media_type=media_type))
    with export.run() as server:
        result = read(server, clock)
    error = result.done["Patient"].error
    assert isinstance(error, ProtocolError)
    assert error.code == "bulk.not_ndjson"
    assert "Patient 1 of 1" in error.place


@pytest.mark.parametrize("declared", [True, False])
def test_compressed_files_are_read_whether_declared_or_not(
    export: ExportServer, clock: FastClock, declared: bool
) -> None:
    packed = gzip.compress(ndjson([patient(1), patient(2)]))
    headers = {"content-encoding": "gzip"} if declared else {}
    export.add("Patient", lambda _: Response(packed, media_type=NDJSON, headers=headers))
    with export.run() as server:
        result = read(server, clock)
    assert result.ids == ["p1", "p2"]
    assert result.done["Patient"].error is None


def test_error_files_become_problems_and_absence_then_says_nothing(export: ExportServer, clock: FastClock) -> None:
    export.add("Patient", ndjson([patient(1)]))
    export.report("error", ndjson([outcome(severity="error"), outcome(severity="warning")]))
    with export.run() as server:
        result = read(server, clock)
    assert [problem.severity for problem in result.problems] == [ErrorSeverity.ERROR, ErrorSeverity.WARNING]
    assert result.done["Patient"].error is None
    assert not result.done["Patient"].snapshot


def test_an_error_file_that_cannot_be_read_is_itself_a_problem(export: ExportServer, clock: FastClock) -> None:
    export.add("Patient", ndjson([patient(1)]))
    export.manifest["error"] = [{"type": "OperationOutcome", "url": "/files/none-such/at-all"}]
    with export.run() as server:
        result = read(server, clock)
    assert result.ids == ["p1"]
    assert [problem.code for problem in result.problems] == ["http.404"]
    assert not result.done["Patient"].snapshot


def test_deleted_files_are_evidence_of_deletion(export: ExportServer, clock: FastClock) -> None:
    def deletes(*urls: str) -> dict[str, Any]:
        entries = [{"request": {"method": "DELETE", "url": url}} for url in urls]
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    export.add("Patient", ndjson([patient(1)]))
    export.report("deleted", ndjson([deletes("Patient/a", "Observation/b"), deletes("Patient/c", "Device/d")]))
    with export.run() as server:
        result = read(server, clock, BOTH)
    assert {(found.resource_type, found.remote_id) for found in result.deletions} == {
        ("Patient", "a"),
        ("Patient", "c"),
        ("Observation", "b"),
    }


def test_an_incremental_export_asks_from_the_moment_given(export: ExportServer, clock: FastClock) -> None:
    export.add("Patient", ndjson([patient(1)]))
    since = datetime(2026, 1, 1, tzinfo=UTC)
    with export.run() as server:
        request = ReadRequest(resource_types=["Patient"], since={"Patient": since})
        result = read(server, clock, request)
        [kick_off] = server.of("/fhir/$export")
    assert kick_off.param("_since") == "2026-01-01T00:00:00.000Z"
    assert not result.done["Patient"].snapshot


def test_changes_are_found_by_time_search_where_the_server_has_it_and_by_export_elsewhere(clock: FastClock) -> None:
    offered = capability({"Patient": ["_lastUpdated"], "Observation": []}, exports=["system"])
    with serving({"/fhir/metadata": lambda _: json(offered)}) as server:
        config = connection(f"{server.url}/fhir")

        async def run() -> Any:
            async with opened(config, clock=clock.as_clock()) as adapter:
                return adapter.mechanisms()

        found = asyncio.run(run())
    assert found == {"Patient": ChangeMechanism.LAST_UPDATED, "Observation": ChangeMechanism.BULK_SINCE}


def test_a_server_that_offers_an_export_and_refuses_it_is_searched(export: ExportServer, clock: FastClock) -> None:
    routes: dict[str, Handler] = {
        "/fhir/metadata": lambda _: json(capability({"Patient": []}, exports=["system"])),
        "/fhir/$export": lambda _: json(outcome(code="not-supported"), 501),
        "/fhir/Patient": lambda _: json(bundle([patient(1)])),
    }
    with serving(routes) as server:
        result = read(server, clock)
    assert result.ids == ["p1"]
    assert [problem.code for problem in result.problems] == ["bulk.refused"]
    assert result.done["Patient"].error is None


def test_an_export_that_never_ends_is_cancelled_at_its_deadline(export: ExportServer, clock: FastClock) -> None:
    export.before = [lambda _: Response(status_code=202, headers={"retry-after": "100"})] * 50
    with export.run() as server:
        result = read(server, clock, bulk_deadline_seconds=1000)
        assert server.of("/status/1")[-1].method == "DELETE"
        assert len(server.of("/status/1")) < 15
    error = result.done["Patient"].error
    assert error is not None
    assert error.code == "bulk.deadline"


def test_an_address_that_expired_is_renewed_from_the_status_address(export: ExportServer, clock: FastClock) -> None:
    export.files["/files/new"] = ndjson([patient(1)])
    export.files["/files/old"] = lambda _: Response("<Error>Request has expired</Error>", 403)
    answers = [
        {"transactionTime": SERVER_TIME, "requiresAccessToken": False, "output": [{"type": "Patient", "url": url}]}
        for url in ("/files/old", "/files/new")
    ]
    export.before = [lambda _: json(answers[0]), lambda _: json(answers[1])]
    with export.run() as server:
        result = read(server, clock)
    assert result.ids == ["p1"]
    assert result.done["Patient"].error is None


def test_a_manifest_address_that_is_not_http_is_refused(export: ExportServer, clock: FastClock) -> None:
    export.output = [{"type": "Patient", "url": "file:///etc/passwd"}]
    with export.run() as server:
        result = read(server, clock)
    error = result.done["Patient"].error
    assert error is not None
    assert error.code == "http.scheme"


def test_a_kick_off_without_a_status_address_is_a_clear_error(export: ExportServer, clock: FastClock) -> None:
    export.kick_off = lambda _: Response(status_code=202)
    with export.run() as server:
        result = read(server, clock, mode="bulk")
    error = result.done["Patient"].error
    assert error is not None
    assert error.code == "bulk.kick_off"


def test_an_export_by_group_goes_to_the_configured_group(export: ExportServer, clock: FastClock) -> None:
    export.exports = ("group",)
    export.types = ("Patient", "Group")
    export.add("Patient", ndjson([patient(1)]))
    with export.run() as server:
        result = read(server, clock, group="a.b 1", mode="bulk")
        [kick_off] = [seen for seen in server.seen if seen.path.endswith("$export")]
    assert result.ids == ["p1"]
    assert kick_off.path == "/fhir/Group/a.b 1/$export"


def test_a_connection_set_to_bulk_is_refused_by_a_server_without_exports(clock: FastClock) -> None:
    with (
        serving({"/fhir/metadata": lambda _: json(capability({"Patient": []}))}) as server,
        pytest.raises(ConfigurationError, match="offers no export"),
    ):
        read(server, clock, mode="bulk")


def test_a_status_that_stays_down_ends_the_types_and_keeps_the_export_for_a_retry(
    export: ExportServer, clock: FastClock
) -> None:
    export.before = [lambda _: Response(status_code=503)] * 3
    export.add("Patient", ndjson([patient(1)]))
    with export.run() as server:
        config = connection(f"{server.url}/fhir", read={"max_retries": 2})
        failed = read_all(config, PATIENTS, clock=clock.as_clock())
        assert isinstance(failed.done["Patient"].error, TransientError)
        again = ReadRequest(resource_types=["Patient"], cursor=failed.events[-1].cursor)
        result = read_all(config, again, clock=clock.as_clock())
        assert len(server.of("/fhir/$export")) == 1
    assert result.ids == ["p1"]


def test_a_redirected_download_reaches_the_other_host_without_the_token(export: ExportServer, clock: FastClock) -> None:
    with serving({"/signed": lambda _: Response(ndjson([patient(1)]), media_type=NDJSON)}) as storage:
        export.add("Patient", lambda _: RedirectResponse(f"{storage.url}/signed?signature=abc", 307))
        with export.run() as server:
            result = read(server, clock)
        [seen] = storage.seen
    assert result.ids == ["p1"]
    assert "authorization" not in seen.headers
