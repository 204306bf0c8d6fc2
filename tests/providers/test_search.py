"""Reading by search: every paging habit a client must survive (vendors.md §3.3; libraries.md, server habits)."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.model.errors import NotPermittedError, PermanentError, ProtocolError, TransientError
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import ErrorSeverity

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
    outcome,
    patient,
    read_all,
    serving,
)

PATIENTS = ReadRequest(resource_types=["Patient"])
OFFERED = capability({"Patient": ["_lastUpdated"]})


def served(handler: Handler, **more: Handler) -> Any:
    return serving({"/fhir/metadata": lambda _: json(OFFERED), "/fhir/Patient": handler, **more})


def read(server: Server, clock: FastClock, request: ReadRequest = PATIENTS, **settings: Any) -> Outcome:
    return read_all(connection(f"{server.url}/fhir", read=settings), request, clock=clock.as_clock())


def pages(count: int, *, per_page: int = 2, total: int | None = None, link: str = "?page={}") -> Handler:
    def handler(request: Request) -> Response:
        page = int(request.query_params.get("page", 0))
        rows = [patient(number) for number in range(page * per_page, (page + 1) * per_page)]
        return json(bundle(rows, next_url=link.format(page + 1) if page + 1 < count else None, total=total))

    return handler


@pytest.mark.parametrize("link", ["?page={}", "Patient?page={}", "/fhir/Patient?page={}"])
def test_relative_next_links_are_followed_to_the_end(clock: FastClock, link: str) -> None:
    with served(pages(3, link=link)) as server:
        result = read(server, clock)
    assert result.ids == ["p0", "p1", "p2", "p3", "p4", "p5"]
    assert result.done["Patient"].error is None
    assert result.done["Patient"].snapshot


def test_each_resource_comes_as_the_exact_bytes_the_vendor_sent(clock: FastClock) -> None:
    odd = b'{ "resourceType": "Patient",\n  "id":"p1", "x": 1.000, "n": "\\u00e9"  }'
    page = b'{"resourceType":"Bundle","type":"searchset","entry":[{"resource":' + odd + b"}]}"
    with served(lambda _: json(page)) as server:
        result = read(server, clock)
    assert result.bodies == [odd]


def test_empty_and_short_pages_with_a_next_link_are_not_the_end(clock: FastClock) -> None:
    def handler(request: Request) -> Response:
        page = int(request.query_params.get("page", 0))
        rows = [patient(page)] if page in (2, 4) else []
        return json(bundle(rows, next_url=f"?page={page + 1}" if page < 4 else None))

    with served(handler) as server:
        assert read(server, clock).ids == ["p2", "p4"]


def test_an_expired_page_session_restarts_the_window(clock: FastClock) -> None:
    expired_once: list[bool] = []

    def handler(request: Request) -> Response:
        page = int(request.query_params.get("page", 0))
        if page == 1 and not expired_once:
            expired_once.append(True)
            return json(outcome(code="expired"), 410)
        return json(bundle([patient(page)], next_url="?page=1" if page == 0 else None, total=2))

    with served(handler) as server:
        result = read(server, clock)
    assert result.ids == ["p0", "p0", "p1"]
    assert result.done["Patient"].error is None


def test_a_page_session_that_keeps_expiring_ends_the_type_and_keeps_what_came(clock: FastClock) -> None:
    def handler(request: Request) -> Response:
        if "page" in request.query_params:
            return Response(status_code=410)
        return json(bundle([patient(0)], next_url="?page=1"))

    with served(handler) as server:
        result = read(server, clock)
    assert result.done["Patient"].error is not None
    assert result.done["Patient"].watermark is None
    assert result.ids == ["p0", "p0", "p0"]


def test_a_next_link_that_leads_in_a_circle_is_an_error(clock: FastClock) -> None:
    def handler(request: Request) -> Response:
        page = int(request.query_params.get("page", 0))
        return json(bundle([patient(page)], next_url=f"?page={(page + 1) % 3}"))

    with served(handler) as server:
        result = read(server, clock)
    error = result.done["Patient"].error
    assert isinstance(error, ProtocolError)
    assert error.code == "search.cycle"


def test_a_next_link_to_another_host_is_refused_and_gets_no_request(clock: FastClock) -> None:
    with (
        served(pages(1)) as elsewhere,
        served(lambda _: json(bundle([], next_url=f"{elsewhere.url}/fhir/Patient"))) as server,
    ):
        result = read(server, clock)
        assert elsewhere.seen == []
    error = result.done["Patient"].error
    assert error is not None
    assert error.code == "http.foreign_host"


def test_an_operation_outcome_inside_a_good_page_is_a_problem_and_not_a_resource(clock: FastClock) -> None:
    warning = outcome("4122", severity="warning")
    with served(lambda _: json(bundle([patient(1), warning]))) as server:
        result = read(server, clock)
    assert result.ids == ["p1"]
    [problem] = result.problems
    assert problem.severity is ErrorSeverity.WARNING
    assert problem.body == orjson.dumps(warning)
    assert "Smith" not in problem.message + problem.remedy
    assert result.done["Patient"].snapshot


def test_an_error_inside_a_good_page_means_that_absence_says_nothing(clock: FastClock) -> None:
    with served(lambda _: json(bundle([patient(1), outcome(severity="error")]))) as server:
        result = read(server, clock)
    assert result.done["Patient"].error is None
    assert not result.done["Patient"].snapshot


def test_a_resource_of_another_type_is_refused_with_its_bytes(clock: FastClock) -> None:
    stray = {"resourceType": "Observation", "id": "o1"}
    with served(lambda _: json(bundle([patient(1), stray, patient(2)]))) as server:
        result = read(server, clock)
    assert result.ids == ["p1", "p2"]
    [problem] = result.problems
    assert (problem.code, problem.body) == ("resource.wrong_type", orjson.dumps(stray))


def test_a_resource_too_large_is_refused_with_its_bytes_and_the_rest_goes_on(clock: FastClock) -> None:
    large = patient(1, text="x" * 3000)
    with served(lambda _: json(bundle([large, patient(2)]))) as server:
        result = read(server, clock, max_resource_bytes=2048)
    assert result.ids == ["p2"]
    [problem] = result.problems
    assert (problem.code, problem.body) == ("resource.too_large", orjson.dumps(large))


def test_fewer_rows_than_the_servers_total_is_an_error_that_keeps_the_rows(clock: FastClock) -> None:
    with served(pages(2, total=5)) as server:
        result = read(server, clock)
    assert len(result.ids) == 4
    error = result.done["Patient"].error
    assert error is not None
    assert error.code == "search.incomplete"
    assert "delivered 4" in error.message


def test_rows_that_vanish_while_paging_are_no_error_when_the_total_follows(clock: FastClock) -> None:
    def handler(request: Request) -> Response:
        second = "page" in request.query_params
        return json(bundle([patient(second)], next_url=None if second else "?page=1", total=2 if second else 3))

    with served(handler) as server:
        assert read(server, clock).done["Patient"].error is None


def test_duplicates_across_pages_do_no_harm(clock: FastClock) -> None:
    def handler(request: Request) -> Response:
        second = "page" in request.query_params
        rows = [patient(1), patient(2)] if second else [patient(0), patient(1)]
        return json(bundle(rows, next_url=None if second else "?page=1", total=3))

    with served(handler) as server:
        result = read(server, clock)
    assert result.done["Patient"].error is None
    assert set(result.ids) == {"p0", "p1", "p2"}


def test_a_web_page_instead_of_fhir_is_a_clear_error_at_once(clock: FastClock) -> None:
    with served(lambda _: Response("<html><body>Sign in</body></html>", media_type="text/html")) as server:
        result = read(server, clock)
        assert len(server.of("/fhir/Patient")) == 1
    error = result.done["Patient"].error
    assert isinstance(error, ProtocolError)
    assert error.code == "http.html"
    assert "clinic" in error.place
    assert "GET Patient" in error.place


def test_a_page_cut_short_is_asked_for_once_more(clock: FastClock) -> None:
    cut: list[bool] = []

    def handler(_: Request) -> Response:
        whole = orjson.dumps(bundle([patient(1)]))
        if not cut:
            cut.append(True)
            return json(whole[:-10])
        return json(whole)

    with served(handler) as server:
        result = read(server, clock)
    assert result.ids == ["p1"]
    assert result.done["Patient"].error is None


def test_a_page_that_stays_malformed_ends_the_type_after_the_good_pages(clock: FastClock) -> None:
    def handler(request: Request) -> Response:
        if "page" in request.query_params:
            return json(b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":')
        return json(bundle([patient(1)], next_url="?page=1"))

    with served(handler) as server:
        result = read(server, clock)
    assert result.ids == ["p1"]
    error = result.done["Patient"].error
    assert error is not None
    assert error.code == "search.malformed_page"


def test_the_watermark_is_the_servers_clock_at_the_first_answer(clock: FastClock) -> None:
    served_at = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)

    def handler(request: Request) -> Response:
        page = int(request.query_params.get("page", 0))
        date = format_datetime(served_at + timedelta(hours=page), usegmt=True)
        return json(bundle([patient(page)], next_url="?page=1" if page == 0 else None), headers={"date": date})

    with served(handler) as server:
        assert read(server, clock).done["Patient"].watermark == served_at


def test_an_incremental_read_asks_from_the_moment_given_in_utc(clock: FastClock) -> None:
    since = datetime(2026, 1, 31, 10, 0, 0, 123999, tzinfo=timezone(timedelta(hours=2)))
    request = ReadRequest(resource_types=["Patient"], since={"Patient": since})
    with served(pages(1)) as server:
        result = read(server, clock, request, page_size=77)
        [seen] = server.of("/fhir/Patient")
    assert seen.param("_lastUpdated") == "ge2026-01-31T08:00:00.123Z"
    assert seen.param("_count") == "77"
    assert not result.done["Patient"].snapshot


def test_a_window_has_both_ends(clock: FastClock) -> None:
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    with served(pages(1)) as server:
        result = read(server, clock, ReadRequest(resource_types=["Patient"], since={"Patient": begin}, until=end))
        [seen] = server.of("/fhir/Patient")
    asked = [value for name, value in seen.query if name == "_lastUpdated"]
    assert asked == ["ge2026-01-01T00:00:00.000Z", "le2026-02-01T00:00:00.000Z"]
    assert not result.done["Patient"].snapshot


def test_a_read_killed_between_pages_goes_on_at_the_next_page(clock: FastClock) -> None:
    with served(pages(4, total=8)) as server:
        config = connection(f"{server.url}/fhir")
        before = interrupted(config, PATIENTS, after=2, clock=clock.as_clock())
        server.seen.clear()
        again = ReadRequest(resource_types=["Patient"], cursor=before.events[-1].cursor)
        after = read_all(config, again, clock=clock.as_clock())
        assert [seen.param("page") for seen in server.of("/fhir/Patient")] == ["2", "3"]
    assert before.ids + after.ids == [f"p{number}" for number in range(8)]
    assert after.done["Patient"].error is None
    assert after.done["Patient"].snapshot


def test_a_read_killed_after_its_last_page_asks_nothing_twice(clock: FastClock) -> None:
    with served(pages(2, total=4)) as server:
        config = connection(f"{server.url}/fhir")
        before = interrupted(config, PATIENTS, after=2, clock=clock.as_clock())
        server.seen.clear()
        again = ReadRequest(resource_types=["Patient"], cursor=before.events[-1].cursor)
        after = read_all(config, again, clock=clock.as_clock())
        assert server.of("/fhir/Patient") == []
    assert after.done["Patient"].error is None
    assert after.done["Patient"].watermark is not None


def test_a_shortfall_is_not_forgotten_by_a_kill_after_the_last_page(clock: FastClock) -> None:
    with served(pages(2, total=5)) as server:
        config = connection(f"{server.url}/fhir")
        before = interrupted(config, PATIENTS, after=2, clock=clock.as_clock())
        again = ReadRequest(resource_types=["Patient"], cursor=before.events[-1].cursor)
        after = read_all(config, again, clock=clock.as_clock())
    error = after.done["Patient"].error
    assert error is not None
    assert error.code == "search.incomplete"


def test_a_resumed_read_keeps_the_watermark_of_its_first_page(clock: FastClock) -> None:
    first = datetime(2031, 1, 1, tzinfo=UTC)

    def handler(request: Request) -> Response:
        page = int(request.query_params.get("page", 0))
        date = format_datetime(first + timedelta(days=page), usegmt=True)
        return json(bundle([patient(page)], next_url="?page=1" if page == 0 else None), headers={"date": date})

    with served(handler) as server:
        config = connection(f"{server.url}/fhir")
        before = interrupted(config, PATIENTS, after=1, clock=clock.as_clock())
        again = ReadRequest(resource_types=["Patient"], cursor=before.events[-1].cursor)
        after = read_all(config, again, clock=clock.as_clock())
    assert after.ids == ["p1"]
    assert after.done["Patient"].watermark == first


def test_a_failing_type_is_reported_and_the_others_go_on(clock: FastClock) -> None:
    routes: dict[str, Handler] = {
        "/fhir/metadata": lambda _: json(capability({"Patient": [], "Observation": []})),
        "/fhir/Patient": lambda _: json(outcome(code="forbidden"), 403),
        "/fhir/Observation": lambda _: json(bundle([{"resourceType": "Observation", "id": "o1"}])),
    }
    with serving(routes) as server:
        result = read(server, clock, ReadRequest(resource_types=["Patient", "Observation"]))
    assert isinstance(result.done["Patient"].error, NotPermittedError)
    assert result.done["Observation"].error is None
    assert result.ids == ["o1"]


def test_no_error_ever_shows_what_the_vendor_wrote(clock: FastClock) -> None:
    with served(lambda _: json(outcome("900-not-a-code Smith, John"), 400)) as server:
        result = read(server, clock)
    error = result.done["Patient"].error
    assert isinstance(error, PermanentError)
    assert "Smith" not in f"{error} {error!r} {error.vendor_code}"


def test_a_server_that_wants_a_patient_is_crawled_patient_by_patient(clock: FastClock) -> None:
    def handler(request: Request) -> Response:
        who = request.query_params.get("patient")
        if who is None:
            return json(outcome(code="required", severity="error"), 400)
        return json(bundle([{"resourceType": "Observation", "id": f"o-{who}-{n}"} for n in range(2)], total=2))

    routes: dict[str, Handler] = {
        "/fhir/metadata": lambda _: json(capability({"Observation": ["patient"]})),
        "/fhir/Observation": handler,
    }
    with serving(routes) as server:
        request = ReadRequest(resource_types=["Observation"], patients=lambda: ["a", "b", "c"])
        result = read(server, clock, request)
    assert result.ids == ["o-a-0", "o-a-1", "o-b-0", "o-b-1", "o-c-0", "o-c-1"]
    assert result.done["Observation"].error is None
    assert all("{id}" in page.source for page in result.pages)


def test_reading_by_id_tells_deleted_from_never_seen(clock: FastClock) -> None:
    routes: dict[str, Handler] = {
        "/fhir/metadata": lambda _: json(OFFERED),
        "/fhir/Patient/here": lambda _: json(b'{"resourceType":"Patient",  "id":"here"}'),
        "/fhir/Patient/gone": lambda _: Response(status_code=410),
    }
    with serving(routes) as server:
        request = ReadRequest(resource_types=["Patient"], only_ids={"Patient": ["here", "gone", "lost"]})
        result = read(server, clock, request)
    assert result.bodies == [b'{"resourceType":"Patient",  "id":"here"}']
    assert [(found.remote_id, found.evidence) for found in result.deletions] == [("gone", "410 on read")]
    [problem] = result.problems
    assert (problem.code, problem.remote_id) == ("read.not_found", "lost")
    assert "lost" not in problem.message
    assert result.done["Patient"].error is None
    assert not result.done["Patient"].snapshot


def test_reading_some_patients_reads_their_compartments_and_nothing_else(clock: FastClock) -> None:
    routes: dict[str, Handler] = {
        "/fhir/metadata": lambda _: json(capability({"Patient": [], "Observation": [], "Organization": []})),
        "/fhir/Patient/{id}": lambda request: json(patient(request.path_params["id"])),
        "/fhir/Observation": lambda request: json(
            bundle([{"resourceType": "Observation", "id": f"o-{request.query_params['patient']}"}])
        ),
    }
    with serving(routes) as server:
        types = ["Patient", "Observation", "Organization"]
        result = read(server, clock, ReadRequest(resource_types=types, only_patients=["2", "1"]))
    assert set(result.ids) == {"p1", "p2", "o-1", "o-2"}
    assert set(result.done) == set(types)
    assert not any(event.snapshot or event.error for event in result.done.values())


def test_a_server_that_cannot_be_reached_fails_the_opening(clock: FastClock) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        config = connection(f"http://127.0.0.1:{nobody.getsockname()[1]}/fhir", read={"max_retries": 1})
        with pytest.raises(TransientError) as caught:
            read_all(config, PATIENTS, clock=clock.as_clock())
    assert caught.value.code == "http.unreachable"
    assert len(clock.slept) == 1
